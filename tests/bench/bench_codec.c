/* bench_codec - how fast gradients are encoded, checked, summed, packed and applied, in one thread.
 *
 *   bench_codec [VALUES]
 *
 * Prints JSON: millions of values a second, and the ratio to what the machine gives in the same
 * run, which says more on a machine that others use too. encode and add move about what a memcpy of
 * as many float32 values does ("over_memcpy"); adding to the sums moves what their plain
 * read-modify-write does ("over_rmw"). "cache" is one chunk again and again, "memory" a vector of
 * VALUES, whose sums are larger than the caches. Times are the best of several rounds, of each
 * segment of the vector by itself, since on a busy machine no pass over all of it is undisturbed.
 */
#include "common/clock.h"
#include "common/random.h"
#include "common/vector_clones.h"
#include "proto/codec/exact_sum.h"
#include "proto/codec/kernels.h"
#include "proto/codec/sum_pack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = SUM_PACK_VALUES_MAX,
    SEGMENT = 32 * CHUNK,
    SEGMENTS_MAX = 4096,
    MEMORY_VALUES = 1 << 26,
    CONTRIBUTIONS = 16,
    TOKENS = 1 << 20,
    TOKENS_EACH = TOKENS / CONTRIBUTIONS,
    CODECS = 4
};

static const enum codec codecs[CODECS] = {CODEC_FP32, CODEC_BF16, CODEC_MX8, CODEC_MX4};

struct bench {
    size_t count;   /* of the arrays below */
    size_t segment; /* values that are timed together */
    int rounds;
    struct exact_grid grid;
    enum codec codec;
    float *chunk; /* (CHUNK): where values come from */
    float *values;
    int64_t *sums;
    int64_t *chunk_sums; /* (CHUNK): of 16 mx8 contributions */
    uint8_t *encoded;    /* (count) float32s; each segment's at its own place */
    uint8_t *packed;     /* (count / CHUNK) of the most bytes */
    size_t packed_bytes;
};

static void insist(enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "bench_codec: %s\n", status_text(status));
        abort();
    }
}

static void fill_values(struct bench *self)
{
    for (size_t first = 0; first < self->count; first += CHUNK) {
        memcpy(self->values + first, self->chunk, CHUNK * sizeof *self->values);
    }
}

static void fill_sums(struct bench *self)
{
    for (size_t first = 0; first < self->count; first += CHUNK) {
        memcpy(self->sums + first, self->chunk_sums, CHUNK * sizeof *self->sums);
    }
}

static void nothing(struct bench *self)
{
    (void)self;
}

static void copy(struct bench *self)
{
    memcpy(self->encoded, self->values, self->count * sizeof *self->values);
}

VECTOR_CLONES static void add_constant(int64_t *sums, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sums[i] += 12345;
    }
}

static void read_modify_write(struct bench *self)
{
    add_constant(self->sums, self->count);
}

static void encode(struct bench *self)
{
    insist(codec_encode(self->codec, -self->grid.shift, self->values, self->count, self->encoded));
}

static void add(struct bench *self)
{
    codec_add(self->codec, self->encoded, self->count, self->values);
}

static void sum_check(struct bench *self)
{
    insist(exact_sum_check(&self->grid, self->codec, self->encoded,
                           codec_encoded_bytes(self->codec, self->count), self->count,
                           TOKENS_EACH));
}

static void sum_add(struct bench *self)
{
    exact_sum_add(&self->grid, self->codec, self->encoded, self->count, self->sums);
}

static void sum_check_and_add(struct bench *self)
{
    size_t chunk_bytes = codec_encoded_bytes(self->codec, CHUNK);
    for (size_t first = 0; first < self->count; first += CHUNK) {
        insist(exact_sum_check_and_add(&self->grid, self->codec,
                                       self->encoded + first / CHUNK * chunk_bytes, chunk_bytes,
                                       CHUNK, TOKENS_EACH, self->sums + first));
    }
}

static void mean(struct bench *self)
{
    exact_sum_mean(&self->grid, self->sums, self->count, TOKENS - 1, self->values);
}

/* Each packing takes the same room, as the sums are the same. */
static void pack(struct bench *self)
{
    for (size_t first = 0; first < self->count; first += CHUNK) {
        self->packed_bytes = sum_pack(self->sums + first, CHUNK,
                                      self->packed + first / CHUNK * sum_pack_bytes_max(CHUNK));
    }
}

static void unpack(struct bench *self)
{
    for (size_t first = 0; first < self->count; first += CHUNK) {
        insist(sum_unpack_add(self->packed + first / CHUNK * sum_pack_bytes_max(CHUNK),
                              self->packed_bytes, CHUNK, self->sums + first));
    }
}

static struct bench segment_of(const struct bench *self, size_t first)
{
    struct bench part = *self;
    part.count = self->count - first < self->segment ? self->count - first : self->segment;
    part.values += first;
    part.sums += first;
    part.encoded += first * sizeof(float);
    part.packed += first / CHUNK * sum_pack_bytes_max(CHUNK);
    return part;
}

static double best_seconds(struct bench *self, void (*prepare)(struct bench *),
                           void (*run)(struct bench *))
{
    static double best[SEGMENTS_MAX];
    double seconds = 0;
    for (int round = 0; round < self->rounds; round++) {
        size_t index = 0;
        seconds = 0;
        prepare(self);
        for (size_t first = 0; first < self->count; first += self->segment) {
            struct bench part = segment_of(self, first);
            uint64_t start_ns = clock_now_ns();
            run(&part);
            double taken = (double)(clock_now_ns() - start_ns) * 1e-9;
            best[index] = round == 0 || taken < best[index] ? taken : best[index];
            seconds += best[index++];
            self->packed_bytes = part.packed_bytes;
        }
    }
    return seconds;
}

