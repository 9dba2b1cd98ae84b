/* zap - answers the server socket's authentication requests (ZeroMQ RFC 27).
 *
 * libzmq lets everybody in when no handler runs (it fails open), so the handler is bound before
 * the server is, and the server's socket insists on it. Any CURVE key gets in here, and its
 * hexadecimal form comes back as the messages' "User-Id"; who may take part is decided at the
 * hello, where an invite is at hand.
 *
 * Runs a thread of its own. */
#ifndef DUGNAD_PROTO_ZAP_H
#define DUGNAD_PROTO_ZAP_H

#include "common/status.h"

struct zap;

/* Starts the handler of a ZeroMQ context, which is borrowed. The caller owns *out.
 * Errors: OS with a sentence, NO_MEMORY. */
MUST_CHECK enum status zap_new(void *zmq_context, struct zap **out);

/* Waits for the thread: call zmq_ctx_shutdown() before. NULL is allowed. */
void zap_free(struct zap *self);

#endif
