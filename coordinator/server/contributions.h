/* contributions - who computed what of a step, for the journal and for who asks again. One owner.
 */
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

/* True when it holds one of this key with exactly these ranges, whose bytes may have been others.
 */
bool contributions_have(const struct contributions *self, const uint8_t key[IDENTITY_KEY_BYTES],
                        const struct sample_range *ranges, size_t range_count);

void contributions_clear(struct contributions *self); /* A zeroed one is allowed. */

#endif
