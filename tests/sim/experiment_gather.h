/* experiment_gather - what experiment_gather.c shares with experiment_repair.c alone. */
#ifndef DUGNAD_TESTS_SIM_EXPERIMENT_GATHER_H
#define DUGNAD_TESTS_SIM_EXPERIMENT_GATHER_H

#include "tests/sim/experiment_state.h"

/* Sums the chunk when all of the set is there; when owners repair, when the round is settled, so
 * that no loss makes them return it again. */
void trial_gather_sum_when_whole(struct trial *self, struct trial_round *round, uint32_t chunk);

/* A contributor sends its chunks of a part, or hands them over where it is the owner. */
void trial_gather_send_part(struct trial *self, struct trial_round *round, size_t contributor,
                            size_t part);

/* The bytes of telling all owners whose chunks to sum. */
void trial_gather_charge_set(struct trial *self, const struct trial_round *round);

/* When every contribution of a round has come or is given up: sums that waited for that go, and
 * what was computed again meanwhile is collected. */
void trial_gather_settle(struct trial *self, struct trial_round *round);

void trial_gather_finish_when_done(struct trial *self);

#endif
