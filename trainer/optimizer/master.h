/* master - the owner's side of the parameters: float32 master copy, the optimizer's state, and
 * the public parameters P that every peer holds.
 *
 * A step turns exact sums into an update U = Q(master - P) and P += U: what Q loses is still in
 * master - P and goes into the next update (error feedback by construction). A step is done in
 * phases over slices [first, first + count) of the flat vector, first and count multiples of
 * MASTER_SLICE_ALIGN (the last slice may end at the vector's end): slices may run on any threads
 * in any order, and the result has the same bits for every number of threads and any cut.
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

/* All zero. `layout`, that of `model`, is borrowed until master_free. Errors: NO_MEMORY. */
MUST_CHECK enum status master_new(const struct layout *layout, const struct model_config *model,
                                  const struct optimizer_settings *settings,
                                  const struct schedule *schedule, enum codec codec,
                                  struct master **out);
void master_free(struct master *self); /* NULL is allowed. */

/* About what master_new allocates: for each value 12 bytes (master copy, P, mean gradient) and 4
 * for each full state vector. */
uint64_t master_bytes(const struct layout *layout, const struct model_config *model,
                      enum optimizer_kind kind);

/* Start: master = P = params (which may be master_params()), state zero, version 0. */
void master_set_params(struct master *self, const float *params);

/* What checkpoints hold, shape (layout_value_count); writable for loading. */
float *master_params(struct master *self);  /* P, public */
float *master_weights(struct master *self); /* float32 master copy */

/* State vector `index` of optimizer_state_count(master_kind); *out_count is its length:
 * layout_value_count, or the number of blocks for one that is per block. Writable for loading. */
float *master_state(struct master *self, size_t index, size_t *out_count);
enum optimizer_kind master_kind(const struct master *self);
uint64_t master_version(const struct master *self); /* steps applied */
void master_set_version(struct master *self, uint64_t version);

/* Phase 1, per slice: mean gradient = sum / tokens, and its squares for the norm. `sum`, shape
 * (count), holds the slice's sums alone (sum[0] belongs to value `first`). Padding becomes zero,
 * whatever the sums hold there. */
void master_take_mean(struct master *self, const int64_t *sum, const struct exact_grid *grid,
                      uint64_t tokens, size_t first, size_t count);

/* After phase 1, on one thread: global norm in a fixed order, clipping, learning rate.
 * Returns the L2 norm of the mean gradient before clipping. */
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

/* The mean gradient of the step in progress, shape (layout_value_count). */
const float *master_mean_gradient(const struct master *self);

/* BLAKE2b of P's bytes (little-endian float32, padding included): what peers compare with. */
struct digest params_digest(const float *params, size_t value_count);

#endif
