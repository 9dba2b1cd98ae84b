#include "proto/codec/codec.h"

#include "common/check.h"
#include "common/fault.h"
#include "proto/codec/kernels.h"
#include "proto/codec/mx.h"

enum { LSB_EXPONENT_LIMIT = MX8_EXPONENT_MAX - MX8_UNIT_BIAS, RESTORE_VALUES = 1024 };

static const uint32_t largest_float_bits = 0x7f7fffff;

static const struct {
    const char *name;
    enum codec codec;
} names[] = {{"fp32", CODEC_FP32}, {"bf16", CODEC_BF16}, {"mx8", CODEC_MX8}, {"mx4", CODEC_MX4}};

enum { NAME_COUNT = sizeof names / sizeof names[0] };

enum status codec_from_name(const char *name, enum codec *out)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (strcmp(name, names[i].name) == 0) {
            *out = names[i].codec;
            return STATUS_OK;
        }
    }
    return fault(STATUS_BAD_CONFIG, "the codec %.40s is not known; use mx8, mx4, bf16 or fp32",
                 name);
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
    case CODEC_MX4:
        return value_count / CODEC_BLOCK_VALUES * CODEC_MX4_BLOCK_BYTES;
    case CODEC_BF16:
        return value_count * sizeof(uint16_t);
    case CODEC_FP32:
        break;
    }
    return value_count * sizeof(float);
}

/* Decoded and residual make the value again, exactly; of a zero one of the two has the sign. */
static void restore(enum codec codec, const uint8_t *encoded, size_t value_count, float *values)
{
    for (size_t first = 0; first < value_count; first += RESTORE_VALUES) {
        size_t left = value_count - first;
        size_t count = left < RESTORE_VALUES ? left : RESTORE_VALUES;
        float decoded[RESTORE_VALUES];
        for (size_t i = 0; i < count; i++) {
            decoded[i] = -0.0F; /* the one number that changes nothing it is added to */
        }
        codec_add(codec, encoded + codec_encoded_bytes(codec, first), count, decoded);
        for (size_t i = 0; i < count; i++) {
            float value = decoded[i] + values[first + i];
            uint32_t signs = float_to_bits(decoded[i]) | float_to_bits(values[first + i]);
            values[first + i] = value != 0.0F ? value : float_from_bits(signs);
        }
    }
}

enum status codec_encode(enum codec codec, int lsb_exponent_min, float *values, size_t value_count,
                         uint8_t *out)
{
    CHECK(value_count % CODEC_BLOCK_VALUES == 0);
    CHECK(lsb_exponent_min >= CODEC_EXPONENT_ANY && lsb_exponent_min <= LSB_EXPONENT_LIMIT);
    size_t block_count = value_count / CODEC_BLOCK_VALUES;
    size_t done = codec_loops(codec)->encode(lsb_exponent_min, values, block_count, out);
    if (done < block_count) {
        restore(codec, out, done * CODEC_BLOCK_VALUES, values);
        return fault(STATUS_OUT_OF_RANGE, "a value to encode is not a finite number");
    }
    return STATUS_OK;
}

static void limits_of_finite(enum codec codec, struct codec_limits *out)
{
    bool mx4 = codec == CODEC_MX4;
    out->bits_max = largest_float_bits;
    out->exponent_max = mx4 ? MX4_EXPONENT_MAX : MX8_EXPONENT_MAX;
    memset(out->size_max, mx4 ? MX4_CODE_MAX : MX8_Q_MAX, sizeof out->size_max);
}

enum status codec_check(enum codec codec, const uint8_t *data, size_t size_bytes,
                        size_t value_count)
{
    if (value_count % CODEC_BLOCK_VALUES != 0 ||
        size_bytes != codec_encoded_bytes(codec, value_count)) {
        return fault(STATUS_BAD_SHAPE, "%zu bytes do not hold %zu values of codec %s", size_bytes,
                     value_count, codec_name(codec));
    }
    struct codec_limits limits;
    limits_of_finite(codec, &limits);
    if (!codec_loops(codec)->within(&limits, data, value_count / CODEC_BLOCK_VALUES)) {
        return fault(STATUS_OUT_OF_RANGE, "an encoded value is not a finite number");
    }
    return STATUS_OK;
}

void codec_add(enum codec codec, const uint8_t *data, size_t value_count, float *params)
{
    codec_loops(codec)->add(data, value_count / CODEC_BLOCK_VALUES, params);
}
