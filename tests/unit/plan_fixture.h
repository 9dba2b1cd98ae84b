/* plan_fixture - problems for plans, and solvers of our own to compare with: what an assignment
 * takes, by listing every transfer, and the least gather + spread, and the least period with
 * overlap, by bisection instead of a linear program. */
#ifndef DUGNAD_TESTS_UNIT_PLAN_FIXTURE_H
#define DUGNAD_TESTS_UNIT_PLAN_FIXTURE_H

#include "common/random.h"
#include "coordinator/plan/aggregation_plan.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { FIXTURE_PEERS_MAX = 64, FIXTURE_NODES = FIXTURE_PEERS_MAX + 1, BISECTIONS = 48 };

static const double mbit = 125000.0; /* bytes a second */

/* 100 chunks, mx8 both ways, a coordinator at 1 Gbit/s, everybody must compute. */
static inline struct plan_problem plan_problem_of(const struct plan_peer *peers, size_t count)
{
    return (struct plan_problem){.peers = peers,
                                 .peer_count = count,
                                 .coordinator_up_bytes_per_s = 1000.0 * mbit,
                                 .coordinator_down_bytes_per_s = 1000.0 * mbit,
                                 .value_count = (size_t)100 * CODEC_CHUNK_VALUES,
                                 .target_batch = 1.0,
                                 .codecs = {CODEC_MX8},
                                 .codec_count = 1,
                                 .update_codecs = {CODEC_MX8},
                                 .update_codec_count = 1,
                                 .sum_bytes_per_value = 2.0,
                                 .fraction_max = 1.0,
                                 .owners_max = PLAN_OWNERS_MAX};
}

static inline struct plan_peer plan_peer_of(double up_mbit, double down_mbit, bool aggregates)
{
    return (struct plan_peer){.up_bytes_per_s = up_mbit * mbit,
                              .down_bytes_per_s = down_mbit * mbit,
                              .samples_per_s = 1000.0,
                              .aggregates = aggregates};
}

/* 10 to 1000 Mbit/s each way; some behind NAT, some that only aggregate, some with a slow pair.
 * The first one computes. */
static inline void plan_random_peers(struct random *random, struct plan_peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        peers[i] =
            plan_peer_of(10.0 * pow(100.0, random_uniform(random)),
                         10.0 * pow(100.0, random_uniform(random)), random_below(random, 3) != 0);
        peers[i].samples_per_s = 0.2 * pow(20.0, random_uniform(random));
        if (i > 0 && peers[i].aggregates && random_below(random, 5) == 0) {
            peers[i].samples_per_s = 0.0;
        }
        if (random_below(random, 4) == 0) {
            peers[i].pair_bytes_per_s = 5.0 * pow(100.0, random_uniform(random)) * mbit;
        }
    }
}

/* Random settings around random peers. */
static inline struct plan_problem plan_random_problem(struct random *random,
                                                      struct plan_peer *peers, size_t count)
{
    plan_random_peers(random, peers, count);
    struct plan_problem problem = plan_problem_of(peers, count);
    problem.coordinator_up_bytes_per_s = 50.0 * pow(40.0, random_uniform(random)) * mbit;
    problem.coordinator_down_bytes_per_s = 50.0 * pow(40.0, random_uniform(random)) * mbit;
    problem.value_count = (size_t)50 * CODEC_CHUNK_VALUES + random_below(random, 40000000);
    problem.target_batch = (double)count * pow(30.0, random_uniform(random));
    problem.sum_bytes_per_value = 1.5 + random_uniform(random);
    return problem;
}

static inline double plan_encoded_bytes(const struct plan_problem *problem, enum codec codec)
{
    const double bits = codec == CODEC_FP32 ? 32.0 : codec == CODEC_BF16 ? 16.0 : 8.25;
    return (double)problem->value_count * bits / 8.0;
}

/* Bytes of every transfer of a phase, from and to; node 0 is the coordinator, peer i node i + 1. */
struct plan_transfers {
    double bytes[FIXTURE_NODES][FIXTURE_NODES];
};

static inline double plan_rate_or_any(double rate)
{
    return rate > 0.0 ? rate : DBL_MAX;
}

