/* master - the owner's side of the parameters: float32 master copy, Adam moments, and the public
 * parameters P that every peer holds.
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
#include "trainer/optimizer/adamw.h"
#include "trainer/optimizer/schedule.h"

enum { MASTER_SLICE_ALIGN = 4096 };

struct master;

/* All zero. `layout` is borrowed until master_free. 20 bytes a value (master, m, v, P, mean
 * gradient). Errors: NO_MEMORY. */
MUST_CHECK enum status master_new(const struct layout *layout, const struct adamw_settings *adamw,
                                  const struct schedule *schedule, enum codec codec,
                                  struct master **out);
void master_free(struct master *self); /* NULL is allowed. */

/* Start: master = P = params (which may be master_params()), moments zero, version 0. */
void master_set_params(struct master *self, const float *params);

/* State for checkpoints, shape (layout_value_count) each; writable for loading. */
float *master_params(struct master *self);  /* P, public */
float *master_weights(struct master *self); /* float32 master copy */
float *master_moment1(struct master *self);
float *master_moment2(struct master *self);
uint64_t master_version(const struct master *self); /* steps applied */
void master_set_version(struct master *self, uint64_t version);

/* Phase 1, per slice: mean gradient = sum / tokens, and its squares for the norm. `sum`, shape
 * (count), holds the slice's sums alone (sum[0] belongs to value `first`). Padding becomes zero,
 * whatever the sums hold there. */
void master_take_mean(struct master *self, const int64_t *sum, const struct exact_grid *grid,
                      uint64_t tokens, size_t first, size_t count);

/* Between the phases, on one thread: global norm in a fixed order, clipping, learning rate.
 * Returns the L2 norm of the mean gradient before clipping. */
double master_prepare(struct master *self);

/* Phase 2, per slice: optimizer, encode the slice's part of the update into `update` (the whole
 * update's buffer, codec_encoded_bytes(layout_value_count)), P += U.
 * Errors: OUT_OF_RANGE with a sentence when a parameter is no longer finite (a learning rate far
 * too high, or such a checkpoint); the state is then half stepped and must be loaded again. */
MUST_CHECK enum status master_apply(struct master *self, uint8_t *update, size_t first,
                                    size_t count);

/* After phase 2 of all slices: version + 1. */
void master_finish(struct master *self);

/* The mean gradient of the step in progress, shape (layout_value_count). */
const float *master_mean_gradient(const struct master *self);

/* BLAKE2b of P's bytes (little-endian float32, padding included): what peers compare with. */
struct digest params_digest(const float *params, size_t value_count);

#endif
