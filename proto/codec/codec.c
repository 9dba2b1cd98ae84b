#include "proto/codec/codec.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/half.h"
#include "proto/codec/float_bits.h"
#include "proto/codec/mx8.h"

enum { LSB_EXPONENT_LIMIT = MX8_EXPONENT_MAX - MX8_UNIT_BIAS };

static const uint16_t bf16_largest = 0x7f7f;

static const struct {
    const char *name;
    enum codec codec;
} names[] = {{"fp32", CODEC_FP32}, {"bf16", CODEC_BF16}, {"mx8", CODEC_MX8}};

enum { NAME_COUNT = sizeof names / sizeof names[0] };

enum status codec_from_name(const char *name, enum codec *out)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (strcmp(name, names[i].name) == 0) {
            *out = names[i].codec;
            return STATUS_OK;
        }
    }
    return fault(STATUS_BAD_CONFIG, "the codec %.40s is not known; use mx8, bf16 or fp32", name);
}

const char *codec_name(enum codec codec)
{
    size_t i = 0;
    while (names[i].codec != codec) {
        i++;
        CHECK(i < NAME_COUNT);
    }
    return names[i].name;
}

size_t codec_encoded_bytes(enum codec codec, size_t value_count)
{
    CHECK(value_count % CODEC_BLOCK_VALUES == 0);
    switch (codec) {
    case CODEC_MX8:
        return value_count / CODEC_BLOCK_VALUES * CODEC_MX8_BLOCK_BYTES;
    case CODEC_BF16:
        return value_count * sizeof(uint16_t);
    case CODEC_FP32:
        break;
    }
    return value_count * sizeof(float);
}

/* True when every value is finite. The sum's top bit is set for infinities and NaN alone; a
 * reduction by OR vectorises where an early return would not. */
static bool all_finite(const uint8_t *data, size_t value_count)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < value_count; i++) {
        uint32_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        seen |= (bits & float_abs_mask) + 0x00800000U;
    }
    return (seen & 0x80000000U) == 0;
}

/* The same for 16-bit values. */
static bool bf16_all_finite(const uint8_t *data, size_t value_count)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < value_count; i++) {
        uint16_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        seen |= (bits & 0x7fffU) + 0x80U;
    }
    return (seen & 0x8000U) == 0;
}

/* The subtraction is exact: both sides are multiples of the value's last place, and the difference
 * is at most half a place of the rounded value (or, saturated, no larger than the value). */
static void bf16_encode(float *values, size_t value_count, uint8_t *out)
{
    for (size_t i = 0; i < value_count; i++) {
        uint16_t bits = half_to_bf16(values[i]);
        uint16_t size = bits & 0x7fffU;
        bits = (uint16_t)((bits & 0x8000U) | (size > bf16_largest ? bf16_largest : size));
        values[i] -= half_from_bf16(bits);
        memcpy(out + i * sizeof bits, &bits, sizeof bits);
    }
}

static void bf16_add(const uint8_t *data, size_t value_count, float *params)
{
    for (size_t i = 0; i < value_count; i++) {
        uint16_t bits;
        memcpy(&bits, data + i * sizeof bits, sizeof bits);
        params[i] += half_from_bf16(bits);
    }
}

static void fp32_add(const uint8_t *data, size_t value_count, float *params)
{
    for (size_t i = 0; i < value_count; i++) {
        float value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        params[i] += value;
    }
}

enum status codec_encode(enum codec codec, int lsb_exponent_min, float *values, size_t value_count,
                         uint8_t *out)
{
    CHECK(value_count % CODEC_BLOCK_VALUES == 0);
    CHECK(lsb_exponent_min >= CODEC_EXPONENT_ANY && lsb_exponent_min <= LSB_EXPONENT_LIMIT);
    if (!all_finite((const uint8_t *)values, value_count)) {
        return fault(STATUS_OUT_OF_RANGE, "a value to encode is not a finite number");
    }
    switch (codec) {
    case CODEC_MX8:
        mx8_encode(lsb_exponent_min, values, value_count / CODEC_BLOCK_VALUES, out);
        break;
    case CODEC_BF16:
        bf16_encode(values, value_count, out);
        break;
    case CODEC_FP32:
        memcpy(out, values, value_count * sizeof *values);
        memset(values, 0, value_count * sizeof *values);
        break;
    }
    return STATUS_OK;
}

static bool values_good(enum codec codec, const uint8_t *data, size_t value_count)
{
    switch (codec) {
    case CODEC_MX8:
        return mx8_valid(data, value_count / CODEC_BLOCK_VALUES);
    case CODEC_BF16:
        return bf16_all_finite(data, value_count);
    case CODEC_FP32:
        break;
    }
    return all_finite(data, value_count);
}

enum status codec_check(enum codec codec, const uint8_t *data, size_t size_bytes,
                        size_t value_count)
{
    if (value_count % CODEC_BLOCK_VALUES != 0 ||
        size_bytes != codec_encoded_bytes(codec, value_count)) {
        return fault(STATUS_BAD_SHAPE, "%zu bytes do not hold %zu values of codec %s", size_bytes,
                     value_count, codec_name(codec));
    }
    if (!values_good(codec, data, value_count)) {
        return fault(STATUS_OUT_OF_RANGE, "an encoded value is not a finite number");
    }
    return STATUS_OK;
}

void codec_add(enum codec codec, const uint8_t *data, size_t value_count, float *params)
{
    switch (codec) {
    case CODEC_MX8:
        mx8_add(data, value_count / CODEC_BLOCK_VALUES, params);
        break;
    case CODEC_BF16:
        bf16_add(data, value_count, params);
        break;
    case CODEC_FP32:
        fp32_add(data, value_count, params);
        break;
    }
}