/* The longest that any link is busy. With `pairs`, also any single connection to an owner. */
static inline double plan_phase_s(const struct plan_problem *problem,
                                  const struct plan_transfers *transfers, bool pairs)
{
    double longest_s = 0.0;
    for (size_t a = 0; a <= problem->peer_count; a++) {
        double up_bytes = 0.0;
        double down_bytes = 0.0;
        for (size_t b = 0; b <= problem->peer_count; b++) {
            up_bytes += transfers->bytes[a][b];
            down_bytes += transfers->bytes[b][a];
            if (pairs && a > 0 && b > 0) {
                double pair_rate = plan_rate_or_any(problem->peers[a - 1].pair_bytes_per_s);
                longest_s = fmax(longest_s, transfers->bytes[b][a] / pair_rate);
            }
        }
        double up = a == 0 ? plan_rate_or_any(problem->coordinator_up_bytes_per_s)
                           : problem->peers[a - 1].up_bytes_per_s;
        double down = a == 0 ? plan_rate_or_any(problem->coordinator_down_bytes_per_s)
                             : problem->peers[a - 1].down_bytes_per_s;
        longest_s = fmax(longest_s, fmax(up_bytes / up, down_bytes / down));
    }
    return longest_s;
}

/* What the step takes when node j owns fractions[j] of the values: every transfer by itself. */
static inline struct plan_times plan_reference_times(const struct plan_problem *problem,
                                                     const struct plan_share *shares,
                                                     const double *fractions)
{
    static struct plan_transfers gather;
    static struct plan_transfers spread;
    memset(&gather, 0, sizeof gather);
    memset(&spread, 0, sizeof spread);
    double sums_bytes = problem->sum_bytes_per_value * (double)problem->value_count;
    double update_bytes = plan_encoded_bytes(problem, problem->update_codecs[0]);
    double samples_per_s = 0.0;
    for (size_t owner = 0; owner <= problem->peer_count; owner++) {
        for (size_t peer = 0; peer < problem->peer_count; peer++) {
            if (!shares[peer].computes || peer + 1 == owner) {
                continue;
            }
            gather.bytes[peer + 1][owner] +=
                fractions[owner] * plan_encoded_bytes(problem, shares[peer].codec);
            spread.bytes[owner][peer + 1] += fractions[owner] * update_bytes;
        }
        if (owner > 0) {
            gather.bytes[owner][0] += fractions[owner] * sums_bytes;
            spread.bytes[0][owner] += fractions[owner] * update_bytes;
            samples_per_s +=
                shares[owner - 1].computes ? problem->peers[owner - 1].samples_per_s : 0.0;
        }
    }
    struct plan_times times = {.compute_s = problem->target_batch / samples_per_s,
                               .gather_s = plan_phase_s(problem, &gather, true),
                               .spread_s = plan_phase_s(problem, &spread, false)};
    for (size_t node = 0; node <= problem->peer_count; node++) {
        times.coordinator_down_bytes += gather.bytes[node][0];
        times.coordinator_up_bytes += spread.bytes[0][node];
    }
    for (size_t node = 0; node < FIXTURE_NODES * FIXTURE_NODES; node++) {
        (&gather.bytes[0][0])[node] += (&spread.bytes[0][0])[node];
    }
    times.busy_s = plan_phase_s(problem, &gather, false);
    double late_s = times.gather_s + times.spread_s + problem->overhead_s;
    times.step_s = times.compute_s + late_s;
    if (problem->overlap) {
        times.stale_share = fmin(1.0, late_s / times.compute_s);
        const double alone_s[] = {times.compute_s, times.gather_s, times.spread_s, times.busy_s,
                                  problem->overhead_s};
        times.step_s /= 2.0;
        for (size_t i = 0; i < sizeof alone_s / sizeof alone_s[0]; i++) {
            times.step_s = fmax(times.step_s, alone_s[i]);
        }
    }
    return times;
}

/* True when the ranges are in the peers' order, disjoint, of peers that aggregate, and cover the
 * vector. */
static inline bool plan_covers_all(const struct plan_problem *problem,
                                   const struct aggregation_plan *plan)
{
    size_t chunk_count = (problem->value_count + CODEC_CHUNK_VALUES - 1) / CODEC_CHUNK_VALUES;
    size_t next = plan->coordinator_chunk_count;
    bool is_right = plan->coordinator_first_chunk == 0;
    for (size_t i = 0; i < plan->peer_count; i++) {
        const struct plan_share *share = &plan->shares[i];
        is_right = is_right && (share->chunk_count == 0 ||
                                (share->first_chunk == next && problem->peers[i].aggregates));
        next += share->chunk_count;
    }
    return is_right && next == chunk_count;
}

