#include "trainer/optimizer/adamw.h"

#include "common/check.h"

#include <math.h>

/* Below this, 0 / (0 + eps) or m / eps could leave the range of float32. */
static const double eps_min = 1e-20;

/* base^exponent by squaring: multiplications alone, so every machine gets the same bits (pow
 * differs between C libraries). */
static double power(double base, uint64_t exponent)
{
    double result = 1.0;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1U) != 0) {
            result *= base;
        }
        base *= base;
    }
    return result;
}

struct adamw_step adamw_prepare(const struct adamw_settings *settings, double learning_rate,
                                uint64_t step, double norm)
{
    CHECK(step >= 1);
    double clip_scale = 1.0;
    if (settings->grad_clip > 0 && norm > settings->grad_clip) {
        clip_scale = settings->grad_clip / norm;
    }
    return (struct adamw_step){
        .learning_rate = (float)learning_rate,
        .clip_scale = (float)clip_scale,
        .beta1 = (float)settings->beta1,
        .beta2 = (float)settings->beta2,
        .rest1 = (float)(1.0 - settings->beta1),
        .rest2 = (float)(1.0 - settings->beta2),
        .eps = (float)(settings->eps > eps_min ? settings->eps : eps_min),
        .weight_decay = (float)settings->weight_decay,
        .bias1 = (float)(1.0 - power(settings->beta1, step)),
        .bias2 = (float)(1.0 - power(settings->beta2, step)),
    };
}

void adamw_apply(const struct adamw_step *step, float *weights, float *m, float *v,
                 const float *grad, size_t count, int decayed)
{
    const struct adamw_step s = *step;
    const float decay = decayed ? s.learning_rate * s.weight_decay : 0.0F;
    const float step_size = s.learning_rate / s.bias1;
    const float bias2_root = sqrtf(s.bias2);
    for (size_t i = 0; i < count; i++) {
        float g = grad[i] * s.clip_scale;
        m[i] = s.beta1 * m[i] + s.rest1 * g;
        v[i] = s.beta2 * v[i] + s.rest2 * (g * g);
        float decayed_weight = weights[i] - decay * weights[i];
        weights[i] = decayed_weight - step_size * m[i] / (sqrtf(v[i]) / bias2_root + s.eps);
    }
}
