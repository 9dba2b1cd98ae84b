/* contributions - who computed what of the step in progress, for the journal. One owner. */
#ifndef DUGNAD_COORDINATOR_SERVER_CONTRIBUTIONS_H
#define DUGNAD_COORDINATOR_SERVER_CONTRIBUTIONS_H

#include "coordinator/store/journal.h"

struct contributions {
    struct journal_contribution *items; /* (count); each owns its ranges */
    size_t count;
    size_t room;
    uint64_t stale_tokens; /* of all of them: computed on the version before the step's */
};

/* Makes room for one more. Errors: NO_MEMORY, FULL (JOURNAL_CONTRIBUTIONS_MAX are there). */
MUST_CHECK enum status contributions_reserve(struct contributions *self);

/* Adds one and copies its ranges. Errors: as contributions_reserve. */
MUST_CHECK enum status contributions_add(struct contributions *self,
                                         const struct journal_contribution *item);

void contributions_clear(struct contributions *self); /* A zeroed one is allowed. */

#endif
