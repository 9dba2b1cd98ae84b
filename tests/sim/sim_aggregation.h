/* sim_aggregation - peers that sum: what a seed's plan makes of the run and of its peers, and what
 * the coordinator says of steps that they summed.
 *
 * What it says is read from its log: who was taken over, and why, stands nowhere else once the step
 * is over. */
#ifndef DUGNAD_TESTS_SIM_SIM_AGGREGATION_H
#define DUGNAD_TESTS_SIM_SIM_AGGREGATION_H

#include "tests/sim/sim.h"

#include <stdarg.h>

/* What a plan may choose instead of the run's codec, if it may. */
#define SIM_COARSE_CODEC CODEC_MX4

/* The size of chunks from here on, and the keys that the run's owner named, on the disk in use. */
void sim_aggregation_begin(void);

void sim_aggregation_settings(struct aggregation_settings *out);
void sim_aggregation_options(const struct sim_peer_plan *plan, uint32_t index,
                             struct daemon_options *out);

/* A line of the log of the process that runs. */
void sim_aggregation_log(const char *module, const char *event, const char *format,
                         va_list arguments);

#endif
