/* session - a peer's side of the protocol: hello, sync, compute, hand in, update, leave.
 *
 * Values in, actions out. The shell turns messages, finished transfers, workers' progress and a
 * timer into events and carries out the actions in order. The parameters are at `version`; samples
 * are computed for the step of that number, and with max_staleness 1, after the hand-in, for the
 * next one. An update is applied only when none is being computed. Whatever breaks (silence, an
 * unknown session, a wrong digest), the peer says hello again and takes what is missing. While the
 * parameters stay, so does the work: after the welcome the peer claims its leases, what it has
 * summed, and its contributions, kept until the commit.
 *
 * Pure: no I/O, clock, threads or chance. The shell guards a session and its work with one lock. */
#ifndef DUGNAD_PEER_CORE_SESSION_H
#define DUGNAD_PEER_CORE_SESSION_H

#include "peer/core/work.h"
#include "proto/wire.h"

enum {
    SESSION_UPDATES_MAX = 128,
    SESSION_BEHIND_MAX = 4, /* updates; who rested for longer takes a snapshot, about as large */
    SESSION_ACTIONS_MAX = 64,
    SESSION_OFFERS_MAX = 4 /* contributions kept; more in one step push the oldest out */
};

struct session_settings {
    uint32_t thread_count;
    uint64_t alive_ms;       /* say something, and want to hear something, at least this often */
    uint64_t silence_ms_max; /* a coordinator silent for this long is lost */
    uint64_t hello_ms;       /* first wait between hellos; doubles up to hello_ms_max */
    uint64_t hello_ms_max;
    uint64_t first_ms_max; /* give up when never welcomed for this long; 0: never give up */
    uint64_t progress_ms;  /* between progress reports of a lease that has not ended */
    uint64_t leave_ms_max; /* wait for a verdict when leaving */
    bool aggregates_only;  /* it computes nothing, so it needs no parameters and no updates */
};

enum session_phase { SESSION_HELLO, SESSION_SYNC, SESSION_TRAIN, SESSION_OVER };

struct session_update {
    uint64_t step;
    struct digest digest; /* of P after it */
    struct blob_ref ref;
    enum codec codec; /* of its bytes */
    bool snapshot;    /* it is P itself, and its bytes are all that is known of it */
};

/* A contribution that the coordinator may ask for once more. */
struct session_kept {
    uint64_t id;
    uint64_t step;
    bool due; /* still to be offered */
};

struct session {
    struct session_settings settings;
    enum session_phase phase;
    struct work work;
    bool welcomed;     /* ever */
    bool may_be_stale; /* as the coordinator said last */
    bool cramped;      /* as the latest welcome came with */
    bool rests;        /* as the plan says: it will get no work */
    bool follows; /* it takes every update as it comes. Who rests, and holds nothing of any step,
                     only notes them, and catches up when it is to compute again */
    uint64_t version;          /* of the parameters; WIRE_VERSION_NONE: none */
    uint64_t snapshot_version; /* of the snapshot being fetched */
    struct session_update updates[SESSION_UPDATES_MAX]; /* to apply, in order */
    size_t update_count;
    bool missed;                   /* more updates were announced than there was room for */
    bool fetching;                 /* a snapshot or updates[0] is on its way */
    bool fetched;                  /* it is here and waits until no sample is being computed */
    bool applying;                 /* LOAD or APPLY was given and APPLIED has not come */
    bool loading;                  /* it was LOAD */
    bool abandoned;                /* a new hello was said since */
    uint64_t applying_version;     /* of the parameters after it */
    struct digest applying_digest; /* APPLY: what they must have */
    uint64_t opening_step;         /* that OPEN is about */
    uint64_t drain_step;
    uint64_t collect_step;
    bool opening;         /* OPEN was given and OPENED has not come */
    bool ahead;           /* the weights are those for the step after `version` */
    bool touched;         /* accumulator or P is changed by an action of this event */
    bool draining;        /* what is begun up to drain_step ends and is then thrown away */
    bool asked;           /* READY was sent and no lease came since */
    bool collect_wanted;  /* asked to hand in collect_step before all of it was done */
    bool offer_open;      /* a contribution without a verdict: */
    uint64_t open_id;     /* this one, */
    uint64_t open_step;   /* of this step */
    uint64_t offer_count; /* contributions ever; they are numbered from 1 */
    struct session_kept kept[SESSION_OFFERS_MAX]; /* of steps not known to be over, oldest first */
    size_t kept_count;
    bool forgot;       /* samples that the coordinator still takes for this peer's */
    bool claim_open;   /* a claim without an answer */
    uint64_t claim_ms; /* when it was said last */
    bool stopping;
    bool finished;               /* the run is over; what is left is to apply the last update */
    struct digest run_id;        /* of the first welcome; another run later is refused */
    char refusal[WIRE_TEXT_MAX]; /* the latest for lack of room; "": none */
    uint64_t started_ms;
    uint64_t heard_ms;
    uint64_t said_ms;
    uint64_t alive_at_ms; /* when ALIVE was said last */
    uint64_t progress_ms;
    uint64_t hello_at_ms, hello_wait_ms;
    uint64_t stop_ms;
};

