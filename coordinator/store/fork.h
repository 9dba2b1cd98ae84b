/* fork - a new run that begins where another one stood after some step. */
#ifndef DUGNAD_COORDINATOR_STORE_FORK_H
#define DUGNAD_COORDINATOR_STORE_FORK_H

#include "coordinator/store/run_dir.h"

/* Makes the run `to_path` from `from` as it was after `version` steps: its parameters, optimizer
 * state and settings of then, the same data and the samples that follow, a key and a journal of its
 * own. `name`: that of the new run. Nothing of `from` changes; `to_path` appears whole or not at
 * all. Errors: CANNOT_CREATE (it is there already), OUT_OF_RANGE (no kept checkpoint leads to that
 * step), USAGE (the name), and those of store_replay_to. */
MUST_CHECK enum status run_fork(const struct run_dir *from, uint64_t version, const char *name,
                                const char *to_path);

#endif
