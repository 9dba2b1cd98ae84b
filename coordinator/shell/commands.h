/* commands - what dugnad-coordinator can be asked to do; argv[0] is the command's name.
 *
 * Errors leave a sentence for main. */
#ifndef DUGNAD_COORDINATOR_SHELL_COMMANDS_H
#define DUGNAD_COORDINATOR_SHELL_COMMANDS_H

#include "common/status.h"

MUST_CHECK enum status cmd_init(int argc, char **argv);
MUST_CHECK enum status cmd_serve(int argc, char **argv);
MUST_CHECK enum status cmd_invite(int argc, char **argv);
MUST_CHECK enum status cmd_status(int argc, char **argv);
MUST_CHECK enum status cmd_credit(int argc, char **argv);

enum { COORDINATOR_PORT_DEFAULT = 7700 };

#endif
