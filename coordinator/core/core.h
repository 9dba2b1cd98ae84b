/* core - the coordinator's decisions: membership, leases, progress, collect, commit.
 *
 * Values in, actions out: the shell turns what happens (a message, a finished upload, a timer)
 * into an event and carries out the actions that core_step returns, in order. One step of
 * training covers the next target_batch sample numbers:
 *
 *   ready peers get leases, sized to about lease_ms of their measured speed and shrinking towards
 * the end of the step (guided self-scheduling: Polychronopoulos and Kuck, 1987); when nothing is
 * free and a peer is idle, what the slowest has not begun is taken back; when every lease is done,
 * the peers are asked to hand in (collect); what a lost peer held is leased again; when all samples
 * are counted, the step is committed. A peer that comes back, also after a restart of the
 * coordinator, keeps what it owned until it has said what it still holds (a claim).
 *
 * With max_staleness 1, a peer that handed in goes on with samples of the next step while the step
 * in progress is collected and committed (stale leases: computed on the parameters before it). Two
 * steps are lent then; all sample numbers are those of the run, so they say which step is meant.
 *
 * Pure: no I/O, clock, threads or chance. One owner. */
#ifndef DUGNAD_COORDINATOR_CORE_CORE_H
#define DUGNAD_COORDINATOR_CORE_CORE_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CORE_PEERS_MAX = 16384,
    CORE_LEASES_PER_PEER = 2, /* the next one is there before the last one ends */
    CORE_RANGES_MAX = 1024
};

struct core_settings {
    uint64_t step_first;        /* where the run stands: steps [0, step_first) are committed */
    uint64_t sample_first;      /* the first sample of that step */
    uint64_t step_count;        /* the run ends when this many are */
    uint32_t target_batch;      /* B, samples; 0 < B <= SAMPLE_TABLE_MAX (CHECKed) */
    uint32_t lease_samples_max; /* what one lease message can carry; > 0 */
    uint64_t lease_ms;          /* work in one lease, about */
    uint64_t silence_ms_max;    /* a peer not heard of for this long is lost */
    uint64_t patience_ms;       /* on top of a lease's expected duration; for any answer */
    uint64_t fetch_ms_max;      /* from an offer to its last byte; 0: the shell sees to it */
    uint64_t lease_id_first;    /* > every id of an earlier core of this run; 0 stands for 1 */
    uint32_t max_staleness;     /* 0, or 1: peers may be a step behind */
    uint64_t stale_from;        /* no sample of an earlier step is lent to them */
};

/* Samples [first, first + count), numbered through the run. */
struct core_range {
    uint64_t first;
    uint64_t count;
};

/* A lease that a peer still works on; samples as in a range. */
struct core_lease {
    uint64_t id, first;
    uint32_t count, done;
};

enum core_event_type {
    CORE_JOINED,    /* peer, threads */
    CORE_RETURNED,  /* peer, threads: hello again; what it owns waits for its claim */
    CORE_RESERVED,  /* peer, ranges: what is free of them is its own until it claims or is lost */
    CORE_CLAIMED,   /* peer, step, ranges, kept, leases; READY and OFFERED claim nothing */
    CORE_LEFT,      /* peer */
    CORE_HEARD,     /* peer: any sign of life */
    CORE_READY,     /* peer, version; rests: it is here, but is to get no work */
    CORE_PROGRESS,  /* peer, lease_id, samples */
    CORE_YIELDED,   /* peer, lease_id, samples (kept) */
    CORE_OFFERED,   /* peer, step, ranges, again, counted: a contribution can be fetched */
    CORE_RECEIVED,  /* peer, ok: the offered bytes are here and whole */
    CORE_ADDED,     /* peer, ok: they are in the sums, or were refused as a whole */
    CORE_COMMITTED, /* the optimizer ran and the update is published */
    CORE_PAUSE,     /* no step is begun; one under way is finished */
    CORE_RESUME,
    CORE_TICK
};

struct core_event {
    enum core_event_type type;
    uint32_t peer; /* index below CORE_PEERS_MAX, chosen by the shell, free to be reused after
                      LEFT/EXPEL */
    uint32_t threads;
    uint64_t version;
    uint64_t lease_id;
    uint64_t samples;
    uint64_t step;
    const struct core_range *ranges; /* these, kept and leases are borrowed for the call */
    size_t range_count;
    const struct core_range *kept; /* in contributions that the peer keeps until the commit */
    size_t kept_count;
    const struct core_lease *leases;
    size_t lease_count;
    bool again;   /* a kept contribution; the peer may hold more */
    bool counted; /* one of these samples of its was: to this step, or to the one before it */
    bool rests;
    bool ok;
};

