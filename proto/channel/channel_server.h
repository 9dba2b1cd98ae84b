/* channel_server - what only programs with ZeroMQ of their own ask of a server. */
#ifndef DUGNAD_PROTO_CHANNEL_SERVER_H
#define DUGNAD_PROTO_CHANNEL_SERVER_H

#include "proto/channel.h"

/* As channel_server_new, at a TCP socket that is bound and listens already: the server takes it
 * over when the result is OK, and then closes it in the end. Errors: OS, FULL. */
MUST_CHECK enum status channel_server_new_at(struct channel_set *set, enum channel_use use,
                                             int listen_fd, const struct identity *identity,
                                             struct channel_server **out);

#endif
