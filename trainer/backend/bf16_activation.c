/* The activations of cpu_activation.c on bfloat16 cells. */
#include "common/half.h"
#include "trainer/backend/bf16.h"
#include "trainer/backend/lanes.h"

static const float GELU_SCALE = 1.5957691216F; /* 2 sqrt(2 / pi) */
static const float GELU_CUBE = 0.044715F;

LANES_INLINE float sigmoid(float x)
{
    return 1.0F / (1.0F + lanes_exp(-x));
}

VECTOR_CLONES static void swiglu(uint16_t *restrict hidden, const uint16_t *restrict gate,
                                 const uint16_t *restrict up, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float g = half_from_bf16(gate[i]);
        hidden[i] = half_to_bf16(g * sigmoid(g) * half_from_bf16(up[i]));
    }
}

void bf16_swiglu(struct cells *hidden, const struct cells *gate, const struct cells *up,
                 size_t count)
{
    swiglu(halves(hidden), halves_const(gate), halves_const(up), count);
}

VECTOR_CLONES static void swiglu_backward(uint16_t *restrict hidden, uint16_t *restrict gate,
                                          uint16_t *restrict up, const uint16_t *restrict d_hidden,
                                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float g = half_from_bf16(gate[i]);
        float u = half_from_bf16(up[i]);
        float d = half_from_bf16(d_hidden[i]);
        float s = sigmoid(g);
        float silu = g * s;
        hidden[i] = half_to_bf16(silu * u);
        up[i] = half_to_bf16(d * silu);
        gate[i] = half_to_bf16(d * u * (s + silu * (1.0F - s)));
    }
}

void bf16_swiglu_backward(struct cells *hidden, struct cells *gate, struct cells *up,
                          const struct cells *d_hidden, size_t count)
{
    swiglu_backward(halves(hidden), halves(gate), halves(up), halves_const(d_hidden), count);
}

/* hidden is made of the rounded fc, so that the backward pass makes the same bits again. */
VECTOR_CLONES static void bias_gelu(uint16_t *restrict hidden, uint16_t *restrict fc,
                                    const float *restrict bias, size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        for (size_t i = 0; i < width; i++) {
            uint16_t cell = half_to_bf16(half_from_bf16(fc[t * width + i]) + bias[i]);
            float x = half_from_bf16(cell);
            fc[t * width + i] = cell;
            hidden[t * width + i] =
                half_to_bf16(x * sigmoid(GELU_SCALE * (x + GELU_CUBE * x * x * x)));
        }
    }
}

void bf16_bias_gelu(struct cells *hidden, struct cells *fc, const float *bias, size_t rows,
                    size_t width)
{
    bias_gelu(halves(hidden), halves(fc), bias, rows, width);
}

VECTOR_CLONES static void gelu_backward(uint16_t *restrict hidden, uint16_t *restrict fc,
                                        const uint16_t *restrict d_hidden, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float x = half_from_bf16(fc[i]);
        float s = sigmoid(GELU_SCALE * (x + GELU_CUBE * x * x * x));
        float d_inner = GELU_SCALE * (1.0F + 3.0F * GELU_CUBE * x * x);
        hidden[i] = half_to_bf16(x * s);
        fc[i] = half_to_bf16(half_from_bf16(d_hidden[i]) * (s + x * s * (1.0F - s) * d_inner));
    }
}

void bf16_gelu_backward(struct cells *hidden, struct cells *fc, const struct cells *d_hidden,
                        size_t count)
{
    gelu_backward(halves(hidden), halves(fc), halves_const(d_hidden), count);
}