enum session_event_type {
    SESSION_MESSAGE, /* message (lease: tokens too), now checked by wire */
    SESSION_FETCHED, /* ok: the blob asked for last is here; not ok: no, or it cannot be APPLIED */
    SESSION_APPLIED, /* digest of P after the update; or of the loaded snapshot */
    SESSION_OPENED,  /* the weights are as OPEN wants them */
    SESSION_WORKED,  /* some sample was done */
    SESSION_CONNECTED, /* the connection had broken and stands again */
    SESSION_STOP,      /* the user wants to leave */
    SESSION_TICK
};

struct session_event {
    enum session_event_type type;
    const struct wire_message *message; /* borrowed */
    uint16_t *tokens;                   /* of a lease, else NULL: taken, (count, context + 1) */
    bool ok;
    bool cramped; /* of a welcome: no memory for a snapshot beside contributions that are kept */
    struct digest digest;
};

enum session_action_type {
    SESSION_SEND,        /* message; the shell fills in hello's identity and a claim's lists */
    SESSION_SETUP,       /* message is the welcome: make model and buffers (once) */
    SESSION_FETCH,       /* ref, codec; a fetch before it is forgotten, its end no longer told */
    SESSION_LOAD,        /* the fetched snapshot becomes P; then SESSION_APPLIED */
    SESSION_APPLY,       /* the fetched update is added to P; then SESSION_APPLIED */
    SESSION_OPEN,        /* ahead: the weights become those for samples of the step after P's; or P;
                            then SESSION_OPENED */
    SESSION_ENCODE,      /* encode the accumulator, offer it with work.held, keep it as offer_id */
    SESSION_SET_ASIDE,   /* the same, but it is offered later */
    SESSION_OFFER_AGAIN, /* offer_id: what is kept is offered once more */
    SESSION_DROP_OFFER,  /* offer_id: it need not be kept any longer */
    SESSION_DROP_OFFERS, /* all of them */
    SESSION_DISCARD,     /* zero the accumulator */
    SESSION_RECONNECT,   /* open a new connection */
    SESSION_MISMATCH,    /* tell loudly: P is not the coordinator's */
    SESSION_EXIT         /* status, text: end; STATUS_OK when finished or left in order */
};

struct session_action {
    enum session_action_type type;
    enum wire_type send; /* with SESSION_SEND: which, and what it says */
    union {
        struct wire_progress progress;
        struct wire_yielded yielded;
        struct wire_ready ready;
        struct wire_applied applied;
        bool claims_work; /* not only what is kept */
        uint64_t version_held;
    } as;
    bool ahead;
    uint64_t offer_id;
    struct blob_ref ref;
    enum codec codec; /* of ref's bytes */
    enum status status;
    char text[WIRE_TEXT_MAX];
};

struct session_actions {
    struct session_action items[SESSION_ACTIONS_MAX];
    size_t count;
};

/* 0 < thread_count <= WORK_THREADS_MAX (CHECKed). */
void session_init(struct session *self, const struct session_settings *settings, uint64_t now_ms);
void session_deinit(struct session *self);

/* A sign of life that is no message: a chunk of what is being fetched came. */
void session_heard(struct session *self, uint64_t now_ms);

/* Applies one event and replaces the content of `actions`. What the coordinator says wrongly is
 * ignored or answered by a new hello. */
void session_step(struct session *self, uint64_t now_ms, const struct session_event *event,
                  struct session_actions *actions);

#endif
