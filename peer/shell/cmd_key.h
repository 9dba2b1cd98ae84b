/* cmd_key - dugnad-peer key. */
#ifndef DUGNAD_PEER_SHELL_CMD_KEY_H
#define DUGNAD_PEER_SHELL_CMD_KEY_H

#include "common/status.h"

/* argv[0] is "key". Errors leave a sentence for main. */
MUST_CHECK enum status cmd_key(int argc, char **argv);

#endif
