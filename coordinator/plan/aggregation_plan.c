#include "coordinator/plan/aggregation_plan.h"

#include "common/check.h"
#include "common/fault.h"
#include "coordinator/plan/plan_cut.h"
#include "coordinator/plan/plan_search.h"
#include "coordinator/plan/traffic.h"

#include <math.h>
#include <stdlib.h>

static const double sum_bytes_max = 16.0;
/* Updates get a coarser codec for no less than this part of a step. */
static const double update_gain_min = 0.1;

static bool is_positive(double value)
{
    return isfinite(value) && value > 0.0;
}

static bool is_known(double value)
{
    return isfinite(value) && value >= 0.0;
}

static bool are_known(const enum codec codecs[PLAN_CODECS_MAX], size_t count)
{
    for (size_t i = 0; i < count && i < PLAN_CODECS_MAX; i++) {
        if (!codec_is_known(codecs[i])) {
            return false;
        }
    }
    return count > 0 && count <= PLAN_CODECS_MAX;
}

static enum status check_settings(const struct plan_problem *problem)
{
    if (problem->peer_count > PLAN_PEERS_MAX) {
        return fault(STATUS_BAD_CONFIG, "a plan for %zu peers is too large; allow at most %d",
                     problem->peer_count, PLAN_PEERS_MAX);
    }
    if (problem->value_count == 0 ||
        problem->value_count > (size_t)PLAN_CHUNKS_MAX * CODEC_CHUNK_VALUES) {
        return fault(STATUS_BAD_CONFIG,
                     "a plan for %zu parameters is not possible; there must be 1 to %zu",
                     problem->value_count, (size_t)PLAN_CHUNKS_MAX * CODEC_CHUNK_VALUES);
    }
    if (!is_positive(problem->target_batch)) {
        return fault(STATUS_BAD_CONFIG,
                     "the target batch of a plan is %g samples; set a number "
                     "above 0",
                     problem->target_batch);
    }
    if (!is_known(problem->overhead_s)) {
        return fault(STATUS_BAD_CONFIG,
                     "the overhead of a planned step is %g s; set a number of at least 0",
                     problem->overhead_s);
    }
    if (!are_known(problem->codecs, problem->codec_count) ||
        !are_known(problem->update_codecs, problem->update_codec_count)) {
        return fault(STATUS_BAD_CONFIG,
                     "the codecs of a plan are wrong; name 1 to %d known ones for contributions, "
                     "and as many for updates",
                     PLAN_CODECS_MAX);
    }
    if (!is_positive(problem->sum_bytes_per_value) ||
        problem->sum_bytes_per_value > sum_bytes_max) {
        return fault(STATUS_BAD_CONFIG, "%g bytes a value of a sum are not possible; set 0 to %g",
                     problem->sum_bytes_per_value, sum_bytes_max);
    }
    if (!is_positive(problem->fraction_max) || problem->fraction_max > 1.0) {
        return fault(STATUS_BAD_CONFIG,
                     "a peer cannot own %g of the parameters; set a part above 0, at most 1",
                     problem->fraction_max);
    }
    if (problem->owners_max > PLAN_OWNERS_MAX) {
        return fault(STATUS_BAD_CONFIG, "%zu owners are too many; allow at most %d",
                     problem->owners_max, PLAN_OWNERS_MAX);
    }
    return STATUS_OK;
}

