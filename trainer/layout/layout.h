/* layout - where each tensor of a model lies in one flat float32 vector of parameters.
 *
 * Tensors carry Hugging Face names, shapes and element order (gpt2's Conv1D weights are
 * [in, out]), so a checkpoint is a copy. Each starts at a multiple of LAYOUT_ALIGN values; the
 * gap behind it is padding whose value, gradient and update stay zero. The same vector shape
 * serves parameters, gradients, exact sums and updates.
 *
 * Pure; immutable after layout_new, so thread-safe. */
#ifndef DUGNAD_TRAINER_LAYOUT_LAYOUT_H
#define DUGNAD_TRAINER_LAYOUT_LAYOUT_H

#include "trainer/layout/model_config.h"

enum {
    LAYOUT_ALIGN = 32, /* a codec block; 128 bytes */
    LAYOUT_NAME_MAX = 96,
    LAYOUT_VALUES_MAX_LOG2 = 36
};

struct tensor_spec {
    char name[LAYOUT_NAME_MAX];
    uint32_t rank; /* 1 or 2 */
    uint64_t shape[2];
    size_t offset; /* in values */
    size_t count;  /* in values, without padding */
    bool decayed;  /* weight decay applies: 2 or more dimensions */
};

struct layout;

/* The tensors of `config` (already checked), in checkpoint order. A tied head has no tensor of
 * its own. The caller owns *out. Errors: NO_MEMORY, OUT_OF_RANGE (more than 2^36 values). */
MUST_CHECK enum status layout_new(const struct model_config *config, struct layout **out);
void layout_free(struct layout *self); /* NULL is allowed. */

size_t layout_tensor_count(const struct layout *self);
const struct tensor_spec *layout_tensor(const struct layout *self, size_t index);

/* The index of the tensor with this name, or layout_tensor_count() when there is none. */
size_t layout_find(const struct layout *self, const char *name);

/* Length of the flat vector, padding included; a multiple of LAYOUT_ALIGN. */
size_t layout_value_count(const struct layout *self);

/* Parameters without padding: what people call the model's size. */
size_t layout_parameter_count(const struct layout *self);

/* Fills `params`, shape (layout_value_count), with a seeded start: normal(0, init_std) weights,
 * those that write to the residual stream scaled by 1/sqrt(2 L) (GPT-2, section 2.3), norms 1,
 * biases and padding 0. */
void layout_init_params(const struct layout *self, const struct model_config *config, uint64_t seed,
                        float *params);

#endif
