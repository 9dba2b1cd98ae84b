/* experiment_trial - some steps of one run over limited links, as the protocol has them.
 *
 * What moves is what docs/simulator.md lists under "links": leases with their tokens, contribution
 * chunks to their owners, packed sums, update chunks through the owners, hash lists, routes,
 * snapshots. Nothing is computed: a sample takes time and a chunk takes a link. The plan is the
 * real one (coordinator/plan), from rates as they were measured.
 *
 * One owner. Ends the program where it runs out of memory. */
#ifndef DUGNAD_TESTS_SIM_EXPERIMENT_TRIAL_H
#define DUGNAD_TESTS_SIM_EXPERIMENT_TRIAL_H

#include "coordinator/plan/aggregation_plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trial_kind {
    KIND_CONTRIBUTION,
    KIND_SUM,
    KIND_UPDATE,  /* from an owner, or from the coordinator as one */
    KIND_PUBLISH, /* coordinator to owner */
    KIND_HASHES,
    KIND_SNAPSHOT,
    KIND_TOKENS, /* leases */
    KIND_CONTROL,
    KIND_COUNT
};

const char *trial_kind_name(enum trial_kind kind);

struct trial_peer_spec {
    double up_bytes_per_s, down_bytes_per_s, samples_per_s;
    bool aggregates;
};

struct trial_settings {
    uint64_t seed;
    const struct trial_peer_spec *peers; /* borrowed */
    size_t peer_count;
    double coordinator_bytes_per_s; /* each way */
    double coordinator_bytes_max;   /* of a step, for the plan; 0: no limit */
    size_t value_count;
    uint32_t context;      /* tokens of a sample */
    uint32_t target_batch; /* samples of a step */
    enum plan_strategy strategy;
    bool compact; /* mx4 is allowed for contributions */
    bool overlap; /* max_staleness: 1 */
    bool may_rest;
    bool repair_by_owners; /* what was lost goes to owners again, not to the coordinator */
    double half_life_s;    /* of peers; 0: nobody leaves */
    /* Who comes for one that left. */
    struct trial_peer_spec (*newcomer)(uint64_t seed, uint64_t number);
    uint32_t train_chunks;
    uint32_t steps_skipped, steps_counted;
};

struct trial_result {
    bool stuck; /* losses outran repairs; the step is then at least so long, and the rest not known
                 */
    double step_s, samples_per_s;
    double
        utilisation; /* samples that counted, of what those that were to compute could have done */
    double stale_share; /* of the samples */
    double lost_share;  /* of the samples computed, lost with their peer */
    double up_sizes[KIND_COUNT],
        down_sizes[KIND_COUNT]; /* coordinator, a step, in models of 4 bytes a value */
    double up_sizes_total, down_sizes_total;
    double predicted_s, bound_s; /* by the plan, averaged over the steps */
    double limit_s;              /* of the links: docs/aggregation-experiments.md */
    double gather_s, spread_s;   /* collect to commit; commit to the last update applied */
    uint32_t computing, owners;
    double owned_by_coordinator; /* share of the vector */
    uint32_t plans;
    double joined, left; /* peers a step */
    uint64_t events;
};

/* Errors: what plan_make said. */
MUST_CHECK enum status trial_run(const struct trial_settings *settings, struct trial_result *out);

#endif
