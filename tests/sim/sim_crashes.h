/* sim_crashes - one short run, ended at every single call of its disk, and recovered.
 *
 * For each call that changes the disk: the coordinator ends before it and in its middle, by a kill
 * and with the power; it is started again, finishes the run, and all is checked as at the end of a
 * seed. For each of these, it also ends at every call of that recovery. */
#ifndef DUGNAD_TESTS_SIM_SIM_CRASHES_H
#define DUGNAD_TESTS_SIM_SIM_CRASHES_H

#include <stddef.h>
#include <stdint.h>

/* Of the points in recoveries every `sparse`-th (1: all). Prints how many points there were, and
 * each that failed. Returns how many failed. */
uint64_t sim_crashes_run(uint64_t seed, size_t jobs, uint64_t sparse);

#endif
