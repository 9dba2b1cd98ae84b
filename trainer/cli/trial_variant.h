/* trial_variant - one way to run a training, to be compared with others: the codecs of
 * contributions, updates and the mean gradient, and what share of the samples is stale.
 *
 * Text is NAME, one of trial_variant_name(), or NAME:KEY=VALUE,... with
 *
 *   codec         of contributions and updates; sets mean as a run file does: fp32, else bf16
 *   gradient      codec of contributions
 *   update        codec of updates
 *   mean          codec of the mean gradient that the optimizer is given
 *   slow          codec of contributions of those with slow links
 *   slow_share    share of contributors with slow links, rounded up; 0.25
 *   rotate        after so many steps others are slow; 0: never
 *   contributors  peers that share a step's samples; 0: as the command says
 *   stale         share of the samples that is computed on parameters one step old
 *   ahead         how often the latest update is added to those: predicted parameters; 1
 *   bend          how often its difference from the one before is; 0
 *   from          share of the steps before any sample may be stale
 *   rate          what the learning rate is multiplied with; 1
 *   leave         every so many steps one contributor is replaced, its residual lost; 0: never
 *
 * What is not named is fp32 and fresh. Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_CLI_TRIAL_VARIANT_H
#define DUGNAD_TRAINER_CLI_TRIAL_VARIANT_H

#include "proto/codec/codec.h"

enum { TRIAL_NAME_MAX = 48, TRIAL_CONTRIBUTORS_MAX = 64 };

struct trial_variant {
    char name[TRIAL_NAME_MAX];
    enum codec gradient;
    enum codec update;
    enum codec mean;
    enum codec slow;
    double slow_share;
    uint64_t rotate_steps;
    uint64_t contributor_count; /* 0: as the command says */
    double stale_share;
    double stale_from; /* share of the steps */
    double ahead;
    double bend;
    double rate;
    uint64_t leave_steps;
};

/* Errors: USAGE with a sentence. */
MUST_CHECK enum status trial_variant_parse(const char *text, struct trial_variant *out);

/* The names that need no settings, in the order of a table; NULL from the last one on. */
const char *trial_variant_name(size_t index);

/* Whether contributor `index` of `count` has a slow link in a step. */
bool trial_variant_is_slow(const struct trial_variant *self, uint64_t step, uint64_t index,
                           uint64_t count);

/* Whether sample number `sample` of the run, which belongs to `step` of `step_count`, is stale: an
 * even share of any stretch of samples. Step 0 has nothing before it. */
bool trial_variant_is_stale(const struct trial_variant *self, uint64_t step, uint64_t step_count,
                            uint64_t sample);

#endif
