/* experiment_queue - what will happen when, in the order of time; equal times in the order of
 * asking.
 *
 * Pure; one owner. */
#ifndef DUGNAD_TESTS_SIM_EXPERIMENT_QUEUE_H
#define DUGNAD_TESTS_SIM_EXPERIMENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct experiment_event {
    double at_s;
    uint64_t order; /* given by the queue */
    uint32_t type;
    uint32_t count;
    uint64_t subject;
};

struct experiment_queue {
    struct experiment_event *items; /* a heap of four children a node */
    size_t count, capacity;
    uint64_t asked;
};

void experiment_queue_deinit(struct experiment_queue *self);

void experiment_queue_add(struct experiment_queue *self, struct experiment_event event);

/* False: nothing is to come. */
bool experiment_queue_take(struct experiment_queue *self, struct experiment_event *out);

#endif
