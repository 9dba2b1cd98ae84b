/* experiment_cases - links, models, batches and populations of the experiment. */
#ifndef DUGNAD_TESTS_SIM_EXPERIMENT_CASES_H
#define DUGNAD_TESTS_SIM_EXPERIMENT_CASES_H

#include "tests/sim/experiment_trial.h"

enum { CASE_PEERS_MAX = 10000, CASE_NAME_MAX = 24, CASE_NOTE_MAX = 24 };

struct experiment_model {
    const char *name;
    size_t value_count;
    double tokens_per_s;       /* of a peer */
    uint32_t samples_per_peer; /* of a step that grows with the population */
};

struct experiment_case {
    char links[CASE_NAME_MAX]; /* "A".."D", or "mixed" */
    char batch[CASE_NOTE_MAX]; /* "small", "big", "grown" */
    char strategy[CASE_NOTE_MAX];
    const struct experiment_model *model;
    size_t peer_count;              /* that compute at the beginning, or would */
    struct trial_settings settings; /* .peers: experiment_case_peers */
};

/* The whole experiment, or what the quick one takes of it. The caller frees *out with
 * sim_memory_free. Returns how many. */
size_t experiment_cases_list(uint64_t seed, bool quick, struct experiment_case **out);

/* The peers that a case begins with: settings.peer_count of them, to be freed with
 * sim_memory_free. */
struct trial_peer_spec *experiment_case_peers(const struct experiment_case *self);

#endif
