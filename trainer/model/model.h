/* model - loss and gradient of one sequence, for every kind of model.
 *
 * A model is sizes, a layout and a backend; parameters and gradients are flat vectors of the
 * layout's shape in backend memory. Threads share a model, its parameters and one gradient;
 * each thread owns a workspace. T is the number of predicted tokens of a sequence. */
#ifndef DUGNAD_TRAINER_MODEL_MODEL_H
#define DUGNAD_TRAINER_MODEL_MODEL_H

#include "trainer/backend/backend.h"
#include "trainer/layout/layout.h"

struct model;

/* `backend` has static lifetime; `config` is copied. The caller owns *out.
 * Errors: NO_MEMORY, OUT_OF_RANGE. */
MUST_CHECK enum status model_new(const struct model_config *config, const struct backend *backend,
                                 struct model **out);
void model_free(struct model *self); /* NULL is allowed. */

const struct model_config *model_config_of(const struct model *self);
const struct layout *model_layout(const struct model *self);
const struct backend *model_backend(const struct model *self);

/* Activations of one sequence of at most `context` tokens. One thread at a time. */
struct workspace;
/* Errors: NO_MEMORY; OUT_OF_RANGE when context exceeds the model's context_max. */
MUST_CHECK enum status workspace_new(const struct model *model, size_t context,
                                     struct workspace **out);
void workspace_free(struct workspace *self);
/* Bytes that workspace_new allocates: known before, so that a plan can be refused. */
uint64_t workspace_bytes(const struct model *model, size_t context);

/* One accumulator for all threads: sums of d loss / d parameter, a lock per tensor. */
struct gradient;
MUST_CHECK enum status gradient_new(const struct model *model, struct gradient **out);
void gradient_free(struct gradient *self);
/* Shape (layout_value_count), backend memory. Only while no thread computes into it. */
float *gradient_values(struct gradient *self);
void gradient_zero(struct gradient *self);

/* Adds d (sum of the T losses) / d params to `gradient` and that sum, in nats, to *loss_sum.
 * tokens, shape (T + 1): inputs [0, T), targets [1, T + 1); every id < vocab_size and
 * T <= the workspace's context (both CHECKed: callers validate what came from outside). */
void model_gradient(const struct model *self, struct workspace *workspace, const float *params,
                    const uint16_t *tokens, size_t T, struct gradient *gradient, double *loss_sum);

/* The same loss without gradients. */
void model_loss(const struct model *self, struct workspace *workspace, const float *params,
                const uint16_t *tokens, size_t T, double *loss_sum);

/* Logits of all T positions of tokens(T) to `logits`, host memory, shape (T, V). */
void model_logits(const struct model *self, struct workspace *workspace, const float *params,
                  const uint16_t *tokens, size_t T, float *logits);

/* Logits of the last position only, host memory, shape (V): for sampling. */
void model_next_logits(const struct model *self, struct workspace *workspace, const float *params,
                       const uint16_t *tokens, size_t T, float *logits);

#endif
