/* state_dir - the one folder a peer writes to: its identity and a lock. */
#ifndef DUGNAD_PEER_DAEMON_STATE_DIR_H
#define DUGNAD_PEER_DAEMON_STATE_DIR_H

#include "proto/identity.h"

/* Opens `path`, or with NULL $XDG_STATE_HOME/dugnad or ~/.local/state/dugnad; makes what is
 * missing. The lock is held until the process ends. Errors: UNAVAILABLE (another peer uses it:
 * says to give --state), CANNOT_CREATE, BAD_DATA, REFUSED. */
MUST_CHECK enum status state_dir_open(const char *path, struct identity *out);

#endif
