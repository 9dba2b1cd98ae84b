/* aggregate - the sums of the step in progress and what a commit makes of them.
 *
 * Owns the exact sums and the master; both are worked on in slices by threads of its own. A
 * contribution is checked in all slices before the first value is added, because a gradient that
 * is half added cannot be taken back. */
#ifndef DUGNAD_COORDINATOR_SERVER_AGGREGATE_H
#define DUGNAD_COORDINATOR_SERVER_AGGREGATE_H

#include "common/slices.h"
#include "coordinator/store/run_dir.h"
#include "trainer/optimizer/master.h"

struct aggregate;

/* Sums at zero, a master without parameters. Checks first that the machine has the memory.
 * `run` is borrowed until aggregate_free. Errors: NO_MEMORY with a sentence, OS. */
MUST_CHECK enum status aggregate_new(const struct run_dir *run, size_t thread_count,
                                     struct aggregate **out);
void aggregate_free(struct aggregate *self); /* NULL is allowed. */

struct master *aggregate_master(struct aggregate *self);
struct slices *aggregate_slices(struct aggregate *self); /* cut the master's vector */

/* Tokens of a whole step from now on; between two steps. */
void aggregate_set_step_tokens(struct aggregate *self, uint64_t tokens);

/* Bytes of an update, and of a contribution in its codec. */
size_t aggregate_encoded_bytes(const struct aggregate *self);

/* Tokens of the contributions that were added or counted so far. */
uint64_t aggregate_tokens(const struct aggregate *self);

/* Adds one contribution over `tokens` tokens with this sum of losses in nats, at most 2^10 a token
 * as for the gradient. On error nothing changes. Errors: BAD_SHAPE, OUT_OF_RANGE (the peer sent a
 * bad gradient or loss, or more tokens than the step has left). */
MUST_CHECK enum status aggregate_add(struct aggregate *self, enum codec codec, const uint8_t *data,
                                     size_t size_bytes, uint64_t tokens, double loss_sum);

/* The tokens and the loss of a contribution are such as aggregate_add takes. */
bool aggregate_takes(const struct aggregate *self, uint64_t tokens, double loss_sum);

/* Adds sums that others have made: `merge` adds those of its chunks to `sums`, those of the whole
 * vector; it is called for disjoint chunks at once by several threads. The contributions in them
 * are then counted, one after the other. */
typedef void aggregate_merge_function(const void *context, uint32_t first_chunk,
                                      uint32_t chunk_count, int64_t *sums);
void aggregate_merge(struct aggregate *self, aggregate_merge_function *merge, const void *context);
/* Errors: OUT_OF_RANGE (aggregate_takes). */
MUST_CHECK enum status aggregate_count(struct aggregate *self, uint64_t tokens, double loss_sum);

struct aggregate_result {
    double loss_sum; /* nats, over all tokens */
    uint64_t tokens;
    double grad_l2; /* of the mean gradient before clipping */
    double learning_rate;
    struct digest digest; /* of P after the step */
};

/* Applies the sums: mean, optimizer, update into `update` (aggregate_encoded_bytes), P += U;
 * the sums are zero again. At least one contribution was added (CHECKed).
 * Errors: OUT_OF_RANGE (the parameters are no longer finite: the run must stop). */
MUST_CHECK enum status aggregate_commit(struct aggregate *self, uint8_t *update,
                                        struct aggregate_result *out);

#endif
