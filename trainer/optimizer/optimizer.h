/* optimizer - the kinds of optimizer that a run can choose, and what each one keeps.
 *
 * Definitions, papers and advice: docs/optimizers.md. The arithmetic of a kind is in the file of
 * its name; all of it is element by element or summed in a fixed order, so a step replays
 * bit-exactly on any machine. Pure. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_OPTIMIZER_H
#define DUGNAD_TRAINER_OPTIMIZER_OPTIMIZER_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum optimizer_kind {
    OPTIMIZER_ADAMW,
    OPTIMIZER_LAMB,
    OPTIMIZER_SGD,
    OPTIMIZER_ADAM_MINI,
    OPTIMIZER_KIND_COUNT
};

enum { OPTIMIZER_STATES_MAX = 2 };

struct optimizer_settings {
    enum optimizer_kind kind;
    double beta1; /* beta1, beta2 and eps: all kinds but SGD */
    double beta2;
    double eps;
    double weight_decay; /* on tensors with 2 or more dimensions */
    double grad_clip;    /* L2 norm of the mean gradient; 0: no clipping */
    double momentum;     /* momentum and nesterov: SGD alone */
    bool nesterov;
};

/* A vector that a kind keeps from one step to the next. */
struct optimizer_state {
    const char *name; /* "moment1"; checkpoints name a file after it */
    bool per_block;   /* a value for each block (blocks.h) instead of each parameter */
};

/* "adamw", "lamb", "sgd", "adam_mini": the name in run files and checkpoints. */
const char *optimizer_name(enum optimizer_kind kind);

/* Errors: BAD_CONFIG (no such name). */
MUST_CHECK enum status optimizer_from_name(const char *name, enum optimizer_kind *out);

/* How many vectors the kind keeps, at most OPTIMIZER_STATES_MAX. */
size_t optimizer_state_count(enum optimizer_kind kind);
const struct optimizer_state *optimizer_state(enum optimizer_kind kind, size_t index);

/* The published defaults (docs/optimizers.md says whose). */
struct optimizer_settings optimizer_defaults(enum optimizer_kind kind);

/* What one step has in common for all elements. */
struct optimizer_step {
    float learning_rate;
    float clip_scale; /* min(1, grad_clip / norm) */
    float beta1, beta2, eps, weight_decay;
    float rest1, rest2; /* 1 - beta, rounded once */
    float bias1, bias2; /* 1 - beta^step, step counted from 1 */
    float momentum;
    bool nesterov;
};

/* step >= 1; norm is the L2 norm of the mean gradient before clipping. */
struct optimizer_step optimizer_prepare(const struct optimizer_settings *settings,
                                        double learning_rate, uint64_t step, double norm);

#endif