static void print(const struct bench *self, const char *name, double seconds, const char *ratio,
                  double basis_seconds)
{
    printf("\n    \"%s\": {\"mvalues_per_s\": %.0f, \"%s\": %.2f}", name,
           (double)self->count * 1e-6 / seconds, ratio, basis_seconds / seconds);
}

static void measure_codec(struct bench *self, double copy_seconds, double rmw_seconds)
{
    const char *name = codec_name(self->codec);
    double encode_seconds = best_seconds(self, fill_values, encode);
    double add_seconds = best_seconds(self, nothing, add);
    double sum_seconds = best_seconds(self, nothing, sum_add);
    printf(",\n  \"%s_add_over_rmw\": %.2f,\n  \"%s\": {", name, rmw_seconds / sum_seconds, name);
    print(self, "encode", encode_seconds, "over_memcpy", copy_seconds);
    printf(",");
    print(self, "apply", add_seconds, "over_memcpy", copy_seconds);
    printf(",");
    print(self, "check", best_seconds(self, nothing, sum_check), "over_rmw", rmw_seconds);
    printf(",");
    print(self, "add", sum_seconds, "over_rmw", rmw_seconds);
    printf(",");
    print(self, "check_and_add", best_seconds(self, nothing, sum_check_and_add), "over_rmw",
          rmw_seconds);
    printf("}");
}

static void measure_sums(struct bench *self, double rmw_seconds)
{
    double pack_seconds = best_seconds(self, fill_sums, pack);
    double unpack_seconds = best_seconds(self, nothing, unpack);
    printf(",\n  \"sums\": {\"packed_bytes_per_value\": %.3f,", (double)self->packed_bytes / CHUNK);
    print(self, "pack", pack_seconds, "over_rmw", rmw_seconds);
    printf(",");
    print(self, "unpack_add", unpack_seconds, "over_rmw", rmw_seconds);
    printf(",");
    print(self, "mean", best_seconds(self, nothing, mean), "over_rmw", rmw_seconds);
    printf("}");
}

static void measure(struct bench *self, const char *name)
{
    fill_values(self);
    fill_sums(self);
    double copy_seconds = best_seconds(self, nothing, copy);
    double rmw_seconds = best_seconds(self, nothing, read_modify_write);
    printf(" \"%s\": {\"values\": %zu, \"sums_mib\": %zu,\n", name, self->count,
           self->count * sizeof(int64_t) >> 20);
    printf("  \"memcpy_mvalues_per_s\": %.0f, \"rmw_mvalues_per_s\": %.0f",
           (double)self->count * 1e-6 / copy_seconds, (double)self->count * 1e-6 / rmw_seconds);
    for (size_t i = 0; i < CODECS; i++) {
        self->codec = codecs[i];
        measure_codec(self, copy_seconds, rmw_seconds);
    }
    measure_sums(self, rmw_seconds);
    printf("}");
}

/* 64 is a cache line. */
static void *room(size_t size_bytes)
{
    void *memory = aligned_alloc(64, (size_bytes + 63) / 64 * 64);
    if (memory == NULL) {
        (void)fprintf(stderr, "bench_codec: no memory; ask for fewer VALUES\n");
        exit(1);
    }
    memset(memory, 0, size_bytes);
    return memory;
}

/* Peers' gradients: normal values, each tensor row and each peer of a scale of its own. */
static void fill_chunk(struct bench *self)
{
    struct random random;
    random_init(&random, 1, 0);
    for (int peer = 0; peer < CONTRIBUTIONS; peer++) {
        double peer_scale = exp2(0.5 * random_normal(&random));
        for (int i = 0; i < CHUNK; i++) {
            double row_scale = exp2((i / 768) % 5 - 2);
            self->chunk[i] = (float)(random_normal(&random) * peer_scale * row_scale);
            self->values[i] = self->chunk[i];
        }
        insist(codec_encode(CODEC_MX8, -self->grid.shift, self->values, CHUNK, self->encoded));
        exact_sum_add(&self->grid, CODEC_MX8, self->encoded, CHUNK, self->chunk_sums);
    }
}

int main(int argc, char **argv)
{
    size_t asked = argc > 1 ? strtoul(argv[1], NULL, 10) : MEMORY_VALUES;
    size_t most = (size_t)SEGMENTS_MAX * SEGMENT;
    size_t count = (asked < CHUNK ? CHUNK : asked > most ? most : asked) / CHUNK * CHUNK;
    struct bench self = {.grid = exact_grid_for(TOKENS),
                         .chunk = room(CHUNK * sizeof(float)),
                         .values = room(count * sizeof(float)),
                         .sums = room(count * sizeof(int64_t)),
                         .chunk_sums = room(CHUNK * sizeof(int64_t)),
                         .encoded = room(count * sizeof(float)),
                         .packed = room(count / CHUNK * sum_pack_bytes_max(CHUNK))};
    fill_chunk(&self);
    const struct codec_kernels *kernels[CODEC_KERNELS_MAX];
    (void)codec_kernels_list(kernels);
    printf("{\"kernels\": \"%s\",\n", kernels[0]->name);
    self.count = self.segment = CHUNK;
    self.rounds = 2000;
    measure(&self, "cache");
    printf(",\n");
    self.count = count;
    self.segment = SEGMENT;
    self.rounds = 5;
    measure(&self, "memory");
    printf("}\n");
    free(self.chunk);
    free(self.values);
    free(self.sums);
    free(self.chunk_sums);
    free(self.encoded);
    free(self.packed);
    return 0;
}
