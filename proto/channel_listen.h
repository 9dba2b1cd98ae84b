/* channel_listen - the TCP socket at which a server's door stands.
 *
 * Thread-safe. */
#ifndef DUGNAD_PROTO_CHANNEL_LISTEN_H
#define DUGNAD_PROTO_CHANNEL_LISTEN_H

#include "common/status.h"

#include <stdint.h>

enum {
    CHANNEL_LISTEN_MAX = 300,
    CHANNEL_FILES_PER_CONNECTION = 3 /* TCP, and both ends behind the door */
};

/* Listens at "tcp://ADDRESS:PORT"; the caller owns *out_fd. `option` is what the user chooses
 * another address with, such as "--listen tcp://ADDRESS:PORT". Errors: as channel_server_new. */
MUST_CHECK enum status channel_listen_at(const char *listen, const char *option, int *out_fd,
                                         uint16_t *out_port);

/* The port after that of `listen`, at the same address; for a free one, another free one. Errors:
 * USAGE (not an address, or no port comes after it), with a sentence. */
MUST_CHECK enum status channel_listen_beside(const char *listen, char out[CHANNEL_LISTEN_MAX]);

/* Makes a socket that listens already fit for a door. Errors: OS with a sentence. */
MUST_CHECK enum status channel_listen_on(int listen_fd, uint16_t *out_port);

#endif
