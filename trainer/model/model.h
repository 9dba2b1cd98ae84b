/* model - loss and gradient of sequences, for every kind of model.
 *
 * A model is sizes, a layout and a backend; parameters and gradients are flat vectors of the
 * layout's shape. Threads share a model, its weights and one gradient; each thread owns a
 * workspace. S sequences of T predicted tokens each go through a pass together, as the rows of
 * one matrix: large products, and each weight's gradient is added once for all of them. */
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

/* Parameters as passes read them: the float32 vector itself, and where the backend's cells are
 * not floats a second copy in cells. */
struct weights;
/* Errors: NO_MEMORY. */
MUST_CHECK enum status weights_new(const struct model *model, struct weights **out);
void weights_free(struct weights *self); /* NULL is allowed. */
/* Takes over what `params`, shape (layout_value_count), holds now. Borrowed until the next load or
 * weights_free; load again after every change, and only while no pass runs. */
void weights_load(struct weights *self, const float *params);
/* Bytes that weights_new allocates; 0 where cells are floats. */
uint64_t weights_bytes(const struct model *model);

enum workspace_purpose {
    WORKSPACE_GRADIENT, /* model_gradient, and all that follows */
    WORKSPACE_LOSS      /* model_loss and model_logits: keeps nothing for a backward pass */
};

/* What the backward pass finds of the forward pass: all activations, or only each layer's input,
 * from which it computes the layer again (gradient checkpointing, Chen et al., arXiv 1604.06174):
 * much less memory for about a quarter more time. */
enum recompute { RECOMPUTE_NONE, RECOMPUTE_BLOCKS };

/* "none" or "blocks". Errors: USAGE with a sentence. */
MUST_CHECK enum status recompute_find(const char *name, enum recompute *out);

enum { SEQUENCES_MAX = 64 };

struct workspace_plan {
    size_t context;        /* largest T */
    size_t sequence_count; /* largest S, 1 to SEQUENCES_MAX */
    enum workspace_purpose purpose;
    enum recompute recompute;
};

/* How many sequences of `context` tokens make products large enough; at most `available` > 0. */
size_t workspace_sequences(size_t context, size_t available);

/* Activations of one pass. One thread at a time. */
struct workspace;
/* Errors: NO_MEMORY; OUT_OF_RANGE when context exceeds the model's context_max. */
MUST_CHECK enum status workspace_new(const struct model *model, const struct workspace_plan *plan,
                                     struct workspace **out);
void workspace_free(struct workspace *self); /* NULL is allowed. */
/* Bytes that workspace_new allocates: known before, so that a plan can be refused. */
uint64_t workspace_bytes(const struct model *model, const struct workspace_plan *plan);

/* One accumulator for all threads: sums of d loss / d parameter, with a lock for each tensor, or
 * for each stripe of rows of a large one. */
struct gradient;
MUST_CHECK enum status gradient_new(const struct model *model, struct gradient **out);
void gradient_free(struct gradient *self); /* NULL is allowed. */
/* Shape (layout_value_count), backend memory. Only while no thread computes into it. */
float *gradient_values(struct gradient *self);
void gradient_zero(struct gradient *self);

/* Sequences of equal length: tokens[s], shape (T + 1), inputs [0, T), targets [1, T + 1); every
 * id < vocab_size. 0 < T <= context and 0 < S <= sequence_count of the workspace. All is CHECKed:
 * callers validate what came from outside. */
struct sequences {
    const uint16_t *const *tokens; /* (S) */
    size_t count;                  /* S */
    size_t length;                 /* T */
};

/* Adds d (sum of the S * T losses) / d params to `gradient`; loss_sums(S) are the sequences'
 * sums, in nats (overwritten). */
void model_gradient(const struct model *self, struct workspace *workspace,
                    const struct weights *weights, const struct sequences *sequences,
                    struct gradient *gradient, double *loss_sums);

/* The same losses without gradients. */
void model_loss(const struct model *self, struct workspace *workspace,
                const struct weights *weights, const struct sequences *sequences,
                double *loss_sums);

/* Logits of all T positions of tokens(T) to `logits`, host memory, shape (T, V). */
void model_logits(const struct model *self, struct workspace *workspace,
                  const struct weights *weights, const uint16_t *tokens, size_t T, float *logits);

#endif
