/* traffic - what one step moves over every link, given who computes, who encodes how and who owns
 * which share: the left sides of the rows in aggregation_plan.h.
 *
 * Pure; thread-safe on distinct data. */
#ifndef DUGNAD_COORDINATOR_PLAN_TRAFFIC_H
#define DUGNAD_COORDINATOR_PLAN_TRAFFIC_H

#include "coordinator/plan/aggregation_plan.h"
#include "coordinator/plan/assignment.h"

struct traffic {
    const struct plan_problem *problem; /* borrowed */
    size_t receiver_count;              /* of updates: all that compute */
    double samples_per_s;               /* of all that compute */
    double contributed_bytes;           /* of all contributions */
    double sums_bytes, update_bytes;    /* of the whole vector */
    double largest_bytes, second_bytes; /* of one contribution, of one other */
    size_t largest_peer;
};

/* Adds up what the computing peers of shares(peer_count) send; updates have the first codec. */
void traffic_init(struct traffic *self, const struct plan_problem *problem,
                  const struct plan_share *shares);

/* Bytes of the whole vector. */
double traffic_encoded_bytes(const struct plan_problem *problem, enum codec codec);

/* Bytes of what a peer contributes; 0 when it rests. */
double traffic_sent_bytes(const struct traffic *self, const struct plan_share *share);

/* Rates that can be divided by: within [1, 1e15] bytes a second, unknown ones INFINITY. */
double traffic_rate(double bytes_per_s);

/* Bytes that the owner of the whole vector gets from all others, and that it fans out to them. */
double traffic_received_bytes(const struct traffic *self, const struct plan_share *share);
double traffic_fanned_bytes(const struct traffic *self, const struct plan_share *share);

/* Seconds that owning the whole vector would take `peer`, but for what it sends of its own: to
 * receive contributions, and to fan out the update. */
double traffic_own_gather_s(const struct traffic *self, const struct plan_share *share,
                            size_t peer);
double traffic_own_spread_s(const struct traffic *self, const struct plan_share *share,
                            size_t peer);

/* Bytes through the coordinator's two directions when it owns `fraction` of the vector. */
double traffic_coordinator_down_bytes(const struct traffic *self, double fraction);
double traffic_coordinator_up_bytes(const struct traffic *self, double fraction);

/* The most that the coordinator may own by coordinator_bytes_max, as long as others can own. */
double traffic_coordinator_fraction_max(const struct traffic *self);

/* Seconds of computing, with all that compute; INFINITY without any. */
double traffic_compute_s(const struct traffic *self);

/* The step that the other times of *times make. */
double traffic_step_s(const struct plan_problem *problem, const struct plan_times *times);

/* Times of the coordinator when it owns `fraction`; then each peer's are added, and the step is
 * summed up. Where nobody computes they stay as the first leaves them. */
void traffic_times_begin(const struct traffic *self, double fraction, struct plan_times *out);
void traffic_times_add(const struct traffic *self, const struct plan_share *share, double fraction,
                       size_t peer, struct plan_times *times);
void traffic_times_end(const struct traffic *self, struct plan_times *times);

/* All of it, for an assignment. */
void traffic_times(const struct traffic *self, const struct assignment *assignment,
                   struct plan_times *out);

#endif
