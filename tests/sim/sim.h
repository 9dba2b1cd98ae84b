/* sim - one run of the real coordinator and real peers on virtual time, in this process alone.
 *
 * One at a time: the functions that stand in for clock, network, disk and threads have no argument
 * that says whose they are, so they find the simulation through `sim`. All chance comes from the
 * seed; nothing depends on addresses, on the time of day, or on what ran before. */
#ifndef DUGNAD_TESTS_SIM_SIM_H
#define DUGNAD_TESTS_SIM_SIM_H

#include "coordinator/server/server.h"
#include "peer/daemon/daemon.h"
#include "tests/sim/sim_blocks.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_heap.h"
#include "tests/sim/sim_owner.h"
#include "tests/sim/sim_plan.h"
#include "tests/sim/sim_template.h"
#include "tests/sim/sim_trace.h"

#include <setjmp.h>

enum { SIM_FAILURE_MAX = 600 };

/* A coordinator or a peer, as the machine it runs on sees it. */
struct sim_process {
    uint32_t index;
    bool alive;
    uint64_t incarnation; /* counts starts */
    uint64_t turn_at_us;  /* UINT64_MAX: no turn is due */
    uint64_t turn_serial;
    uint64_t asleep_until_us;
    uint64_t clock_offset_ms; /* machines do not agree on what a monotonic clock shows */
    struct sim_blocks memory;
    jmp_buf escape; /* where a crash in the middle of something ends */
};

struct sim_peer {
    struct sim_process process;
    const struct sim_peer_plan *plan;
    const struct identity *identity;
    uint64_t hellos; /* as its state folder says; a clone's is a copy */
    struct sequence sequence;
    struct daemon_options options;
    struct daemon *daemon;
    struct compute *compute; /* NULL before the first welcome */
    bool stop;               /* its user asked it to leave */
    bool left;               /* it left for good */
    bool finished;           /* it ended knowing that the run is over */
    bool garbled;       /* bytes of it arrived that it did not send, which CURVE would not let be */
    uint64_t blame;     /* what else it was found to do, in thousandths of a point, */
    uint64_t blamed_us; /* and when it was last */
    uint64_t version;   /* of its parameters when they were compared last */
};

struct sim_coordinator {
    struct sim_process process;
    struct run_dir run;
    struct server *server;
    bool over; /* the run is finished and its peers were told */
    bool stop;
    uint64_t version;           /* of its parameters, in its present life */
    uint64_t checkpoint;        /* the latest that was written, in its present life */
    bool paused;                /* it was, after the last event */
    uint64_t begun;             /* the last step that had begun then, from 1; 0: none */
    uint64_t announced_version; /* the latest that any peer was told of */
    struct digest announced[SIM_STEPS_MAX];
    bool rests;                 /* it is paused, and nothing is begun */
    unsigned failures_in_a_row; /* starts and turns that ended with an error */
    bool beyond_help;           /* bits rotted, and it says that it cannot go on */
};

/* What happened, for the summary. */
struct sim_figures {
    uint64_t seeds;
    uint64_t virtual_us;
    uint64_t events;
    uint64_t letters;
    uint64_t steps;
    uint64_t samples_computed;
    uint64_t samples_needed;
    uint64_t samples_stale; /* counted, and computed on the version before that of their step */
    uint64_t coordinator_starts;
    uint64_t coordinator_kills;
    uint64_t power_losses;
    uint64_t call_crashes;
    uint64_t coordinator_errors;
    uint64_t peer_crashes;
    uint64_t letters_lost;
    uint64_t letters_doubled;
    uint64_t letters_reordered;
    uint64_t letters_damaged;
    uint64_t resets;
    uint64_t clogs;
    uint64_t partitions;
    uint64_t disk_errors;
    uint64_t disk_full;
    uint64_t rots;
    uint64_t beyond_help;
    uint64_t mallocs_failed;
    uint64_t contributions_refused;
    uint64_t sleeps;
    uint64_t owner_wishes;
    uint64_t owner_settings; /* answered OK */
    uint64_t owner_stops;
    uint64_t plans;          /* that were told */
    uint64_t steps_coarse;   /* whose update has another codec than the run's, */
    uint64_t codec_changes;  /* and updates that have another codec than the one before */
    uint64_t steps_gathered; /* with sums of owners in them */
    uint64_t takeovers;      /* of owners, by the coordinator */
    uint64_t repairs;        /* chunks of lost owners that others summed */
    uint64_t entries_out;    /* contributions that left the set of a step, */
    uint64_t entries_moved;  /* those to be fetched since an owner stands still for want of them */
    uint64_t rounds;         /* beyond the first of their steps */
    uint64_t swindles;       /* sums that were sent and are wrong */
    uint64_t swindlers_caught; /* takeovers because of them */
    uint64_t framed;           /* chunks that were sent and are not those that were promised */
    uint64_t clones_seen;      /* hellos refused because a later one of the key came before */
    uint64_t offences;         /* that were told, */
    uint64_t cuts;             /* and what followed: ends of sessions, */
    uint64_t rests;            /* and no work for a while */
    uint64_t timed_faults;     /* of who was just talking about sums, or of the wire between them */
};

