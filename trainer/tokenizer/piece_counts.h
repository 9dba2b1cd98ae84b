/* piece_counts - how often each piece occurs in a text, in bounded memory.
 *
 * When there are too many different pieces, the rarest are forgotten. The same text gives the same
 * counts in the same order. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_PIECE_COUNTS_H
#define DUGNAD_TRAINER_TOKENIZER_PIECE_COUNTS_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

/* Different pieces, and the bytes of all of them: about 150 MB. A longer piece is cut. */
enum { PIECE_COUNTS_MAX = 1 << 21, PIECE_COUNTS_BYTES_MAX = 1 << 25, PIECE_BYTES_MAX = 1 << 16 };

struct counted_piece {
    uint64_t count;
    uint32_t text_at; /* in piece_counts.text */
    uint32_t length;
};

struct piece_counts {
    struct counted_piece *pieces; /* in the order in which they were first met */
    size_t count, capacity;
    uint8_t *text;
    size_t text_used, text_capacity;
    uint32_t *slots; /* (slot_count) place in pieces + 1; 0: free */
    size_t slot_count;
};

/* Errors: NO_MEMORY. End it with piece_counts_deinit() in any case. */
MUST_CHECK enum status piece_counts_init(struct piece_counts *self);
void piece_counts_deinit(struct piece_counts *self);

/* Counts one occurrence of a piece that is not empty. Errors: NO_MEMORY. */
MUST_CHECK enum status piece_counts_add(struct piece_counts *self, const uint8_t *piece,
                                        size_t length);

#endif
