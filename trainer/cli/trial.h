/* trial - the command `dugnad trial`: what codecs and stale samples cost a run's final loss,
 * against the same run without them, over several seeds. */
#ifndef DUGNAD_TRAINER_CLI_TRIAL_H
#define DUGNAD_TRAINER_CLI_TRIAL_H

#include "common/status.h"

/* argv[0] is "trial". Errors: USAGE, NO_MEMORY, OS, and those of reading a run and its data. */
MUST_CHECK enum status cli_trial(int argc, char **argv);

#endif
