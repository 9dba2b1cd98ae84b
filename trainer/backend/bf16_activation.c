/* The activations of cpu_activation.c on bfloat16 cells. */
#include "common/half.h"
#include "trainer/backend/activation.h"
#include "trainer/backend/bf16.h"

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
        gate[i] = half_to_bf16(d * u * silu_slope(s, silu));
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
            hidden[t * width + i] = half_to_bf16(x * gelu_gate(x));
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
        float gate = gelu_gate(x);
        hidden[i] = half_to_bf16(x * gate);
        fc[i] = half_to_bf16(half_from_bf16(d_hidden[i]) * gelu_slope(x, gate));
    }
}

void bf16_gelu_backward(struct cells *hidden, struct cells *fc, const struct cells *d_hidden,
                        size_t count)
{
    gelu_backward(halves(hidden), halves(fc), halves_const(d_hidden), count);
}
