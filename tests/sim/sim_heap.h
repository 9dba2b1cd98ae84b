/* sim_heap - what is to happen, in order of virtual time; ties are broken by chance from the seed.
 *
 * Nothing but (time, tie, number of insertion) decides the order. One owner. */
#ifndef DUGNAD_TESTS_SIM_SIM_HEAP_H
#define DUGNAD_TESTS_SIM_SIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sim_event_type {
    SIM_TURN,    /* process `index` may run, unless `serial` is no longer its latest turn */
    SIM_LETTER,  /* a letter comes to its end; `pointer` */
    SIM_CONNECT, /* a line of process `index` is connected, if `serial` is its connection */
    SIM_SAMPLE,  /* peer `index`: the worker (`worker`) of incarnation `serial` is done */
    SIM_START,   /* process `index` starts, if `serial` is still its incarnation */
    SIM_CRASH,   /* process `index` vanishes */
    SIM_NETWORK, /* a fault of the network at process `index`: number `worker` */
    SIM_LEAVE,   /* peer `index` is asked to leave by its user */
    SIM_DISK,    /* a fault of the disk: number `worker` */
    SIM_CALM,    /* faults end */
    SIM_LATE     /* all must be over by now */
};

struct sim_event {
    uint64_t time_us;
    uint64_t tie;
    uint64_t number; /* of insertion */
    enum sim_event_type type;
    uint32_t index;
    uint32_t worker;
    uint64_t serial;
    void *pointer; /* owned by whoever handles the event */
};

struct sim_heap {
    struct sim_event *items;
    size_t count;
    size_t capacity;
    uint64_t pushed;
};

void sim_heap_push(struct sim_heap *self, const struct sim_event *event);

/* Takes the earliest event; false when there is none. */
bool sim_heap_pop(struct sim_heap *self, struct sim_event *out);

void sim_heap_deinit(struct sim_heap *self); /* not what `pointer` names */

#endif
