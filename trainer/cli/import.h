/* import - `dugnad import`: a Hugging Face folder from elsewhere as a folder of ours. */
#ifndef DUGNAD_TRAINER_CLI_IMPORT_H
#define DUGNAD_TRAINER_CLI_IMPORT_H

#include "common/status.h"

/* argv[0] is "import". Prints to stdout. Errors: USAGE, CANNOT_CREATE, and those of reading and
 * writing a model; each with a sentence. */
MUST_CHECK enum status cli_import(int argc, char **argv);

#endif
