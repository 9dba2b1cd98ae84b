/* read_tokenizer - finds the files of a tokenizer and reads them.
 *
 * Files may come from strangers: sizes are bounded, all that is read is checked. Private to
 * trainer/tokenizer. Thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_READ_TOKENIZER_H
#define DUGNAD_TRAINER_TOKENIZER_READ_TOKENIZER_H

#include "trainer/tokenizer/recipe.h"

#include <jansson.h>

enum { READ_TOKENIZER_BYTES_MAX = 64 << 20 };

/* `spec` as tokenizer_new, but not "bytes". *out_is_bytes when the file is the byte tokenizer;
 * then the recipe stays empty. Else the caller ends *out with recipe_deinit(), in any case.
 * Errors: those of tokenizer_new, with sentences that name the file. */
MUST_CHECK enum status read_tokenizer(const char *spec, struct recipe *out, bool *out_is_bytes);

/* The parts, which fill an empty recipe. Their sentences do not name the file. */

/* The root of a tokenizer.json. Errors: BAD_DATA, FULL, NO_MEMORY. */
MUST_CHECK enum status read_tokenizer_json(const json_t *root, struct recipe *out);

/* An object of names and ids. Errors: BAD_DATA, FULL, NO_MEMORY. */
MUST_CHECK enum status read_vocab(const json_t *vocab, struct recipe *out);

/* A merge of two names in byte-level text, which the vocabulary holds with what they make.
 * Errors: BAD_DATA, FULL, NO_MEMORY. */
MUST_CHECK enum status read_merge(const json_t *vocab, const char *left, size_t left_length,
                                  const char *right, size_t right_length, struct recipe *out);

/* The same from "left right". */
MUST_CHECK enum status read_merge_line(const json_t *vocab, const char *line, size_t length,
                                       struct recipe *out);

/* The text of a merges.txt. Errors: BAD_DATA, FULL, NO_MEMORY. */
MUST_CHECK enum status read_merges_text(const json_t *vocab, const char *text, size_t length,
                                        struct recipe *out);

/* The text of a .tiktoken file: lines of a token in base64 and its rank. Its pattern and its
 * end-of-text token are not in the file: see docs/tokenizer.md.
 * Errors: BAD_DATA, FULL, NO_MEMORY. */
MUST_CHECK enum status read_tiktoken(const char *text, size_t length, struct recipe *out);

#endif
