/* oracle - `dugnad oracle grad|train|logprobs`: our losses, gradients, training steps and
 * predictions in a form that can be compared with another program's numbers.
 *
 * Prints to stdout. One thread, so that two runs give the same bits. */
#ifndef DUGNAD_TRAINER_CLI_ORACLE_H
#define DUGNAD_TRAINER_CLI_ORACLE_H

#include "common/status.h"

/* argv[0] is "oracle", argv[1] the verb. Errors: USAGE, and what reading the model, the ids or
 * writing the gradient can fail with; each with a sentence. */
MUST_CHECK enum status cli_oracle(int argc, char **argv);

#endif
