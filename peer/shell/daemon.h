/* daemon - runs one peer until the run is finished or its user stops it. */
#ifndef DUGNAD_PEER_SHELL_DAEMON_H
#define DUGNAD_PEER_SHELL_DAEMON_H

#include "peer/shell/compute.h"
#include "proto/link.h"

struct daemon_options {
    struct join_link link;
    char name[WIRE_NAME_MAX];
    struct compute_settings compute;
    uint64_t first_ms_max; /* give up when nobody answers for this long at the start; 0: never */
};

/* Joins and computes. SIGINT/SIGTERM: finish the sequence, hand in what is done, leave.
 * OK when the run is finished or the peer left. Errors: NO_HOST, REFUSED, NO_MEMORY, ... with a
 * sentence. */
MUST_CHECK enum status daemon_run(const struct daemon_options *options,
                                  const struct identity *identity);

#endif
