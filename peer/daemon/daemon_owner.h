/* daemon_owner - a peer as aggregator: its bulk port, the sums of its fraction, updates passed on.
 *
 * Whoever connects shows a ticket that the coordinator signed for its key: a pass lets it fetch
 * updates, a contribution's ticket lets it deliver that one. The daemon tells what the coordinator
 * says, and sends what is due to it. What strangers send costs them their connection, and nothing
 * else.
 *
 * One owner. */
#ifndef DUGNAD_PEER_DAEMON_DAEMON_OWNER_H
#define DUGNAD_PEER_DAEMON_DAEMON_OWNER_H

#include "peer/daemon/offers.h"
#include "peer/daemon/pace.h"
#include "peer/daemon/shelf.h"
#include "proto/channel.h"

struct daemon_owner;

struct daemon_owner_settings {
    const char *listen; /* tcp://ADDRESS:PORT */
    const struct identity *identity;
    uint8_t coordinator_key[IDENTITY_KEY_BYTES];
    uint64_t memory_bytes_max; /* for sums and contributions */
    struct pace *pace;         /* these and the next two are borrowed */
    struct offers *offers;     /* this peer's own contributions */
    const struct shelf *shelf; /* what others may fetch */
};

/* Opens the port. Errors: those of channel_server_new, NO_MEMORY; each with a sentence. The caller
 * owns *out and frees it before the set. */
MUST_CHECK enum status daemon_owner_new(struct channel_set *set,
                                        const struct daemon_owner_settings *settings,
                                        struct daemon_owner **out);
void daemon_owner_free(struct daemon_owner *self); /* NULL is allowed. */

uint16_t daemon_owner_port(const struct daemon_owner *self);

/* The run that was welcomed, and its vector. */
struct daemon_owner_run {
    struct digest run_id;
    size_t value_count;   /* > 0 */
    uint64_t step_tokens; /* as far as is known; a set knows better */
};
void daemon_owner_follow(struct daemon_owner *self, const struct daemon_owner_run *run);

/* The newest plan gives this peer these chunks; none: it owns nothing. */
void daemon_owner_plan(struct daemon_owner *self, uint64_t plan_id, const struct fetch_range *own);

/* What the coordinator says. A body that is malformed is a warning in the log. */
void daemon_owner_set(struct daemon_owner *self, const struct wire_set *set, const uint8_t *body,
                      size_t body_size_bytes);
void daemon_owner_grant_sums(struct daemon_owner *self, const struct wire_grant *grant);
void daemon_owner_committed(struct daemon_owner *self, uint64_t step);

/* This peer's own contribution goes into its own fraction, piece by piece in daemon_owner_turn;
 * `ticket` is the coordinator's. It ends when the offer is dropped. */
void daemon_owner_deliver(struct daemon_owner *self, uint64_t blob_id,
                          const uint8_t ticket[TICKET_BYTES]);

/* Takes what came, adds it, and grants. True: there is more to do at once. */
bool daemon_owner_turn(struct daemon_owner *self, uint64_t now_ms);

/* What to report now, at most five times a second while a step is under way. */
MUST_CHECK bool daemon_owner_holds(struct daemon_owner *self, uint64_t now_ms,
                                   struct wire_holds *out);

/* The next packed sum for the coordinator, valid until the next call; then that it was sent. */
struct daemon_owner_sum {
    struct blob_chunk_header header;
    const uint8_t *data; /* (header.size_bytes) */
};
MUST_CHECK bool daemon_owner_next_sum(struct daemon_owner *self, struct daemon_owner_sum *out);
void daemon_owner_sum_sent(struct daemon_owner *self, const struct daemon_owner_sum *sum);

/* Sends one chunk to each guest that waits for one, as long as the pace allows and *budget > 0
 * messages are left; it goes on where it stopped. True: something was sent. */
bool daemon_owner_serve(struct daemon_owner *self, uint64_t now_ms, unsigned *budget);

/* Before the first daemon_owner_serve of a turn: queues may have room again. */
void daemon_owner_serve_begin(struct daemon_owner *self);

/* Adds what the port's connections delivered since the last look, and whether something waits. */
void daemon_owner_look(struct daemon_owner *self, struct pace_look *look);

/* Some guest waits for chunks that are here or will be. */
bool daemon_owner_is_wanted(const struct daemon_owner *self);

#endif
