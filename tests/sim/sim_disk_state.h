/* sim_disk_state - what sim_disk.c, which owns a disk, shares with sim_disk_calls.c, which works on
 * it. Not for users. */
#ifndef DUGNAD_TESTS_SIM_SIM_DISK_STATE_H
#define DUGNAD_TESTS_SIM_SIM_DISK_STATE_H

#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_tree.h"

enum { SIM_OPENS_MAX = 256, SIM_MAPS_MAX = 256 };

struct sim_open {
    bool used;
    uint32_t node;
    enum disk_open how;
};

struct sim_disk {
    struct sim_tree tree;
    struct sim_open opens[SIM_OPENS_MAX];
    struct sim_image maps[SIM_MAPS_MAX]; /* an empty one is free */
    struct sim_disk_faults faults;
    struct random fault_chance;
    struct random loss_chance;
    uint64_t call_count;

    uint64_t crash_call; /* 0: none */
    enum sim_disk_moment crash_moment;
    void (*crash)(void *context);
    void *crash_context;
    uint64_t fail_call; /* 0: none */
    int fail_error;
};

/* The disk in use; NULL when none is. */
struct sim_disk *sim_disk_current(void);

/* The part of a path below SIM_DISK_ROOT; NULL when it is not on a simulated disk. */
const char *sim_disk_below(const char *path);

#endif
