/* gateway - the process that owns the coordinator's public ports, and all parsing of what
 * comes through them.
 *
 * It moves messages between proto/channel/ (libzmq) and the core, which it hears and tells over one
 * socket (gateway_frame.h). Only heads that are good, and of a type that this side may get, cross;
 * whoever sends others is cut. It knows the CURVE key pair and nothing else of the run: no files,
 * no Ed25519 key. It ends with the core; when it ends itself, the core starts another.
 *
 * One thread, besides those of the channel. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_GATEWAY_H
#define DUGNAD_COORDINATOR_GATEWAY_GATEWAY_H

#include "coordinator/gateway/gateway_facts.h"

/* Serves until the core ends the stream. Takes all descriptors: the stream to the core, and TCP
 * sockets that listen, by port. Errors: PROTOCOL, STALE, NO_MEMORY, OS, with a sentence; the core
 * is told. */
MUST_CHECK enum status gateway_serve(int link_fd, const int listen_fds[GATEWAY_PORTS]);

#endif
