/* eval_tokens - the tokens that `dugnad eval` measures: a split of a data folder, or a text file.
 *
 * Immutable after opening, so thread-safe. Every error leaves a sentence. */
#ifndef DUGNAD_TRAINER_CLI_EVAL_TOKENS_H
#define DUGNAD_TRAINER_CLI_EVAL_TOKENS_H

#include "common/status.h"
#include "trainer/data/dataset.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EVAL_TEXT_BYTES_MAX = 256 << 20 };

struct eval_tokens;

/* A split of a data folder. The number of bytes behind its tokens is known when the data's or the
 * model's folder has the tokenizer that made the data.
 * The caller owns *out. Errors: as dataset_open. */
MUST_CHECK enum status eval_tokens_open_data(const char *folder, enum dataset_split split,
                                             const char *model_folder, struct eval_tokens **out);

/* A text of at most EVAL_TEXT_BYTES_MAX ("-" is standard input) by the model's own tokenizer.
 * The caller owns *out. Errors: those of reading the text and the tokenizer. */
MUST_CHECK enum status eval_tokens_open_text(const char *path, const char *model_folder,
                                             struct eval_tokens **out);
void eval_tokens_close(struct eval_tokens *self); /* NULL is allowed. */

uint64_t eval_tokens_count(const struct eval_tokens *self);
uint32_t eval_tokens_vocab(const struct eval_tokens *self);

/* Copies tokens [first, first + count) to out; the range lies inside (CHECKed). */
void eval_tokens_read(const struct eval_tokens *self, uint64_t first, size_t count, uint16_t *out);

bool eval_tokens_knows_bytes(const struct eval_tokens *self);

/* Bytes of text that the tokens stand for, of special tokens none; 0 unless known. */
uint64_t eval_tokens_bytes(const struct eval_tokens *self, const uint16_t *tokens, size_t count);

#endif
