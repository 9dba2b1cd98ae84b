/* plan_search - who computes and who encodes how, with a linear program for each candidate. Updates
 * have the problem's first codec.
 *
 * Pure; thread-safe on distinct problems. */
#ifndef DUGNAD_COORDINATOR_PLAN_PLAN_SEARCH_H
#define DUGNAD_COORDINATOR_PLAN_PLAN_SEARCH_H

#include "coordinator/plan/assignment.h"

/* Peers that may own: those that aggregate (and compute, when must_compute), at most owners_max of
 * them, in the order of how long the whole vector would take each. shares(peer_count).
 * out(peer_count) is filled with *out_count of them. Errors: NO_MEMORY. */
MUST_CHECK enum status plan_search_owners(const struct plan_problem *problem,
                                          const struct plan_share *shares, bool must_compute,
                                          size_t *out, size_t *out_count);

/* Improves *assignment, which was just initialised and in which somebody computes.
 * *out_fraction_max: the most that a peer may own, relaxed where so few could not own all.
 * *out_step_s: the step by the linear program. Errors: NO_MEMORY. */
MUST_CHECK enum status plan_search_run(const struct plan_problem *problem,
                                       struct assignment *assignment, double *out_fraction_max,
                                       double *out_step_s);

#endif
