/* SwiGLU (Shazeer, arXiv 2002.05202) and the tanh form of GELU (Hendrycks and Gimpel,
 * arXiv 1606.08415, section 2). */
#include "trainer/backend/ref.h"

#include <math.h>

static const float GELU_SCALE = 0.7978845608F; /* sqrt(2 / pi) */
static const float GELU_CUBE = 0.044715F;

static float sigmoid(float x)
{
    return 1.0F / (1.0F + expf(-x));
}

void ref_swiglu(float *out, const float *gate, const float *up, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = gate[i] * sigmoid(gate[i]) * up[i];
    }
}

void ref_swiglu_backward(float *d_gate, float *d_up, const float *d_out, const float *gate,
                         const float *up, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float s = sigmoid(gate[i]);
        float d = d_out[i];
        d_up[i] = d * gate[i] * s;
        d_gate[i] = d * up[i] * s * (1.0F + gate[i] * (1.0F - s));
    }
}

void ref_gelu(float *out, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float inner = GELU_SCALE * (x[i] + GELU_CUBE * x[i] * x[i] * x[i]);
        out[i] = 0.5F * x[i] * (1.0F + tanhf(inner));
    }
}

void ref_gelu_backward(float *d_x, const float *d_out, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float inner = GELU_SCALE * (x[i] + GELU_CUBE * x[i] * x[i] * x[i]);
        float d_inner = GELU_SCALE * (1.0F + 3.0F * GELU_CUBE * x[i] * x[i]);
        float tanh_inner = tanhf(inner);
        float slope =
            0.5F * (1.0F + tanh_inner) + 0.5F * x[i] * (1.0F - tanh_inner * tanh_inner) * d_inner;
        d_x[i] = d_out[i] * slope;
    }
}
