/* plan_overhead - what a step takes beyond what the plan knows of: latencies of messages in a row,
 * the optimizer, samples that end unevenly. Learned from the steps themselves.
 *
 * Pure. One owner; a zeroed one knows nothing. */
#ifndef DUGNAD_COORDINATOR_PLAN_PLAN_OVERHEAD_H
#define DUGNAD_COORDINATOR_PLAN_PLAN_OVERHEAD_H

#include "coordinator/plan/aggregation_plan.h"

enum { PLAN_OVERHEAD_STEPS = 8 };

struct plan_overhead {
    double seconds[PLAN_OVERHEAD_STEPS]; /* of the latest steps, a ring */
    size_t count;                        /* ever */
};

/* A step of a plan with these times took step_s. With overlap two steps share what was not
 * predicted (aggregation_plan.h). What a step took more counts for no more than what was
 * predicted, since it may have stood still; times or a step that say nothing are left out. */
void plan_overhead_note(struct plan_overhead *self, const struct plan_times *times, bool overlap,
                        double step_s);

/* The median of the latest; 0 while there are none. */
double plan_overhead_s(const struct plan_overhead *self);

/* What a plan's times make of a step with this overhead. */
double plan_step_s(const struct plan_times *times, bool overlap, double overhead_s);

#endif
