/* course - where a run stands, followed record by record of its journal.
 *
 * The one home of what a record does to struct journal_state: committing, recovery and verify all
 * go through it, so they cannot differ. Pure. */
#ifndef DUGNAD_COORDINATOR_STORE_COURSE_H
#define DUGNAD_COORDINATOR_STORE_COURSE_H

#include "coordinator/store/journal.h"
#include "coordinator/store/run_dir.h"

/* The settings of run.yaml. */
struct live_settings course_settings(const struct run_config *config);

/* The state of a run at `version` of which no journal tells: whole steps of the settings of
 * run.yaml. */
struct journal_state course_begin(const struct run_dir *run, uint64_t version);

/* Whether the record can follow on `state`, in a run whose samples have `context` tokens; when not,
 * why goes to `text`, without a full stop. */
bool course_fits(const struct journal_state *state, const struct journal_record *record,
                 uint32_t context, char text[JOURNAL_TEXT_MAX]);

/* What the record does to `state`. */
void course_take(struct journal_state *state, const struct journal_record *record);

#endif
