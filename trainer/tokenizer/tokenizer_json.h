/* tokenizer_json - the byte tokenizer as Hugging Face files.
 *
 * tokenizer.json is a byte-level BPE without merges: its vocabulary maps GPT-2's printable
 * character of each byte to the byte's value. Private to trainer/tokenizer. Thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_TOKENIZER_JSON_H
#define DUGNAD_TRAINER_TOKENIZER_TOKENIZER_JSON_H

#include "common/status.h"

#include <stddef.h>

enum { TOKENIZER_JSON_MAX = 64 << 20 };

/* The texts of tokenizer.json and tokenizer_config.json. The caller frees each; NULL when there
 * is no memory. */
char *tokenizer_json_make(void);
char *tokenizer_json_make_config(void);

/* Accepts a tokenizer.json that encodes as the byte tokenizer does. `path` is for the sentence.
 * Errors: BAD_DATA. */
MUST_CHECK enum status tokenizer_json_check(const char *path, const char *text, size_t length);

#endif
