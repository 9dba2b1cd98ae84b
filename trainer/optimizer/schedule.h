/* schedule - learning rate of a step: linear warm-up, then cosine (Loshchilov and Hutter, SGDR,
 * arXiv 1608.03983, without restarts). Pure. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_SCHEDULE_H
#define DUGNAD_TRAINER_OPTIMIZER_SCHEDULE_H

#include <stdint.h>

struct schedule {
    double learning_rate;     /* peak */
    double learning_rate_min; /* reached at step_count */
    uint64_t warmup_steps;
    uint64_t step_count;
};

/* step counts from 0. Warm-up: peak * (step + 1) / warmup_steps. */
double schedule_learning_rate(const struct schedule *self, uint64_t step);

#endif
