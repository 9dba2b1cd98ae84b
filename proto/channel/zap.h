/* zap - answers the server sockets' authentication requests (ZeroMQ RFC 27).
 *
 * libzmq lets everybody in when no handler runs (it fails open), so the handler is bound before
 * a server is, and the server's socket insists on it. Any CURVE key gets in here that is not
 * barred; who may take part is decided at the hello, where an invite is at hand. Each handshake
 * gets a number, which comes back with the key as the messages' "User-Id": it names their
 * connection.
 *
 * Runs a thread of its own. Its functions may be called by any thread. */
#ifndef DUGNAD_PROTO_CHANNEL_ZAP_H
#define DUGNAD_PROTO_CHANNEL_ZAP_H

#include "proto/channel_incident.h"

#include <stdbool.h>

struct zap;

/* Starts the handler of a ZeroMQ context, which is borrowed. The caller owns *out.
 * Errors: OS with a sentence, NO_MEMORY. */
MUST_CHECK enum status zap_new(void *zmq_context, struct zap **out);

/* Waits for the thread: call zmq_ctx_shutdown() before. NULL is allowed. */
void zap_free(struct zap *self);

/* Bars a key at all servers of the context, or lets it in again. From when this returns no
 * handshake of a barred key succeeds. Errors: FULL (CHANNEL_BARRED_MAX are barred), NO_MEMORY. */
MUST_CHECK enum status zap_bar(struct zap *self, const uint8_t curve_key[IDENTITY_KEY_BYTES],
                               bool barred);
bool zap_is_barred(struct zap *self, const uint8_t curve_key[IDENTITY_KEY_BYTES]);

/* The next handshake that was refused because its key is barred; false: none. As few as
 * channel_server_incident tells, and at whichever server of the context asks first. */
MUST_CHECK bool zap_incident(struct zap *self, struct channel_incident *out);

/* Ends the handler while the context goes on, so that a test sees that nobody gets in then.
 * Errors: OS. */
MUST_CHECK enum status zap_stop(struct zap *self);

/* Reads a "User-Id". False: it is none of this handler's. */
MUST_CHECK bool zap_read_user_id(const char *text, uint8_t out_key[IDENTITY_KEY_BYTES],
                                 uint64_t *out_connection);

/* What gives connections their numbers, the latest one: from 1, and never the same twice in this
 * process. */
_Atomic uint64_t *zap_counter(void);

#endif
