/* tokenizer - text to token ids and back.
 *
 * The byte tokenizer has 256 tokens: the id is the byte. Saved as a Hugging Face tokenizer.json
 * it is a byte-level BPE without merges. Immutable after tokenizer_new, so thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_TOKENIZER_H
#define DUGNAD_TRAINER_TOKENIZER_TOKENIZER_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

enum { TOKENIZER_TOKEN_BYTES_MAX = 256 };

struct tokenizer;

/* `spec` is "bytes", or a folder or tokenizer.json that tokenizer_write made.
 * The caller owns *out. Errors: NO_INPUT, BAD_DATA, each with a sentence. */
MUST_CHECK enum status tokenizer_new(const char *spec, struct tokenizer **out);
void tokenizer_free(struct tokenizer *self); /* NULL is allowed. */

/* What a manifest or run names it: "bytes". */
const char *tokenizer_name(const struct tokenizer *self);
uint32_t tokenizer_vocab_size(const struct tokenizer *self);

/* Encodes length bytes of text. The caller owns *out, shape (*out_count): free().
 * Errors: NO_MEMORY. */
MUST_CHECK enum status tokenizer_encode(const struct tokenizer *self, const uint8_t *text,
                                        size_t length, uint16_t **out, size_t *out_count);

/* The bytes of one token (not NUL-terminated) in *out_length bytes; valid as long as self.
 * An id outside the vocabulary gives length 0. */
const uint8_t *tokenizer_bytes_of(const struct tokenizer *self, uint32_t id, size_t *out_length);

/* Writes tokenizer.json and tokenizer_config.json into an existing folder.
 * Errors: CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status tokenizer_write(const struct tokenizer *self, const char *folder);

#endif
