/* bench_codec - how fast gradients are encoded, summed and applied, in one thread.
 *
 * Prints JSON: GB/s of float32 values, and the ratio to a memcpy of the same values in the same
 * run, which says more than GB/s on a machine that others use too. Each figure is the best of
 * several rounds. */
#include "common/clock.h"
#include "common/random.h"
#include "proto/codec/exact_sum.h"
#include "trainer/optimizer/adamw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 1 << 22, ROUNDS = 7, TOKENS = 1 << 20 };

struct arrays {
    float *source;
    float *values;
    float *m;
    float *v;
    int64_t *sum;
    uint8_t *fp32;
    uint8_t *mx8;
    uint8_t *bf16;
    struct exact_grid grid;
};

static void copy_values(struct arrays *self)
{
    memcpy(self->values, self->source, COUNT * sizeof *self->values);
}

/* Includes the copy, since encoding consumes its input. */
static void encode_mx8(struct arrays *self)
{
    copy_values(self);
    if (codec_encode(CODEC_MX8, -self->grid.shift, self->values, COUNT, self->mx8) != STATUS_OK) {
        abort();
    }
}

static void encode_bf16(struct arrays *self)
{
    copy_values(self);
    if (codec_encode(CODEC_BF16, -self->grid.shift, self->values, COUNT, self->bf16) != STATUS_OK) {
        abort();
    }
}

static void check_mx8(struct arrays *self)
{
    if (exact_sum_check(&self->grid, CODEC_MX8, self->mx8, codec_encoded_bytes(CODEC_MX8, COUNT),
                        COUNT, TOKENS) != STATUS_OK) {
        abort();
    }
}

static void check_fp32(struct arrays *self)
{
    if (exact_sum_check(&self->grid, CODEC_FP32, self->fp32, codec_encoded_bytes(CODEC_FP32, COUNT),
                        COUNT, TOKENS) != STATUS_OK) {
        abort();
    }
}

static void check_bf16(struct arrays *self)
{
    if (exact_sum_check(&self->grid, CODEC_BF16, self->bf16, codec_encoded_bytes(CODEC_BF16, COUNT),
                        COUNT, TOKENS) != STATUS_OK) {
        abort();
    }
}

static void add_mx8(struct arrays *self)
{
    codec_add(CODEC_MX8, self->mx8, COUNT, self->values);
}

static void add_bf16(struct arrays *self)
{
    codec_add(CODEC_BF16, self->bf16, COUNT, self->values);
}

static void sum_mx8(struct arrays *self)
{
    exact_sum_add(&self->grid, CODEC_MX8, self->mx8, COUNT, self->sum);
}

static void sum_fp32(struct arrays *self)
{
    exact_sum_add(&self->grid, CODEC_FP32, self->fp32, COUNT, self->sum);
}

static void sum_bf16(struct arrays *self)
{
    exact_sum_add(&self->grid, CODEC_BF16, self->bf16, COUNT, self->sum);
}

static void mean(struct arrays *self)
{
    exact_sum_mean(&self->grid, self->sum, COUNT, TOKENS - 1, self->values);
}

static void adamw(struct arrays *self)
{
    const struct optimizer_settings settings = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8};
    struct optimizer_step step = optimizer_prepare(&settings, 1e-3, 1, 1.0);
    adamw_apply(&step, self->values, self->m, self->v, self->source, COUNT, 1);
}

static double best_seconds(struct arrays *arrays, void (*run)(struct arrays *))
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start_ns = clock_now_ns();
        run(arrays);
        double seconds = (double)(clock_now_ns() - start_ns) * 1e-9;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static int arrays_init(struct arrays *self)
{
    self->source = malloc(COUNT * sizeof *self->source);
    self->values = calloc(COUNT, sizeof *self->values);
    self->m = calloc(COUNT, sizeof *self->m);
    self->v = calloc(COUNT, sizeof *self->v);
    self->sum = calloc(COUNT, sizeof *self->sum);
    self->fp32 = malloc(codec_encoded_bytes(CODEC_FP32, COUNT));
    self->mx8 = malloc(codec_encoded_bytes(CODEC_MX8, COUNT));
    self->bf16 = malloc(codec_encoded_bytes(CODEC_BF16, COUNT));
    self->grid = exact_grid_for(TOKENS);
    if (self->source == NULL || self->values == NULL || self->m == NULL || self->v == NULL ||
        self->sum == NULL || self->fp32 == NULL || self->mx8 == NULL || self->bf16 == NULL) {
        return 0;
    }
    struct random random;
    random_init(&random, 1, 0);
    for (int i = 0; i < COUNT; i++) {
        self->source[i] = (float)random_normal(&random);
    }
    memcpy(self->fp32, self->source, COUNT * sizeof *self->source);
    return 1;
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(struct arrays *);
    } benches[] = {{"copy_and_encode_mx8", encode_mx8},
                   {"copy_and_encode_bf16", encode_bf16},
                   {"codec_add_mx8", add_mx8},
                   {"codec_add_bf16", add_bf16},
                   {"exact_sum_check_mx8", check_mx8},
                   {"exact_sum_check_fp32", check_fp32},
                   {"exact_sum_check_bf16", check_bf16},
                   {"exact_sum_add_mx8", sum_mx8},
                   {"exact_sum_add_fp32", sum_fp32},
                   {"exact_sum_add_bf16", sum_bf16},
                   {"exact_sum_mean", mean},
                   {"adamw_apply", adamw}};
    static struct arrays arrays;
    if (!arrays_init(&arrays)) {
        (void)fprintf(stderr, "bench_codec: no memory\n");
        return 1;
    }
    const double gigabytes = COUNT * 4e-9;
    double copy = best_seconds(&arrays, copy_values);
    printf("{\"values\": %d, \"memcpy_gb_per_s\": %.2f", COUNT, gigabytes / copy);
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++) {
        double seconds = best_seconds(&arrays, benches[i].run);
        printf(",\n \"%s\": {\"gb_per_s\": %.2f, \"times_memcpy\": %.2f}", benches[i].name,
               gigabytes / seconds, seconds / copy);
    }
    printf("}\n");
    free(arrays.source);
    free(arrays.values);
    free(arrays.m);
    free(arrays.v);
    free(arrays.sum);
    free(arrays.fp32);
    free(arrays.mx8);
    free(arrays.bf16);
    return 0;
}
