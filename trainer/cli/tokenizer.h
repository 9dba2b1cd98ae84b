/* tokenizer - `dugnad tokenizer`: trains a tokenizer, or turns text into token ids and back. */
#ifndef DUGNAD_TRAINER_CLI_TOKENIZER_H
#define DUGNAD_TRAINER_CLI_TOKENIZER_H

#include "common/status.h"

/* argv[1] is the verb. Errors: as the status says, with a sentence. */
MUST_CHECK enum status cli_tokenizer(int argc, char **argv);

/* The verb train; argv[0] is the verb. */
MUST_CHECK enum status cli_tokenizer_train(int argc, char **argv);

#endif