static enum status check_rates(const struct plan_problem *problem)
{
    if (!is_known(problem->coordinator_up_bytes_per_s) ||
        !is_known(problem->coordinator_down_bytes_per_s) ||
        !is_known(problem->coordinator_bytes_max)) {
        return fault(STATUS_OUT_OF_RANGE,
                     "a rate or limit of the coordinator (%g up, %g down, %g bytes a step) is no "
                     "number of bytes; give 0 where none is known",
                     problem->coordinator_up_bytes_per_s, problem->coordinator_down_bytes_per_s,
                     problem->coordinator_bytes_max);
    }
    for (size_t i = 0; i < problem->peer_count; i++) {
        const struct plan_peer *peer = &problem->peers[i];
        if (!is_positive(peer->up_bytes_per_s) || !is_positive(peer->down_bytes_per_s) ||
            !is_known(peer->samples_per_s) || !is_known(peer->pair_bytes_per_s)) {
            return fault(STATUS_OUT_OF_RANGE,
                         "the rates of peer %zu (%g up, %g down, %g samples a second, %g to it) "
                         "cannot be planned with; leave it out until they are measured",
                         i, peer->up_bytes_per_s, peer->down_bytes_per_s, peer->samples_per_s,
                         peer->pair_bytes_per_s);
        }
    }
    return STATUS_OK;
}

void plan_deinit(struct aggregation_plan *self)
{
    free(self->shares);
    *self = (struct aggregation_plan){0};
}

/* The same, but updates have this codec. */
static struct plan_problem with_update_codec(const struct plan_problem *problem, enum codec codec)
{
    struct plan_problem out = *problem;
    out.update_codecs[0] = codec;
    out.update_codec_count = 1;
    return out;
}

void plan_predict(const struct plan_problem *problem, const struct aggregation_plan *plan,
                  struct plan_times *out)
{
    CHECK(plan->peer_count == problem->peer_count);
    struct plan_problem same = with_update_codec(problem, plan->update_codec);
    struct traffic traffic;
    traffic_init(&traffic, &same, plan->shares);
    traffic_times_begin(
        &traffic,
        plan_cut_fraction(problem, plan->coordinator_first_chunk, plan->coordinator_chunk_count),
        out);
    for (size_t i = 0; i < plan->peer_count; i++) {
        const struct plan_share *share = &plan->shares[i];
        traffic_times_add(&traffic, share,
                          plan_cut_fraction(problem, share->first_chunk, share->chunk_count), i,
                          out);
    }
    traffic_times_end(&traffic, out);
}

/* Takes the shares out of *assignment, cuts them and predicts. */
static enum status finish(const struct plan_problem *problem, struct assignment *assignment,
                          double fraction_max, double bound_step_s, struct aggregation_plan *out)
{
    *out = (struct aggregation_plan){.shares = assignment->shares,
                                     .peer_count = assignment->peer_count,
                                     .update_codec = problem->update_codecs[0],
                                     .bound_step_s = bound_step_s};
    enum status status = plan_cut_chunks(problem, assignment, fraction_max, out);
    assignment->shares = NULL;
    if (status != STATUS_OK) {
        plan_deinit(out);
        return status;
    }
    plan_predict(problem, out, &out->predicted);
    return STATUS_OK;
}

static double step_s(const struct plan_problem *problem, const struct assignment *assignment)
{
    struct traffic traffic;
    struct plan_times times;
    traffic_init(&traffic, problem, assignment->shares);
    traffic_times(&traffic, assignment, &times);
    return times.step_s;
}

