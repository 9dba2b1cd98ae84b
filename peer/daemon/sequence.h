/* sequence - STATE/sequence: how many hellos this key has said, over all starts of the peer.
 *
 * A coordinator takes no number twice. So it sees when a second copy of the key is at work, or when
 * the state folder was put back from an older copy. One owner. */
#ifndef DUGNAD_PEER_DAEMON_SEQUENCE_H
#define DUGNAD_PEER_DAEMON_SEQUENCE_H

#include "common/files.h"

struct sequence {
    char path[FILES_PATH_MAX];
    uint64_t last; /* that was given out; 0: none */
};

/* Reads the number in the folder; a folder without one begins. Errors: BAD_DATA (the file holds
 * anything else), NO_INPUT, IO, NO_MEMORY, USAGE, with a sentence. */
MUST_CHECK enum status sequence_open(const char *folder, struct sequence *out);

/* A number higher than all before; it is durable before this returns, so that no crash gives it out
 * again. Errors: CANNOT_CREATE (nothing was given out: try later), IO (the process must end),
 * OUT_OF_RANGE, with a sentence. */
MUST_CHECK enum status sequence_next(struct sequence *self, uint64_t *out);

#endif
