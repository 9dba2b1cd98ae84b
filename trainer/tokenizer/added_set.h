/* added_set - finds added tokens, such as <|endoftext|>, in text: the leftmost, and of those the
 * longest.
 *
 * Borrows a recipe. Immutable once made, and thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_ADDED_SET_H
#define DUGNAD_TRAINER_TOKENIZER_ADDED_SET_H

#include "trainer/tokenizer/recipe.h"

struct added_set {
    const struct recipe *recipe;
    struct added_token *sorted; /* (count) by text */
    size_t count;
    size_t longest; /* bytes of the longest text */
    bool strips_left;
    bool begins[256]; /* some text begins with this byte */
};

struct added_match {
    const struct added_token *token; /* NULL: none found */
    size_t start, end;               /* with the spaces that the token takes */
};

/* The recipe's added tokens whose `normalized` is as said. End it with
 * added_set_deinit() in any case. Errors: BAD_DATA (two have the same text), NO_MEMORY. */
MUST_CHECK enum status added_set_init(struct added_set *self, const struct recipe *recipe,
                                      bool normalized);
void added_set_deinit(struct added_set *self);

/* The first token in text[from, end); without one, start and end are `end`. */
struct added_match added_set_find(const struct added_set *self, const uint8_t *text, size_t from,
                                  size_t end);

/* The first place from which the rest of text could be the beginning of a longer token; length
 * when there is none. */
size_t added_set_unfinished(const struct added_set *self, const uint8_t *text, size_t length);

#endif
