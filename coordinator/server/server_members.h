/* server_members - who may take part, as the server asks and tells (members.h). */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_MEMBERS_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_MEMBERS_H

#include "coordinator/server/control.h"
#include "proto/channel.h"
#include "proto/wire.h"

struct server;

/* Opens RUN/members.db; before the first message. Errors: as members_open. */
MUST_CHECK enum status server_members_open(struct server *self);
void server_members_close(struct server *self); /* What was judged is durable, if it can be. */

/* Bars the connections of all keys that are banned; once the channel is open. Errors: as
 * members_list. */
MUST_CHECK enum status server_members_bar(struct server *self);

struct hello_answer {
    bool ignored;              /* an echo of one that was judged: no answer is due */
    enum wire_refusal refusal; /* 0: welcome */
    const char *text;          /* for the volunteer: why not */
};

/* Judges a hello: proof of its key, membership, sequence. What the owner should know is noted. */
struct hello_answer server_members_judge(struct server *self, const struct wire_hello *hello,
                                         const struct channel_message *incoming);

/* Whose a connection's CURVE key is, as an Ed25519 key: of who is here, of whose hello was accepted
 * not long ago, and of whom the owner bars; NULL: not known. Valid until the next call. */
const uint8_t *server_members_name(struct server *self,
                                   const uint8_t curve_key[IDENTITY_KEY_BYTES]);

/* Once a tick: makes durable what was judged, and bars whom the owner banned since the last. */
void server_members_tick(struct server *self);

/* What the owner asks. A ban or a revocation takes effect at once. Errors: as members_command. */
MUST_CHECK enum status server_members_control(struct server *self,
                                              const struct control_request *request,
                                              char reply[CONTROL_REPLY_BYTES_MAX]);

#endif
