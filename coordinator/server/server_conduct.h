/* server_conduct - what the server does about peers that do not keep to the rules: it notes each
 * offence, cuts who has reached the limit of conduct.h, and lets nobody fill the log. */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_CONDUCT_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_CONDUCT_H

#include "coordinator/server/conduct.h"
#include "proto/channel.h"
#include "proto/wire.h"

struct server;
struct session;

enum {
    /* Lines about what remote sides did, of all together; the rest is counted and told as one. */
    SERVER_LINES_MAX = 20,
    SERVER_LINE_MS = 200
};

struct server_conduct {
    struct conduct *conduct;
    unsigned lines_left;
    uint64_t line_ms; /* when one was given back last */
    uint64_t untold;
    uint64_t untold_ms; /* when their count was told last */
};

/* Errors: NO_MEMORY with a sentence. */
MUST_CHECK enum status server_conduct_open(struct server *self);
void server_conduct_close(struct server *self);

/* Notes an offence of the session's peer; `what` is a static sentence. True: that was too much. The
 * session is gone then, and its connection. */
bool server_offend(struct server *self, struct session *session, enum conduct_offence offence,
                   const char *what);

/* Ends the connection of a peer that stalled. Its session stays for it to come back to, until it
 * has offended too much: the first time in a while is no offence, each other one is. */
void server_stalled(struct server *self, struct session *session, const char *what);

/* What an honest peer might say in a moment of confusion: the session ends, as its peer no longer
 * knows where it stands, and it counts as a false word. */
void server_breach(struct server *self, struct session *session, const char *what);

/* The same of who sent this, with or without a session. A stranger is cut. */
void server_offend_sender(struct server *self, const struct channel_message *incoming,
                          enum conduct_offence offence, const char *what);

/* Ends the connection, and the session if it is of one, of who sent what is no message. */
void server_malformed(struct server *self, const struct channel_message *incoming);

/* Counts the bytes of a chunk that nobody waits for. */
void server_unasked(struct server *self, const struct channel_message *incoming);

/* Whether a hello over this connection may be looked at; otherwise it was cut, or is ignored. */
MUST_CHECK bool server_may_greet(struct server *self, const struct channel_message *incoming);

/* Whether who has no session is to be told so. */
MUST_CHECK bool server_may_answer(struct server *self, const struct channel_message *incoming);

/* Whether a message of this type by the session's peer may be looked at. False: said too often. The
 * session may be gone then. */
MUST_CHECK bool server_may_say(struct server *self, struct session *session, enum wire_type type);

/* Its contribution was counted; it left, or was expelled (`held`: after it held work to the end of
 * its time), with work that nothing came of. */
void server_conduct_counted(struct server *self, struct session *session);
void server_conduct_wasted(struct server *self, const struct session *session, bool held);

/* Whether the peer gets no work for now, for what it made of earlier work. */
bool server_conduct_rests(const struct server *self, const struct session *session);

/* The run's owner lets this Ed25519 key in again. */
void server_conduct_forgive(struct server *self, const uint8_t public_key[IDENTITY_KEY_BYTES]);

/* Lets in again whose time is over. Called at every tick. */
void server_conduct_tick(struct server *self);

/* Whether a line about what some remote side did may be logged; a false is counted. */
MUST_CHECK bool server_may_tell(struct server *self);

#endif
