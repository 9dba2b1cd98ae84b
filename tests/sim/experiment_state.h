/* experiment_state - what a trial knows; shared by experiment_*.c alone. */
#ifndef DUGNAD_TESTS_SIM_EXPERIMENT_STATE_H
#define DUGNAD_TESTS_SIM_EXPERIMENT_STATE_H

#include "common/random.h"
#include "tests/sim/experiment_net.h"
#include "tests/sim/experiment_trial.h"

enum {
    TRIAL_CHUNK_VALUES = 32768,
    TRIAL_SPREADS = 8,    /* updates on their way at once */
    TRIAL_ROUNDS = 64,    /* of contributions, in one step */
    TRIAL_TAKEOVERS = 512 /* of parts, in one round or spread */
};

static const double trial_latency_s = 0.02;

enum trial_timer {
    TIMER_READY,     /* a peer's message is at the coordinator */
    TIMER_HUNGRY,    /* a lease will soon be done */
    TIMER_LEASE,     /* it is */
    TIMER_PROGRESS,  /* the coordinator hears of it: `count` samples of step `subject` */
    TIMER_DELIVER,   /* contributors of round `subject` begin to send */
    TIMER_POOL,      /* step `subject` may be worked on */
    TIMER_COMMIT,    /* the optimizer is done */
    TIMER_PUBLISH,   /* owners and peers know of update `subject` */
    TIMER_RECEIVE,   /* a peer has the hashes: `subject` is spread << 32 | receiver */
    TIMER_LEAVE,     /* a peer dies */
    TIMER_LOST,      /* and is missed: as one that computes */
    TIMER_OWNER_LOST /* as one that sums and serves */
};

struct trial_part {
    uint32_t owner; /* node; 0 is the coordinator */
    uint32_t first, count;
    bool dead;    /* its owner is gone */
    bool settled; /* and contributors no longer count on it */
};

struct trial_lease {
    uint64_t step;
    uint32_t count; /* 0: none */
    uint32_t stale; /* of them, counted when the update comes or the lease ends */
    bool judged;    /* `stale` is final */
    bool here;      /* its message has come */
};

struct trial_peer {
    struct trial_peer_spec spec;
    double seen_up, seen_down; /* as measured and smoothed */
    bool gone;
    bool owner_missed; /* and the coordinator knows, as far as owners go */
    bool behind;       /* fetching a snapshot, or updates that it missed */
    bool computes;     /* the plan wants it */
    enum codec codec;
    uint64_t version;
    uint64_t updates; /* bit step % 64: it has that update and not yet applied it */
    bool asked;       /* for work */
    bool waiting;     /* the coordinator has none for it */
    struct trial_lease now, next;
    double lease_at_s, sample_s;
    uint32_t lease_serial;
    double pause_s;             /* encoding and applying, before the next lease */
    uint32_t done[2], stale[2]; /* samples in the accumulator of step % 2 */
    bool has_parameters;
    uint64_t fetching_version;
    uint64_t join_chunks_left;
    int64_t *join_flows; /* (join_count, join_max) */
    size_t join_count, join_max;
};

struct trial_contributor {
    uint32_t node;
    uint32_t samples, stale;
    enum codec codec;
    bool lost;
    bool started;
    uint32_t chunks_left;
    uint32_t blocked; /* of these, those whose owner is gone */
    int64_t *flows;   /* (part_max) */
};

struct trial_sums {
    int64_t flow;
    uint32_t *chunks, *epochs; /* in the order of sending */
    uint32_t count, capacity;
};

/* One COLLECT and what it brings. What has to be computed again comes in a later round, which is
 * summed for itself. */
struct trial_round {
    struct trial_part *parts;
    size_t part_count, part_max;
    struct trial_sums *sums; /* (part_max) */
    struct trial_contributor *contributors;
    size_t contributor_count;
    uint32_t *held, *epoch, *part_of; /* (chunk_count) */
    uint8_t *summed;                  /* (chunk_count), 1: on its way, 2: at the coordinator */
    uint32_t expected;
    uint32_t chunks_done;
    bool settled; /* every contribution has come, but for lost owners, or is given up */
};

struct trial_gather {
    bool active;
    bool committing;
    uint64_t step;
    double began_s;
    struct trial_round rounds[TRIAL_ROUNDS];
    size_t round_count;
};

struct trial_receiver {
    uint32_t node;
    uint32_t left;
    bool open, over;
    int64_t *flows; /* (part_max) */
};

struct trial_spread {
    bool active;
    enum codec codec;
    uint64_t step;
    double began_s;
    struct trial_part *parts;
    size_t part_count, part_max;
    int64_t *owner_flows; /* (part_max) */
    uint32_t *arrived;    /* (part_max): chunks that the owner has */
    struct trial_receiver *receivers;
    size_t receiver_count;
    size_t left; /* receivers that do not have it all */
};

struct trial_pool {
    uint64_t step;
    bool open;
    bool collected;     /* all were done, and nothing was given back since */
    uint32_t free, out; /* samples nobody has; lent and not done */
};

