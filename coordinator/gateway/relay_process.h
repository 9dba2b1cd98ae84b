/* relay_process - the gateway as a process: started, ended, buried.
 *
 * One owner. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_RELAY_PROCESS_H
#define DUGNAD_COORDINATOR_GATEWAY_RELAY_PROCESS_H

#include "coordinator/gateway/gateway_frame.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The descriptors that a gateway is born with, beside its stderr; it gets no others. */
enum {
    RELAY_GATEWAY_LINK_FD = 3,
    RELAY_GATEWAY_LISTEN_FD = 4, /* of the first port, then those of the others */
    RELAY_GATEWAY_FDS_END = RELAY_GATEWAY_LISTEN_FD + GATEWAY_PORTS
};

enum { RELAY_HOW_BYTES = 64 };

struct relay_process {
    pid_t pid;                 /* 0: none */
    int fd;                    /* our end of the socket to it, which does not block; the caller's */
    char how[RELAY_HOW_BYTES]; /* by what it ended; "": it runs, or relay_process_end() killed it */
};

/* Starts the program dugnad-gateway that lies beside this one, with descriptors that listen.
 * Errors: NO_INPUT (it is not there: says what to do), OS, each with a sentence. */
MUST_CHECK enum status relay_process_start(const int listen_fds[GATEWAY_PORTS],
                                           struct relay_process *out);

/* Waits for its own end, and kills it when that takes longer. It is buried afterwards, and `how` it
 * ended is said in words for a log line. Fine when there is none. */
void relay_process_end(struct relay_process *self, uint64_t wait_ms);

#endif
