/* plan_cut - shares of the vector to whole chunks, in contiguous ranges.
 *
 * Pure; thread-safe on distinct data. */
#ifndef DUGNAD_COORDINATOR_PLAN_PLAN_CUT_H
#define DUGNAD_COORDINATOR_PLAN_PLAN_CUT_H

#include "coordinator/plan/assignment.h"

/* Chunks of the whole vector. */
uint32_t plan_cut_chunk_count(const struct plan_problem *problem);

/* The most chunks of a peer that may own fraction_max. */
uint32_t plan_cut_chunks_max(const struct plan_problem *problem, double fraction_max);

/* Gives each its chunks in out->shares(peer_count) and out->coordinator_...: first the coordinator,
 * then the peers in their order. Owners of next to nothing are dropped first: each would cost all
 * contributors a connection. No peer gets more than fraction_max (rounded up to a whole chunk).
 * Errors: NO_MEMORY. */
MUST_CHECK enum status plan_cut_chunks(const struct plan_problem *problem,
                                       const struct assignment *assignment, double fraction_max,
                                       struct aggregation_plan *out);

/* The part of the vector's values in chunk_count chunks from first_chunk. */
double plan_cut_fraction(const struct plan_problem *problem, uint32_t first_chunk,
                         uint32_t chunk_count);

#endif
