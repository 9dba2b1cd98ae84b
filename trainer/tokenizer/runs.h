/* runs - cuts any bytes into added tokens, valid UTF-8, and bytes that are not UTF-8.
 *
 * A byte that begins no valid character is a run of its own. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_RUNS_H
#define DUGNAD_TRAINER_TOKENIZER_RUNS_H

#include "trainer/tokenizer/added_set.h"

enum run_kind { RUN_TEXT, RUN_BYTE, RUN_ADDED };

struct run {
    enum run_kind kind;
    size_t start, end;
    const struct added_token *token; /* of RUN_ADDED */
};

struct runs {
    const struct added_set *raw, *normalized; /* looked for in this order */
    const uint8_t *text;
    size_t length;
    size_t at;
    struct added_match next_raw;        /* at or behind `at`, when raw_is_known */
    struct added_match next_normalized; /* the same, before next_raw.start */
    bool raw_is_known, normalized_is_known;
    size_t valid_end; /* up to here, from `at` on, text is valid UTF-8 */
};

/* Borrows everything. */
void runs_init(struct runs *self, const struct added_set *raw, const struct added_set *normalized,
               const uint8_t *text, size_t length);

/* The next run; false at the end of the text. */
bool runs_next(struct runs *self, struct run *out);

#endif
