/* float_loops - fp32 and bf16 in plain C, which the compiler turns into the vector instructions of
 * the file that includes this. See kernels.h. Pure; thread-safe. */
#ifndef DUGNAD_PROTO_CODEC_FLOAT_LOOPS_H
#define DUGNAD_PROTO_CODEC_FLOAT_LOOPS_H

#include "common/half.h"
#include "proto/codec/float_bits.h"
#include "proto/codec/kernels.h"

static const uint16_t bf16_largest = 0x7f7f;

/* The sum's top bit is set for infinities and NaN alone; a reduction by OR vectorises where an
 * early return would not. */
static inline bool block_is_finite(const float values[CODEC_BLOCK_VALUES])
{
    uint32_t seen = 0;
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        seen |= (float_to_bits(values[i]) & float_abs_mask) + 0x00800000U;
    }
    return (seen & 0x80000000U) == 0;
}

static inline size_t fp32_encode(int lsb_exponent_min, float *values, size_t block_count,
                                 uint8_t *out)
{
    const size_t block_bytes = CODEC_BLOCK_VALUES * sizeof *values;
    (void)lsb_exponent_min;
    for (size_t block = 0; block < block_count; block++) {
        if (!block_is_finite(values)) {
            return block;
        }
        memcpy(out, values, block_bytes);
        memset(values, 0, block_bytes);
        values += CODEC_BLOCK_VALUES;
        out += block_bytes;
    }
    return block_count;
}

/* The subtraction is exact: both sides are multiples of the value's last place, and the difference
 * is at most half a place of the rounded value (or, saturated, no larger than the value). */
static inline void bf16_encode_block(float *restrict values, uint8_t *restrict out)
{
    uint16_t encoded[CODEC_BLOCK_VALUES];
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        uint32_t bits = float_to_bits(values[i]);
        uint32_t rounded = (bits + 0x7fffU + (bits >> 16 & 1U)) >> 16;
        uint32_t size = rounded & 0x7fffU;
        rounded = (rounded & 0x8000U) | (size > bf16_largest ? bf16_largest : size);
        values[i] -= float_from_bits(rounded << 16);
        encoded[i] = (uint16_t)rounded;
    }
    memcpy(out, encoded, sizeof encoded);
}

static inline size_t bf16_encode(int lsb_exponent_min, float *values, size_t block_count,
                                 uint8_t *out)
{
    (void)lsb_exponent_min;
    for (size_t block = 0; block < block_count; block++) {
        if (!block_is_finite(values)) {
            return block;
        }
        bf16_encode_block(values, out);
        values += CODEC_BLOCK_VALUES;
        out += CODEC_BLOCK_VALUES * sizeof(uint16_t);
    }
    return block_count;
}

/* NaN and infinity have the largest bits of all. Signed, because SSE compares signed integers
 * only. */
static inline bool fp32_within(const struct codec_limits *limits, const uint8_t *data,
                               size_t block_count)
{
    int32_t max = 0;
    for (size_t i = 0; i < block_count * CODEC_BLOCK_VALUES; i++) {
        uint32_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        int32_t size = (int32_t)(bits & float_abs_mask);
        max = size > max ? size : max;
    }
    return (uint32_t)max <= limits->bits_max;
}

static inline bool bf16_within(const struct codec_limits *limits, const uint8_t *data,
                               size_t block_count)
{
    int16_t max = 0;
    for (size_t i = 0; i < block_count * CODEC_BLOCK_VALUES; i++) {
        uint16_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        int16_t size = (int16_t)(bits & 0x7fff);
        max = size > max ? size : max;
    }
    return (uint32_t)max << 16 <= limits->bits_max;
}

static inline void fp32_add(const uint8_t *restrict data, size_t block_count,
                            float *restrict params)
{
    for (size_t i = 0; i < block_count * CODEC_BLOCK_VALUES; i++) {
        float value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        params[i] += value;
    }
}

static inline void bf16_add(const uint8_t *restrict data, size_t block_count,
                            float *restrict params)
{
    for (size_t i = 0; i < block_count * CODEC_BLOCK_VALUES; i++) {
        uint16_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        params[i] += half_from_bf16(bits);
    }
}

static inline uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* value * scale rounded to an integer, half to even, |value * scale| < 2^63; scale is a power of
 * two. Adding 1.5 * 2^52 rounds to an integer, which then stands in the low bits, for sizes below
 * 2^51; so the upper 32 bits go first, and what they leave is exact. A conversion instruction would
 * do, but only AVX-512 has one for vectors. */
static inline uint64_t to_grid(double value, double scale)
{
    const double magic = 0x1.8p52;
    double upper = value * (scale * 0x1p-32) + magic;
    double lower = value * scale - (upper - magic) * 0x1p32 + magic;
    uint64_t offset = (double_bits(magic) << 32) + double_bits(magic);
    return (double_bits(upper) << 32) + double_bits(lower) - offset;
}

static inline double grid_scale(int shift, bool negate)
{
    return (double)(UINT64_C(1) << shift) * (negate ? -1.0 : 1.0);
}

/* Sums are kept in two's complement with wrapping addition, so that even misuse is defined. */
static inline void fp32_sum(const uint8_t *restrict data, size_t block_count, int shift,
                            bool negate, int64_t *restrict sum)
{
    double scale = grid_scale(shift, negate);
    for (size_t i = 0; i < block_count * CODEC_BLOCK_VALUES; i++) {
        float value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        sum[i] = (int64_t)((uint64_t)sum[i] + to_grid((double)value, scale));
    }
}

static inline void bf16_sum(const uint8_t *restrict data, size_t block_count, int shift,
                            bool negate, int64_t *restrict sum)
{
    double scale = grid_scale(shift, negate);
    for (size_t i = 0; i < block_count * CODEC_BLOCK_VALUES; i++) {
        uint16_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        sum[i] = (int64_t)((uint64_t)sum[i] + to_grid((double)half_from_bf16(bits), scale));
    }
}

#define FP32_LOOPS                                                                                 \
    {                                                                                              \
        .encode = fp32_encode, .within = fp32_within, .add = fp32_add, .sum = fp32_sum             \
    }
#define BF16_LOOPS                                                                                 \
    {                                                                                              \
        .encode = bf16_encode, .within = bf16_within, .add = bf16_add, .sum = bf16_sum             \
    }

#endif
