/* The activations of ref_activation.c with an exp that vectorises, in one pass over memory. */
#include "trainer/backend/activation.h"
#include "trainer/backend/cpu.h"
#include "trainer/backend/ref.h"

VECTOR_CLONES static void swiglu(float *restrict hidden, const float *restrict gate,
                                 const float *restrict up, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hidden[i] = gate[i] * sigmoid(gate[i]) * up[i];
    }
}

void cpu_swiglu(struct cells *hidden, const struct cells *gate, const struct cells *up,
                size_t count)
{
    swiglu(floats(hidden), floats_const(gate), floats_const(up), count);
}

VECTOR_CLONES static void swiglu_backward(float *restrict hidden, float *restrict gate,
                                          float *restrict up, const float *restrict d_hidden,
                                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float s = sigmoid(gate[i]);
        float silu = gate[i] * s;
        float d = d_hidden[i];
        float u = up[i];
        hidden[i] = silu * u;
        up[i] = d * silu;
        gate[i] = d * u * silu_slope(s, silu);
    }
}

void cpu_swiglu_backward(struct cells *hidden, struct cells *gate, struct cells *up,
                         const struct cells *d_hidden, size_t count)
{
    swiglu_backward(floats(hidden), floats(gate), floats(up), floats_const(d_hidden), count);
}

VECTOR_CLONES static void bias_gelu(float *restrict hidden, float *restrict fc,
                                    const float *restrict bias, size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        for (size_t i = 0; i < width; i++) {
            float x = fc[t * width + i] + bias[i];
            fc[t * width + i] = x;
            hidden[t * width + i] = x * gelu_gate(x);
        }
    }
}

void cpu_bias_gelu(struct cells *hidden, struct cells *fc, const float *bias, size_t rows,
                   size_t width)
{
    bias_gelu(floats(hidden), floats(fc), bias, rows, width);
}

VECTOR_CLONES static void gelu_backward(float *restrict hidden, float *restrict fc,
                                        const float *restrict d_hidden, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float x = fc[i];
        float gate = gelu_gate(x);
        hidden[i] = x * gate;
        fc[i] = d_hidden[i] * gelu_slope(x, gate);
    }
}

void cpu_gelu_backward(struct cells *hidden, struct cells *fc, const struct cells *d_hidden,
                       size_t count)
{
    gelu_backward(floats(hidden), floats(fc), floats_const(d_hidden), count);
}
