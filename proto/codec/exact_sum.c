#include "proto/codec/exact_sum.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/half.h"
#include "proto/codec/float_bits.h"
#include "proto/codec/mx8.h"

#include <math.h>
#include <stdbool.h>

/* tokens_max * 2^10 values of 2^shift units each reach at most 2^62, one bit below overflow. */
enum { SUM_BITS = 62, MX8_SHIFT_MAX = 62 };

__extension__ typedef unsigned __int128 wide;

struct exact_grid exact_grid_for(uint64_t tokens_max)
{
    CHECK(tokens_max > 0 && tokens_max <= UINT64_C(1) << EXACT_SUM_TOKENS_LOG2_MAX);
    int log2_up = 0;
    while ((UINT64_C(1) << log2_up) < tokens_max) {
        log2_up++;
    }
    return (struct exact_grid){.shift = SUM_BITS - EXACT_SUM_PER_TOKEN_LOG2_MAX - log2_up,
                               .tokens_max = tokens_max};
}

/* NaN and infinity have the largest bits of all. */
static bool size_within(uint32_t max_bits, double limit)
{
    return max_bits < float_infinity_bits && (double)float_from_bits(max_bits) <= limit;
}

static bool fp32_within(const uint8_t *data, size_t value_count, double limit)
{
    int32_t max = 0;
    for (size_t i = 0; i < value_count; i++) {
        uint32_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        int32_t size = (int32_t)(bits & float_abs_mask);
        max = size > max ? size : max;
    }
    return size_within((uint32_t)max, limit);
}

static bool bf16_within(const uint8_t *data, size_t value_count, double limit)
{
    int32_t max = 0;
    for (size_t i = 0; i < value_count; i++) {
        uint16_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        int32_t size = bits & 0x7fff;
        max = size > max ? size : max;
    }
    return size_within((uint32_t)max << 16, limit);
}

/* A block of zeros may carry any exponent below 255: it adds nothing. */
static bool mx8_block_within(const struct exact_grid *grid, const uint8_t *block, uint64_t limit)
{
    unsigned max = mx8_block_max(block);
    if (max == 0) {
        return block[0] <= MX8_EXPONENT_MAX;
    }
    int shift = (int)block[0] - MX8_UNIT_BIAS + grid->shift;
    return max <= MX8_Q_MAX && shift >= 0 && shift <= MX8_SHIFT_MAX && max <= limit >> shift;
}

static bool mx8_within(const struct exact_grid *grid, const uint8_t *data, size_t block_count,
                       uint64_t limit)
{
    bool good = true;
    for (size_t block = 0; good && block < block_count; block++) {
        good = mx8_block_within(grid, data + block * CODEC_MX8_BLOCK_BYTES, limit);
    }
    return good;
}

static bool values_within(const struct exact_grid *grid, enum codec codec, const uint8_t *data,
                          size_t value_count, uint64_t limit)
{
    switch (codec) {
    case CODEC_MX8:
        return mx8_within(grid, data, value_count / CODEC_BLOCK_VALUES, limit << grid->shift);
    case CODEC_BF16:
        return bf16_within(data, value_count, (double)limit);
    case CODEC_FP32:
        break;
    }
    return fp32_within(data, value_count, (double)limit);
}

enum status exact_sum_check(const struct exact_grid *grid, enum codec codec, const uint8_t *data,
                            size_t size_bytes, size_t value_count, uint64_t tokens)
{
    if (tokens == 0 || tokens > grid->tokens_max) {
        return fault(STATUS_OUT_OF_RANGE, "a contribution cannot cover that many tokens");
    }
    if (value_count % CODEC_BLOCK_VALUES != 0 ||
        size_bytes != codec_encoded_bytes(codec, value_count)) {
        return fault(STATUS_BAD_SHAPE, "%zu bytes do not hold %zu values of codec %s", size_bytes,
                     value_count, codec_name(codec));
    }
    if (!values_within(grid, codec, data, value_count, tokens << EXACT_SUM_PER_TOKEN_LOG2_MAX)) {
        return fault(STATUS_OUT_OF_RANGE, "a gradient value is too large, not a number, or finer "
                                          "than the grid of the sum");
    }
    return STATUS_OK;
}

/* Rounds to an integer, half to even. The product of a float32 and a power of two is exact in
 * double, and a float32 has no fraction from 2^24 on, so the large ones need no rounding. */
static int64_t to_grid(double scaled)
{
    const double magic = 0x1.8p52;
    double rounded = (scaled + magic) - magic;
    return (int64_t)(fabs(scaled) < 0x1p50 ? rounded : scaled);
}

static double grid_scale(const struct exact_grid *grid, bool negate)
{
    return (double)(UINT64_C(1) << grid->shift) * (negate ? -1.0 : 1.0);
}

