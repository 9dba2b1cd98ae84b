#include "proto/codec/exact_sum.h"

#include "common/check.h"
#include "common/fault.h"
#include "proto/codec/kernels.h"
#include "proto/codec/mx.h"

#include <math.h>
#include <stdbool.h>

/* tokens_max * 2^10 values of 2^shift units each reach at most 2^62, one bit below overflow. */
enum { SUM_BITS = 62 };

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

/* The bits of the largest float32 that is not above limit < 2^63. */
static uint32_t float_bits_at_most(uint64_t limit)
{
    float near = (float)limit;
    return float_to_bits(near) - ((double)near > (double)limit ? 1U : 0U);
}

/* mx4's largest code whose value has at most this size. */
static uint8_t mx4_code_at_most(uint64_t size)
{
    static const uint8_t sizes[MX4_CODE_MAX + 1] = {0, 1, 2, 3, 4, 6, 8, MX4_INTEGER_MAX};
    uint8_t code = MX4_CODE_MAX;
    while (sizes[code] > size) {
        code--;
    }
    return code;
}

/* A block whose unit is finer than the grid, or too large, may hold zeros only. */
static void limits_on_grid(const struct exact_grid *grid, enum codec codec, uint64_t tokens,
                           struct codec_limits *out)
{
    bool mx4 = codec == CODEC_MX4;
    uint64_t limit = tokens << EXACT_SUM_PER_TOKEN_LOG2_MAX;
    *out = (struct codec_limits){.bits_max = float_bits_at_most(limit),
                                 .exponent_max = mx4 ? MX4_EXPONENT_MAX : MX8_EXPONENT_MAX};
    int unit_bias = mx4 ? MX4_UNIT_BIAS : MX8_UNIT_BIAS;
    for (int shift = 0; shift <= MX_SHIFT_MAX; shift++) {
        uint64_t size = limit << grid->shift >> shift;
        size = size < MX8_Q_MAX ? size : MX8_Q_MAX;
        out->size_max[shift + unit_bias - grid->shift] =
            mx4 ? mx4_code_at_most(size) : (uint8_t)size;
    }
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
    struct codec_limits limits;
    limits_on_grid(grid, codec, tokens, &limits);
    if (!codec_loops(codec)->within(&limits, data, value_count / CODEC_BLOCK_VALUES)) {
        return fault(STATUS_OUT_OF_RANGE, "a gradient value is too large, not a number, or finer "
                                          "than the grid of the sum");
    }
    return STATUS_OK;
}

enum status exact_sum_check_and_add(const struct exact_grid *grid, enum codec codec,
                                    const uint8_t *data, size_t size_bytes, size_t value_count,
                                    uint64_t tokens, int64_t *sum)
{
    enum status status = exact_sum_check(grid, codec, data, size_bytes, value_count, tokens);
    if (status == STATUS_OK) {
        exact_sum_add(grid, codec, data, value_count, sum);
    }
    return status;
}

void exact_sum_add(const struct exact_grid *grid, enum codec codec, const uint8_t *data,
                   size_t value_count, int64_t *sum)
{
    codec_loops(codec)->sum(data, value_count / CODEC_BLOCK_VALUES, grid->shift, false, sum);
}

void exact_sum_subtract(const struct exact_grid *grid, enum codec codec, const uint8_t *data,
                        size_t value_count, int64_t *sum)
{
    codec_loops(codec)->sum(data, value_count / CODEC_BLOCK_VALUES, grid->shift, true, sum);
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
