/* daemon_state - what the daemon_*.c files share; nobody else includes it. */
#ifndef DUGNAD_PEER_DAEMON_DAEMON_STATE_H
#define DUGNAD_PEER_DAEMON_DAEMON_STATE_H

#include "peer/daemon/daemon.h"
#include "peer/daemon/daemon_bulk.h"
#include "peer/daemon/daemon_owner.h"
#include "peer/daemon/offers.h"
#include "peer/daemon/progress.h"
#include "proto/blob_sender.h"
#include "proto/channel.h"

struct daemon {
    const struct daemon_options *options;
    const struct identity *identity;
    uint64_t now_ms; /* of this turn */
    uint64_t tick_ms;
    bool stop_told;
    struct channel_set *channels;
    struct channel_client *channel; /* to the coordinator */
    struct session session;         /* guarded by shared.lock */
    struct compute_shared shared;
    struct compute *compute; /* NULL before the first welcome */
    struct digest digest;    /* of P here */
    struct offers offers;
    struct shelf shelf;          /* what is being fetched, and what others fetch here */
    enum codec coming_codec;     /* of what is being fetched, to be loaded or applied */
    uint64_t fetch_ms;           /* when its latest chunk came */
    struct blob_senders uploads; /* what was granted of the offers and has not been sent */
    bool upload_crowded;         /* the queue was full in this turn */
    struct pace pace;
    struct pace_flow flow;        /* of the channel */
    struct wire_route route;      /* the newest plan; without owners before the first */
    struct wire_committed latest; /* an owner's: the newest update */
    struct bulk *bulk;            /* towards its owners */
    struct daemon_owner *owner;   /* NULL: it does not aggregate */
    size_t value_count;           /* of the vector; 0: not known yet */
    unsigned send_turn;           /* which kind of chunks is sent next */
    bool more;                    /* there is something to do at once */
    uint64_t over_ms;             /* since when it only passes on what others wait for */
    struct progress progress;
    uint64_t held_samples; /* already counted in `progress` */
    uint64_t connections;  /* of the channel, at the last look */
    uint64_t missed_ms;    /* when a message was lost to a full queue; 0: none since a hello */
    uint64_t wrong_key_ms; /* since when the handshake fails; 0: it does not */
    uint64_t mismatches;
    bool over;
    enum status result;
    struct wire_message incoming; /* scratch: it is large */
    struct wire_message outgoing;
    uint8_t *head; /* (WIRE_HEAD_MAX) scratch */
};

/* Makes `channel`, which is NULL. Errors: as channel_client_new. */
MUST_CHECK enum status daemon_connect(struct daemon *self);

/* Tells the session, then carries out what it answers. */
void daemon_step(struct daemon *self, struct session_event *event);

/* Ends the daemon with a status whose sentence is set. */
void daemon_fail(struct daemon *self, enum status status);

/* Sends self->outgoing; what a full or broken connection does not take is lost, and the session
 * notices by the silence. */
void daemon_send(struct daemon *self);

/* daemon_actions.c */
void daemon_act(struct daemon *self, const struct session_action *action);

/* daemon_fetch.c: blobs that come. The first is what the session wants, the second an update that
 * this peer only passes on; `source` as in fetch.h. */
void daemon_fetch(struct daemon *self, const struct blob_ref *ref, enum codec codec);
void daemon_fetch_own(struct daemon *self);
bool daemon_fetches_own(const struct daemon *self);
void daemon_fetch_replan(struct daemon *self);
void daemon_take_chunk(struct daemon *self, uint32_t source,
                       const struct channel_message *incoming);
void daemon_fetch_tick(struct daemon *self);

/* daemon_transfer.c: chunks that go, to whomever. */
void daemon_serve_grant(struct daemon *self, const struct wire_grant *grant);
void daemon_transfer(struct daemon *self);
void daemon_measure(struct daemon *self);

/* daemon_plan.c: what a plan with owners asks of this peer. */
MUST_CHECK enum status daemon_open_owner(struct daemon *self);
void daemon_plan_message(struct daemon *self, const struct channel_message *incoming);
void daemon_plan_turn(struct daemon *self);
bool daemon_lingers(struct daemon *self);

#endif
