/* cmd_join - dugnad-peer join. */
#ifndef DUGNAD_PEER_SHELL_CMD_JOIN_H
#define DUGNAD_PEER_SHELL_CMD_JOIN_H

#include "common/status.h"

/* argv[0] is "join". Errors leave a sentence for main. */
MUST_CHECK enum status cmd_join(int argc, char **argv);

#endif
