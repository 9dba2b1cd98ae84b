#include "trainer/optimizer/schedule.h"

#include "common/check.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const char *const kind_names[SCHEDULE_KIND_COUNT] = {[SCHEDULE_COSINE] = "cosine",
                                                            [SCHEDULE_LINEAR] = "linear",
                                                            [SCHEDULE_WSD] = "wsd",
                                                            [SCHEDULE_CONSTANT] = "constant"};

static const char *const decay_names[SCHEDULE_DECAY_COUNT] = {
    [SCHEDULE_DECAY_SQRT] = "sqrt", [SCHEDULE_DECAY_LINEAR] = "linear"};

/* The place of `name` among the names, or `count`. */
static size_t find(const char *const *names, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(names[i], name) != 0) {
        i++;
    }
    return i;
}

const char *schedule_name(enum schedule_kind kind)
{
    CHECK(kind < SCHEDULE_KIND_COUNT);
    return kind_names[kind];
}

enum status schedule_from_name(const char *name, enum schedule_kind *out)
{
    *out = (enum schedule_kind)find(kind_names, SCHEDULE_KIND_COUNT, name);
    return *out < SCHEDULE_KIND_COUNT ? STATUS_OK : STATUS_BAD_CONFIG;
}

const char *schedule_decay_name(enum schedule_decay decay)
{
    CHECK(decay < SCHEDULE_DECAY_COUNT);
    return decay_names[decay];
}

enum status schedule_decay_from_name(const char *name, enum schedule_decay *out)
{
    *out = (enum schedule_decay)find(decay_names, SCHEDULE_DECAY_COUNT, name);
    return *out < SCHEDULE_DECAY_COUNT ? STATUS_OK : STATUS_BAD_CONFIG;
}

/* (1 + cos(pi p)) / 2 for p in [0, 1], as cos^2(pi p / 2). Its own series, because cos differs in
 * the last bit between C libraries and a replay must not; the error stays below 1e-15. */
static double half_cosine(double p)
{
    const double quarter_pi = 0.78539816339744830962;
    double x = p * quarter_pi; /* in [0, pi/4]: the series of sin x needs few terms */
    double square = x * x;
    double term = x;
    double sine = x;
    for (int n = 1; n <= 10; n++) {
        term *= -square / (double)(2 * n * (2 * n + 1));
        sine += term;
    }
    double cosine = 1.0 - 2.0 * sine * sine; /* cos(2 x) = cos(pi p / 2) */
    return cosine * cosine;
}

/* What is left of the way from the least to the peak, 1 to 0, when a share `p` of the falling
 * course is over. */
static double height(const struct schedule *self, double p)
{
    if (self->kind == SCHEDULE_COSINE) {
        return half_cosine(p);
    }
    bool as_root = self->kind == SCHEDULE_WSD && self->decay == SCHEDULE_DECAY_SQRT;
    return 1.0 - (as_root ? sqrt(p) : p);
}

double schedule_learning_rate(const struct schedule *self, uint64_t step)
{
    double peak = self->learning_rate;
    if (step < self->warmup_steps) {
        return peak * (double)(step + 1) / (double)self->warmup_steps;
    }
    if (self->kind == SCHEDULE_CONSTANT) {
        return peak;
    }
    if (step >= self->step_count) {
        return self->learning_rate_min;
    }
    uint64_t start = self->warmup_steps;
    if (self->kind == SCHEDULE_WSD) {
        start = self->step_count - self->decay_steps;
        if (step <= start) {
            return peak;
        }
    }
    double progress = (double)(step - start) / (double)(self->step_count - start);
    return self->learning_rate_min + (peak - self->learning_rate_min) * height(self, progress);
}
