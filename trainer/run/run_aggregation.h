/* run_aggregation - the `aggregation` section of a run's YAML file: who may sum gradients.
 *
 * Private to trainer/run but for the struct. */
#ifndef DUGNAD_TRAINER_RUN_RUN_AGGREGATION_H
#define DUGNAD_TRAINER_RUN_RUN_AGGREGATION_H

#include "proto/codec/codec.h"

#include <stdbool.h>
#include <stdio.h>

enum { AGGREGATION_OWNERS_MAX = 256 };

enum aggregation_strategy {
    AGGREGATION_ADAPTIVE,        /* fractions by the measured links: the linear program */
    AGGREGATION_ALL_REDUCE,      /* equal fractions for all peers that compute and may sum */
    AGGREGATION_PARAMETER_SERVER /* the coordinator sums everything */
};

/* Whose sums are believed. */
enum aggregation_belief {
    AGGREGATION_CHECKED, /* anybody's; some chunks of every step are summed again */
    AGGREGATION_TRUSTED  /* those of the keys that the run's owner named */
};

struct aggregation_settings {
    enum aggregation_strategy strategy;
    enum aggregation_belief belief;
    double check_share;       /* of a checked peer's chunks, (0, 1] */
    double fraction_max;      /* of the vector, for one peer; (0, 1] */
    uint32_t owners_max;      /* peers that sum; 0: none */
    bool rest;                /* peers that would slow down everybody may be told not to compute */
    bool has_slow_link_codec; /* else slow links use the run's codec too */
    enum codec slow_link_codec;
    bool
        slow_link_updates; /* the plan may choose it for updates too, where it is the coarser one */
};

struct run_yaml;

/* Errors: BAD_CONFIG with a sentence. */
MUST_CHECK enum status run_aggregation_read(const struct run_yaml *yaml,
                                            struct aggregation_settings *out);

/* Writes the section as run_aggregation_read reads it. */
void run_aggregation_print(FILE *out, const struct aggregation_settings *settings);

#endif
