/* sim_gather - what the checks see inside the coordinator's gather. */
#ifndef DUGNAD_TESTS_SIM_SIM_GATHER_H
#define DUGNAD_TESTS_SIM_SIM_GATHER_H

#include <stdbool.h>

struct gather;

/* The step is complete: whatever somebody returned whose sums are checked, all of them, was summed
 * here too, and no owner whose sum is another is still believed. */
void sim_gather_check_complete(const struct gather *gather, bool all_checked);

#endif
