/* activation - what the activations of float and bfloat16 cells are made of. GELU's half
 * (1 + tanh u) is the logistic function of 2 u.
 *
 * Private to trainer/backend. Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_BACKEND_ACTIVATION_H
#define DUGNAD_TRAINER_BACKEND_ACTIVATION_H

#include "trainer/backend/lanes.h"

static const float GELU_SCALE = 1.5957691216F; /* 2 sqrt(2 / pi) */
static const float GELU_CUBE = 0.044715F;

LANES_INLINE float sigmoid(float x)
{
    return 1.0F / (1.0F + lanes_exp(-x));
}

/* gelu(x) is x times this. */
LANES_INLINE float gelu_gate(float x)
{
    return sigmoid(GELU_SCALE * (x + GELU_CUBE * x * x * x));
}

/* d gelu(x) / d x, with gate = gelu_gate(x). */
LANES_INLINE float gelu_slope(float x, float gate)
{
    float d_inner = GELU_SCALE * (1.0F + 3.0F * GELU_CUBE * x * x);
    return gate + x * gate * (1.0F - gate) * d_inner;
}

/* d silu(x) / d x, with s = sigmoid(x) and silu = x s. */
LANES_INLINE float silu_slope(float s, float silu)
{
    return s + silu * (1.0F - s);
}

#endif