/* Where --crash-every-call ends the coordinator. */
struct sim_crash {
    uint64_t call; /* of the disk, counted from the start before it; 0: nowhere */
    enum sim_disk_moment moment;
    bool power;
};

struct sim_network;
struct sim_shadow;

struct sim {
    uint64_t seed;
    uint64_t now_us;
    struct sim_plan plan;
    const struct sim_template *pattern;
    struct random chance;   /* whatever goes wrong */
    struct random networks; /* delays */
    struct random ties;     /* of events at the same time */
    struct sim_heap heap;
    struct sim_trace trace;
    struct sim_network *network;
    struct sim_shadow *shadow;
    struct sim_disk *disk; /* the coordinator's */
    struct sim_disk_faults disk_faults;
    bool rotten; /* bits were flipped on the disk */
    unsigned call_crashes_left;
    unsigned mallocs_left; /* that are still to fail */
    unsigned timed_faults_left;
    struct sim_coordinator coordinator;
    struct sim_owner owner;
    struct sim_peer peers[SIM_PEERS_MAX];
    uint64_t computed[SIM_PEERS_MAX]; /* bitmap of samples, by the key they were computed under */
    uint64_t lent[SIM_PEERS_MAX];     /* and by the key they were ever lent to */
    struct sim_process *running;      /* NULL: the simulator itself */
    bool calm;                        /* faults are over */
    bool done;
    uint64_t done_us;
    struct sim_crash crashes[2];
    uint64_t calls[3];
    uint64_t recovery_calls;
    uint64_t calls_before;         /* of the disk, when the coordinator's present life began */
    char failure[SIM_FAILURE_MAX]; /* the first thing that must not be; "": none */
    jmp_buf broken;                /* where a simulation that failed in the middle ends */
    bool breakable;
    struct sim_figures figures;
};

extern struct sim *sim;

struct sim_options {
    uint64_t seed;
    bool quiet;                  /* no faults */
    bool small;                  /* nor many steps and peers */
    struct sim_crash crashes[2]; /* in the first life of the coordinator, and in the second */
    FILE *trace;                 /* where to write what happens, in words; NULL: nowhere */
};

struct sim_result {
    struct digest hash;
    char failure[SIM_FAILURE_MAX];
    struct sim_figures figures;
    uint64_t calls[3];       /* of the disk, in each life of the coordinator so far */
    uint64_t recovery_calls; /* of them in its second life, before it served */
};

/* Runs one seed from its start to its end. */
void sim_run(const struct sim_options *options, struct sim_result *out);

/* Where libsodium's random bytes come from, from now on. */
void sim_secrets_begin(uint64_t seed);

/* sim_process.c: what happens to a process, whatever it runs. */

/* Says what must not be; the first one counts. Goes on where it is called. */
__attribute__((format(printf, 1, 2))) void sim_fail(const char *format, ...);

/* A line of the readable trace. Costs nothing when nobody reads it: ask sim_tracing() first. */
bool sim_tracing(void);
__attribute__((format(printf, 1, 2))) void sim_line(const char *format, ...);

void sim_push(uint64_t at_us, enum sim_event_type type, uint32_t index, uint64_t serial);
uint64_t sim_chance(uint64_t bound);
bool sim_permille(unsigned rate); /* never when the network is calm */

/* Runs body(context) as this process; false when it crashed on the way: its memory is gone. */
bool sim_process_run(struct sim_process *process, void (*body)(void *), void *context);

/* Ends the running process on the spot, as a kill does. */
__attribute__((noreturn)) void sim_process_crash(void);

/* The process may run at at_us, or sooner. */
void sim_process_wake(struct sim_process *process, uint64_t at_us);

/* A process starts: its memory is fresh, and an allocation of it may be chosen to fail. */
void sim_process_begin(struct sim_process *process);

/* Monotonic milliseconds as the process sees them. */
uint64_t sim_process_ms(const struct sim_process *process);

const char *sim_process_name(uint32_t index);
struct sim_process *sim_process(uint32_t index);

/* sim_peers.c */
void sim_peer_start(struct sim_peer *peer);
void sim_peer_turn(struct sim_peer *peer);
void sim_peer_crash(struct sim_peer *peer);
bool sim_peers_know_the_end(void); /* all that are honest */
/* Whether two machines have its key: sim_plan.c gives clones that of peer 0. */
bool sim_peer_is_cloned(uint32_t index);
void sim_peer_sample_done(struct sim_peer *peer, const struct sim_event *event);

/* sim_coordinators.c */
void sim_coordinator_start(struct sim_coordinator *coordinator);
void sim_coordinator_turn(struct sim_coordinator *coordinator);
void sim_coordinator_crash(struct sim_coordinator *coordinator);

#endif
