/* oracle_logprobs - `dugnad oracle logprobs`: a model's predictions, token by token.
 *
 * Private to trainer/cli. Prints to stdout
 *     {"rows": [{"ids": [...], "logprobs": [[...], ...], "margins": [...], "continuation": [...]}]}
 * with a natural logarithm for every token of the vocabulary behind each id, and for every added
 * token by how much it is ahead of the next likely one. */
#ifndef DUGNAD_TRAINER_CLI_ORACLE_LOGPROBS_H
#define DUGNAD_TRAINER_CLI_ORACLE_LOGPROBS_H

#include "common/status.h"

/* argv[0] is "logprobs". Errors: USAGE, and what reading the model, the ids or the tokenizer can
 * fail with; each with a sentence. */
MUST_CHECK enum status oracle_logprobs(int argc, char **argv);

#endif
