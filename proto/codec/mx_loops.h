/* mx_loops - mx8 and mx4 over whole blocks, for the file that includes this behind its own
 *
 *   uint32_t block_max_bits(const float *values)
 *   int mx8_quantise(struct mx_scale, float *values, uint8_t *out)    writes 32 bytes
 *   int mx4_quantise(struct mx_scale, float *values, uint8_t *out)    writes 16 bytes
 *   void mx4_integers(const uint8_t *data, uint8_t *integers)         reads 16, writes 32 bytes
 *   void add_integers(const uint8_t *integers, float unit, float *params)
 *   void sum_integers(const uint8_t *integers, int shift, bool negate, int64_t *sum)
 *
 * Integers are signed bytes. *_quantise() leaves in `values` what the integers do not hold and
 * returns 0 when all are 0; the subtraction is exact: both sides are multiples of the value's last
 * place or of the unit, and the difference is no larger than the value. Pure; thread-safe. */
#ifndef DUGNAD_PROTO_CODEC_MX_LOOPS_H
#define DUGNAD_PROTO_CODEC_MX_LOOPS_H

#include "proto/codec/kernels.h"
#include "proto/codec/mx.h"

static size_t mx8_encode(int lsb_exponent_min, float *values, size_t block_count, uint8_t *out)
{
    for (size_t block = 0; block < block_count; block++) {
        uint32_t max_bits = block_max_bits(values);
        if (max_bits >= float_infinity_bits) {
            return block;
        }
        int exponent = mx8_exponent(max_bits, lsb_exponent_min);
        int any = mx8_quantise(mx_scale_of(MX8_UNIT_BIAS - exponent), values, out + 1);
        out[0] = (uint8_t)(any != 0 ? exponent : 0);
        values += CODEC_BLOCK_VALUES;
        out += CODEC_MX8_BLOCK_BYTES;
    }
    return block_count;
}

static size_t mx4_encode(int lsb_exponent_min, float *values, size_t block_count, uint8_t *out)
{
    for (size_t block = 0; block < block_count; block++) {
        uint32_t max_bits = block_max_bits(values);
        if (max_bits >= float_infinity_bits) {
            return block;
        }
        int exponent = mx4_exponent(max_bits, lsb_exponent_min);
        int any = mx4_quantise(mx_scale_of(MX4_UNIT_BIAS - exponent), values, out + 1);
        out[0] = (uint8_t)(any != 0 ? exponent : 0);
        values += CODEC_BLOCK_VALUES;
        out += CODEC_MX4_BLOCK_BYTES;
    }
    return block_count;
}

static void mx8_add(const uint8_t *data, size_t block_count, float *params)
{
    for (size_t block = 0; block < block_count; block++) {
        add_integers(data + 1, float_power_of_two((int)data[0] - MX8_UNIT_BIAS), params);
        params += CODEC_BLOCK_VALUES;
        data += CODEC_MX8_BLOCK_BYTES;
    }
}

static void mx4_add(const uint8_t *data, size_t block_count, float *params)
{
    for (size_t block = 0; block < block_count; block++) {
        uint8_t integers[CODEC_BLOCK_VALUES];
        mx4_integers(data + 1, integers);
        add_integers(integers, float_power_of_two((int)data[0] - MX4_UNIT_BIAS), params);
        params += CODEC_BLOCK_VALUES;
        data += CODEC_MX4_BLOCK_BYTES;
    }
}

/* A block with another shift holds zeros only. */
static inline bool mx_shift_is_good(int shift)
{
    return shift >= 0 && shift <= MX_SHIFT_MAX;
}

static void mx8_sum(const uint8_t *data, size_t block_count, int shift, bool negate, int64_t *sum)
{
    for (size_t block = 0; block < block_count; block++) {
        int block_shift = (int)data[0] - MX8_UNIT_BIAS + shift;
        if (mx_shift_is_good(block_shift)) {
            sum_integers(data + 1, block_shift, negate, sum);
        }
        sum += CODEC_BLOCK_VALUES;
        data += CODEC_MX8_BLOCK_BYTES;
    }
}

static void mx4_sum(const uint8_t *data, size_t block_count, int shift, bool negate, int64_t *sum)
{
    for (size_t block = 0; block < block_count; block++) {
        int block_shift = (int)data[0] - MX4_UNIT_BIAS + shift;
        if (mx_shift_is_good(block_shift)) {
            uint8_t integers[CODEC_BLOCK_VALUES];
            mx4_integers(data + 1, integers);
            sum_integers(integers, block_shift, negate, sum);
        }
        sum += CODEC_BLOCK_VALUES;
        data += CODEC_MX4_BLOCK_BYTES;
    }
}

#define MX8_LOOPS                                                                                  \
    {                                                                                              \
        .encode = mx8_encode, .within = mx8_within, .add = mx8_add, .sum = mx8_sum                 \
    }
#define MX4_LOOPS                                                                                  \
    {                                                                                              \
        .encode = mx4_encode, .within = mx4_within, .add = mx4_add, .sum = mx4_sum                 \
    }

#endif
