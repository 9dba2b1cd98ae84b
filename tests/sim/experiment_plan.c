/* Rates as they are measured, and the plan that follows from them. */
#include "tests/sim/experiment_state.h"

#include "coordinator/plan/plan_change.h"
#include "tests/sim/sim_memory.h"

#include <math.h>
#include <stdlib.h>

enum { ROUTE_BYTES = 250, ROUTE_OWNER_BYTES = 72, SUM_BYTES_PER_VALUE = 2, OWNERS_MAX = 256 };
static const double rate_noise = 0.03;
static const double smoothing = 0.3;
static const double rate_changed = 0.02;
static const double fraction_max = 0.25;

static void measure(struct trial *self)
{
    for (size_t node = 1; node < self->peer_count; node++) {
        struct trial_peer *peer = &self->peers[node];
        double up = 1.0 + rate_noise * (2.0 * random_uniform(&self->chance) - 1.0);
        double down = 1.0 + rate_noise * (2.0 * random_uniform(&self->chance) - 1.0);
        peer->seen_up += smoothing * (up * peer->spec.up_bytes_per_s - peer->seen_up);
        peer->seen_down += smoothing * (down * peer->spec.down_bytes_per_s - peer->seen_down);
    }
}

/* problem->peers(all that are here), owned by the caller. */
static void pose(const struct trial *self, uint32_t *nodes, struct plan_peer *peers,
                 struct plan_problem *out)
{
    const struct trial_settings *settings = &self->settings;
    size_t count = 0;
    for (uint32_t node = 1; node < self->peer_count; node++) {
        const struct trial_peer *peer = &self->peers[node];
        if (!peer->gone) {
            nodes[count] = node;
            peers[count++] =
                (struct plan_peer){.up_bytes_per_s = peer->seen_up,
                                   .down_bytes_per_s = peer->seen_down,
                                   .samples_per_s = peer->spec.samples_per_s,
                                   .aggregates = peer->spec.aggregates && !peer->behind};
        }
    }
    *out = (struct plan_problem){.peers = peers,
                                 .peer_count = count,
                                 .coordinator_up_bytes_per_s = settings->coordinator_bytes_per_s,
                                 .coordinator_down_bytes_per_s = settings->coordinator_bytes_per_s,
                                 .coordinator_bytes_max = settings->coordinator_bytes_max,
                                 .value_count = settings->value_count,
                                 .target_batch = settings->target_batch,
                                 .codecs = {CODEC_MX8, CODEC_MX4},
                                 .codec_count = settings->compact ? 2 : 1,
                                 .update_codecs = {CODEC_MX8, CODEC_MX4},
                                 .update_codec_count = settings->compact ? 2 : 1,
                                 .overhead_s = trial_overhead_s(self),
                                 .sum_bytes_per_value = SUM_BYTES_PER_VALUE,
                                 .overlap = settings->overlap,
                                 .may_rest = settings->may_rest,
                                 .fraction_max = fraction_max,
                                 .owners_max = OWNERS_MAX};
}

static bool rates_changed(const struct trial *self, const struct plan_problem *problem)
{
    for (size_t i = 0; i < problem->peer_count; i++) {
        double up = problem->peers[i].up_bytes_per_s / self->plan_rates[2 * i];
        double down = problem->peers[i].down_bytes_per_s / self->plan_rates[2 * i + 1];
        if (fabs(up - 1.0) > rate_changed || fabs(down - 1.0) > rate_changed) {
            return true;
        }
    }
    return false;
}

