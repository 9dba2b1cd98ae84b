/* rules - what the master asks of every kind of optimizer. Private to trainer/optimizer.
 *
 * Phases of disjoint slices run on different threads at the same time; `settle` runs alone. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_RULES_H
#define DUGNAD_TRAINER_OPTIMIZER_RULES_H

#include "trainer/optimizer/blocks.h"
#include "trainer/optimizer/optimizer.h"
#include "trainer/optimizer/segment.h"

/* The arrays of a master while it makes a step; all borrowed. */
struct optimizer_work {
    const struct layout *layout;
    const struct blocks *blocks; /* NULL unless a state is per block */
    size_t value_count;
    struct optimizer_step step;
    const float *mean;                   /* (value_count) */
    float *weights;                      /* (value_count) */
    float *states[OPTIMIZER_STATES_MAX]; /* (value_count) or (blocks_count) each */
    double *scratch;                     /* (scratch_count), the kind's own */
};

struct optimizer_rules {
    const char *name;
    size_t state_count;
    struct optimizer_state states[OPTIMIZER_STATES_MAX];
    struct optimizer_settings defaults;

    /* Doubles that `measure` leaves for `settle` and `apply`; NULL: none. `blocks` as above. */
    size_t (*scratch_count)(const struct layout *layout, const struct blocks *blocks);

    /* What needs more than one element: slice [first, end), cut as in master.h. NULL: nothing. */
    void (*measure)(const struct optimizer_work *work, size_t first, size_t end);

    /* After `measure` of all slices, on one thread. NULL: nothing. */
    void (*settle)(const struct optimizer_work *work);

    /* Updates the weights of a part of one tensor. */
    void (*apply)(const struct optimizer_work *work, const struct segment *segment);
};

extern const struct optimizer_rules adamw_rules;
extern const struct optimizer_rules lamb_rules;
extern const struct optimizer_rules sgd_rules;
extern const struct optimizer_rules adam_mini_rules;

const struct optimizer_rules *optimizer_rules(enum optimizer_kind kind);

#endif
