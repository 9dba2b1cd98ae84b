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

/* Whether updates are encoded with more bits a value in `a` than in `b`. */
static bool is_finer(const struct aggregation_plan *a, const struct aggregation_plan *b)
{
    return codec_encoded_bytes(a->update_codec, CODEC_CHUNK_VALUES) >
           codec_encoded_bytes(b->update_codec, CODEC_CHUNK_VALUES);
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
    /* A codec that costs accuracy has to go on earning it. */
    if (is_finer(candidate, in_force) && now.step_s > then.step_s * (1.0 - step_gain_min)) {
        return true;
    }
    if (then.step_s < now.step_s && then.step_s <= now.step_s * (1.0 - step_gain_min)) {
        return true; /* neither is so when nobody computes */
    }
    return then.step_s <= now.step_s && then.stale_share <= now.stale_share - stale_gain_min;
}

static void swap(struct aggregation_plan *a, struct aggregation_plan *b)
{
    struct aggregation_plan kept = *a;
    *a = *b;
    *b = kept;
}

/* The shorter of the two fixed strategies; all-reduce where they are equal, or where the
 * coordinator should not move so much. */
static enum status make_fixed(const struct plan_problem *problem, struct aggregation_plan *out)
{
    struct aggregation_plan server = {0};
    enum status status = plan_make(problem, PLAN_ALL_REDUCE, out);
    if (status == STATUS_OK) {
        status = plan_make(problem, PLAN_PARAMETER_SERVER, &server);
    }
    double bytes = server.predicted.coordinator_up_bytes + server.predicted.coordinator_down_bytes;
    bool fits = problem->coordinator_bytes_max <= 0.0 || bytes <= problem->coordinator_bytes_max;
    if (status == STATUS_OK && fits && server.predicted.step_s < out->predicted.step_s) {
        swap(&server, out);
    }
    plan_deinit(&server);
    return status;
}

enum status plan_choose(const struct plan_problem *problem, struct aggregation_plan *out)
{
    struct aggregation_plan fixed = {0};
    enum status status = plan_make(problem, PLAN_ADAPTIVE, out);
    if (status == STATUS_OK) {
        status = make_fixed(problem, &fixed);
    }
    if (status == STATUS_OK && !plan_is_worth_changing(problem, &fixed, out)) {
        swap(&fixed, out);
    }
    if (status != STATUS_OK) {
        plan_deinit(out);
    }
    plan_deinit(&fixed);
    return status;
}
