/* eval - `dugnad eval`: the loss of a model on a split of the data, or on a text. */
#ifndef DUGNAD_TRAINER_CLI_EVAL_H
#define DUGNAD_TRAINER_CLI_EVAL_H

#include "common/status.h"

/* argv[0] is "eval". Prints to stdout. The same loss for every number of threads. Errors: USAGE,
 * BAD_CONFIG (model and data do not belong together), OUT_OF_RANGE (the loss is no number), and
 * those of reading model and data. */
MUST_CHECK enum status cli_eval(int argc, char **argv);

#endif
