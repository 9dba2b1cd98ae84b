/* daemon_state - what the daemon_*.c files share; nobody else includes it. */
#ifndef DUGNAD_PEER_DAEMON_DAEMON_STATE_H
#define DUGNAD_PEER_DAEMON_DAEMON_STATE_H

#include "peer/daemon/daemon.h"
#include "peer/daemon/offers.h"
#include "peer/daemon/progress.h"
#include "proto/blob_receiver.h"
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
    struct blob_receiver *receiver; /* what is being fetched */
    uint64_t fetch_ms;              /* when its latest chunk came */
    struct blob_senders uploads;    /* what was granted of the offers and has not been sent */
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

/* daemon_transfer.c: blobs in both directions. */
void daemon_fetch(struct daemon *self, const struct blob_ref *ref);
void daemon_take_chunk(struct daemon *self, const struct channel_message *incoming);
void daemon_serve_grant(struct daemon *self, const struct wire_grant *grant);
void daemon_transfer_tick(struct daemon *self);

#endif
