/* guests - who may use an owner's port, and what they deliver and fetch there.
 *
 * A guest is a CURVE key whose owner showed a ticket that the coordinator signed for it, and the
 * connection over which it did. Nobody else gets a place, so the places are enough for the peers of
 * a run; when they are not, the guest that was silent for longest loses its own.
 *
 * One owner. */
#ifndef DUGNAD_PEER_DAEMON_GUESTS_H
#define DUGNAD_PEER_DAEMON_GUESTS_H

#include "peer/aggregator/fraction.h"
#include "peer/daemon/pace.h"
#include "proto/blob_receiver.h"
#include "proto/blob_sender.h"

enum {
    GUESTS_MAX = 1024,
    GUEST_DELIVERIES_MAX = 4,
    /* Chunks that are not what their hash or the ticket's root says, before the key is barred for a
     * while: no wire makes them. */
    GUEST_WRONG_MAX = 16,
    /* Bytes of chunks that nobody waits for, since its newest ticket: a window of each delivery may
     * come late by no fault of the guest's. */
    GUEST_UNASKED_BYTES_MAX = 32 << 20,
    /* Chunks that it asked for and was not sent: a window of each transfer. */
    GUEST_PENDING_CHUNKS_MAX = BLOB_SENDERS_MAX * BLOB_WINDOW_MAX
};

/* A contribution that a ticket allows. */
struct guest_delivery {
    uint64_t blob_id; /* as its contributor numbers it */
    uint64_t step;
    uint64_t plan_id;
    struct digest root; /* of its blob, as the coordinator signed it */
    struct fraction_part part;
    uint64_t task;              /* in which it is open, as the owner numbers them; 0: it is not */
    struct fraction_run unsent; /* granted, and the queue was full */
    uint32_t came;              /* chunks */
};

struct guest {
    bool used;
    uint64_t connection; /* over which it showed its latest ticket; 0: it was sent away */
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint64_t spoke; /* a count of messages, not a time */
    bool has_pass;
    uint32_t wrong_count;
    uint64_t newest_step; /* its newest ticket, however often it showed it: */
    uint64_t newest_serial;
    uint64_t unasked_bytes;  /* since then */
    uint32_t repeated_count; /* chunks that were here, or are of no use, since then */
    uint32_t delivery_count;
    struct guest_delivery deliveries[GUEST_DELIVERIES_MAX]; /* oldest first */
    struct blob_senders sends; /* chunks of updates that it asked for, here or not yet */
    uint64_t arrivals;         /* of the shelf, when there was nothing for it */
    bool crowded;              /* its queue was full in this turn */
    uint64_t alive_ms;         /* when it was told last that its chunks will come */
    struct pace_flow flow;
};

struct guests {
    struct guest *items; /* (GUESTS_MAX) */
    uint32_t end;        /* all in use are below */
    uint64_t spoken;
};

/* Errors: NO_MEMORY with a sentence. */
MUST_CHECK enum status guests_init(struct guests *self);
void guests_deinit(struct guests *self);

/* The guest that speaks over this connection, just now; NULL: there is none. */
struct guest *guests_find(struct guests *self, uint64_t connection);

/* Lets in whoever showed a ticket. A guest that comes with another connection keeps its place. */
struct guest *guests_add(struct guests *self, const uint8_t curve_key[IDENTITY_KEY_BYTES],
                         uint64_t connection);

void guests_remove(struct guests *self, struct guest *guest);

/* Sends it away; what it did is remembered in case it comes back. */
void guest_leave(struct guest *self);

/* The delivery that its contributor calls blob_id; NULL: there is none. */
struct guest_delivery *guest_delivery(struct guest *self, uint64_t blob_id);

/* Notes what a ticket allows; one that is there stays, anew. The oldest goes when there are too
 * many. What it sent unasked is forgiven with a ticket that is newer than all before. */
struct guest_delivery *guest_deliver(struct guest *self, const struct guest_delivery *delivery);

/* Chunks that it asked for and was not sent. */
bool guest_waits(const struct guest *self);

#endif
