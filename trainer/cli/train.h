/* train - `dugnad train`: a whole run on one machine, without network.
 *
 * Writes OUT/steps.jsonl, one line a step, and OUT/checkpoints/step-NNNNNN as Hugging Face
 * folders. SIGINT and SIGTERM end it after the step at hand, with a checkpoint. */
#ifndef DUGNAD_TRAINER_CLI_TRAIN_H
#define DUGNAD_TRAINER_CLI_TRAIN_H

#include "common/status.h"

/* argv[0] is "train". Errors: USAGE, CANNOT_CREATE (OUT holds a training already), and what
 * reading the configuration, the data or the model, and training itself can fail with; each with
 * a sentence. */
MUST_CHECK enum status cli_train(int argc, char **argv);

#endif
