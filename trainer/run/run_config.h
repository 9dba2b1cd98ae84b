/* run_config - a run's YAML file, checked.
 *
 * Every error leaves one sentence with file, line and what to do; an unknown key is refused
 * with the nearest known one. docs/run-config.md lists the keys. */
#ifndef DUGNAD_TRAINER_RUN_RUN_CONFIG_H
#define DUGNAD_TRAINER_RUN_RUN_CONFIG_H

#include "common/digest.h"
#include "common/files.h"
#include "proto/codec/codec.h"
#include "trainer/layout/model_config.h"
#include "trainer/optimizer/optimizer.h"
#include "trainer/optimizer/schedule.h"
#include "trainer/run/run_aggregation.h"
#include "trainer/run/run_membership.h"

enum {
    RUN_NAME_MAX = 64,
    RUN_CONFIG_BYTES_MAX = 64 << 10, /* libyaml takes up to 420 bytes for one */
    RUN_TARGET_BATCH_MAX = 1 << 20,  /* samples in a step */
    RUN_STEPS_MAX = 100000000,
    RUN_CHECKPOINTS_KEPT_MIN = 3 /* the newest may be torn, and the one before it rotten */
};

#define RUN_LEARNING_RATE_MIN 1e-12
#define RUN_LEARNING_RATE_MAX 10.0

struct run_config {
    char name[RUN_NAME_MAX];
    struct model_config model;
    char init_from[FILES_PATH_MAX];   /* absolute; "": parameters come from the seed */
    char data_folder[FILES_PATH_MAX]; /* absolute */
    bool has_data_manifest;
    struct digest data_manifest; /* hash of the data's manifest.json: no other data will do */
    uint32_t context;            /* T: predicted tokens in a sample */
    uint64_t step_count;
    uint32_t target_batch; /* B: samples in a step */
    uint64_t seed;
    enum codec codec;       /* of contributions and updates */
    enum codec mean_codec;  /* of the mean gradient in the journal, which the optimizer is given */
    uint32_t max_staleness; /* 0; or 1: peers may compute on the parameters before a step's */
    uint64_t stale_from;    /* the first step of which samples may be stale; earlier costs most */
    bool predict;           /* stale samples are computed on predicted parameters */
    uint64_t checkpoint_every;
    uint32_t checkpoints_kept; /* 0: all; else at least RUN_CHECKPOINTS_KEPT_MIN */
    struct optimizer_settings optimizer;
    struct schedule schedule;
    struct aggregation_settings aggregation;
    enum membership membership;
};

/* Reads and checks. Relative paths in the file are relative to the file's folder.
 * Errors: NO_INPUT, BAD_CONFIG. */
MUST_CHECK enum status run_config_read(const char *path, struct run_config *out);

/* Whether a run may be called so. Errors: USAGE with a sentence. */
MUST_CHECK enum status run_config_check_name(const char *name);

/* Tokens predicted by one whole step. */
uint64_t run_config_step_tokens(const struct run_config *self);

#endif
