/* master_step - one whole step of a master, its phases run over slices.
 *
 * The one home of the order of phases: the coordinator (from sums), solo training and replay (from
 * the mean gradient as it was journaled) all go through it, so they cannot differ. The same bits
 * for every number of slices.
 *
 * No I/O or clock; the threads are those of `slices`, which cut the master's vector at
 * MASTER_SLICE_ALIGN. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_MASTER_STEP_H
#define DUGNAD_TRAINER_OPTIMIZER_MASTER_STEP_H

#include "common/slices.h"
#include "trainer/optimizer/master.h"

struct master_step_result {
    double grad_l2; /* of the mean gradient as the optimizer gets it, before clipping */
    double learning_rate;
    struct digest digest; /* of P after the step */
};

/* Mean gradient from sums(layout_value_count), which are zero afterwards; encoded with the master's
 * mean_codec (master_mean_encoded), and what that encoding holds is what the optimizer is given.
 * The update goes to `update` (codec_encoded_bytes of the vector). Errors: OUT_OF_RANGE (the
 * parameters are no longer finite; load the master again). */
MUST_CHECK enum status master_step_from_sums(struct master *master, struct slices *slices,
                                             int64_t *sums, const struct exact_grid *grid,
                                             uint64_t tokens, uint8_t *update,
                                             struct master_step_result *out);

/* The same step from master_mean_bytes of an encoded mean gradient, checked here before anything
 * changes. Errors: BAD_SHAPE, OUT_OF_RANGE (the encoding is not one; or as above). */
MUST_CHECK enum status master_step_from_mean(struct master *master, struct slices *slices,
                                             const uint8_t *encoded, size_t size_bytes,
                                             uint8_t *update, struct master_step_result *out);

/* The same step when phase 1 of all slices is done already (master_take_mean): for one who sums
 * slice by slice and never holds the sums of the whole vector. Errors: OUT_OF_RANGE as above. */
MUST_CHECK enum status master_step_after_mean(struct master *master, struct slices *slices,
                                              uint8_t *update, struct master_step_result *out);

#endif
