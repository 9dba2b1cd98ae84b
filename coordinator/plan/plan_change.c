#include "coordinator/plan/plan_change.h"

#include "common/check.h"

static const double step_gain_min = 0.05;
static const double stale_gain_min = 0.05; /* of a step's samples */

static bool is_possible(const struct plan_problem *problem, const struct aggregation_plan *plan)
{
    for (size_t i = 0; i < plan->peer_count; i++) {
        if (plan->shares[i].chunk_count > 0 && !problem->peers[i].aggregates) {
            return false;
        }
    }
    return true;
}

bool plan_is_worth_changing(const struct plan_problem *problem,
                            const struct aggregation_plan *in_force,
                            const struct aggregation_plan *candidate)
{
    CHECK(in_force->peer_count == problem->peer_count);
    if (!is_possible(problem, in_force)) {
        return true;
    }
    struct plan_times now;
    struct plan_times then;
    plan_predict(problem, in_force, &now);
    plan_predict(problem, candidate, &then);
    if (then.step_s < now.step_s && then.step_s <= now.step_s * (1.0 - step_gain_min)) {
        return true; /* neither is so when nobody computes */
    }
    return then.step_s <= now.step_s && then.stale_share <= now.stale_share - stale_gain_min;
}