/* Sums are kept in two's complement with wrapping addition, so that even misuse is defined. */
static void fp32_accumulate(const struct exact_grid *grid, const uint8_t *data, size_t value_count,
                            bool negate, int64_t *sum)
{
    double scale = grid_scale(grid, negate);
    for (size_t i = 0; i < value_count; i++) {
        float value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        sum[i] = (int64_t)((uint64_t)sum[i] + (uint64_t)to_grid((double)value * scale));
    }
}

static void bf16_accumulate(const struct exact_grid *grid, const uint8_t *data, size_t value_count,
                            bool negate, int64_t *sum)
{
    double scale = grid_scale(grid, negate);
    for (size_t i = 0; i < value_count; i++) {
        uint16_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        double value = (double)half_from_bf16(bits);
        sum[i] = (int64_t)((uint64_t)sum[i] + (uint64_t)to_grid(value * scale));
    }
}

static void mx8_accumulate(const struct exact_grid *grid, const uint8_t *data, size_t block_count,
                           bool negate, int64_t *sum)
{
    for (size_t block = 0; block < block_count; block++) {
        int shift = (int)data[0] - MX8_UNIT_BIAS + grid->shift;
        if (shift >= 0 && shift <= MX8_SHIFT_MAX) { /* others hold zeros only */
            int8_t q[CODEC_BLOCK_VALUES];
            memcpy(q, data + 1, sizeof q);
            for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
                int64_t signed_q = negate ? -(int64_t)q[i] : (int64_t)q[i];
                sum[i] = (int64_t)((uint64_t)sum[i] + ((uint64_t)signed_q << shift));
            }
        }
        data += CODEC_MX8_BLOCK_BYTES;
        sum += CODEC_BLOCK_VALUES;
    }
}

static void accumulate(const struct exact_grid *grid, enum codec codec, const uint8_t *data,
                       size_t value_count, bool negate, int64_t *sum)
{
    switch (codec) {
    case CODEC_MX8:
        mx8_accumulate(grid, data, value_count / CODEC_BLOCK_VALUES, negate, sum);
        break;
    case CODEC_BF16:
        bf16_accumulate(grid, data, value_count, negate, sum);
        break;
    case CODEC_FP32:
        fp32_accumulate(grid, data, value_count, negate, sum);
        break;
    }
}

void exact_sum_add(const struct exact_grid *grid, enum codec codec, const uint8_t *data,
                   size_t value_count, int64_t *sum)
{
    accumulate(grid, codec, data, value_count, false, sum);
}

void exact_sum_subtract(const struct exact_grid *grid, enum codec codec, const uint8_t *data,
                        size_t value_count, int64_t *sum)
{
    accumulate(grid, codec, data, value_count, true, sum);
}

/* size / tokens * 2^-shift by long division; size > 0. The quotient keeps far more than the 26
 * bits that one correct rounding needs; all bits below are folded into the last (sticky). */
static float divide_exactly(uint64_t size, uint64_t tokens, int shift)
{
    int normalise = __builtin_clzll(size);
    wide dividend = (wide)(size << normalise) << 63;
    wide quotient = dividend / tokens;
    bool sticky = dividend % tokens != 0;
    uint64_t high = (uint64_t)(quotient >> 64); /* at least 2^22: the quotient is above 2^86 */
    int drop = 64 - __builtin_clzll(high) + 64 - 30;
    uint64_t top = (uint64_t)(quotient >> drop);
    sticky = sticky || ((wide)top << drop) != quotient;
    float rounded = (float)(top << 1 | (sticky ? 1U : 0U));
    return ldexpf(rounded, drop - 1 - 63 - normalise - shift);
}

void exact_sum_mean(const struct exact_grid *grid, const int64_t *sum, size_t count,
                    uint64_t tokens, float *mean)
{
    CHECK(tokens > 0 && tokens <= UINT64_C(1) << EXACT_SUM_TOKENS_LOG2_MAX);
    double factor = 1.0 / ((double)tokens * (double)(UINT64_C(1) << grid->shift));
    for (size_t i = 0; i < count; i++) {
        /* Three roundings are off by less than 2^-51 together; only next to the middle between
         * two floats can that decide, and then the division is done exactly. */
        double near = (double)sum[i] * factor;
        float low = (float)(near * (1.0 - 0x1p-50));
        float high = (float)(near * (1.0 + 0x1p-50));
        if (low == high) {
            mean[i] = low;
        } else {
            uint64_t size = sum[i] < 0 ? 0U - (uint64_t)sum[i] : (uint64_t)sum[i];
            float exact = divide_exactly(size, tokens, grid->shift);
            mean[i] = sum[i] < 0 ? -exact : exact;
        }
    }
}
