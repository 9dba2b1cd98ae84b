/* server_incident - what somebody did that the run's owner should know, for RUN/members.db and the
 * log.
 *
 * Alike ones are counted together and the rest is bounded (members_note), so it may be called for
 * whatever a remote side does, however often. */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_INCIDENT_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_INCIDENT_H

#include "proto/identity.h"

struct server;
struct session;

/* `session` NULL: it has none; host "": not known. `kind` is one word in the manner of
 * bad_signature, `text` one sentence or "". */
void server_incident(struct server *self, const struct session *session, const char *host,
                     const char *kind, const char *text);

/* The same by an Ed25519 key, with or without a session. */
void server_incident_by(struct server *self, const uint8_t public_key[IDENTITY_KEY_BYTES],
                        const char *host, const char *kind, const char *text);

/* Notes what the channel cut since the last call. */
void server_incident_take(struct server *self);

#endif
