/* data - `dugnad data build`: text files to token shards. */
#ifndef DUGNAD_TRAINER_CLI_DATA_H
#define DUGNAD_TRAINER_CLI_DATA_H

#include "common/status.h"

/* argv[0] is "data". Prints to stdout. Errors: USAGE, and those of data_build. */
MUST_CHECK enum status cli_data(int argc, char **argv);

#endif