/* Leaves everything with the coordinator when nobody both computes and aggregates. */
static enum status own_evenly(const struct plan_problem *problem, struct assignment *assignment)
{
    size_t *owners = calloc(problem->peer_count + 1, sizeof *owners);
    if (owners == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t owner_count = 0;
    enum status status =
        plan_search_owners(problem, assignment->shares, true, owners, &owner_count);
    if (status == STATUS_OK && owner_count > 0) {
        assignment_own_evenly(assignment, owners, owner_count);
    }
    free(owners);
    return status;
}

/* One strategy, nothing compared. *fraction_max: what a peer may own in an adaptive plan; otherwise
 * it stays. */
static enum status make_one(const struct plan_problem *problem, enum plan_strategy strategy,
                            double *fraction_max, struct aggregation_plan *out)
{
    struct assignment assignment;
    struct traffic traffic;
    double bound_step_s = 0.0;
    enum status status = assignment_init(&assignment, problem);
    if (status != STATUS_OK) {
        return status;
    }
    traffic_init(&traffic, problem, assignment.shares);
    if (strategy == PLAN_ADAPTIVE && traffic.receiver_count > 0) {
        status = plan_search_run(problem, &assignment, fraction_max, &bound_step_s);
    } else {
        status = strategy == PLAN_PARAMETER_SERVER ? STATUS_OK : own_evenly(problem, &assignment);
        bound_step_s = step_s(problem, &assignment);
    }
    if (status == STATUS_OK) {
        status = finish(problem, &assignment, *fraction_max, bound_step_s, out);
    }
    assignment_deinit(&assignment);
    return status;
}

/* True when an adaptive plan may be this. */
static bool keeps_limits(const struct plan_problem *problem, const struct aggregation_plan *plan,
                         double fraction_max)
{
    double bytes = plan->predicted.coordinator_up_bytes + plan->predicted.coordinator_down_bytes;
    if (plan->coordinator_chunk_count > 0 && problem->coordinator_bytes_max > 0.0 &&
        bytes > problem->coordinator_bytes_max) {
        return false;
    }
    uint32_t most = plan_cut_chunks_max(problem, fraction_max);
    for (size_t i = 0; i < plan->peer_count; i++) {
        if (plan->shares[i].chunk_count > most) {
            return false;
        }
    }
    return true;
}

/* A fixed strategy's plan instead of *plan where it is faster, as whole chunks may fall better. */
static enum status improve(const struct plan_problem *problem, enum plan_strategy strategy,
                           double fraction_max, struct aggregation_plan *plan)
{
    struct aggregation_plan other = {0};
    double any = 1.0;
    enum status status = make_one(problem, strategy, &any, &other);
    if (status != STATUS_OK) {
        return status;
    }
    if (other.predicted.step_s < plan->predicted.step_s &&
        keeps_limits(problem, &other, fraction_max)) {
        struct aggregation_plan slower = *plan;
        other.bound_step_s = fmin(other.bound_step_s, slower.bound_step_s);
        *plan = other;
        other = slower;
    }
    plan_deinit(&other);
    return STATUS_OK;
}

/* With the first codec for updates. */
static enum status make_adaptive(const struct plan_problem *problem, struct aggregation_plan *out)
{
    double fraction_max = 1.0;
    enum status status = make_one(problem, PLAN_ADAPTIVE, &fraction_max, out);
    if (status == STATUS_OK) {
        status = improve(problem, PLAN_PARAMETER_SERVER, fraction_max, out);
    }
    if (status == STATUS_OK) {
        status = improve(problem, PLAN_ALL_REDUCE, fraction_max, out);
    }
    return status;
}

/* A plan with this codec for updates instead of *plan where it is so much faster. */
static enum status coarsen(const struct plan_problem *problem, enum codec codec,
                           struct aggregation_plan *plan)
{
    struct plan_problem coarser = with_update_codec(problem, codec);
    struct aggregation_plan other = {0};
    enum status status = make_adaptive(&coarser, &other);
    if (status == STATUS_OK &&
        other.predicted.step_s <= plan->predicted.step_s * (1.0 - update_gain_min)) {
        struct aggregation_plan slower = *plan;
        *plan = other;
        other = slower;
    }
    plan_deinit(&other);
    return status;
}

enum status plan_make(const struct plan_problem *problem, enum plan_strategy strategy,
                      struct aggregation_plan *out)
{
    *out = (struct aggregation_plan){0};
    double any = 1.0;
    enum status status = check_settings(problem);
    if (status == STATUS_OK) {
        status = check_rates(problem);
    }
    if (status == STATUS_OK) {
        status = strategy == PLAN_ADAPTIVE ? make_adaptive(problem, out)
                                           : make_one(problem, strategy, &any, out);
    }
    size_t tried = strategy == PLAN_ADAPTIVE ? problem->update_codec_count : 1;
    for (size_t i = 1; i < tried && status == STATUS_OK; i++) {
        status = coarsen(problem, problem->update_codecs[i], out);
    }
    if (status != STATUS_OK) {
        plan_deinit(out);
    }
    return status;
}
