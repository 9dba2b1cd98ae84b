/* decoder - generates token by token: keys and values of what was fed are kept (KV cache).
 *
 * One thread at a time. */
#ifndef DUGNAD_TRAINER_MODEL_DECODER_H
#define DUGNAD_TRAINER_MODEL_DECODER_H

#include "trainer/model/model.h"

struct decoder;

/* For texts of at most `context` tokens. `model` is borrowed. The caller owns *out.
 * Errors: NO_MEMORY; OUT_OF_RANGE when context exceeds the model's context_max. */
MUST_CHECK enum status decoder_new(const struct model *model, size_t context, struct decoder **out);
void decoder_free(struct decoder *self); /* NULL is allowed. */
uint64_t decoder_bytes(const struct model *model, size_t context);

/* Tokens fed so far. */
size_t decoder_length(const struct decoder *self);

/* Forgets all but the first `length` tokens; length <= decoder_length (CHECKed). */
void decoder_cut(struct decoder *self, size_t length);

/* Appends tokens(count), count > 0 and decoder_length + count <= context, ids < vocab_size (all
 * CHECKed), and writes the logits that follow the last one to `logits`, host memory, shape (V).
 * Every call has the same weights. */
void decoder_feed(struct decoder *self, const struct weights *weights, const uint16_t *tokens,
                  size_t count, float *logits);

#endif
