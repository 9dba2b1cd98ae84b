/* channel_inner - where a ROUTER listens behind its door: at no address that others can reach.
 *
 * An abstract unix address that nobody can guess, at which libzmq takes connections of this process
 * alone: the kernel says whose they are.
 *
 * One owner per socket. */
#ifndef DUGNAD_PROTO_CHANNEL_INNER_H
#define DUGNAD_PROTO_CHANNEL_INNER_H

#include "proto/channel/door.h"

/* Binds a ROUTER that is set up otherwise. Errors: OS with a sentence. */
MUST_CHECK enum status channel_inner_bind(void *socket, struct door_inner *out);

#endif
