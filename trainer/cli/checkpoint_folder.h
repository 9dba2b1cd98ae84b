/* checkpoint_folder - numbered Hugging Face folders, each of which is there whole or not at all.
 *
 * PARENT/step-000120 is written under a temporary name, synced and renamed. One writer per parent
 * folder. Every error leaves a sentence. */
#ifndef DUGNAD_TRAINER_CLI_CHECKPOINT_FOLDER_H
#define DUGNAD_TRAINER_CLI_CHECKPOINT_FOLDER_H

#include "trainer/formats/hf_folder.h"

#include <stdint.h>

/* Writes `params`, shape (layout_value_count), to PARENT/step-NNNNNN; the parent is made when it is
 * missing. A temporary folder left behind by a crash is replaced. `tokenizer` may be NULL.
 * Errors: CANNOT_CREATE (also when that step's folder is there), IO, NO_MEMORY. */
MUST_CHECK enum status checkpoint_folder_write(const char *parent, uint64_t step,
                                               const struct model_config *config,
                                               const struct layout *layout, const float *params,
                                               const struct tokenizer *tokenizer);

/* Deletes all but the `kept` checkpoints of the highest steps; kept 0 deletes none. Step 0 stays
 * and does not count: from it, another program can repeat the run.
 * Errors: NO_INPUT, IO. */
MUST_CHECK enum status checkpoint_folder_prune(const char *parent, uint32_t kept);

#endif