/* Node j's share of the values, of a plan's ranges. */
static inline double plan_share_of_values(const struct plan_problem *problem, uint32_t first,
                                          uint32_t count)
{
    double begin = (double)first * CODEC_CHUNK_VALUES;
    double end = fmin(begin + (double)count * CODEC_CHUNK_VALUES, (double)problem->value_count);
    return count == 0 ? 0.0 : (end - begin) / (double)problem->value_count;
}

/* The shares that node `owner` may have when gather, spread and a period take so long: low above
 * high when there are none. */
static inline void plan_reference_range(const struct plan_problem *problem,
                                        const struct plan_share *shares, size_t owner,
                                        const double times_s[3], double range[2])
{
    bool may_own = owner == 0 || problem->peers[owner - 1].aggregates;
    range[0] = 0.0;
    range[1] = !may_own ? 0.0 : owner == 0 ? 1.0 : problem->fraction_max;
    /* Everything that binds this node is linear in its own share, so two points tell it all; what
     * else it sends to itself or others does not depend on the other shares. */
    double sent[2];
    double received[2];
    double pair[2];
    double spread_up[2];
    double spread_down[2];
    double sums_bytes = problem->sum_bytes_per_value * (double)problem->value_count;
    double update_bytes = plan_encoded_bytes(problem, problem->update_codecs[0]);
    for (int all = 0; all < 2; all++) {
        double share = all;
        sent[all] = owner == 0 ? 0.0 : share * sums_bytes;
        received[all] = owner == 0 ? (1.0 - share) * sums_bytes : 0.0;
        spread_up[all] = owner == 0 ? (1.0 - share) * update_bytes : 0.0;
        spread_down[all] = owner == 0 ? 0.0 : share * update_bytes;
        pair[all] = 0.0;
        for (size_t i = 0; i < problem->peer_count; i++) {
            double bytes = shares[i].computes ? plan_encoded_bytes(problem, shares[i].codec) : 0.0;
            if (i + 1 == owner) {
                sent[all] += (1.0 - share) * bytes;
                spread_down[all] += shares[i].computes ? (1.0 - share) * update_bytes : 0.0;
            } else {
                received[all] += share * bytes;
                pair[all] = fmax(pair[all], share * bytes);
                spread_up[all] += shares[i].computes ? share * update_bytes : 0.0;
            }
        }
    }
    const struct plan_peer *peer = owner == 0 ? NULL : &problem->peers[owner - 1];
    double up =
        peer == NULL ? plan_rate_or_any(problem->coordinator_up_bytes_per_s) : peer->up_bytes_per_s;
    double down = peer == NULL ? plan_rate_or_any(problem->coordinator_down_bytes_per_s)
                               : peer->down_bytes_per_s;
    double pair_rate = peer == NULL ? DBL_MAX : plan_rate_or_any(peer->pair_bytes_per_s);
    double at[2][7];
    for (int all = 0; all < 2; all++) {
        const double used_s[7] = {sent[all] / up,
                                  received[all] / down,
                                  pair[all] / pair_rate,
                                  spread_up[all] / up,
                                  spread_down[all] / down,
                                  (sent[all] + spread_up[all]) / up,
                                  (received[all] + spread_down[all]) / down};
        memcpy(at[all], used_s, sizeof used_s);
    }
    for (int i = 0; i < 7; i++) {
        double limit_s = times_s[i < 3 ? 0 : i < 5 ? 1 : 2];
        double slope = at[1][i] - at[0][i];
        if (fabs(slope) < 1e-15 * limit_s) {
            range[1] = at[0][i] <= limit_s * (1.0 + 1e-12) ? range[1] : -1.0;
        } else if (slope > 0.0) {
            range[1] = fmin(range[1], (limit_s - at[0][i]) / slope);
        } else {
            range[0] = fmax(range[0], (limit_s - at[0][i]) / slope);
        }
    }
}

/* How far the shares are from what these times allow; 0 or less when they fit. A convex function of
 * the times. */
