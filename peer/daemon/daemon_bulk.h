/* daemon_bulk - a peer's connections to the owners of the newest plan: contributions go there, and
 * chunks of updates come from there.
 *
 * A connection is opened when something first needs it and kept as long as the plan names its
 * owner. The first thing said on each is the pass, then the tickets of the contributions that are
 * being delivered. What owners send is as little trusted as what peers send to them: an owner that
 * sends more than it was asked for and has to say is shut out for a while.
 *
 * One owner. */
#ifndef DUGNAD_PEER_DAEMON_DAEMON_BULK_H
#define DUGNAD_PEER_DAEMON_DAEMON_BULK_H

#include "peer/daemon/offers.h"
#include "peer/daemon/pace.h"
#include "proto/channel.h"

struct bulk;

struct bulk_settings {
    struct channel_set *set; /* all borrowed */
    const struct identity *identity;
    const char *coordinator_address; /* for owners on its machine */
    struct pace *pace;
    struct offers *offers;
};

/* Errors: NO_MEMORY. The caller owns *out and frees it before the set. */
MUST_CHECK enum status bulk_new(const struct bulk_settings *settings, struct bulk **out);
void bulk_free(struct bulk *self); /* NULL is allowed. */

/* Follows another plan: connections that it does not name end. Owner i of the route is number i
 * from here on. */
void bulk_route(struct bulk *self, const struct wire_route *route);

/* Takes a contribution to all owners but this peer itself: each is told the ticket, and is sent
 * what it grants. Ends when the offer is dropped. Telling twice is fine. */
void bulk_deliver(struct bulk *self, const struct wire_deliver *deliver);

/* Asks an owner for chunks of at most chunk_bytes each. False: it cannot be asked. */
MUST_CHECK bool bulk_ask(struct bulk *self, uint32_t owner, const struct wire_grant *grant,
                         uint32_t chunk_bytes);

/* The owner cannot be reached for so long that others should be asked. */
bool bulk_is_lost(struct bulk *self, uint32_t owner, uint64_t now_ms);

/* The next chunk or word of an owner about updates; grants of contributions are taken inside, and
 * what is more than it was asked for goes. Owners take turns. The caller closes out->message where
 * this is true. False: nothing now, or *budget, from which each message that is read takes one, is
 * at 0. */
struct bulk_news {
    uint32_t owner;
    enum { BULK_CHUNK, BULK_ALIVE, BULK_GONE } type;
    struct channel_message message; /* of a chunk */
};
MUST_CHECK bool bulk_receive(struct bulk *self, unsigned *budget, struct bulk_news *out);

/* Tends the connections: what broke is opened again where something is under way. */
void bulk_tend(struct bulk *self, uint64_t now_ms);

/* Sends one chunk to each owner that waits for one, as daemon_owner_serve does. */
bool bulk_send(struct bulk *self, uint64_t now_ms, unsigned *budget);
void bulk_send_begin(struct bulk *self);

/* As daemon_owner_look; and the rates to each owner, where they are known. */
void bulk_look(struct bulk *self, uint64_t now_ms, struct pace_look *look);
void bulk_rates(const struct bulk *self, struct wire_rates *out);

#endif
