/* schedule - learning rate of a step: linear warm-up, then one of four courses.
 *
 *   cosine    falls along a half cosine from the peak to the least (Loshchilov and Hutter, SGDR,
 *             arXiv 1608.03983, without restarts)
 *   linear    falls along a straight line
 *   wsd       warm-up, stable, decay: stays at the peak and falls in the last decay_steps
 *             (MiniCPM, arXiv 2404.06395), as 1 - sqrt or along a line (Haegele et al.,
 *             arXiv 2405.18392)
 *   constant  stays at the peak
 *
 * Pure; the same bits on every machine. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_SCHEDULE_H
#define DUGNAD_TRAINER_OPTIMIZER_SCHEDULE_H

#include "common/status.h"

#include <stdint.h>

enum schedule_kind {
    SCHEDULE_COSINE,
    SCHEDULE_LINEAR,
    SCHEDULE_WSD,
    SCHEDULE_CONSTANT,
    SCHEDULE_KIND_COUNT
};

enum schedule_decay { SCHEDULE_DECAY_SQRT, SCHEDULE_DECAY_LINEAR, SCHEDULE_DECAY_COUNT };

struct schedule {
    enum schedule_kind kind;
    enum schedule_decay decay; /* wsd */
    double learning_rate;      /* peak */
    double learning_rate_min;  /* reached at step_count; not for constant */
    uint64_t warmup_steps;
    uint64_t decay_steps; /* wsd; at most step_count - warmup_steps */
    uint64_t step_count;
};

/* The names in run files. Errors: BAD_CONFIG (no such name). */
const char *schedule_name(enum schedule_kind kind);
MUST_CHECK enum status schedule_from_name(const char *name, enum schedule_kind *out);
const char *schedule_decay_name(enum schedule_decay decay);
MUST_CHECK enum status schedule_decay_from_name(const char *name, enum schedule_decay *out);

/* step counts from 0. Warm-up: peak * (step + 1) / warmup_steps. */
double schedule_learning_rate(const struct schedule *self, uint64_t step);

#endif