static inline double plan_reference_excess(const struct plan_problem *problem,
                                           const struct plan_share *shares, const double times_s[3])
{
    double low = 0.0;
    double high = 0.0;
    double excess = 0.0;
    for (size_t owner = 0; owner <= problem->peer_count; owner++) {
        double range[2];
        plan_reference_range(problem, shares, owner, times_s, range);
        excess = fmax(excess, range[0] - range[1]);
        low += range[0];
        high += range[1];
    }
    return fmax(excess, fmax(low - 1.0, 1.0 - high));
}

static inline bool plan_reference_fits(const struct plan_problem *problem,
                                       const struct plan_share *shares, double gather_s,
                                       double spread_s)
{
    const double times_s[3] = {gather_s, spread_s, DBL_MAX};
    return plan_reference_excess(problem, shares, times_s) <= 1e-12;
}

/* The least spread with which a gather of gather_s is possible; INFINITY when none is. */
static inline double plan_reference_spread_s(const struct plan_problem *problem,
                                             const struct plan_share *shares, double gather_s,
                                             double most_s)
{
    double low = 0.0;
    double high = most_s;
    if (!plan_reference_fits(problem, shares, gather_s, high)) {
        return INFINITY;
    }
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = 0.5 * (low + high);
        *(plan_reference_fits(problem, shares, gather_s, middle) ? &high : &low) = middle;
    }
    return high;
}

/* The least gather + spread over all shares: the spread is a convex function of the gather. */
static inline double plan_reference_moving_s(const struct plan_problem *problem,
                                             const struct plan_share *shares)
{
    double fractions[FIXTURE_NODES] = {1.0};
    struct plan_times central = plan_reference_times(problem, shares, fractions);
    double most_s = 2.0 * (central.gather_s + central.spread_s);
    double low = 0.0;
    double high = most_s;
    for (int i = 0; i < BISECTIONS; i++) { /* the least gather with any spread */
        double middle = 0.5 * (low + high);
        *(plan_reference_fits(problem, shares, middle, most_s) ? &high : &low) = middle;
    }
    low = high;
    high = most_s;
    for (int i = 0; i < BISECTIONS; i++) {
        double left = low + (high - low) / 3.0;
        double right = high - (high - low) / 3.0;
        double left_s = left + plan_reference_spread_s(problem, shares, left, most_s);
        double right_s = right + plan_reference_spread_s(problem, shares, right, most_s);
        *(left_s <= right_s ? &high : &low) = left_s <= right_s ? right : left;
    }
    return high + plan_reference_spread_s(problem, shares, high, most_s);
}

/* Whether steps can follow each other every period_s. Longer phases never hurt, so gather and
 * spread take all of what two periods leave, and only how they divide it is looked for. */
static inline bool plan_reference_flows(const struct plan_problem *problem,
                                        const struct plan_share *shares, double compute_s,
                                        double period_s)
{
    double moving_s = fmin(2.0 * period_s - compute_s - problem->overhead_s, 2.0 * period_s);
    double low = fmax(moving_s - period_s, 0.0);
    double high = fmin(moving_s, period_s);
    if (compute_s > period_s || problem->overhead_s > period_s || low > high) {
        return false;
    }
    double least = INFINITY;
    for (int i = 0; i < 2 * BISECTIONS && least > 1e-9; i++) {
        double gather_s[2] = {low + (high - low) / 3.0, high - (high - low) / 3.0};
        double excess[2];
        for (int side = 0; side < 2; side++) {
            const double times_s[3] = {gather_s[side], moving_s - gather_s[side], period_s};
            excess[side] = plan_reference_excess(problem, shares, times_s);
            least = fmin(least, excess[side]);
        }
        *(excess[0] <= excess[1] ? &high : &low) = gather_s[excess[0] <= excess[1] ? 1 : 0];
    }
    return least <= 1e-9;
}

/* The least period over all shares. */
static inline double plan_reference_period_s(const struct plan_problem *problem,
                                             const struct plan_share *shares, double compute_s)
{
    double fractions[FIXTURE_NODES] = {1.0};
    double low = compute_s;
    double high = plan_reference_times(problem, shares, fractions).step_s;
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = 0.5 * (low + high);
        *(plan_reference_flows(problem, shares, compute_s, middle) ? &high : &low) = middle;
    }
    return high;
}

#endif
