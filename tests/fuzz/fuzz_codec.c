/* Encoded values of every codec: checked, decoded, summed, taken back and encoded again, with each
 * of the CPU's kernels, which must agree bit for bit. */
#include "proto/codec/exact_sum.h"
#include "proto/codec/kernels.h"
#include "proto/codec/mx.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

enum { BLOCKS_MAX = 16, VALUES_MAX = BLOCKS_MAX * CODEC_BLOCK_VALUES, BYTES_MAX = VALUES_MAX * 4 };

struct case_of {
    enum codec codec;
    struct fuzz_bytes in;
    size_t count; /* of values */
    const struct codec_kernels *kernels[CODEC_KERNELS_MAX];
    size_t kernel_count;
};

static const struct codec_loops *loops(const struct case_of *self, size_t i)
{
    return &self->kernels[i]->loops[self->codec];
}

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

/* What was decoded has an encoding, so it is encoded without a rest. */
static void encode_again(const struct case_of *self, const float *values)
{
    float rest[VALUES_MAX];
    float back[VALUES_MAX] = {0};
    uint8_t bytes[BYTES_MAX];
    memcpy(rest, values, self->count * sizeof *rest);
    CHECK(codec_encode(self->codec, CODEC_EXPONENT_ANY, rest, self->count, bytes) == STATUS_OK);
    codec_add(self->codec, bytes, self->count, back);
    for (size_t i = 0; i < self->count; i++) {
        CHECK(rest[i] == 0.0F && back[i] == values[i]);
    }
}

static void decode(const struct case_of *self)
{
    struct codec_limits limits = {.bits_max = 0x7f7fffff};
    bool mx4 = self->codec == CODEC_MX4;
    size_t blocks = self->count / CODEC_BLOCK_VALUES;
    float values[VALUES_MAX] = {0};
    limits.exponent_max = mx4 ? MX4_EXPONENT_MAX : MX8_EXPONENT_MAX;
    memset(limits.size_max, mx4 ? MX4_CODE_MAX : MX8_Q_MAX, sizeof limits.size_max);
    enum status status = codec_check(self->codec, self->in.data, self->in.size_bytes, self->count);
    for (size_t i = 0; status != STATUS_BAD_SHAPE && i < self->kernel_count; i++) {
        CHECK(loops(self, i)->within(&limits, self->in.data, blocks) == (status == STATUS_OK));
    }
    if (status != STATUS_OK) {
        return;
    }
    codec_add(self->codec, self->in.data, self->count, values);
    CHECK(all_finite(values, self->count));
    for (size_t i = 0; i < self->kernel_count; i++) {
        float other[VALUES_MAX] = {0};
        loops(self, i)->add(self->in.data, blocks, other);
        CHECK(memcmp(values, other, self->count * sizeof *values) == 0);
    }
    encode_again(self, values);
}

static void sum(const struct case_of *self, uint64_t tokens_max, uint64_t tokens)
{
    int64_t sums[VALUES_MAX] = {0};
    int64_t zeros[VALUES_MAX] = {0};
    float mean[VALUES_MAX];
    struct exact_grid grid = exact_grid_for(tokens_max);
    size_t blocks = self->count / CODEC_BLOCK_VALUES;
    if (exact_sum_check_and_add(&grid, self->codec, self->in.data, self->in.size_bytes, self->count,
                                tokens, sums) != STATUS_OK) {
        CHECK(memcmp(sums, zeros, sizeof sums) == 0);
        return;
    }
    CHECK(codec_check(self->codec, self->in.data, self->in.size_bytes, self->count) == STATUS_OK);
    for (size_t i = 0; i < self->kernel_count; i++) {
        int64_t other[VALUES_MAX] = {0};
        loops(self, i)->sum(self->in.data, blocks, grid.shift, false, other);
        CHECK(memcmp(sums, other, sizeof sums) == 0);
    }
    for (size_t i = 0; i < self->count; i++) {
        int64_t most = (int64_t)(tokens << EXACT_SUM_PER_TOKEN_LOG2_MAX << grid.shift);
        CHECK(sums[i] <= most && sums[i] >= -most);
    }
    exact_sum_mean(&grid, sums, self->count, tokens, mean);
    CHECK(all_finite(mean, self->count));
    exact_sum_subtract(&grid, self->codec, self->in.data, self->count, sums);
    CHECK(memcmp(sums, zeros, sizeof sums) == 0);
}