static void set_parts(struct trial *self)
{
    const struct aggregation_plan *plan = &self->plan;
    self->part_count = 0;
    self->parts = sim_memory_resize(self->parts, plan->peer_count + 1, sizeof *self->parts);
    if (plan->coordinator_chunk_count > 0) {
        self->parts[self->part_count++] =
            (struct trial_part){.owner = 0,
                                .first = plan->coordinator_first_chunk,
                                .count = plan->coordinator_chunk_count};
    }
    for (size_t i = 0; i < plan->peer_count; i++) {
        if (plan->shares[i].chunk_count > 0) {
            self->parts[self->part_count++] =
                (struct trial_part){.owner = self->plan_nodes[i],
                                    .first = plan->shares[i].first_chunk,
                                    .count = plan->shares[i].chunk_count};
        }
    }
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void find_quick(struct trial *self)
{
    double *rates = sim_memory_new(self->plan.peer_count, sizeof *rates);
    size_t count = 0;
    for (size_t i = 0; i < self->plan.peer_count; i++) {
        if (self->plan.shares[i].computes) {
            rates[count++] = self->peers[self->plan_nodes[i]].seen_up;
        }
    }
    qsort(rates, count, sizeof *rates, by_value);
    self->quick_bytes_per_s = count > 0 ? rates[count - 1 - count / 4] : 0.0;
    sim_memory_free(rates);
}

/* Tells each peer what the plan wants of it. */
static void route(struct trial *self)
{
    double bytes = ROUTE_BYTES + (double)ROUTE_OWNER_BYTES * (double)self->part_count;
    trial_count_capacity(self);
    self->rate_here = 0.0;
    for (size_t i = 0; i < self->plan.peer_count; i++) {
        uint32_t node = self->plan_nodes[i];
        struct trial_peer *peer = &self->peers[node];
        bool before = peer->computes;
        peer->computes = self->plan.shares[i].computes;
        peer->codec = self->plan.shares[i].codec;
        self->rate_here += peer->computes ? peer->spec.samples_per_s : 0.0;
        trial_send(self, &(struct net_tag){.kind = KIND_CONTROL}, node,
                   peer->computes ? bytes : ROUTE_BYTES);
        if (peer->computes && !before && !peer->behind && peer->version < self->committed) {
            trial_join(self, node);
        }
        trial_work_want(self, node);
    }
}

static void adopt(struct trial *self, struct aggregation_plan *made, uint32_t *nodes,
                  const struct plan_problem *problem)
{
    trial_plan_free(self);
    self->plan = *made;
    self->planned = true;
    self->members_changed = false;
    self->plan_nodes = nodes;
    self->plan_rates = sim_memory_new(2 * problem->peer_count, sizeof *self->plan_rates);
    for (size_t i = 0; i < problem->peer_count; i++) {
        self->plan_rates[2 * i] = problem->peers[i].up_bytes_per_s;
        self->plan_rates[2 * i + 1] = problem->peers[i].down_bytes_per_s;
    }
    self->plans++;
    set_parts(self);
    find_quick(self);
    route(self);
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

/* The plan to have: of a fixed strategy when the adaptive one is not worth the change from it. An
 * even cut of equal links is what errors of their rates disturb least. */
static enum status make(const struct trial *self, const struct plan_problem *problem,
                        struct aggregation_plan *out)
{
    enum status status = plan_make(problem, self->settings.strategy, out);
    if (status != STATUS_OK || self->settings.strategy != PLAN_ADAPTIVE) {
        return status;
    }
    struct aggregation_plan fixed = {0};
    status = make_fixed(problem, &fixed);
    if (status == STATUS_OK && !plan_is_worth_changing(problem, &fixed, out)) {
        swap(&fixed, out);
    }
    plan_deinit(&fixed);
    return status;
}

void trial_plan(struct trial *self)
{
    uint32_t *nodes = sim_memory_new(self->peer_count, sizeof *nodes);
    struct plan_peer *peers = sim_memory_new(self->peer_count, sizeof *peers);
    struct plan_problem problem;
    measure(self);
    pose(self, nodes, peers, &problem);
    bool kept = true;
    if (!self->planned || self->members_changed || rates_changed(self, &problem)) {
        struct aggregation_plan made;
        self->status = make(self, &problem, &made);
        if (self->status == STATUS_OK && (!self->planned || self->members_changed ||
                                          plan_is_worth_changing(&problem, &self->plan, &made))) {
            adopt(self, &made, nodes, &problem);
            kept = false;
        } else {
            plan_deinit(&made);
        }
    }
    self->predicted = self->plan.predicted;
    self->bound_s = self->plan.bound_step_s;
    if (kept) {
        sim_memory_free(nodes);
    }
    sim_memory_free(peers);
}

void trial_plan_free(struct trial *self)
{
    if (self->planned) {
        plan_deinit(&self->plan);
    }
    sim_memory_free(self->plan_nodes);
    sim_memory_free(self->plan_rates);
    self->plan_nodes = NULL;
    self->plan_rates = NULL;
    self->planned = false;
}

/* Samples that a peer can compute for a step of `step_s`: its link has the update to fetch and the
 * contribution to send. One update behind, that chain has two steps' time. */
static double samples_within(const struct trial_settings *settings,
                             const struct trial_peer_spec *peer, double step_s)
{
    double blocks = (double)settings->value_count / CODEC_BLOCK_VALUES;
    double block_bytes = settings->compact ? CODEC_MX4_BLOCK_BYTES : CODEC_MX8_BLOCK_BYTES;
    double up_s = block_bytes * blocks / peer->up_bytes_per_s;
    double down_s = block_bytes * blocks / peer->down_bytes_per_s;
    double compute_s = step_s - up_s - down_s;
    if (settings->overlap) {
        compute_s = fmax(up_s, down_s) > step_s ? 0.0 : fmin(step_s, compute_s + step_s);
    }
    return peer->samples_per_s * fmax(compute_s, 0.0);
}

double trial_limit_s(const struct trial *self)
{
    const struct trial_settings *settings = &self->settings;
    double low = 0.0;
    double high = 1.0;
    for (bool enough = false; !enough || high - low > 1e-6 * high;) {
        double step_s = enough ? (low + high) / 2.0 : 2.0 * high;
        double samples = 0.0;
        for (size_t i = 0; i < settings->peer_count; i++) {
            samples += samples_within(settings, &settings->peers[i], step_s);
        }
        bool suffices = samples >= settings->target_batch;
        if (!enough || suffices) {
            high = step_s;
        } else {
            low = step_s;
        }
        enough = enough || suffices;
    }
    return high;
}
