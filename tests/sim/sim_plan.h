/* sim_plan - what a seed decides before anything happens: the run, its peers, and what goes wrong.
 *
 * Rates are in thousandths of letters; times in microseconds of virtual time. Pure. */
#ifndef DUGNAD_TESTS_SIM_SIM_PLAN_H
#define DUGNAD_TESTS_SIM_SIM_PLAN_H

#include "common/random.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SIM_PEERS_MAX = 6,
    SIM_COORDINATOR = SIM_PEERS_MAX, /* its number among the processes */
    SIM_PROCESSES = SIM_PEERS_MAX + 1,
    SIM_TEMPLATES = 8,
    SIM_TEMPLATE_SMALL = 3,
    SIM_QUEUE_MAX = 64,
    SIM_SAFETY_US_MAX = 60000000,
    SIM_LIVENESS_US = 60000000 /* all must be over this long after faults end */
};

enum sim_character {
    SIM_HONEST,
    SIM_LIAR,     /* says that all of a lease is done as soon as it has begun */
    SIM_SPOILER,  /* uploads what is no gradient: not finite, or huge */
    SIM_WITHHELD, /* computes and never hands in */
    SIM_FORGER,   /* hands in samples that others were lent */
    SIM_CLONE,    /* works honestly, under the key of peer 0 */
    SIM_CHARACTERS,
    SIM_SWINDLER = SIM_CHARACTERS, /* works honestly, and sums wrongly what others compute */
    SIM_FRAMER /* sends owners what it promised and the coordinator other bytes, or the reverse */
};

struct sim_peer_plan {
    enum sim_character character;
    uint64_t join_us;
    uint64_t leave_us; /* its user stops it; 0: never */
    uint64_t sample_us;
    size_t thread_count;
    uint64_t sleep_every_us; /* about; 0: never sleeps */
    uint64_t sleep_us_max;
    unsigned crashes;
    bool aggregates; /* offers to sum: */
    bool only_sums;  /* and does nothing else */
    bool trusted;    /* the run's owner named its key */
    bool says_host;  /* where others reach it, rather than its port alone */
    uint64_t aggregate_bytes_max;
    uint64_t rate_max; /* its user's limit both ways, bytes a second; 0: none */
};

/* A machine's link; its lines share it in the order in which they send. 0: unlimited. */
struct sim_link_plan {
    uint64_t up_bytes_per_s;
    uint64_t down_bytes_per_s;
};

/* How the step's gradients are summed; `peers` false: by the coordinator alone, in whole blobs. */
struct sim_aggregation_plan {
    bool peers; /* some of them offer to */
    bool all_reduce;
    bool trusted; /* only keys that the run's owner named are believed */
    double check_share;
    double fraction_max;
    uint16_t chunk_values;
    bool coarse; /* the plan may choose a coarser codec for contributions, and for updates */
    unsigned timed_faults; /* of who sends or gets what owners are sent and send, at that moment */
};

struct sim_plan {
    bool quiet; /* nothing goes wrong, but for coordinator_crashes, each of which is a kill */
    bool owner; /* pauses, changes settings, stops */
    uint32_t max_staleness; /* these three instead of what run.yaml says */
    uint64_t stale_from;
    bool predict;
    size_t template_index;
    size_t peer_count;
    struct sim_peer_plan peers[SIM_PEERS_MAX];
    uint64_t safety_us; /* faults end then */
    uint64_t delay_us_max;
    struct sim_link_plan links[SIM_PROCESSES]; /* by process */
    bool links_vary;                           /* several times as fast, or as slow, for seconds */
    struct sim_aggregation_plan aggregation;
    unsigned loss;
    unsigned duplicates;
    unsigned reordered;
    unsigned damaged;
    size_t queue_max; /* letters that a line holds in one direction; fewer than usual is a fault */
    unsigned resets;  /* of connections, in the safety phase */
    unsigned clogs;
    unsigned partitions;
    unsigned coordinator_crashes;      /* between its turns */
    unsigned coordinator_call_crashes; /* in the middle of a call of the disk */
    unsigned disk_faults;
    unsigned rots; /* flipped bits on the disk */
    unsigned failed_mallocs;
    uint64_t pause_us_max; /* before a coordinator that ended is started again */
};

/* The plan of a seed. `quiet`: peers differ, but nothing goes wrong. */
void sim_plan_make(struct sim_plan *self, uint64_t seed, bool quiet);

/* A run of few steps with two fast peers. */
void sim_plan_shrink(struct sim_plan *self);

#endif
