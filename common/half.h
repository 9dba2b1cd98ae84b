/* half - float32 to the 16-bit floating-point formats and back.
 *
 * bfloat16 is the upper half of a float32; binary16 is IEEE 754's. Rounding is to nearest, ties to
 * even; NaN stays NaN. Pure; written so that loops over them vectorise. */
#ifndef DUGNAD_COMMON_HALF_H
#define DUGNAD_COMMON_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t half_bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float half_float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline float half_from_bf16(uint16_t value)
{
    return half_float_of((uint32_t)value << 16);
}

static inline uint16_t half_to_bf16(float value)
{
    uint32_t bits = half_bits_of(value);
    uint32_t rounded = bits + 0x7fffU + ((bits >> 16) & 1U);
    uint32_t quiet = bits | 0x400000U;
    return (uint16_t)((isnan(value) ? quiet : rounded) >> 16);
}

/* Subnormal halves are exact float32 values, so a product with a power of two rebuilds them. */
static inline float half_from_f16(uint16_t value)
{
    uint32_t sign = (uint32_t)(value & 0x8000U) << 16;
    uint32_t exponent = (value >> 10) & 0x1fU;
    uint32_t fraction = value & 0x3ffU;
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24F;
        return half_float_of(half_bits_of(magnitude) | sign);
    }
    uint32_t wide = exponent == 0x1fU ? 0xffU : exponent + 112U;
    return half_float_of(sign | (wide << 23) | (fraction << 13));
}

/* Beyond 65504 (after rounding) the result is infinite. */
static inline uint16_t half_to_f16(float value)
{
    uint32_t bits = half_bits_of(value);
    uint32_t sign = (bits >> 16) & 0x8000U;
    uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U) {
        return (uint16_t)(sign | 0x7e00U);
    }
    if (magnitude >= 0x477ff000U) { /* 65520, from where rounding gives infinity */
        return (uint16_t)(sign | 0x7c00U);
    }
    if (magnitude < 0x38800000U) { /* below 2^-14: adding 0.5 leaves the fraction in the low bits,
                                      rounded by the addition itself */
        float shifted = half_float_of(magnitude) + 0.5F;
        return (uint16_t)(sign | (half_bits_of(shifted) - 0x3f000000U));
    }
    uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
    return (uint16_t)(sign | ((rounded - 0x38000000U) >> 13));
}

#endif
