/* float_bits - float32 seen as its 32 bits, for exponent arithmetic without frexp and ldexp.
 *
 * Internal to the codecs. Pure; thread-safe. */
#ifndef DUGNAD_PROTO_CODEC_FLOAT_BITS_H
#define DUGNAD_PROTO_CODEC_FLOAT_BITS_H

#include <float.h>
#include <stdint.h>
#include <string.h>

/* Wider intermediate results, or another byte order, would change bits that must agree. */
_Static_assert(FLT_EVAL_METHOD == 0, "float arithmetic must round to float32 at each operation");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "encodings are little-endian");

static const uint32_t float_abs_mask = 0x7fffffff;
static const uint32_t float_infinity_bits = 0x7f800000;

static inline uint32_t float_to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* 2^exponent as float32, -149 <= exponent <= 127; below -126 it is subnormal. */
static inline float float_power_of_two(int exponent)
{
    return exponent >= -126 ? float_from_bits((uint32_t)(exponent + 127) << 23)
                            : float_from_bits(UINT32_C(1) << (exponent + 149));
}

#endif
