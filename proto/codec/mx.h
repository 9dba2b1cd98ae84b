/* mx - the block formats behind codec.h: 32 values share one power-of-two exponent byte e.
 *
 * mx8: a value is an integer q, |q| <= 127, of units of 2^(e - 133).
 * mx4: a value is an integer of units of 2^(e - 128), half of E2M1's 1.0: 0, 1, 2, 3, 4, 6, 8 or 12
 * for the codes 0 to 7; bit 3 of a code is the sign.
 *
 * Internal to proto/codec. Pure; thread-safe. */
#ifndef DUGNAD_PROTO_CODEC_MX_H
#define DUGNAD_PROTO_CODEC_MX_H

#include "proto/codec/codec.h"
#include "proto/codec/float_bits.h"

enum {
    MX8_UNIT_BIAS = 133,
    MX8_EXPONENT_MAX = 254,
    MX8_Q_MAX = 127,
    MX4_UNIT_BIAS = 128,
    MX4_EXPONENT_MAX = 252, /* 12 units of 2^(253 - 128) are beyond float32 */
    MX4_CODE_MAX = 7,
    MX4_INTEGER_MAX = 12,
    MX_SHIFT_MAX = 62, /* from a block's units to the grid of a sum */
    /* Added to the bits of a float32, it carries into the exponent from 1.75 * 2^n on. */
    MX4_ROUND_UP = 0x200000,
    /* Added to the bits of 2^n, it makes 2^(n + 22), whose last place is half of 2^n. */
    MX4_MAGIC = 22 << 23
};

/* How values are brought to units of 2^-inverse: * factor1 * factor2, and back: * unit. */
struct mx_scale {
    float factor1;
    float factor2;
    float unit;
};

/* 2^inverse is beyond float32 from 128 on, where values are small enough for two factors. */
static inline struct mx_scale mx_scale_of(int inverse)
{
    return (struct mx_scale){.factor1 = float_power_of_two(inverse > 127 ? inverse - 127 : 0),
                             .factor2 = float_power_of_two(inverse > 127 ? 127 : inverse),
                             .unit = float_power_of_two(-inverse)};
}

static inline int mx_clamp(int exponent, int least, int most)
{
    exponent = exponent < least ? least : exponent;
    return exponent > most ? most : exponent;
}

/* A float32 with exponent field f lies in [64, 128) units of 2^(f - 133), so e = f, as in the OCP
 * formats. What rounds to 128 there saturates at 127: the error stays below one unit, where
 * doubling the unit would cost all 32 values a bit. */
static inline int mx8_exponent(uint32_t max_bits, int lsb_exponent_min)
{
    return mx_clamp((int)(max_bits >> 23), lsb_exponent_min + MX8_UNIT_BIAS, MX8_EXPONENT_MAX);
}

/* As in the OCP formats the largest value lies in [4, 8) times 2^(e - 127), e = f - 2, but from 7
 * on, which is nearer to 8 than to 6, e is one more. So the largest is rounded to the nearest too,
 * and the squared error of normal or Laplace values is 5 to 8% less than with saturation at 6. */
static inline int mx4_exponent(uint32_t max_bits, int lsb_exponent_min)
{
    int least = lsb_exponent_min + MX4_UNIT_BIAS;
    int nearest = (int)((max_bits + MX4_ROUND_UP) >> 23) - 2;
    return mx_clamp(nearest, least < 0 ? 0 : least, MX4_EXPONENT_MAX);
}

#endif
