/* piece_table - finds the token that is a whole piece of text.
 *
 * Open addressing over the tokens of a recipe, which it borrows. Read-only once filled, and then
 * thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_PIECE_TABLE_H
#define DUGNAD_TRAINER_TOKENIZER_PIECE_TABLE_H

#include "trainer/tokenizer/recipe.h"

struct piece_slot {
    uint32_t hash;
    uint16_t id;
    uint16_t length; /* 0: free */
};

struct piece_table {
    const struct recipe *recipe;
    struct piece_slot *slots; /* (mask + 1) */
    uint32_t mask;
};

/* Room for `count` tokens. Errors: NO_MEMORY. */
MUST_CHECK enum status piece_table_init(struct piece_table *self, const struct recipe *recipe,
                                        size_t count);
void piece_table_deinit(struct piece_table *self);

/* Adds a token that is not empty and not there yet, `count` of them at most. */
void piece_table_add(struct piece_table *self, uint32_t id);

/* The id of the token with these bytes; -1 when there is none. `hash` is bytes_hash of them. */
int32_t piece_table_find(const struct piece_table *self, uint64_t hash, const uint8_t *bytes,
                         size_t length);

#endif
