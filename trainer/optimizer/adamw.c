#include "trainer/optimizer/adamw.h"

#include "trainer/optimizer/rules.h"

#include <math.h>

void adamw_apply(const struct optimizer_step *step, float *weights, float *m, float *v,
                 const float *grad, size_t count, bool decayed)
{
    const struct optimizer_step s = *step;
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

static void apply(const struct optimizer_work *work, const struct segment *segment)
{
    size_t first = segment->first;
    adamw_apply(&work->step, work->weights + first, work->states[0] + first,
                work->states[1] + first, work->mean + first, segment->end - first,
                segment->decayed);
}

const struct optimizer_rules adamw_rules = {
    .name = "adamw",
    .state_count = 2,
    .states = {{.name = "moment1"}, {.name = "moment2"}},
    .defaults = {.kind = OPTIMIZER_ADAMW,
                 .beta1 = 0.9,
                 .beta2 = 0.95,
                 .eps = 1e-8,
                 .weight_decay = 0.1,
                 .grad_clip = 1.0},
    .apply = apply,
};
