/* checkpoint - the state after a committed step, as a Hugging Face folder plus optimizer state.
 *
 *   checkpoints/step-000100/   config.json, model.safetensors (P), tokenizer files,
 *                              weights.safetensors (float32 master copy), a file for each vector
 *                              that the optimizer keeps (moment1.safetensors, ...), with the mean
 *                              codec mx8 residual.safetensors, state.json (version, optimizer,
 *                              mean codec, digest of P, file hashes, where the journal stood)
 *
 * A folder is written under a temporary name and renamed when all of it is on disk. */
#ifndef DUGNAD_COORDINATOR_STORE_CHECKPOINT_H
#define DUGNAD_COORDINATOR_STORE_CHECKPOINT_H

#include "coordinator/store/journal.h"
#include "coordinator/store/run_dir.h"
#include "trainer/optimizer/master.h"

/* Where the journal stood when a checkpoint was written. */
struct checkpoint_mark {
    struct journal_state state;
    uint64_t sequence;  /* of the latest record */
    struct digest hash; /* of that record */
};

/* Writes the checkpoint of the master's version (in the place of one that is there already). `mark`
 * is NULL for a run that has no journal yet. `out_path` (FILES_PATH_MAX) gets its folder. Errors:
 * CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status checkpoint_write(const struct run_dir *run, struct master *master,
                                        const struct checkpoint_mark *mark, char *out_path);

/* Versions of the checkpoints that are there, whole or not, ascending, into *out (free()).
 * Errors: NO_INPUT, NO_MEMORY, FULL. */
MUST_CHECK enum status checkpoint_list(const struct run_dir *run, uint64_t **out,
                                       size_t *out_count);

/* The path of a version's folder, to `out_path` (FILES_PATH_MAX). Errors: USAGE (too long). */
MUST_CHECK enum status checkpoint_path(const struct run_dir *run, uint64_t version, char *out_path);

/* What state.json says of the journal; *out_has false: nothing. Errors: NO_INPUT, BAD_DATA. */
MUST_CHECK enum status checkpoint_mark_of(const struct run_dir *run, uint64_t version,
                                          bool *out_has, struct checkpoint_mark *out);

/* The digest of P that state.json holds. Errors: NO_INPUT, BAD_DATA. */
MUST_CHECK enum status checkpoint_digest(const struct run_dir *run, uint64_t version,
                                         struct digest *out);

/* Loads one checkpoint into `master`, all hashes checked, and gives the master the settings of its
 * mark. A residual that it was made without, because its mean codec was another, is zero. Errors:
 * NO_INPUT, BAD_DATA, CORRUPT, IO (it is not whole; `master` holds anything), BAD_CONFIG (it is of
 * another optimizer), NO_MEMORY. */
MUST_CHECK enum status checkpoint_load_version(const struct run_dir *run, uint64_t version,
                                               struct master *master);

/* Loads the newest one that is whole; older ones are tried, each fault told through `on_fault`
 * (NULL is allowed). Errors: NO_INPUT (there is none that is whole), BAD_CONFIG and NO_MEMORY as
 * above. `out_path` as checkpoint_write. */
MUST_CHECK enum status checkpoint_load(const struct run_dir *run, struct master *master,
                                       void (*on_fault)(const char *sentence), char *out_path);

/* Compares all that the checkpoint of the master's version holds with `master`, bit for bit, and
 * its file hashes. Errors: CORRUPT (with a sentence: which file) and those of
 * checkpoint_load_version. */
MUST_CHECK enum status checkpoint_compare(const struct run_dir *run, struct master *master);

/* Checks the hashes of all files that state.json names, which must be whole itself. Errors:
 * NO_INPUT, BAD_DATA, CORRUPT, IO, with a sentence. */
MUST_CHECK enum status checkpoint_check(const struct run_dir *run, uint64_t version);

/* Removes the oldest beyond config.checkpoints_kept, but keeps at least
 * RUN_CHECKPOINTS_KEPT_MIN; version 0 is always kept and does not count. *out_oldest: the oldest
 * that is kept and counts, when there are as many as should be kept; else 0. Errors: IO, NO_INPUT,
 * NO_MEMORY. */
MUST_CHECK enum status checkpoint_prune(const struct run_dir *run, uint64_t *out_oldest);

/* Renames the checkpoint to damaged-N, so that nobody loads it and a person still can.
 * Errors: IO, CANNOT_CREATE. */
MUST_CHECK enum status checkpoint_set_aside(const struct run_dir *run, uint64_t version);

/* Removes what a crash left of checkpoints that were being written. Errors: IO, NO_INPUT. */
MUST_CHECK enum status checkpoint_remove_torn(const struct run_dir *run);

#endif
