/* routes - what is known of each peer's links, and the plan made of it: who computes, who owns
 * which chunks, who encodes how.
 *
 * A peer's own measurements count most, then what the coordinator saw of its transfers, then the
 * probe; its owner's limits cap them. A peer without any is planned with the median of the others,
 * and owns nothing.
 *
 * Pure: no I/O or clock. One owner. */
#ifndef DUGNAD_COORDINATOR_SERVER_ROUTES_H
#define DUGNAD_COORDINATOR_SERVER_ROUTES_H

#include "coordinator/plan/aggregation_plan.h"
#include "coordinator/server/sessions.h"
#include "proto/rate.h"
#include "trainer/run/run_aggregation.h"

enum { ROUTES_LIARS_MAX = 4096 };

#define ROUTES_READY_NONE UINT64_MAX

struct route_peer {
    uint32_t number; /* of its stay: another one when it comes again */
    uint8_t public_key[IDENTITY_KEY_BYTES];
    bool computes;
    bool aggregates;                     /* willing */
    bool reachable;                      /* as dialling back found */
    bool trusted;                        /* named by the run's owner */
    bool believed;                       /* trusted, or anybody is; and no liar */
    char dial_address[WIRE_ADDRESS_MAX]; /* for the coordinator; "": none */
    char address[WIRE_ADDRESS_MAX];      /* for others */
    uint64_t up_max, down_max;           /* its owner's limits, bytes a second; 0: none */
    uint64_t said_up, said_down;         /* 0: not measured */
    uint64_t probed;                     /* both ways */
    struct rate_meter received;          /* what came from it to the coordinator */
    double samples_per_s;                /* 0: unknown */
    uint64_t ready_version;              /* that it said last */
    uint64_t dial_ms;                    /* when it is to be dialled next */
    uint64_t route_ms;                   /* before that its contributions go the central way */
    uint64_t rest_due_ms;                /* while it rests: when it is probed next; 0: not set */
    uint64_t rest_sent_ms, rest_nonce;   /* the probe without an answer; 0: none */
    bool dialling;
    bool heard;             /* since its hello: it has its welcome */
    bool rest_flipped;      /* the core is to be told whether it rests */
    uint64_t granted_id;    /* of the blob that it fetches, */
    uint64_t granted_bytes; /* and how much of it it asked for so far */
    /* In the newest plan: */
    bool planned; /* it was there when that was made */
    struct plan_share share;
    double planned_up, planned_down; /* that it was made with */
    /* As it was told: */
    uint64_t told_plan;
    bool told_any;
    bool told_rest;
    enum codec codec, codec_before;
};

struct routes_now {
    enum codec codec; /* of the run */
    double target_batch;
    double coordinator_up, coordinator_down; /* bytes a second; 0: unknown */
    double sum_bytes_per_value;
};

struct routes;

/* Nobody is there, no plan. Plans get the numbers after plan_id_first. Errors: NO_MEMORY. The
 * caller owns *out. */
MUST_CHECK enum status routes_new(size_t value_count, const struct aggregation_settings *settings,
                                  bool overlap, uint64_t plan_id_first, struct routes **out);
void routes_free(struct routes *self); /* NULL is allowed. */

/* The peer of a session, by its index below SESSIONS_MAX, or by its number; NULL: none. */
struct route_peer *routes_peer(const struct routes *self, uint32_t index);
struct route_peer *routes_by_number(const struct routes *self, uint32_t number);
uint32_t routes_index(const struct route_peer *peer);

/* A peer joined, or, when it is known, says hello again: it keeps its number and its measurements.
 * `host` is where its connection comes from, "" unknown. NULL: no memory; it stays unknown. */
struct route_peer *routes_join(struct routes *self, uint32_t index, const struct wire_hello *hello,
                               const char *host, bool trusted);
void routes_leave(struct routes *self, uint32_t index); /* Fine when it is unknown. */

/* An owner returned wrong sums, or refused what is fine: its key owns nothing for as long as this
 * process lives. Nobody else can have done it: all that it took was proved by the roots that the
 * coordinator signed (proto/ticket.h). */
void routes_note_lie(struct routes *self, struct route_peer *peer);

/* What goes for the peer's links now; 0: not measured. */
double routes_up(const struct route_peer *peer);
double routes_down(const struct route_peer *peer);
bool routes_can_own(const struct route_peer *peer);

/* The rate, but for its owner's limit (0: none). */
static inline double routes_capped(double rate, uint64_t max)
{
    return max > 0 && rate > (double)max ? (double)max : rate;
}

/* The peer may have other links or other wishes than the plan was made with. */
void routes_note_change(struct routes *self);

/* Plans anew if something changed by enough; *out_changed: there is another plan now. Between two
 * steps. Errors: as plan_make; the plan stays as it was. */
MUST_CHECK enum status routes_plan(struct routes *self, const struct routes_now *now,
                                   bool *out_changed);

/* A step of the newest plan took so long: what it took beyond the plan's times is what a step is
 * predicted to take beyond them from here on. The first steps of a plan, in which it is not yet
 * everywhere, say nothing. */
void routes_note_step(struct routes *self, double step_s);

/* The same plan under a new number. */
void routes_renew(struct routes *self);

/* How updates are to be encoded: as the plan in force says, without one as the run does. */
enum codec routes_update_codec(const struct routes *self, enum codec run_codec);

/* No owners, everybody computes, until there is another plan: the run has another codec. */
void routes_reset(struct routes *self);

/* What a peer was told before is none of the run's codecs any more: it is welcomed again. */
void routes_forget_codecs(struct routes *self);

uint64_t routes_plan_id(const struct routes *self);
const struct plan_times *routes_predicted(const struct routes *self, double *out_bound_step_s);
uint32_t routes_owner_count(const struct routes *self); /* those that are there */

/* The chunks that the newest plan leaves to the coordinator. */
void routes_own_share(const struct routes *self, uint32_t *out_first_chunk,
                      uint32_t *out_chunk_count);

/* What the peer at `index` is to be told, but for the pass. `codec` is the run's. */
void routes_fill(const struct routes *self, uint32_t index, enum codec codec,
                 struct wire_route *out);

/* It was told the newest plan. True: whether it rests is another than before. */
bool routes_note_told(struct routes *self, struct route_peer *peer, const struct wire_route *route);

/* True when a contribution of this peer may be encoded so: its route's codec, the one before, or
 * the run's. */
bool routes_takes_codec(const struct route_peer *peer, enum codec run_codec, enum codec codec);

#endif
