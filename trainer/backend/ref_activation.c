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

static float gelu(float x, float *slope)
{
    float inner = GELU_SCALE * (x + GELU_CUBE * x * x * x);
    float d_inner = GELU_SCALE * (1.0F + 3.0F * GELU_CUBE * x * x);
    float tanh_inner = tanhf(inner);
    *slope = 0.5F * (1.0F + tanh_inner) + 0.5F * x * (1.0F - tanh_inner * tanh_inner) * d_inner;
    return 0.5F * x * (1.0F + tanh_inner);
}

void ref_swiglu(struct cells *hidden, const struct cells *gate, const struct cells *up,
                size_t count)
{
    const float *g = floats_const(gate);
    for (size_t i = 0; i < count; i++) {
        floats(hidden)[i] = g[i] * sigmoid(g[i]) * floats_const(up)[i];
    }
}

void ref_swiglu_backward(struct cells *hidden, struct cells *gate, struct cells *up,
                         const struct cells *d_hidden, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float g = floats(gate)[i];
        float u = floats(up)[i];
        float d = floats_const(d_hidden)[i];
        float s = sigmoid(g);
        floats(hidden)[i] = g * s * u;
        floats(up)[i] = d * g * s;
        floats(gate)[i] = d * u * s * (1.0F + g * (1.0F - s));
    }
}

void ref_bias_gelu(struct cells *hidden, struct cells *fc, const float *bias, size_t rows,
                   size_t width)
{
    ref_add_bias(fc, bias, rows, width);
    for (size_t i = 0; i < rows * width; i++) {
        float slope = 0.0F;
        floats(hidden)[i] = gelu(floats(fc)[i], &slope);
    }
}

void ref_gelu_backward(struct cells *hidden, struct cells *fc, const struct cells *d_hidden,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float slope = 0.0F;
        floats(hidden)[i] = gelu(floats(fc)[i], &slope);
        floats(fc)[i] = floats_const(d_hidden)[i] * slope;
    }
}
