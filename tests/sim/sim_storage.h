/* sim_storage - the coordinator's disk in a simulation: what goes wrong with it, and when. */
#ifndef DUGNAD_TESTS_SIM_SIM_STORAGE_H
#define DUGNAD_TESTS_SIM_SIM_STORAGE_H

#include "tests/sim/sim.h"
#include "tests/sim/sim_disk.h"

/* A copy of the template's disk, in use from now on; and its faults of the safety phase. */
void sim_storage_begin(void);
void sim_storage_end(void);

/* An event of the heap. */
void sim_storage_fault(uint32_t kind);

/* Faults end; a full disk gets its space back. */
void sim_storage_calm(void);

/* The coordinator starts: perhaps it is to end in the middle of some call. */
void sim_storage_arm(void);

/* It recovered and serves. */
void sim_storage_served(void);

/* It ended by itself. */
void sim_storage_exit(void);

/* Whether the crash that happened is one of the whole machine; then tell the disk. */
bool sim_storage_power(void);
void sim_storage_lose(bool power);

/* Some bits of a journal or checkpoint were flipped: what was durable may be gone, if that was
 * told. */
bool sim_storage_rotten(void);

#endif
