/* sample_count - whether the contributions to a step hold each of its samples exactly once. Pure.
 *
 * That they hold no others is what journal.h says of a step that was read. */
#ifndef DUGNAD_COORDINATOR_STORE_SAMPLE_COUNT_H
#define DUGNAD_COORDINATOR_STORE_SAMPLE_COUNT_H

#include "coordinator/store/journal.h"

struct sample_count {
    uint64_t applied;    /* different samples of the step that were applied */
    uint64_t duplicated; /* applied once more, each time */
    uint64_t missing;    /* not applied */
};

/* Counts over all ranges of the step. Errors: NO_MEMORY. */
MUST_CHECK enum status sample_count_of(const struct journal_step *step, struct sample_count *out);

#endif
