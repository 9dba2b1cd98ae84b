/* master - the owner's side of the parameters: float32 master copy, the optimizer's state, and
 * the public parameters P that every peer holds.
 *
 * A step turns exact sums into a mean gradient, which is encoded before the optimizer sees it: what
 * the optimizer is given is exactly what the encoding holds, so a journal of encodings makes the
 * same steps again. It ends with an update U = Q(master - P) and P += U: what Q loses is still in
 * master - P and goes into the next update (error feedback by construction). A step is done in
 * phases over slices [first, first + count) of the flat vector, first and count multiples of
 * MASTER_SLICE_ALIGN (the last slice may end at the vector's end): slices may run on any threads
 * in any order, and the result has the same bits for every number of threads and any cut.
 * master_step.h runs the phases of a whole step.
 *
 * No I/O, clock or threads; phases of disjoint slices are thread-safe. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_MASTER_H
#define DUGNAD_TRAINER_OPTIMIZER_MASTER_H

#include "common/digest.h"
#include "proto/codec/codec.h"
#include "proto/codec/exact_sum.h"
#include "trainer/layout/layout.h"
#include "trainer/optimizer/optimizer.h"
#include "trainer/optimizer/schedule.h"

enum { MASTER_SLICE_ALIGN = 4096 };

struct master;

/* How a master encodes.
 *
 * The mean gradient as fp32 is the mean itself, its encoding takes no memory of its own; as bf16 it
 * is rounded, and nothing is carried over; as mx8 the residual of the step before is added first,
 * and what is left of it is encoded as mx8 once more: that is the next residual, so it survives a
 * crash with the encoding, which is both one behind the other (16.5 bits a value). */
struct master_codecs {
    enum codec update;
    enum codec mean;
};

/* All zero. `layout`, that of `model`, is borrowed until master_free. Errors: NO_MEMORY. */
MUST_CHECK enum status master_new(const struct layout *layout, const struct model_config *model,
                                  const struct optimizer_settings *settings,
                                  const struct schedule *schedule, struct master_codecs codecs,
                                  struct master **out);
void master_free(struct master *self); /* NULL is allowed. */

/* About what master_new allocates: for each value 12 bytes (master copy, P, mean gradient), 4 for
 * each full state vector, and the encoded mean gradient (bf16: 2; mx8 with its residual: 8.1). */
uint64_t master_bytes(const struct layout *layout, const struct model_config *model,
                      enum optimizer_kind kind, enum codec mean_codec);

/* Start: master = P = params (which may be master_params()), state and residual zero, version 0. */
void master_set_params(struct master *self, const float *params);

/* Between two steps: the schedule's peak (> 0; its least value follows where it would be higher)
 * and the codecs from the next step on. A mean_codec other than mx8 drops the residual, one that
 * becomes mx8 begins with zeros. Errors: NO_MEMORY; then nothing has changed. */
MUST_CHECK enum status master_change(struct master *self, double learning_rate, enum codec codec,
                                     enum codec mean_codec);

size_t master_value_count(const struct master *self);
enum codec master_codec(const struct master *self); /* of updates */
enum codec master_mean_codec(const struct master *self);
double master_learning_rate(const struct master *self); /* of the next step */

/* The next step, and that one alone, has this learning rate whatever the schedule says: replay
 * gives a step the one that it had. */
void master_set_learning_rate(struct master *self, double learning_rate);

/* What checkpoints hold, shape (layout_value_count); writable for loading. */
float *master_params(struct master *self);  /* P, public */
float *master_weights(struct master *self); /* float32 master copy */
/* What mx8 left of the mean gradients so far; NULL with another mean codec. */
float *master_residual(struct master *self);

/* State vector `index` of optimizer_state_count(master_kind); *out_count is its length:
 * layout_value_count, or the number of blocks for one that is per block. Writable for loading. */
float *master_state(struct master *self, size_t index, size_t *out_count);
enum optimizer_kind master_kind(const struct master *self);
uint64_t master_version(const struct master *self); /* steps applied */
void master_set_version(struct master *self, uint64_t version);

/* Phase 1, per slice: mean gradient = sum / tokens, encoded, and the squares of what the encoding
 * holds for the norm. `sum`, shape (count), holds the slice's sums alone (sum[0] belongs to value
 * `first`). Padding becomes zero, whatever the sums hold there. */
void master_take_mean(struct master *self, const int64_t *sum, const struct exact_grid *grid,
                      uint64_t tokens, size_t first, size_t count);

/* Phase 1 of a step made again from master_mean_bytes of an encoding: each slice is checked, and
 * when all are right each is loaded. `encoded` is the whole encoding.
 * Errors of master_check_mean: OUT_OF_RANGE. */
MUST_CHECK enum status master_check_mean(const struct master *self, const uint8_t *encoded,
                                         size_t first, size_t count);
void master_load_mean(struct master *self, const uint8_t *encoded, size_t first, size_t count);

/* The encoding of the step's mean gradient, complete after phase 1 of all slices and valid until
 * the next step or change. */
size_t master_mean_bytes(const struct master *self);
const uint8_t *master_mean_encoded(const struct master *self);

/* After phase 1, on one thread: global norm in a fixed order, clipping, learning rate.
 * Returns the L2 norm of the mean gradient as the optimizer gets it, before clipping; when that is
 * not finite (the residual of a damaged checkpoint) the step must not be made. */
double master_prepare(struct master *self);

/* Phase 2, per slice, and then master_settle on one thread: what the optimizer needs to know of
 * more than one element (norms of tensors, means over blocks). Needed only when master_measures;
 * a slice may read the mean gradient of others. */
bool master_measures(const struct master *self);
void master_measure(struct master *self, size_t first, size_t count);
void master_settle(struct master *self);

/* Phase 3, per slice: optimizer, encode the slice's part of the update into `update` (the whole
 * update's buffer, codec_encoded_bytes(layout_value_count)), P += U.
 * Errors: OUT_OF_RANGE with a sentence when a parameter is no longer finite (a learning rate far
 * too high, or such a checkpoint); the state is then half stepped and must be loaded again. */
MUST_CHECK enum status master_apply(struct master *self, uint8_t *update, size_t first,
                                    size_t count);

/* After phase 3 of all slices: version + 1. */
void master_finish(struct master *self);

/* The mean gradient of the step in progress as the optimizer gets it, shape (layout_value_count).
 */
const float *master_mean_gradient(const struct master *self);

/* BLAKE2b of P's bytes (little-endian float32, padding included): what peers compare with. */
struct digest params_digest(const float *params, size_t value_count);

#endif
