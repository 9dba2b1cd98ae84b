/* continuation - a prompt and the tokens that a model adds to it.
 *
 * The decoder keeps keys and values, so each token costs one pass over the weights. When the
 * model's context is full it begins anew with the latter half of the text so far. One owner. */
#ifndef DUGNAD_TRAINER_CLI_CONTINUATION_H
#define DUGNAD_TRAINER_CLI_CONTINUATION_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct continuation_plan {
    const char *folder;       /* Hugging Face: config.json, model.safetensors, tokenizer.json */
    const char *backend_name; /* as in load_plan */
    const char *precision;
    const uint8_t *prompt; /* need not be UTF-8 */
    size_t prompt_bytes;
    size_t tokens_max; /* that will be added to the prompt */
};

struct continuation;

/* Reads the model and its tokenizer, and encodes the prompt, in front of which nothing is put. An
 * empty one is the model's beginning-of-text token, or its end-of-text token (which stands between
 * documents), or a new line, whichever there is first.
 * All of the plan is borrowed for the call. The caller owns *out.
 * Errors: BAD_CONFIG (model and tokenizer do not belong together), NO_MEMORY, and those of
 * reading the model, each with a sentence. */
MUST_CHECK enum status continuation_new(const struct continuation_plan *plan,
                                        struct continuation **out);
void continuation_free(struct continuation *self); /* NULL is allowed. */

/* Tokens to choose from: ids below it have a text. */
uint32_t continuation_vocab(const struct continuation *self);

/* Tokens of the prompt; at least one. */
size_t continuation_prompt_count(const struct continuation *self);

/* Goes back to the prompt, with the very logits of the first time. */
void continuation_begin(struct continuation *self);

/* The logits that follow prompt and added tokens, shape (continuation_vocab); valid until the next
 * call. */
const float *continuation_logits(struct continuation *self);

/* Adds a token < continuation_vocab; at most tokens_max since continuation_begin (CHECKed). */
void continuation_add(struct continuation *self, uint16_t token);

/* Tokens added since continuation_begin, shape (*out_count); valid until the next call. */
const uint16_t *continuation_added(const struct continuation *self, size_t *out_count);

/* True for the end-of-text token. */
bool continuation_is_end(const struct continuation *self, uint16_t token);

/* The text of a token, in *out_length bytes; none for special tokens. */
const uint8_t *continuation_bytes_of(const struct continuation *self, uint16_t token,
                                     size_t *out_length);

#endif
