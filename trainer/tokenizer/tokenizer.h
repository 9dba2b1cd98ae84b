/* tokenizer - text to token ids and back.
 *
 * Two kinds. The byte tokenizer has 256 tokens: the id is the byte. Saved as a Hugging Face
 * tokenizer.json it is a byte-level BPE without merges. Byte-level BPE is GPT-2's: a pattern cuts
 * text into pieces, and inside a piece the pair of lowest rank is merged again and again.
 * Immutable after tokenizer_new, so thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_TOKENIZER_H
#define DUGNAD_TRAINER_TOKENIZER_TOKENIZER_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOKENIZER_TOKEN_BYTES_MAX = 1024, /* text of one token */
    TOKENIZER_VOCAB_MAX = 65536,      /* token ids travel as uint16 */
    TOKENIZER_NAME_MAX = 32
};

struct tokenizer;

/* `spec` is "bytes"; a Hugging Face tokenizer.json; a vocab.json with a merges.txt beside it; a
 * .tiktoken file of ranks; or a folder that holds one of these (looked for in this order).
 * The caller owns *out. Errors: NO_INPUT, BAD_DATA (damaged, or a kind of tokenizer that is not
 * byte-level BPE), FULL (more than TOKENIZER_VOCAB_MAX tokens), NO_MEMORY, each with a sentence. */
MUST_CHECK enum status tokenizer_new(const char *spec, struct tokenizer **out);
void tokenizer_free(struct tokenizer *self); /* NULL is allowed. */

/* What a manifest or run names it: "bytes", or "bpe-" and 16 hex digits of a hash over all that
 * decides the ids of a text. Valid as long as self. */
const char *tokenizer_name(const struct tokenizer *self);

/* One more than the highest id. */
uint32_t tokenizer_vocab_size(const struct tokenizer *self);

/* Encodes length bytes of text as Hugging Face's library does with add_special_tokens=False:
 * added tokens that stand in the text get their ids. The text need not be UTF-8, which that library
 * demands: a byte that begins no valid character is a piece of its own, and ends the text before
 * it. The caller owns *out, shape (*out_count): free(). Errors: NO_MEMORY; BAD_DATA (the
 * tokenizer's pattern needs too many steps for this text); FULL (a piece without a break of 4 GiB).
 */
MUST_CHECK enum status tokenizer_encode(const struct tokenizer *self, const uint8_t *text,
                                        size_t length, uint16_t **out, size_t *out_count);

/* How many of text's length bytes can be encoded now so that what follows does not change the
 * ids: at most length, and 0 when none (then wait for more text, within a limit of the caller's). A
 * stream that is encoded part by part so, and its rest at the end, has the same ids as in one. */
size_t tokenizer_safe_length(const struct tokenizer *self, const uint8_t *text, size_t length);

/* The bytes of one token (not NUL-terminated) in *out_length bytes; valid as long as self.
 * An id outside the vocabulary gives length 0. */
const uint8_t *tokenizer_bytes_of(const struct tokenizer *self, uint32_t id, size_t *out_length);

/* True for added tokens, such as <|endoftext|>, which never come out of merges. */
bool tokenizer_is_special(const struct tokenizer *self, uint32_t id);

/* The id of the end-of-text or of the beginning-of-text token; -1 when there is none. */
int32_t tokenizer_end_id(const struct tokenizer *self);
int32_t tokenizer_begin_id(const struct tokenizer *self);

/* Merges by rank, as pairs of ids; the byte tokenizer has none. index < count (CHECKed). */
size_t tokenizer_merge_count(const struct tokenizer *self);
void tokenizer_merge(const struct tokenizer *self, size_t index, uint32_t *left, uint32_t *right);

/* The pattern that cuts text, by the name that GGUF readers know: "gpt-2", "llama-bpe" (GPT-4's
 * and Llama 3's family) or "qwen2"; NULL when none of them cuts the same way. */
const char *tokenizer_pattern_name(const struct tokenizer *self);

/* Writes tokenizer.json and tokenizer_config.json into an existing folder.
 * Errors: CANNOT_CREATE, IO, NO_MEMORY, BAD_DATA (two tokens have the same name in JSON). */
MUST_CHECK enum status tokenizer_write(const struct tokenizer *self, const char *folder);

/* Writes tokenizer.json alone, to a path. Errors: as tokenizer_write. */
MUST_CHECK enum status tokenizer_write_json(const struct tokenizer *self, const char *path);

#endif
