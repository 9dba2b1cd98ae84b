/* aggregation_plan - who computes, who sums which part of the gradient, and who encodes how.
 *
 * DeDLOC's program (Diskin et al., "Distributed Deep Learning in Open Collaborations", 2021,
 * section 3.2) with this protocol's traffic: a contributor sends each chunk once, to the chunk's
 * owner; an owner returns one exact sum to the coordinator, gets one update chunk from it and fans
 * it out to all that compute. With the share f[j] of the vector that owner j sums (0 is the
 * coordinator), c[i] = 1 when i computes, G[i] the bytes of i's contribution, R those of the exact
 * sums, U those of the update, all over the links' rates u (up) and d (down):
 *
 *   gather:  up   of peer i    c[i] G[i] (1 - f[i]) + f[i] R                  <= u[i] t_gather
 *            down of owner j   f[j] (sum of c[k] G[k], k != j)                <= d[j] t_gather
 *            pair to owner j   f[j] (largest c[k] G[k], k != j)               <= t[j] t_gather
 *            coordinator       down: f[0] sum c[k] G[k] + (1 - f[0]) R
 *   spread:  down of peer i    U (computing), f[i] U (only summing)           <= d[i] t_spread
 *            up   of owner j   f[j] U (receivers other than j)                <= u[j] t_spread
 *            coordinator       up: (1 - f[0]) U + f[0] U (receivers)
 *
 * What an owner contributes to its own share, and the update of that share, cross no link twice.
 * Who rests fetches updates later and is no receiver. For a fixed set of computing peers and their
 * codecs this is a linear program in f, t_gather and t_spread: the least t_gather + t_spread. A
 * step takes compute + gather + spread + overhead.
 *
 * With overlap, steps are a pipeline. Step t + 1 may be computed, and gathered, with the weights
 * before the update of t, but not before those of t - 1: from the weights of one step to those
 * after the next all of a step happens once, in two periods. Of a period T
 *
 *   every link, each way   bytes of gather + bytes of spread  <= rate T
 *   the pipeline           compute + t_gather + t_spread + overhead <= 2 T
 *   each part by itself    compute, t_gather, t_spread, overhead <= T
 *
 * and this is enough: phases drawn out to t_gather + t_spread = 2 T - compute - overhead, none
 * beyond T, leave every link the time it needs. The program then is the least T, and next to that
 * the least t_gather + t_spread, which what is computed meanwhile is stale by.
 *
 * Who computes is found by dropping first the slowest links, then, among what is left, the slowest
 * machines. Everybody computes with the best codec unless a step gets 3% shorter otherwise; then as
 * few as possible, the slowest links, use a coarser one. Updates cost every peer's precision: a
 * coarser codec must make the step 10% shorter. The same problem gives the same plan (ties
 * go to the lower index), as far as CLP's arithmetic does.
 *
 * Pure; thread-safe on distinct problems. */
#ifndef DUGNAD_COORDINATOR_PLAN_AGGREGATION_PLAN_H
#define DUGNAD_COORDINATOR_PLAN_AGGREGATION_PLAN_H

#include "common/status.h"
#include "proto/codec/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PLAN_PEERS_MAX = 16384,
    PLAN_OWNERS_MAX = 256,
    PLAN_CODECS_MAX = 4,
    PLAN_CHUNKS_MAX = 1 << 20
};

/* All rates are finite; what lies outside 1 byte/s and 1 PB/s counts as the nearer of the two. */
struct plan_peer {
    double up_bytes_per_s;   /* > 0 */
    double down_bytes_per_s; /* > 0 */
    double samples_per_s;    /* 0: does not compute */
    bool aggregates;         /* willing, reachable and believed */
    /* As an owner: the slowest contributor's rate towards it, where measured; 0: only the links
     * limit it. */
    double pair_bytes_per_s;
};