enum core_action_type {
    CORE_LEASE,   /* peer, lease_id, step, version, first, count, duration_ms */
    CORE_RECLAIM, /* peer, lease_id, count: keep at most that many */
    CORE_COLLECT, /* peer, step */
    CORE_FETCH,   /* peer: fetch what it offered; given up when the peer leaves or is expelled */
    CORE_ADD,     /* peer, count: add what was fetched to the sums; answered by ADDED before any
                     other event */
    CORE_VERDICT, /* peer, ok, text: the offer was counted or refused */
    CORE_COMMIT,  /* step: all its samples are counted */
    CORE_EXPEL,   /* peer, text: it is lost or broke the rules; the index is free again */
    CORE_CLAIM_ANSWER, /* peer, step, ok: what it claimed is its own; or it gives it up */
    CORE_FINISHED      /* step_count steps are committed */
};

struct core_action {
    enum core_action_type type;
    uint32_t peer;
    uint64_t lease_id;
    uint64_t step;
    uint64_t version; /* of the parameters to begin with: the step's, or the one before */
    uint64_t first;
    uint32_t count;
    uint64_t duration_ms;
    bool ok;
    bool blamed;      /* VERDICT: refused for what the peer put into it, not for being late */
    bool held;        /* EXPEL: it was not silent, and had work until it was due */
    const char *text; /* static */
};

/* Grows as needed; the caller owns it and may reuse it for every call. */
struct core_actions {
    struct core_action *items;
    size_t count;
    size_t capacity;
};
void core_actions_deinit(struct core_actions *self);

struct core;

/* Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status core_new(const struct core_settings *settings, struct core **out);
void core_free(struct core *self); /* NULL is allowed. */

/* Applies one event at now_ms (never decreasing) and replaces the content of `actions`.
 * What a peer says wrongly is ignored or answered by an action, never an error.
 * Errors: NO_MEMORY; the state is then to be thrown away. */
MUST_CHECK enum status core_step(struct core *self, uint64_t now_ms, const struct core_event *event,
                                 struct core_actions *actions);

/* The steps that nothing is lent or counted of yet have this many samples from now on; as
 * core_settings.target_batch. Errors: NO_MEMORY; as core_step. */
MUST_CHECK enum status core_set_target_batch(struct core *self, uint32_t target_batch);

/* While held, nothing of the next step is lent: settings wait for a moment between two steps. */
void core_hold(struct core *self, bool held);

/* Something is lent, held or counted of the step in progress, or of the next one; of the next one
 * alone. */
bool core_begun(const struct core *self);
bool core_next_begun(const struct core *self);
uint32_t core_target_batch(const struct core *self); /* of the step in progress */
bool core_idle(const struct core *self);             /* paused, and not begun */

/* What status pages show. */
uint64_t core_current_step(const struct core *self);
uint32_t core_peer_count(const struct core *self);
uint32_t core_counted(const struct core *self);
uint32_t core_free_samples(const struct core *self); /* of the step in progress: nobody's */
/* What is still to come of the step in progress, for who gathers contributions together. */
struct core_outlook {
    uint64_t collects; /* how often all were asked to hand in, of all steps; it only rises */
    uint32_t awaited;  /* peers that were asked to and have not offered yet */
    bool computing;    /* samples are leased and not done */
};
void core_outlook(const struct core *self, struct core_outlook *out);

/* What the peer can send, bytes a second; 0: unknown, as at first. Everybody waits for
 * contributions of what is computed again after all handed in: for a while it is lent to the
 * quarter with the fastest uplinks alone. */
void core_set_uplink(struct core *self, uint32_t peer, double bytes_per_s);

/* Samples of a lease that the peer works on; 0: it has no such lease (any more). */
uint32_t core_lease_samples(const struct core *self, uint32_t peer, uint64_t lease_id);

/* Samples per second of one peer as measured; 0: not yet. */
double core_peer_speed(const struct core *self, uint32_t peer);

#endif
