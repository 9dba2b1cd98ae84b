/* server_gather - the shell of gather: contributions on their way to owners, what owners return,
 * and what becomes of the step when all is there.
 *
 * Its state is its own (struct server_gather). A contribution that is routed keeps its session's
 * offer until its verdict; the core waits for it as for an upload. */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_GATHER_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_GATHER_H

#include "coordinator/server/sessions.h"
#include "proto/channel.h"

struct server;
struct server_gather;

/* Errors: NO_MEMORY. */
MUST_CHECK enum status server_gather_open(struct server *self);
void server_gather_close(struct server *self); /* Fine when never opened. */

/* The core wants what this session offers. True: its owners get it, in this round or the next one,
 * and CORE_RECEIVED follows when that is gathered. False: it is to be fetched. */
MUST_CHECK bool server_gather_fetch(struct server *self, struct session *session, uint64_t now_ms);

/* True when the sums of what this session offers are in the aggregate already. */
bool server_gather_is_merged(const struct server *self, const struct session *session);

/* So many tokens were added to the aggregate's sums as one contribution. */
void server_gather_count(struct server *self, uint64_t tokens);

/* The session's offer is gone: counted, refused, or the session is. */
void server_gather_drop(struct server *self, const struct session *session);

/* The peer with this number (routes.h) is lost for good; or there on a new connection. */
void server_gather_lost(struct server *self, uint32_t number);
void server_gather_back(struct server *self, uint32_t number);

/* A chunk from a peer. True: it was for here. */
MUST_CHECK bool server_gather_chunk(struct server *self, struct session *session,
                                    const struct blob_chunk_header *header,
                                    const struct channel_message *incoming, uint64_t now_ms);

/* HOLDS of an owner. */
void server_gather_holds(struct server *self, const struct session *session,
                         const struct wire_holds *holds, uint64_t now_ms);

/* Every turn: sums, says what is to be said, counts the round when it is complete. Errors: the run
 * must stop. */
MUST_CHECK enum status server_gather_turn(struct server *self, uint64_t now_ms);

/* The step was committed. */
void server_gather_end(struct server *self);

bool server_gather_is_routing(const struct server *self); /* contributions are on their way */
bool server_gather_is_busy(const struct server *self);    /* a turn is due without waiting */

/* What packed sums took of late, bytes a value. */
double server_gather_sum_bytes(const struct server *self);

#endif
