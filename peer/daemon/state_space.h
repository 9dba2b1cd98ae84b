/* state_space - what the state folder may hold. */
#ifndef DUGNAD_PEER_DAEMON_STATE_SPACE_H
#define DUGNAD_PEER_DAEMON_STATE_SPACE_H

#include "common/status.h"

#include <stdint.h>

/* Whether `more_bytes` fit into the folder beside what it and its folders hold, within `bytes_max`.
 * Errors: CANNOT_CREATE with a sentence that names --disk. */
MUST_CHECK enum status state_space_check(const char *folder, uint64_t more_bytes,
                                         uint64_t bytes_max);

#endif
