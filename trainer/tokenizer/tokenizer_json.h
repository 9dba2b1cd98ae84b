/* tokenizer_json - a tokenizer as Hugging Face's files.
 *
 * Private to trainer/tokenizer. Thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_TOKENIZER_JSON_H
#define DUGNAD_TRAINER_TOKENIZER_TOKENIZER_JSON_H

#include "trainer/tokenizer/recipe.h"

#include <jansson.h>

/* The texts of tokenizer.json and tokenizer_config.json. The caller frees *out.
 * Errors: BAD_DATA (two tokens have the same name), NO_MEMORY. */
MUST_CHECK enum status tokenizer_json_make(const struct recipe *recipe, char **out);
MUST_CHECK enum status tokenizer_json_make_config(const struct recipe *recipe, char **out);

/* Does the root of a tokenizer.json encode as the byte tokenizer does: a byte-level BPE without
 * merges whose vocabulary maps GPT-2's character of each byte to the byte's value? */
bool tokenizer_json_is_bytes(const json_t *root);

#endif
