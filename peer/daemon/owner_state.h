/* owner_state - what daemon_owner.c (the step) and owner_port.c (guests) share; nobody else
 * includes it. */
#ifndef DUGNAD_PEER_DAEMON_OWNER_STATE_H
#define DUGNAD_PEER_DAEMON_OWNER_STATE_H

#include "peer/aggregator/fractions.h"
#include "peer/daemon/daemon_owner.h"
#include "peer/daemon/guests.h"

enum {
    OWNER_WINDOW = 64, /* chunks under way from one contributor */
    OWNER_GRANT_EVERY = 8,
    OWNER_RETRY_MS = 5000,
    OWNER_TICK_MS = 100,
    OWNER_HOLDS_MS = 200,
    OWNER_HOLDS_AGAIN_MS = 1000,
    OWNER_ALIVE_MS = 1000,
    OWNER_MESSAGES_PER_TURN = 128,
    OWNER_OWN_CHUNKS_PER_TURN = 64,
    OWNER_BARS_MAX = 256, /* keys that are kept out; the oldest makes room */
    OWNER_BAR_MS = 600000,
    OWNER_REFUSED_MS = 1000 /* between two lines about who was refused */
};

/* A key that is kept out. */
struct owner_bar {
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint64_t until_ms; /* 0: nobody */
};

/* This peer's own contribution. */
struct own_delivery {
    struct guest_delivery facts;
};

struct daemon_owner {
    struct daemon_owner_settings settings;
    uint8_t coordinator_curve[IDENTITY_KEY_BYTES];
    struct channel_server *server;
    struct fractions *fractions;
    struct guests guests;
    bool follows; /* a run: */
    struct daemon_owner_run run;
    uint64_t plan_id; /* the newest, and what it gives here */
    struct fetch_range own;
    uint64_t task;         /* counts the tasks that were begun; 0: none */
    uint64_t epoch;        /* of its newest set; 0: none */
    bool over;             /* its step was committed */
    uint64_t version;      /* steps before this one were committed */
    uint64_t tick_ms;      /* when every guest was granted what is due */
    bool capped;           /* a grant was held back */
    uint32_t serve_cursor; /* the guest that is served next */
    struct own_delivery delivered[OFFERS_MAX];
    uint32_t delivered_count;
    struct wire_holds told; /* the latest report */
    uint64_t told_ms;
    uint8_t *sum; /* (sum_pack_bytes_max of a chunk) */
    uint64_t refused_count;
    uint64_t received_ms;     /* of the turn */
    uint64_t refused_told_ms; /* of the latest line about it; 0: none */
    struct owner_bar bars[OWNER_BARS_MAX];
    uint32_t next_bar;
    struct wire_message message; /* scratch: it is large */
    uint8_t *head;               /* (WIRE_HEAD_MAX) scratch */
};

/* Opens the contribution in the task, where it belongs to it; begins the task that a plan gives
 * when this is its first. True: it is open. */
bool owner_open(struct daemon_owner *self, struct guest_delivery *delivery);

/* Grants what may be granted of an open contribution of a guest. */
void owner_grant(struct daemon_owner *self, struct guest *guest, struct guest_delivery *delivery,
                 uint64_t now_ms);

/* Whether a ticket is good here, for the peer with this CURVE key. Errors: REFUSED. */
MUST_CHECK enum status owner_check_ticket(const struct daemon_owner *self,
                                          const uint8_t bytes[TICKET_BYTES],
                                          const uint8_t curve_key[IDENTITY_KEY_BYTES],
                                          struct ticket *out);

/* What a ticket allows. */
struct guest_delivery owner_delivery_of(const struct ticket *ticket, uint64_t blob_id);

/* owner_port.c: takes what guests and strangers sent. True: there may be more. */
bool owner_receive(struct daemon_owner *self, uint64_t now_ms);

/* owner_port.c: lets in again who was kept out for long enough. */
void owner_pardon(struct daemon_owner *self, uint64_t now_ms);

/* Tells those that wait for chunks that they will come. */
void owner_tell_alive(struct daemon_owner *self, uint64_t now_ms);

/* Sends self->message to the guest. Errors: AGAIN, STALE. */
enum status owner_say(struct daemon_owner *self, const struct guest *guest);

#endif
