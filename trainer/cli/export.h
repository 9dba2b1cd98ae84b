/* export - `dugnad export`: a model for other programs, as a Hugging Face folder or for llama.cpp.
 */
#ifndef DUGNAD_TRAINER_CLI_EXPORT_H
#define DUGNAD_TRAINER_CLI_EXPORT_H

#include "common/status.h"

/* argv[0] is "export". Prints to stdout. Errors: USAGE, CANNOT_CREATE, and those of reading and
 * writing a model; each with a sentence. */
MUST_CHECK enum status cli_export(int argc, char **argv);

#endif
