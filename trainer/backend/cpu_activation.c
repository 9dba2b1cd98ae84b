/* The activations of ref_activation.c with an exp that vectorises. GELU's half (1 + tanh u) is
 * the logistic function of 2 u. */
#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"

static const float GELU_SCALE = 1.5957691216F; /* 2 sqrt(2 / pi) */
static const float GELU_CUBE = 0.044715F;

LANES_INLINE float sigmoid(float x)
{
    return 1.0F / (1.0F + lanes_exp(-x));
}

VECTOR_CLONES void cpu_swiglu(float *restrict out, const float *restrict gate,
                              const float *restrict up, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = gate[i] * sigmoid(gate[i]) * up[i];
    }
}

VECTOR_CLONES void cpu_swiglu_backward(float *restrict d_gate, float *restrict d_up,
                                       const float *restrict d_out, const float *restrict gate,
                                       const float *restrict up, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float s = sigmoid(gate[i]);
        float d = d_out[i];
        d_up[i] = d * gate[i] * s;
        d_gate[i] = d * up[i] * s * (1.0F + gate[i] * (1.0F - s));
    }
}

VECTOR_CLONES void cpu_gelu(float *restrict out, const float *restrict x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = x[i] * sigmoid(GELU_SCALE * (x[i] + GELU_CUBE * x[i] * x[i] * x[i]));
    }
}

VECTOR_CLONES void cpu_gelu_backward(float *restrict d_x, const float *restrict d_out,
                                     const float *restrict x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float s = sigmoid(GELU_SCALE * (x[i] + GELU_CUBE * x[i] * x[i] * x[i]));
        float d_inner = GELU_SCALE * (1.0F + 3.0F * GELU_CUBE * x[i] * x[i]);
        d_x[i] = d_out[i] * (s + x[i] * s * (1.0F - s) * d_inner);
    }
}
