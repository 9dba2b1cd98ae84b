#include "proto/codec/codec.h"

#include "common/check.h"
#include "common/fault.h"
#include "proto/codec/float_bits.h"
#include "proto/codec/mx8.h"

enum { LSB_EXPONENT_LIMIT = MX8_EXPONENT_MAX - MX8_UNIT_BIAS };

enum status codec_from_name(const char *name, enum codec *out)
{
    if (strcmp(name, "fp32") == 0) {
        *out = CODEC_FP32;
    } else if (strcmp(name, "mx8") == 0) {
        *out = CODEC_MX8;
    } else {
        return fault(STATUS_BAD_CONFIG, "the codec %.40s is not known; use mx8 or fp32", name);
    }
    return STATUS_OK;
}

const char *codec_name(enum codec codec)
{
    return codec == CODEC_MX8 ? "mx8" : "fp32";
}

size_t codec_encoded_bytes(enum codec codec, size_t value_count)
{
    CHECK(value_count % CODEC_BLOCK_VALUES == 0);
    return codec == CODEC_MX8 ? value_count / CODEC_BLOCK_VALUES * CODEC_MX8_BLOCK_BYTES
                              : value_count * sizeof(float);
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

enum status codec_encode(enum codec codec, int lsb_exponent_min, float *values, size_t value_count,
                         uint8_t *out)
{
    CHECK(value_count % CODEC_BLOCK_VALUES == 0);
    CHECK(lsb_exponent_min >= CODEC_EXPONENT_ANY && lsb_exponent_min <= LSB_EXPONENT_LIMIT);
    if (!all_finite((const uint8_t *)values, value_count)) {
        return fault(STATUS_OUT_OF_RANGE, "a value to encode is not a finite number");
    }
    if (codec == CODEC_MX8) {
        mx8_encode(lsb_exponent_min, values, value_count / CODEC_BLOCK_VALUES, out);
    } else {
        memcpy(out, values, value_count * sizeof *values);
        memset(values, 0, value_count * sizeof *values);
    }
    return STATUS_OK;
}

enum status codec_check(enum codec codec, const uint8_t *data, size_t size_bytes,
                        size_t value_count)
{
    if (value_count % CODEC_BLOCK_VALUES != 0 ||
        size_bytes != codec_encoded_bytes(codec, value_count)) {
        return fault(STATUS_BAD_SHAPE, "%zu bytes do not hold %zu values of codec %s", size_bytes,
                     value_count, codec_name(codec));
    }
    bool good = codec == CODEC_MX8 ? mx8_valid(data, value_count / CODEC_BLOCK_VALUES)
                                   : all_finite(data, value_count);
    if (!good) {
        return fault(STATUS_OUT_OF_RANGE, "an encoded value is not a finite number");
    }
    return STATUS_OK;
}

void codec_add(enum codec codec, const uint8_t *data, size_t value_count, float *params)
{
    if (codec == CODEC_MX8) {
        mx8_add(data, value_count / CODEC_BLOCK_VALUES, params);
        return;
    }
    for (size_t i = 0; i < value_count; i++) {
        float value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        params[i] += value;
    }
}
