/* recipe - all that decides what a BPE tokenizer does, as the readers and the trainer make it.
 *
 * Tokens by id, merges by rank, added tokens and the pattern. Filled by one owner, then read by
 * any thread. Everything added is checked, since it may come from a stranger's file. */
#ifndef DUGNAD_TRAINER_TOKENIZER_RECIPE_H
#define DUGNAD_TRAINER_TOKENIZER_RECIPE_H

#include "common/status.h"
#include "trainer/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RECIPE_MERGES_MAX = 1 << 20, RECIPE_ADDED_MAX = 8192 };

enum token_kind {
    TOKEN_NONE,    /* no token has this id */
    TOKEN_PLAIN,   /* bytes that merges can make */
    TOKEN_LITERAL, /* a name that is not byte-level text: no merge makes it */
    TOKEN_ADDED    /* found in the text before anything else */
};

struct recipe_token {
    uint32_t offset; /* in recipe.bytes */
    uint16_t length;
    uint8_t kind; /* enum token_kind */
};

struct merge {
    uint16_t left, right, result;
};

/* As in tokenizer.json. strip_left and strip_right take the spaces beside the token with it;
 * `normalized` tokens are looked for after the others. */
struct added_token {
    uint16_t id;
    bool special, strip_left, strip_right, normalized;
};

struct recipe {
    struct recipe_token *tokens; /* (TOKENIZER_VOCAB_MAX) */
    uint32_t vocab_size;
    uint8_t *bytes;
    size_t bytes_used, bytes_capacity;
    struct merge *merges; /* by rank */
    size_t merge_count, merge_capacity;
    struct added_token *added;
    size_t added_count, added_capacity;
    char *regex;        /* cuts text into pieces; NULL: it is not cut */
    bool ignore_merges; /* a piece that is a token as a whole is not merged */
    int32_t begin_id, end_id;
};

/* Errors: NO_MEMORY. End it with recipe_deinit() in any case. */
MUST_CHECK enum status recipe_init(struct recipe *self);
void recipe_deinit(struct recipe *self);

/* Errors: FULL (id too large), BAD_DATA (id taken, text too long), NO_MEMORY. */
MUST_CHECK enum status recipe_add_token(struct recipe *self, uint64_t id, enum token_kind kind,
                                        const void *bytes, size_t length);

/* Ids of tokens that are there. Errors: FULL, NO_MEMORY. */
MUST_CHECK enum status recipe_add_merge(struct recipe *self, struct merge merge);

/* The token may be there already as a plain or literal one; `bytes` is its text.
 * Errors: FULL, BAD_DATA (no text, or added twice), NO_MEMORY. */
MUST_CHECK enum status recipe_add_added(struct recipe *self, struct added_token added,
                                        const void *bytes, size_t length);

/* Copies the pattern. Errors: NO_MEMORY. */
MUST_CHECK enum status recipe_set_regex(struct recipe *self, const char *regex);

/* Checks that each byte has a token, so that every text can be encoded. Errors: BAD_DATA. */
MUST_CHECK enum status recipe_check_bytes(const struct recipe *self);

/* Sets begin_id and end_id, where they are -1, by the usual names of such tokens. */
void recipe_guess_ends(struct recipe *self);

/* The id of the added token with this text; -1 when there is none. */
int32_t recipe_find_added(const struct recipe *self, const char *text);

const uint8_t *recipe_bytes(const struct recipe *self, uint32_t id, size_t *out_length);

#endif
