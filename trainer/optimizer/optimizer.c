#include "trainer/optimizer/optimizer.h"

#include "common/check.h"
#include "trainer/optimizer/rules.h"

#include <string.h>

/* Below this, 0 / (0 + eps) or m / eps could leave the range of float32. */
static const double eps_min = 1e-20;

const struct optimizer_rules *optimizer_rules(enum optimizer_kind kind)
{
    static const struct optimizer_rules *const table[OPTIMIZER_KIND_COUNT] = {
        [OPTIMIZER_ADAMW] = &adamw_rules,
        [OPTIMIZER_LAMB] = &lamb_rules,
        [OPTIMIZER_SGD] = &sgd_rules,
        [OPTIMIZER_ADAM_MINI] = &adam_mini_rules,
    };
    CHECK(kind < OPTIMIZER_KIND_COUNT);
    return table[kind];
}

const char *optimizer_name(enum optimizer_kind kind)
{
    return optimizer_rules(kind)->name;
}

enum status optimizer_from_name(const char *name, enum optimizer_kind *out)
{
    for (int kind = 0; kind < OPTIMIZER_KIND_COUNT; kind++) {
        if (strcmp(optimizer_name((enum optimizer_kind)kind), name) == 0) {
            *out = (enum optimizer_kind)kind;
            return STATUS_OK;
        }
    }
    return STATUS_BAD_CONFIG;
}

size_t optimizer_state_count(enum optimizer_kind kind)
{
    return optimizer_rules(kind)->state_count;
}

const struct optimizer_state *optimizer_state(enum optimizer_kind kind, size_t index)
{
    CHECK(index < optimizer_state_count(kind));
    return &optimizer_rules(kind)->states[index];
}

struct optimizer_settings optimizer_defaults(enum optimizer_kind kind)
{
    return optimizer_rules(kind)->defaults;
}

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

struct optimizer_step optimizer_prepare(const struct optimizer_settings *settings,
                                        double learning_rate, uint64_t step, double norm)
{
    CHECK(step >= 1);
    double clip_scale = 1.0;
    if (settings->grad_clip > 0 && norm > settings->grad_clip) {
        clip_scale = settings->grad_clip / norm;
    }
    return (struct optimizer_step){
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
        .momentum = (float)settings->momentum,
        .nesterov = settings->nesterov,
    };
}
