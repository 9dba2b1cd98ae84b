/* confine - what dugnad-peer gives up before it hears from anybody.
 *
 * Its own address space stays the only thing that a coordinator, or whoever breaks into the peer
 * through one, can use: with the state folder, the means to look up names, and the network. */
#ifndef DUGNAD_PEER_SHELL_CONFINE_H
#define DUGNAD_PEER_SHELL_CONFINE_H

#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

struct confine_wish {
    const char *state;       /* the folder that may be written */
    uint64_t disk_bytes_max; /* what it may hold */
    bool bare;               /* no sandbox; said aloud */
    bool aggregates;         /* others connect */
    bool makes_code;
};

/* In the only thread, once the state folder is there. What the kernel lacks, and `bare`, are told
 * on stderr and in the log. Errors: FULL (the state folder holds more already), OS. */
MUST_CHECK enum status confine(const struct confine_wish *wish);

#endif
