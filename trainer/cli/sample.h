/* sample - `dugnad sample`: continues a text with a model. */
#ifndef DUGNAD_TRAINER_CLI_SAMPLE_H
#define DUGNAD_TRAINER_CLI_SAMPLE_H

#include "common/status.h"

/* argv[0] is "sample". Prompt and text stream to stdout; SIGINT and SIGTERM end a text cleanly.
 * Errors: USAGE, BAD_CONFIG (model and tokenizer do not belong together), OUT_OF_RANGE (the model
 * computes no numbers), IO, and those of reading the prompt and the model. */
MUST_CHECK enum status cli_sample(int argc, char **argv);

#endif