/* The input as float32 values, which are anything. */
static void encode(struct case_of *self, int lsb_exponent_min)
{
    float values[VALUES_MAX];
    float rest[VALUES_MAX];
    uint8_t bytes[BYTES_MAX];
    size_t blocks = self->in.size_bytes / (CODEC_BLOCK_VALUES * sizeof *values);
    blocks = blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX;
    self->count = blocks * CODEC_BLOCK_VALUES;
    memcpy(values, self->in.data, self->count * sizeof *values);
    memcpy(rest, values, sizeof rest);
    size_t size_bytes = codec_encoded_bytes(self->codec, self->count);
    if (codec_encode(self->codec, lsb_exponent_min, rest, self->count, bytes) != STATUS_OK) {
        CHECK(!all_finite(values, self->count));
        CHECK(memcmp(rest, values, self->count * sizeof *rest) == 0);
        return;
    }
    CHECK(all_finite(values, self->count));
    CHECK(codec_check(self->codec, bytes, size_bytes, self->count) == STATUS_OK);
    for (size_t i = 0; i < self->kernel_count; i++) {
        uint8_t other[BYTES_MAX];
        float left[VALUES_MAX];
        memcpy(left, values, sizeof left);
        CHECK(loops(self, i)->encode(lsb_exponent_min, left, blocks, other) == blocks);
        CHECK(memcmp(bytes, other, size_bytes) == 0);
        CHECK(memcmp(left, rest, self->count * sizeof *rest) == 0);
    }
}

/* Sums as they may be, to the mean that is nearest. */
static void mean(struct fuzz_bytes in, uint64_t tokens_max, uint64_t tokens)
{
    struct exact_grid grid = exact_grid_for(tokens_max);
    int64_t sums[CODEC_BLOCK_VALUES];
    float means[CODEC_BLOCK_VALUES];
    size_t count = 0;
    for (; count < CODEC_BLOCK_VALUES && in.size_bytes > 0; count++) {
        sums[count] = (int64_t)fuzz_take_u64(&in);
    }
    exact_sum_mean(&grid, sums, count, tokens, means);
    for (size_t i = 0; i < count; i++) {
        long double want = ldexpl((long double)sums[i] / (long double)tokens, -grid.shift);
        long double off = fabsl(want - (long double)means[i]) * (1.0L - 0x1p-30L);
        CHECK(off <= fabsl(want - (long double)nextafterf(means[i], INFINITY)) &&
              off <= fabsl(want - (long double)nextafterf(means[i], -INFINITY)));
    }
}

/* The names as a settings file has them. */
static void name(struct fuzz_bytes in)
{
    char *text = fuzz_text(in);
    enum codec codec = CODEC_FP32;
    if (codec_from_name(text, &codec) == STATUS_OK) {
        CHECK(strcmp(codec_name(codec), text) == 0);
        CHECK((codec_mean_from_name(text, &codec) == STATUS_OK) ==
              codec_suits_mean((uint64_t)codec));
    }
    fuzz_own_free(text);
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct case_of self = {.in = {data, size_bytes}};
    uint8_t what = fuzz_take_u8(&self.in);
    self.codec = (enum codec)(1 + what % 4);
    self.kernel_count = codec_kernels_list(self.kernels);
    uint64_t tokens_max = 1 + fuzz_take_u64(&self.in) % (UINT64_C(1) << 40);
    uint64_t tokens = fuzz_take_u64(&self.in);
    int lsb_exponent_min = (int)(tokens % 1122) - 1000;
    size_t block_bytes = codec_encoded_bytes(self.codec, CODEC_BLOCK_VALUES);
    size_t blocks = self.in.size_bytes / block_bytes;
    /* Now and then the number of values is not that of the bytes. */
    self.count = (blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX) * CODEC_BLOCK_VALUES +
                 (what / 4 % 16 == 1 ? 1 : 0);
    fuzz_memory_begin();
    if (what >= 128) {
        encode(&self, lsb_exponent_min);
    } else if (what >= 126) {
        name(self.in);
    } else if (what >= 122) {
        mean(self.in, tokens_max, 1 + tokens % tokens_max);
    } else {
        decode(&self);
        sum(&self, tokens_max, tokens);
    }
    fuzz_memory_end(size_bytes, 0);
}
