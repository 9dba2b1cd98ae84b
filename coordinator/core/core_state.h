/* core_state - what the files of the core share; nobody else includes it. */
#ifndef DUGNAD_COORDINATOR_CORE_CORE_STATE_H
#define DUGNAD_COORDINATOR_CORE_CORE_STATE_H

#include "coordinator/core/core.h"
#include "coordinator/core/sample_table.h"

enum {
    /* Contributions refused for what is in them, in a row, before the peer is expelled. */
    CORE_STRIKES_MAX = 3,
    /* How often a peer may come back for the same work: each time its deadlines begin anew. */
    CORE_RETURNS_MAX = 8,
    /* Leases between two hand-ins: each may be a range of its own in the contribution, and the
     * peer needs room for what its threads end out of order. */
    CORE_UNCOLLECTED_MAX = 256,
    /* All hand in when at most one in so many samples is missing, if it was lost: with many peers
     * there is always somebody just lost. */
    CORE_STRAGGLERS = 100,
    /* Who is heard of so long after it was asked to give back, and has not answered, does not mean
     * to: a peer answers before it says anything else. */
    CORE_ANSWER_MS = 3000,
    /* All else is done: then one that shows no progress is waited for so long, and as long again as
     * so many samples take a thread of the slowest, or its own work should take so many times. */
    CORE_QUIET_MS = 5000,
    CORE_QUIET_SAMPLES = 8,
    /* How long samples that were lost wait for one of the fastest uplinks: one in so many peers. */
    CORE_UPLINK_MS = 3000,
    CORE_UPLINK_SHARE = 4
};

struct lease {
    uint64_t id; /* 0: this place is empty */
    uint64_t first;
    uint32_t count;
    uint32_t done;
    bool reclaim_open;    /* asked to give back and not answered */
    bool reclaim_settled; /* answered; not asked again before there is progress */
    uint64_t reclaim_ms;  /* when it was asked */
    uint64_t deadline_ms; /* moves with progress, */
    uint64_t limit_ms;    /* but never past this */
};

enum offer_state { OFFER_NONE, OFFER_FETCHING, OFFER_ADDING };

struct peer {
    bool active;
    bool claim_due; /* what it owns waits until it says what it still holds */
    bool wants_work;
    bool collect_sent;
    bool proven; /* its last contribution was counted */
    uint32_t threads;
    uint32_t owned;            /* samples of this step leased to it or held by it */
    uint32_t owned_next;       /* and of the next one */
    uint32_t uncollected;      /* leases of this step since it last handed in */
    uint32_t uncollected_next; /* and of the next one */
    uint32_t strikes;
    uint32_t returns; /* since its last counted contribution */
    uint64_t version;
    uint64_t joined_ms;
    uint64_t heard_ms;
    uint64_t mark_ms;      /* since when its present work has been measured */
    uint32_t mark_samples; /* done since then */
    uint64_t collect_ms;   /* when it was asked to hand in */
    uint64_t claim_ms;     /* since when its claim is due */
    double speed;          /* samples per ms; 0: unknown */
    double uplink;         /* bytes per second; 0: unknown */
    struct lease leases[CORE_LEASES_PER_PEER];
    enum offer_state offer;
    bool offered_again; /* of a kept contribution: it may hold more than what it offers */
    uint64_t offer_ms;
    struct core_range *offered; /* (offered_count) */
    size_t offered_count;
};

struct core {
    struct core_settings settings;
    struct sample_table table;
    struct peer *peers; /* (CORE_PEERS_MAX) */
    uint32_t peer_end;  /* no active peer from here on */
    uint32_t peer_count;
    uint64_t step;
    uint64_t sample_first; /* of the step: the table counts from here */
    uint64_t step_ms;      /* when it began */
    uint64_t next_lease_id;
    uint32_t grant_start; /* the peer after the one that got a lease last */
    uint32_t next_batch;  /* of the steps after this one */
    uint64_t collects;    /* times that all were asked to hand in */
    uint32_t lost;        /* samples of this step that were taken from somebody who had them */
    uint64_t lost_ms;  /* since when some of these are nobody's, after all were asked to hand in */
    double uplink_min; /* of those that get them first */
    bool repairs;      /* so it is now */
    bool asked;        /* all were asked to hand in for this step */
    bool committing;
    bool paused;
    bool held; /* nothing of the next step is lent */
};

/* Appends an action of this type, zeroed otherwise; NULL when there is no memory. */
struct core_action *actions_add(struct core_actions *self, enum core_action_type type,
                                uint32_t peer);

/* Tells the shell and forgets the peer; what it held is free again. */
MUST_CHECK enum status core_expel(struct core *self, uint32_t index, const char *why,
                                  struct core_actions *actions);

/* Samples of `step` may be computed on parameters of `version`, the one before. */
bool may_be_stale(const struct core *self, uint64_t version, uint64_t step);

/* Hands out, takes back and collects whatever can be at this moment. */
MUST_CHECK enum status plan_work(struct core *self, uint64_t now_ms, struct core_actions *actions);

/* The peer owns nothing any more; this one sample, by its place in the table, no more. */
void release_all(struct core *self, uint32_t index);
void release_sample(struct core *self, uint32_t index, uint32_t place);

/* Where a sample stands in the table; one of a step that is over wraps to a huge number, which the
 * table does not have. */
uint64_t place_of(const struct core *self, uint64_t sample);

/* The samples of the step in progress are those below this one. */
uint64_t next_first(const struct core *self);

/* Sets the deadlines of a lease that is in its place in peer->leases. */
void lease_start(const struct core *self, const struct peer *peer, struct lease *lease,
                 uint64_t now_ms);

/* PROGRESS and YIELDED; what cannot be is ignored. */
void lease_progress(struct core *self, uint64_t now_ms, const struct core_event *event);
void lease_yield(struct core *self, const struct core_event *event);

/* How long the peer will take for what it has; 0 when its speed is unknown. */
uint64_t lease_expected_ms(const struct peer *peer);

/* Samples leased to the peer and not done: all of them, and those of the step in progress. */
uint32_t lease_samples_left(const struct peer *peer);
uint32_t lease_samples_due(const struct core *self, const struct peer *peer);

/* OFFERED, RECEIVED, ADDED. */
MUST_CHECK enum status offer_take(struct core *self, uint64_t now_ms,
                                  const struct core_event *event, struct core_actions *actions);
MUST_CHECK enum status offer_received(struct core *self, uint64_t now_ms,
                                      const struct core_event *event, struct core_actions *actions);
MUST_CHECK enum status offer_added(struct core *self, uint64_t now_ms,
                                   const struct core_event *event, struct core_actions *actions);
void offer_forget(struct peer *peer);

/* Samples in the offer that is under way; 0: none is. */
uint32_t offer_samples(const struct peer *peer);

/* RETURNED, RESERVED, CLAIMED. */
void claim_return(struct core *self, uint64_t now_ms, const struct core_event *event);
void claim_reserve(struct core *self, const struct core_event *event);
MUST_CHECK enum status claim_take(struct core *self, uint64_t now_ms,
                                  const struct core_event *event, struct core_actions *actions);

/* The peer holds nothing of what waits for its claim. */
void claim_nothing(struct core *self, uint32_t index);

/* TICK: takes from those who are here and do not say what they hold. */
void claim_expire(struct core *self, uint64_t now_ms);

#endif
