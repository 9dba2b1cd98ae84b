/* assignment - who computes with which codec, and which share of the vector each owns: a plan
 * before it is cut into chunks.
 *
 * Pure. One owner; not thread-safe. */
#ifndef DUGNAD_COORDINATOR_PLAN_ASSIGNMENT_H
#define DUGNAD_COORDINATOR_PLAN_ASSIGNMENT_H

#include "coordinator/plan/aggregation_plan.h"

struct assignment {
    size_t peer_count;
    struct plan_share *shares; /* (peer_count); of it only computes and codec */
    double *fractions;         /* (peer_count) */
    double coordinator_fraction;
};

/* All that can compute do so with the first codec, and the coordinator owns everything.
 * The caller ends it with assignment_deinit(). Errors: NO_MEMORY, then it is empty. */
MUST_CHECK enum status assignment_init(struct assignment *self, const struct plan_problem *problem);
void assignment_deinit(struct assignment *self);

void assignment_copy(struct assignment *self, const struct assignment *from);

/* Nobody owns anything but the coordinator. */
void assignment_own_centrally(struct assignment *self);

/* Each of owners(owner_count) owns the same, the coordinator nothing. owner_count > 0. */
void assignment_own_evenly(struct assignment *self, const size_t *owners, size_t owner_count);

#endif
