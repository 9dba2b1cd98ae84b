/* state_dir - the one folder a peer writes to: its identity, how many hellos it has said, a lock.
 */
#ifndef DUGNAD_PEER_DAEMON_STATE_DIR_H
#define DUGNAD_PEER_DAEMON_STATE_DIR_H

#include "peer/daemon/sequence.h"
#include "proto/identity.h"

/* Writes to `out` (FILES_PATH_MAX bytes) the folder that `path` means, as state_dir_open has it.
 * Errors: USAGE. */
MUST_CHECK enum status state_dir_find(const char *path, char *out);

/* Opens `path`, or with NULL $XDG_STATE_HOME/dugnad or ~/.local/state/dugnad; makes what is
 * missing. The lock is held until the process ends. Errors: UNAVAILABLE (another peer uses it:
 * says to give --state), CANNOT_CREATE, BAD_DATA, REFUSED. */
MUST_CHECK enum status state_dir_open(const char *path, struct identity *out,
                                      struct sequence *out_sequence);

/* The public key of the folder that state_dir_open would open, also while another process uses it;
 * makes an identity where there is none, so that its owner can be given the key first. Errors: as
 * above, but for UNAVAILABLE. */
MUST_CHECK enum status state_dir_key(const char *path, uint8_t out[IDENTITY_KEY_BYTES]);

#endif
