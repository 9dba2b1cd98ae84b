/* sim_compute - what the simulator does with a peer's compute besides what compute.h says. */
#ifndef DUGNAD_TESTS_SIM_SIM_COMPUTE_H
#define DUGNAD_TESTS_SIM_SIM_COMPUTE_H

#include "tests/sim/sim.h"

/* Idle workers take samples that wait. Call when the session may have got some. */
void sim_compute_begin(struct compute *self);

/* The worker has computed its sample. */
void sim_compute_done(struct compute *self, size_t worker);

#endif
