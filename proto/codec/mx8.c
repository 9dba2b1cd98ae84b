#include "proto/codec/mx8.h"

#include "proto/codec/float_bits.h"

/* 1.5 * 2^23: adding and subtracting it rounds |x| < 2^22 to an integer, half to even. */
static const float round_magic = 12582912.0F;

static uint32_t block_max_bits(const float values[CODEC_BLOCK_VALUES])
{
    int32_t max = 0; /* signed, because SSE compares signed integers only */
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        int32_t bits = (int32_t)(float_to_bits(values[i]) & float_abs_mask);
        max = bits > max ? bits : max;
    }
    return (uint32_t)max;
}

/* A float32 with exponent field f lies in [64, 128) units of 2^(f - 133), so e = f, as in the OCP
 * formats. What rounds to 128 there saturates at 127: the error stays below one unit, where
 * doubling the unit would cost all 32 values a bit. */
static int block_exponent(uint32_t max_bits, int lsb_exponent_min)
{
    int exponent = (int)(max_bits >> 23);
    int exponent_min = lsb_exponent_min + MX8_UNIT_BIAS;
    exponent = exponent < exponent_min ? exponent_min : exponent;
    return exponent > MX8_EXPONENT_MAX ? MX8_EXPONENT_MAX : exponent;
}

/* Writes the integers of one block and keeps what they do not hold; returns whether any is not 0.
 * The subtraction is exact: both sides are multiples of the value's last place or of the unit, and
 * the difference is no larger than the value. */
static int quantise_block(int exponent, float *values, uint8_t *out)
{
    /* 2^(133 - e) exceeds float32 below e = 6, where values are small enough for two factors. */
    int inverse = MX8_UNIT_BIAS - exponent;
    float factor1 = float_power_of_two(inverse > 127 ? inverse - 127 : 0);
    float factor2 = float_power_of_two(inverse > 127 ? 127 : inverse);
    float unit = float_power_of_two(-inverse);
    int8_t q[CODEC_BLOCK_VALUES];
    int any = 0;
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        float rounded = (values[i] * factor1 * factor2 + round_magic) - round_magic;
        int integer = (int)rounded; /* at most 128: clamped as an integer, which vectorises */
        integer = integer > MX8_Q_MAX ? MX8_Q_MAX : integer;
        integer = integer < -MX8_Q_MAX ? -MX8_Q_MAX : integer;
        values[i] -= (float)integer * unit;
        q[i] = (int8_t)integer;
        any |= integer;
    }
    memcpy(out, q, sizeof q);
    return any;
}

void mx8_encode(int lsb_exponent_min, float *values, size_t block_count, uint8_t *out)
{
    for (size_t block = 0; block < block_count; block++) {
        int exponent = block_exponent(block_max_bits(values), lsb_exponent_min);
        int any = quantise_block(exponent, values, out + 1);
        out[0] = (uint8_t)(any != 0 ? exponent : 0);
        values += CODEC_BLOCK_VALUES;
        out += CODEC_MX8_BLOCK_BYTES;
    }
}

unsigned mx8_block_max(const uint8_t *block)
{
    int8_t q[CODEC_BLOCK_VALUES];
    memcpy(q, block + 1, sizeof q);
    int max = 0;
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        int size = q[i] < 0 ? -q[i] : q[i];
        max = size > max ? size : max;
    }
    return (unsigned)max;
}

bool mx8_valid(const uint8_t *data, size_t block_count)
{
    for (size_t block = 0; block < block_count; block++) {
        if (data[0] > MX8_EXPONENT_MAX || mx8_block_max(data) > MX8_Q_MAX) {
            return false;
        }
        data += CODEC_MX8_BLOCK_BYTES;
    }
    return true;
}

void mx8_add(const uint8_t *data, size_t block_count, float *params)
{
    for (size_t block = 0; block < block_count; block++) {
        float unit = float_power_of_two((int)data[0] - MX8_UNIT_BIAS);
        int8_t q[CODEC_BLOCK_VALUES];
        memcpy(q, data + 1, sizeof q);
        for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
            params[i] += (float)q[i] * unit; /* the product is exact */
        }
        params += CODEC_BLOCK_VALUES;
        data += CODEC_MX8_BLOCK_BYTES;
    }
}
