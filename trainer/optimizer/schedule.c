#include "trainer/optimizer/schedule.h"

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

double schedule_learning_rate(const struct schedule *self, uint64_t step)
{
    double peak = self->learning_rate;
    if (step < self->warmup_steps) {
        return peak * (double)(step + 1) / (double)self->warmup_steps;
    }
    if (step >= self->step_count) {
        return self->learning_rate_min;
    }
    double progress =
        (double)(step - self->warmup_steps) / (double)(self->step_count - self->warmup_steps);
    return self->learning_rate_min + (peak - self->learning_rate_min) * half_cosine(progress);
}