struct plan_problem {
    const struct plan_peer *peers;                                   /* (peer_count) */
    size_t peer_count;                                               /* <= PLAN_PEERS_MAX */
    double coordinator_up_bytes_per_s, coordinator_down_bytes_per_s; /* 0: no limit is known */
    /* The most that the coordinator should move in a step, both ways; 0: no limit. It bounds the
     * coordinator's own share as long as there are peers to own the rest. */
    double coordinator_bytes_max;
    size_t value_count;         /* of the parameter vector; at most PLAN_CHUNKS_MAX chunks */
    double target_batch;        /* samples of a step, > 0 */
    double sum_bytes_per_value; /* of packed exact sums, as measured, (0, 16]; 2 for mx8 */
    /* (0, 1]: the most one peer may own, so that losing it costs little. Where so few peers can own
     * that they could not own all, it is relaxed evenly, to 1 / owners: a slow coordinator is
     * not made to take the rest. Rounded up to whole chunks. */
    double fraction_max;
    /* Peers that own; <= PLAN_OWNERS_MAX. With more candidates, those that would take the least
     * time for the whole vector. */
    size_t owners_max;
    size_t codec_count;                        /* > 0 */
    enum codec codecs[PLAN_CODECS_MAX];        /* allowed for contributions, best first */
    size_t update_codec_count;                 /* > 0 */
    enum codec update_codecs[PLAN_CODECS_MAX]; /* allowed for updates, best first */
    double overhead_s; /* of a step besides these: the optimiser, messages; 0 or more */
    bool overlap;      /* max_staleness 1 */
    bool may_rest;     /* peers may be told not to compute */
};

struct plan_share {
    bool computes;
    enum codec codec;     /* of its contributions */
    uint32_t first_chunk; /* of what it owns */
    uint32_t chunk_count; /* 0: owns nothing */
};

struct plan_times {
    double compute_s, gather_s, spread_s;
    double busy_s; /* gather and spread of the link, one way, that moves for longest */
    double step_s; /* compute_s and step_s are INFINITY when nobody computes */
    /* Of a step's samples, those computed between the hand-in of the step before and its update;
     * peers compute as soon as they may. 0 without overlap. */
    double stale_share;
    double coordinator_up_bytes, coordinator_down_bytes;
};

struct aggregation_plan {
    struct plan_share *shares; /* (peer_count), owned */
    size_t peer_count;
    uint32_t coordinator_first_chunk, coordinator_chunk_count;
    enum codec update_codec;
    struct plan_times predicted; /* of the chunks as they were cut */
    /* Of the linear program (of the even shares with PLAN_ALL_REDUCE), before the shares were cut.
     */
    double bound_step_s;
};

enum plan_strategy {
    PLAN_PARAMETER_SERVER, /* the coordinator owns everything */
    PLAN_ALL_REDUCE, /* uniform over those that compute and aggregate, the coordinator owns nothing;
                        a parameter server when there are none */
    PLAN_ADAPTIVE    /* the program; never slower than the other two */
};

/* Makes a plan: the ranges of the coordinator and of the peers, in their order, cover every chunk
 * once. With the two fixed strategies all that can compute do so, with the first codecs. When
 * nobody computes, or nobody aggregates, the coordinator owns everything. The caller ends *out with
 * plan_deinit(). Errors: BAD_CONFIG (a setting), OUT_OF_RANGE (a rate), each with a sentence,
 * NO_MEMORY; *out is then empty, and plan_deinit() allowed. */
MUST_CHECK enum status plan_make(const struct plan_problem *problem, enum plan_strategy strategy,
                                 struct aggregation_plan *out);
void plan_deinit(struct aggregation_plan *self);

/* What the traffic above takes with any assignment of the same peers (for predictions of a plan in
 * force under new rates). `problem` is one that plan_make() accepts. */
void plan_predict(const struct plan_problem *problem, const struct aggregation_plan *plan,
                  struct plan_times *out);

#endif
