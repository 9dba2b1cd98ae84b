/* checkpoint - the state after a committed step, as a Hugging Face folder plus optimizer state.
 *
 *   checkpoints/step-000100/   config.json, model.safetensors (P), tokenizer files,
 *                              weights.safetensors (float32 master copy), a file for each vector
 *                              that the optimizer keeps (moment1.safetensors, ...), with the mean
 *                              codec mx8 residual.safetensors, state.json (version, optimizer,
 *                              mean codec, digest of P, file hashes)
 *
 * A folder is written under a temporary name and renamed when all of it is on disk. */
#ifndef DUGNAD_COORDINATOR_STORE_CHECKPOINT_H
#define DUGNAD_COORDINATOR_STORE_CHECKPOINT_H

#include "coordinator/store/run_dir.h"
#include "trainer/optimizer/master.h"

/* Writes the checkpoint of the master's version (in the place of one that is there already) and
 * removes the oldest beyond config.checkpoints_kept; version 0 is always kept. Checkpoints of later
 * versions are removed too: they are of a course that the run left when it went back to an older
 * one. `out_path` (FILES_PATH_MAX) gets its folder. Errors: CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status checkpoint_write(const struct run_dir *run, struct master *master,
                                        char *out_path);

/* Loads the newest checkpoint whose hashes are right into `master`; older ones are tried, each
 * fault told through `on_fault` (NULL is allowed). Errors: NO_INPUT (there is none that is
 * whole), BAD_CONFIG (the newest is of another optimizer). A residual that the checkpoint was made
 * without, because its mean codec was another, is zero. `out_path` as above. */
MUST_CHECK enum status checkpoint_load(const struct run_dir *run, struct master *master,
                                       void (*on_fault)(const char *sentence), char *out_path);

#endif
