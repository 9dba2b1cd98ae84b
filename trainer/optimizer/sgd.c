/* sgd - stochastic gradient descent with momentum, PyTorch's form of it (torch.optim.SGD without
 * dampening; Nesterov's step after Sutskever et al., ICML 2013):
 *
 *   g = clipped mean gradient + weight_decay w      (coupled: part of the gradient)
 *   b = momentum b + g                              (b = 0 at the start)
 *   w = w - lr (nesterov ? g + momentum b : b) */
#include "trainer/optimizer/rules.h"

static void apply(const struct optimizer_work *work, const struct segment *segment)
{
    const struct optimizer_step s = work->step;
    const float decay = segment->decayed ? s.weight_decay : 0.0F;
    /* Without Nesterov's step g counts nothing and b once, so one loop serves both. */
    const float grad_part = s.nesterov ? 1.0F : 0.0F;
    const float buffer_part = s.nesterov ? s.momentum : 1.0F;
    const float *grad = work->mean + segment->first;
    float *weights = work->weights + segment->first;
    float *buffer = work->states[0] + segment->first;
    size_t count = segment->end - segment->first;
    for (size_t i = 0; i < count; i++) {
        float g = grad[i] * s.clip_scale + decay * weights[i];
        buffer[i] = s.momentum * buffer[i] + g;
        weights[i] -= s.learning_rate * (grad_part * g + buffer_part * buffer[i]);
    }
}

const struct optimizer_rules sgd_rules = {
    .name = "sgd",
    .state_count = 1,
    .states = {{.name = "momentum"}},
    .defaults = {.kind = OPTIMIZER_SGD, .momentum = 0.9, .nesterov = true, .grad_clip = 1.0},
    .apply = apply,
};
