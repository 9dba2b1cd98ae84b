/* daemon_state - what the daemon_*.c files share; nobody else includes it. */
#ifndef DUGNAD_PEER_DAEMON_DAEMON_STATE_H
#define DUGNAD_PEER_DAEMON_DAEMON_STATE_H

#include "peer/daemon/daemon.h"
#include "peer/daemon/daemon_bulk.h"
#include "peer/daemon/daemon_owner.h"
#include "peer/daemon/offers.h"
#include "peer/daemon/progress.h"
#include "peer/daemon/run_pin.h"
#include "proto/blob_sender.h"
#include "proto/channel.h"

/* To the coordinator's port for chunks. It is of one session: dialled after a welcome. */
struct chunk_line {
    struct channel_client *client; /* NULL: none */
    uint16_t port;                 /* 0: the session has none */
    bool answered;                 /* chunks may go over it */
    bool lost;                     /* one before it was, of the same session */
    uint64_t connections;          /* at the last look */
    uint64_t since_ms;             /* without an answer; 0: it was not dialled yet */
    uint64_t said_ms;              /* the latest sign of life; 0: none on this connection */
    uint64_t moved_ms;             /* when something came, or was delivered */
    uint64_t turned_ms;
    uint64_t delivered_bytes;
    bool told;        /* that nobody is there */
    uint64_t dial_ms; /* when to try again */
    uint64_t wait_ms; /* between tries */
    struct pace_flow flow;
};

struct daemon {
    const struct daemon_options *options;
    const struct identity *identity;
    uint64_t now_ms; /* of this turn */
    uint64_t tick_ms;
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
    bool upload_begun;           /* a chunk of offer begun_id was sent on this connection */
    uint64_t begun_id;
    struct pace pace;
    struct pace_flow flow; /* of the channel */
    struct chunk_line line;
    struct wire_route route;      /* the newest plan; without owners before the first */
    struct wire_committed latest; /* an owner's: the newest update */
    struct bulk *bulk;            /* towards its owners */
    struct daemon_owner *owner;   /* NULL: it does not aggregate */
    size_t value_count;           /* of the vector; 0: not known yet */
    struct run_shape shape;       /* as it was first welcomed; 0 parameters: not yet */
    unsigned send_turn;           /* which kind of chunks is sent next */
    bool flooded;                 /* more comes than the owner allows: nothing is read */
    bool more;                    /* there is something to do at once */
    uint64_t over_ms;             /* since when it only passes on what others wait for */
    struct progress progress;
    uint64_t held_samples; /* already counted in `progress` */
    uint64_t connections;  /* of the channel, at the last look */
    bool cut_off;          /* no connection stands yet, or any more: nothing is said */
    uint64_t missed_ms;    /* when a message was lost to a full queue; 0: none since a hello */
    uint64_t wrong_key_ms; /* since when the handshake fails; 0: it does not */
    uint64_t shut_out_ms;  /* since when it says that this key is barred; 0: it does not */
    uint64_t mismatches;
    bool stop_told;
    bool over;
    bool has_stood;      /* a connection did, ever */
    bool told_full;      /* that the coordinator has no room, since the latest welcome */
    bool told_wrong_key; /* that somebody else answers, */
    bool told_away;      /* or that it connects anew, since a connection stood */
    enum status result;
    struct wire_message incoming; /* scratch: it is large */
    struct wire_message outgoing;
    uint8_t *head; /* (WIRE_HEAD_MAX) scratch */
};

/* Makes `channel`, which is NULL. Errors: as channel_client_new. */
MUST_CHECK enum status daemon_connect(struct daemon *self);

/* Tells the session, then carries out what it answers. */
void daemon_step(struct daemon *self, struct session_event *event);

/* Somebody else answers, or has banned this key: returns REFUSED, with a sentence. */
MUST_CHECK enum status daemon_shut_out(const struct daemon *self);

/* Ends the daemon with a status whose sentence is set. */
void daemon_fail(struct daemon *self, enum status status);

/* Sends self->outgoing; what a full or broken connection does not take is lost, and the session
 * notices by the silence. */
void daemon_send(struct daemon *self);

/* daemon_welcome.c: what a welcome may say. False: it was refused, and the daemon ends. */
bool daemon_judge_welcome(struct daemon *self, const struct wire_welcome *welcome);
bool daemon_judge_codecs(struct daemon *self, enum codec offers, enum codec updates);
void daemon_set_up(struct daemon *self);

/* daemon_actions.c */
void daemon_act(struct daemon *self, const struct session_action *action);

/* daemon_fetch.c: blobs that come. The first is what the session wants, the second an update that
 * this peer only passes on; `source` as in fetch.h. */
void daemon_fetch(struct daemon *self, const struct blob_ref *ref, enum codec codec);
void daemon_fetch_own(struct daemon *self);
bool daemon_fetches_own(const struct daemon *self);
void daemon_fetch_replan(struct daemon *self);    /* the plan has changed */
void daemon_fetch_line_back(struct daemon *self); /* what the coordinator owed on it is lost */
void daemon_take_chunk(struct daemon *self, uint32_t source,
                       const struct channel_message *incoming);
void daemon_fetch_tick(struct daemon *self);

/* daemon_line.c: the connection for chunks. Without one that was answered they go and come over the
 * channel. */
void daemon_line_open(struct daemon *self, uint16_t port);
void daemon_line_close(struct daemon *self); /* Fine when there is none. */
void daemon_line_turn(struct daemon *self);
void daemon_line_receive(struct daemon *self, int messages_max);

/* True: it was dialled a moment ago, and what can wait should. */
bool daemon_line_is_coming(const struct daemon *self);

/* Errors: AGAIN (queue full). */
MUST_CHECK enum status daemon_line_send(struct daemon *self, const uint8_t *head, size_t head_bytes,
                                        const uint8_t *chunk, size_t size_bytes);

/* Bytes delivered over both since the last look. */
uint64_t daemon_line_look(struct daemon *self);

/* daemon_transfer.c: chunks that go, to whomever. */
void daemon_serve_grant(struct daemon *self, const struct wire_grant *grant);
void daemon_forget_uploads(struct daemon *self);
void daemon_transfer(struct daemon *self);
void daemon_measure(struct daemon *self);

/* daemon_plan.c: what a plan with owners asks of this peer. */
MUST_CHECK enum status daemon_open_owner(struct daemon *self);
void daemon_plan_follow(struct daemon *self); /* The welcome in `incoming`, once it was judged. */
void daemon_plan_message(struct daemon *self, const struct channel_message *incoming);
void daemon_plan_turn(struct daemon *self);
bool daemon_lingers(struct daemon *self);

#endif
