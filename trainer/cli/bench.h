/* bench - the command `dugnad bench`: how fast a model trains here, and how much of what the
 * machine's matrix products could do that is. */
#ifndef DUGNAD_TRAINER_CLI_BENCH_H
#define DUGNAD_TRAINER_CLI_BENCH_H

#include "common/status.h"

/* argv[0] is "bench". Errors: USAGE, NO_INPUT, NO_MEMORY, OS, and those of reading a folder. */
MUST_CHECK enum status cli_bench(int argc, char **argv);

#endif
