#include "coordinator/plan/plan_overhead.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double share_max = 1.0; /* of the step that was predicted */

static double chain_s(const struct plan_times *times)
{
    return times->compute_s + times->gather_s + times->spread_s;
}

double plan_step_s(const struct plan_times *times, bool overlap, double overhead_s)
{
    double whole_s = chain_s(times) + overhead_s;
    if (!overlap) {
        return whole_s;
    }
    double longest_s = fmax(fmax(times->compute_s, overhead_s), times->busy_s);
    return fmax(fmax(longest_s, fmax(times->gather_s, times->spread_s)), 0.5 * whole_s);
}

void plan_overhead_note(struct plan_overhead *self, const struct plan_times *times, bool overlap,
                        double step_s)
{
    double bare_s = plan_step_s(times, overlap, 0.0);
    if (!isfinite(bare_s) || bare_s <= 0.0 || !isfinite(step_s) || step_s <= 0.0) {
        return;
    }
    double extra_s = fmax((overlap ? 2.0 : 1.0) * step_s - chain_s(times), 0.0);
    extra_s = step_s > bare_s ? extra_s : 0.0;
    self->seconds[self->count++ % PLAN_OVERHEAD_STEPS] = fmin(extra_s, share_max * bare_s);
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return left < right ? -1 : left > right;
}

double plan_overhead_s(const struct plan_overhead *self)
{
    double sorted[PLAN_OVERHEAD_STEPS];
    size_t count = self->count < PLAN_OVERHEAD_STEPS ? self->count : PLAN_OVERHEAD_STEPS;
    memcpy(sorted, self->seconds, sizeof sorted);
    qsort(sorted, count, sizeof sorted[0], by_size);
    return count > 0 ? sorted[count / 2] : 0.0;
}
