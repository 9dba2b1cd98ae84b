#include "proto/codec/float_loops.h"
#include "proto/codec/mx.h"

enum { NIBBLE_BYTES = CODEC_BLOCK_VALUES / 2 };

/* 1.5 * 2^23: adding and subtracting it rounds |x| < 2^22 to an integer, half to even. */
static const float round_magic = 12582912.0F;

/* The integers of mx4's codes; a zero may have either sign. */
static const int8_t integer_of_code[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static inline uint32_t block_max_bits(const float *values)
{
    int32_t max = 0; /* signed, because SSE compares signed integers only */
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        int32_t bits = (int32_t)(float_to_bits(values[i]) & float_abs_mask);
        max = bits > max ? bits : max;
    }
    return (uint32_t)max;
}

static inline int mx8_quantise(struct mx_scale scale, float *restrict values, uint8_t *restrict out)
{
    int8_t q[CODEC_BLOCK_VALUES];
    int any = 0;
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        float scaled = values[i] * scale.factor1 * scale.factor2;
        int integer = (int)((scaled + round_magic) - round_magic); /* at most 128 */
        integer = integer > MX8_Q_MAX ? MX8_Q_MAX : integer;
        integer = integer < -MX8_Q_MAX ? -MX8_Q_MAX : integer;
        values[i] -= (float)integer * scale.unit;
        q[i] = (int8_t)integer;
        any |= integer;
    }
    memcpy(out, q, sizeof q);
    return any;
}

/* A size of s units, rounded to one bit behind the leading one, half to even: s + m - m, where the
 * last place of m is half of the power of two below s, or one unit for small s. */
static inline float mx4_round(float size)
{
    const int32_t least = 0x40000000; /* 2.0 */
    int32_t bits = (int32_t)float_to_bits(size);
    int32_t power = (bits > least ? bits : least) & (int32_t)float_infinity_bits;
    float magic = float_from_bits((uint32_t)(power + MX4_MAGIC));
    float rounded = (size + magic) - magic;
    return rounded > (float)MX4_INTEGER_MAX ? (float)MX4_INTEGER_MAX : rounded;
}

static inline int mx4_quantise(struct mx_scale scale, float *restrict values, uint8_t *restrict out)
{
    uint8_t codes[CODEC_BLOCK_VALUES];
    int any = 0;
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        int sign = (int)(float_to_bits(values[i]) >> 31);
        float size = float_from_bits(float_to_bits(values[i]) & float_abs_mask);
        float rounded = mx4_round(size * scale.factor1 * scale.factor2);
        int integer = (int)rounded;
        /* From 2.0 on the exponent's last bits and the first of the fraction count the codes. */
        int code = integer < 2 ? integer : (int)(float_to_bits(rounded) >> 22) - 254;
        values[i] -= (float)(sign != 0 ? -integer : integer) * scale.unit;
        codes[i] = (uint8_t)(code | (code != 0 ? sign << 3 : 0));
        any |= code;
    }
    for (int i = 0; i < NIBBLE_BYTES; i++) {
        out[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
    }
    return any;
}

static inline void mx4_integers(const uint8_t *restrict data, uint8_t *restrict integers)
{
    for (int i = 0; i < NIBBLE_BYTES; i++) {
        integers[2 * i] = (uint8_t)integer_of_code[data[i] & 15];
        integers[2 * i + 1] = (uint8_t)integer_of_code[data[i] >> 4];
    }
}

/* The product is exact. */
static inline void add_integers(const uint8_t *restrict integers, float unit,
                                float *restrict params)
{
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        params[i] += (float)(int8_t)integers[i] * unit;
    }
}

static inline void sum_integers(const uint8_t *restrict integers, int shift, bool negate,
                                int64_t *restrict sum)
{
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        int64_t integer = (int8_t)integers[i];
        uint64_t units = (uint64_t)(negate ? -integer : integer) << shift;
        sum[i] = (int64_t)((uint64_t)sum[i] + units);
    }
}

static bool mx8_within(const struct codec_limits *limits, const uint8_t *data, size_t block_count)
{
    for (size_t block = 0; block < block_count; block++) {
        int8_t q[CODEC_BLOCK_VALUES];
        memcpy(q, data + 1, sizeof q);
        int max = 0;
        for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
            int size = q[i] < 0 ? -q[i] : q[i];
            max = size > max ? size : max;
        }
        if (data[0] > limits->exponent_max || max > limits->size_max[data[0]]) {
            return false;
        }
        data += CODEC_MX8_BLOCK_BYTES;
    }
    return true;
}

static bool mx4_within(const struct codec_limits *limits, const uint8_t *data, size_t block_count)
{
    for (size_t block = 0; block < block_count; block++) {
        uint8_t max = 0;
        for (int i = 1; i <= NIBBLE_BYTES; i++) {
            uint8_t low = data[i] & MX4_CODE_MAX;
            uint8_t high = data[i] >> 4 & MX4_CODE_MAX;
            uint8_t larger = low > high ? low : high;
            max = larger > max ? larger : max;
        }
        if (data[0] > limits->exponent_max || max > limits->size_max[data[0]]) {
            return false;
        }
        data += CODEC_MX4_BLOCK_BYTES;
    }
    return true;
}

#include "proto/codec/mx_loops.h"

const struct codec_kernels codec_kernels_plain = {.name = "plain",
                                                  .loops = {[CODEC_FP32] = FP32_LOOPS,
                                                            [CODEC_BF16] = BF16_LOOPS,
                                                            [CODEC_MX8] = MX8_LOOPS,
                                                            [CODEC_MX4] = MX4_LOOPS}};
