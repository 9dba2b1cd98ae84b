/* pattern - the pre-tokenizer: a regular expression cuts text into the pieces that are merged.
 *
 * Runs on PCRE2 with Unicode properties, compiled by its JIT. Hugging Face's library means
 * Unicode's White_Space by \s, and PCRE2 does not, so \s is written out. For the patterns of GPT-2
 * and GPT-4 pure ASCII is cut without PCRE2. What PCRE2 leaves between two matches is a piece, too.
 * A pattern is immutable and thread-safe; a cursor belongs to one thread. */
#ifndef DUGNAD_TRAINER_TOKENIZER_PATTERN_H
#define DUGNAD_TRAINER_TOKENIZER_PATTERN_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATTERN_LENGTH_MAX = 4096 };

enum pattern_family {
    PATTERN_NONE,   /* no cutting */
    PATTERN_GPT2,   /* also GPT-3's */
    PATTERN_CL100K, /* GPT-4's and Llama 3's: digits in threes */
    PATTERN_QWEN2,  /* as CL100K, but each digit alone */
    PATTERN_OTHER
};

struct pattern;

/* `regex` NULL: PATTERN_NONE. The caller owns *out.
 * Errors: BAD_DATA (not valid, or uses what PCRE2 and Hugging Face's library read differently, or
 * what depends on the text before a piece), NO_MEMORY. */
MUST_CHECK enum status pattern_new(const char *regex, struct pattern **out);
void pattern_free(struct pattern *self); /* NULL is allowed. */

enum pattern_family pattern_family_of(const struct pattern *self);

/* One way to write the pattern of a family; NULL for NONE and OTHER. */
const char *pattern_regex(enum pattern_family family);

/* What a thread needs to use a pattern. */
struct pattern_cursor {
    const struct pattern *pattern;
    void *match; /* PCRE2's */
};

/* Borrows `pattern`. Errors: NO_MEMORY. */
MUST_CHECK enum status pattern_cursor_init(struct pattern_cursor *self,
                                           const struct pattern *pattern);
void pattern_cursor_deinit(struct pattern_cursor *self);

/* Where the piece that begins at `at` < length ends. `text` is valid UTF-8.
 * Errors: BAD_DATA (the pattern needs too many steps), NO_MEMORY. */
MUST_CHECK enum status pattern_next(struct pattern_cursor *self, const uint8_t *text, size_t length,
                                    size_t at, size_t *out_end);

/* How much of valid UTF-8 can be cut now, so that the pieces stay the same whatever follows; a
 * boundary of pieces, 0 when there is none or on an error (pattern_next will say which). */
size_t pattern_safe_length(struct pattern_cursor *self, const uint8_t *text, size_t length);

#endif