struct trial {
    struct trial_settings settings;
    struct net *net;
    struct random chance;
    uint32_t chunk_count;
    uint32_t tail_values;
    struct trial_peer *peers; /* (peer_count); [0] stands for the coordinator */
    size_t peer_count, peer_capacity;
    double rate_here; /* samples/s of all that may compute now */
    uint64_t committed;
    double committed_at_s; /* the last one */
    struct trial_pool pools[2];
    struct trial_gather gather;
    struct trial_spread spreads[TRIAL_SPREADS];
    struct trial_part *parts; /* of the plan in force */
    size_t part_count;
    struct aggregation_plan plan;
    bool planned, members_changed;
    struct plan_times predicted;
    double bound_s;
    uint32_t *plan_nodes; /* (plan.peer_count) */
    double *plan_rates;   /* (2 * plan.peer_count): up, down it was made with */
    uint32_t plans;
    double quick_bytes_per_s; /* the uplinks of the best quarter that computes have so much */
    enum status status;
    bool stuck; /* more is lost than is repaired: no step will be committed */
    /* Over the steps that count. */
    double counted_from_s, counted_to_s, capacity_samples, capacity_at_s;
    double up_before[KIND_COUNT], down_before[KIND_COUNT];
    double predicted_sum, bound_sum, gather_sum, spread_sum;
    uint32_t spread_measured;
    double samples_done, samples_stale, samples_lost;
    uint64_t joined, left;
    uint64_t newcomers;
};

static inline double trial_now(const struct trial *self)
{
    return net_now_s(self->net);
}

/* experiment_traffic.c: bytes of a chunk in each encoding, and flows of chunks. */
struct trial_flow {
    struct net_tag tag;
    uint32_t from, to;
    uint32_t first, count, offered; /* chunks; the first is one of the vector */
    enum codec codec;
    uint32_t times; /* as many such vectors; 0 is 1 */
};
int64_t trial_open(struct trial *self, const struct trial_flow *flow);
/* One message of so many bytes. */
void trial_send(struct trial *self, const struct net_tag *tag, uint32_t to, double bytes);
/* Who takes over from one that is gone: 0, or an owner of the plan that is there, by chance in
 * proportion to their links. */
uint32_t trial_substitute(struct trial *self, uint32_t gone);

/* experiment_work.c: samples, leases. */
void trial_work_ready(struct trial *self, uint32_t node);
void trial_work_want(struct trial *self, uint32_t node);
void trial_work_lease_came(struct trial *self, uint32_t node);
void trial_work_hungry(struct trial *self, uint32_t node, uint32_t serial);
void trial_work_lease_ended(struct trial *self, uint32_t node, uint32_t serial);
void trial_work_progress(struct trial *self, uint64_t step, uint32_t count);
void trial_work_collect_when_done(struct trial *self);
void trial_work_open(struct trial *self, uint64_t step);
/* More samples of a step are to be computed (again). */
void trial_work_give_back(struct trial *self, uint64_t step, uint32_t count);
void trial_work_update_applied(struct trial *self, uint32_t node);
void trial_work_forget(struct trial *self, uint32_t node);

/* experiment_gather.c: from collect to commit. */
void trial_gather_collect(struct trial *self);
void trial_gather_deliver(struct trial *self, uint64_t subject);
void trial_gather_chunks(struct trial *self, const struct net_flow *flow, uint32_t count);
void trial_gather_sums(struct trial *self, const struct net_flow *flow, uint32_t count);
void trial_gather_peer_died(struct trial *self, uint32_t node);
void trial_gather_peer_missed(struct trial *self, uint32_t node);
void trial_gather_owner_missed(struct trial *self, uint32_t node);
void trial_gather_end(struct trial *self);
/* True when another round may begin: where owners repair, one after the other. */
bool trial_gather_may_collect(const struct trial *self);
/* True while samples of this step are computed for the second time. */
bool trial_gather_repairs(const struct trial *self, uint64_t step);

/* experiment_spread.c: from commit to all have the update. */
void trial_spread_start(struct trial *self, uint64_t step);
void trial_spread_publish(struct trial *self, uint64_t step);
void trial_spread_hashes(struct trial *self, const struct net_flow *flow);
void trial_spread_receive(struct trial *self, uint64_t subject);
void trial_spread_at_owner(struct trial *self, const struct net_flow *flow, uint32_t count);
void trial_spread_chunks(struct trial *self, const struct net_flow *flow, uint32_t count);
void trial_spread_peer_died(struct trial *self, uint32_t node);
void trial_spread_owner_missed(struct trial *self, uint32_t node);
void trial_spread_free(struct trial_spread *self);

/* experiment_churn.c: who leaves, who comes. */
uint32_t trial_add_peer(struct trial *self, const struct trial_peer_spec *spec);
/* Fetches what a peer needs to be at the newest version. */
void trial_join(struct trial *self, uint32_t node);
void trial_leave(struct trial *self, uint32_t node);
void trial_lost(struct trial *self, uint32_t node);
void trial_join_chunks(struct trial *self, const struct net_flow *flow, uint32_t count);
void trial_join_owner_missed(struct trial *self, uint32_t node);

/* experiment_plan.c: rates, and the plan in force. */
void trial_plan(struct trial *self);
/* What a step takes besides computing and bytes: messages in a row, the optimizer. */
double trial_overhead_s(const struct trial *self);
void trial_plan_free(struct trial *self);
double trial_limit_s(const struct trial *self);

/* experiment_trial.c */
void trial_commit(struct trial *self);
void trial_count_capacity(struct trial *self);
/* Applies what updates a peer has, in their order. */
void trial_apply(struct trial *self, uint32_t node);

#endif
