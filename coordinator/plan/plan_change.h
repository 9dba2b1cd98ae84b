/* plan_change - which plan to have, and whether another one is worth what changing to it costs:
 * connections, and links that have to be measured anew.
 *
 * Pure; thread-safe on distinct data. */
#ifndef DUGNAD_COORDINATOR_PLAN_PLAN_CHANGE_H
#define DUGNAD_COORDINATOR_PLAN_PLAN_CHANGE_H

#include "coordinator/plan/aggregation_plan.h"

/* True when the plan in force is impossible now, since an owner no longer aggregates; or when, at
 * the problem's rates, the candidate makes a step at least 5% shorter, or, with steps no longer,
 * less of it stale by at least 5% of its samples. Both plans are of the problem's peers in their
 * order, and the problem is one that plan_make() accepts. In the plan in force, who joined since
 * has an empty share; who left stays, with any rates, as one who neither computes (in the share as
 * well) nor aggregates. */
bool plan_is_worth_changing(const struct plan_problem *problem,
                            const struct aggregation_plan *in_force,
                            const struct aggregation_plan *candidate);

/* The adaptive plan, where it is worth the change from the better one of the fixed strategies; else
 * that one: an even cut of equal links is what errors of their rates disturb least. Errors: those
 * of plan_make; *out is then empty. The caller owns *out: plan_deinit(). */
MUST_CHECK enum status plan_choose(const struct plan_problem *problem,
                                   struct aggregation_plan *out);

#endif
