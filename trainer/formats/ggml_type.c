#include "trainer/formats/ggml_type.h"

#include "common/check.h"
#include "common/half.h"

#include <math.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF holds little-endian numbers");

enum { QUANT_MAX = 127 };

const char *ggml_type_name(enum ggml_type type)
{
    switch (type) {
    case GGML_F32:
        return "f32";
    case GGML_F16:
        return "f16";
    case GGML_Q8_0:
        return "q8_0";
    case GGML_BF16:
        return "bf16";
    }
    return "?";
}

size_t ggml_row_bytes(enum ggml_type type, size_t count)
{
    if (type == GGML_Q8_0) {
        CHECK(count % GGML_BLOCK_VALUES == 0);
        return count / GGML_BLOCK_VALUES * GGML_BLOCK_BYTES;
    }
    return count * (type == GGML_F32 ? sizeof(float) : sizeof(uint16_t));
}

/* The scale is rounded to float16 before it divides, so that its own error does not add to that
 * of the quants. */
static bool encode_block(const float *values, uint8_t out[GGML_BLOCK_BYTES])
{
    float largest = 0.0F;
    for (size_t i = 0; i < GGML_BLOCK_VALUES; i++) {
        largest = fmaxf(largest, fabsf(values[i]));
    }
    uint16_t scale_bits = half_to_f16(largest / (float)QUANT_MAX);
    float scale = half_from_f16(scale_bits);
    memcpy(out, &scale_bits, sizeof(scale_bits));
    for (size_t i = 0; i < GGML_BLOCK_VALUES; i++) {
        float quant = scale > 0.0F ? roundf(values[i] / scale) : 0.0F;
        quant = fminf(fmaxf(quant, (float)-QUANT_MAX), (float)QUANT_MAX);
        out[sizeof(scale_bits) + i] = (uint8_t)(int8_t)quant;
    }
    return isfinite(scale);
}

static bool encode_half(enum ggml_type type, float value, uint8_t *out)
{
    uint16_t bits = type == GGML_F16 ? half_to_f16(value) : half_to_bf16(value);
    memcpy(out, &bits, sizeof(bits));
    return isfinite(type == GGML_F16 ? half_from_f16(bits) : half_from_bf16(bits));
}

bool ggml_row_encode(enum ggml_type type, const float *values, size_t count, uint8_t *out)
{
    bool fits = true;
    if (type == GGML_F32) {
        memcpy(out, values, count * sizeof(*values));
    } else if (type == GGML_Q8_0) {
        for (size_t i = 0; i < count; i += GGML_BLOCK_VALUES) {
            fits = encode_block(values + i, out + i / GGML_BLOCK_VALUES * GGML_BLOCK_BYTES) && fits;
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            fits = encode_half(type, values[i], out + i * sizeof(uint16_t)) && fits;
        }
    }
    return fits;
}
