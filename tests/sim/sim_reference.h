/* sim_reference - the same run on one machine, without coordinator, peers, network or disk.
 *
 * Where contributions travel as fp32, the sums of a step are exact whoever made them
 * (sim_template.h), so every version of every simulated run must equal the reference in each bit.
 * With mx8 what a contribution loses depends on who computed what: there the reference says only
 * what is near, and sim_shadow.h makes each step again from the very bytes that were counted. */
#ifndef DUGNAD_TESTS_SIM_SIM_REFERENCE_H
#define DUGNAD_TESTS_SIM_SIM_REFERENCE_H

#include "common/slices.h"
#include "tests/sim/sim_template.h"
#include "trainer/optimizer/master_step.h"

/* Fills in pattern->digests and pattern->last: errors end the program. */
void sim_reference_make(struct sim_template *pattern);

/* A master at version 0 of the pattern's run, and slices for it. Errors end the program. */
void sim_reference_start(const struct sim_template *pattern, struct master **out_master,
                         struct slices **out_slices);

#endif
