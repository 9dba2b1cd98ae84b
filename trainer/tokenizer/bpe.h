/* bpe - merges the bytes of a piece: always the neighbours whose merge has the lowest rank, the
 * leftmost first (Sennrich et al., arXiv 1508.07909, on bytes as in GPT-2).
 *
 * Short pieces scan for the lowest rank, long ones keep a heap, so that a piece without end is not
 * quadratic. Immutable once made, and thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_BPE_H
#define DUGNAD_TRAINER_TOKENIZER_BPE_H

#include "trainer/tokenizer/recipe.h"

enum { BPE_SHORT_MAX = 64, BPE_NO_RANK = UINT32_MAX };

struct bpe_slot {
    uint32_t pair; /* left << 16 | right */
    uint32_t rank; /* BPE_NO_RANK: free */
};

struct bpe {
    const struct merge *merges;
    struct bpe_slot *slots; /* (1 << (32 - shift)) */
    unsigned shift;
    uint16_t byte_ids[256];
};

/* Borrows the recipe, which has a token for each byte. Of equal pairs the last counts, as in
 * Hugging Face's library. Errors: NO_MEMORY. */
MUST_CHECK enum status bpe_init(struct bpe *self, const struct recipe *recipe);
void bpe_deinit(struct bpe *self);

/* Writes the ids of a piece to `out`, which holds length ids, and their number to *out_count.
 * Errors: NO_MEMORY (about 36 bytes for each byte of a long piece), FULL (over 4 GiB). */
MUST_CHECK enum status bpe_encode(const struct bpe *self, const uint8_t *piece, size_t length,
                                  uint16_t *out, size_t *out_count);

static inline uint32_t bpe_rank(const struct bpe *self, uint32_t left, uint32_t right)
{
    uint32_t pair = left << 16 | right;
    uint32_t mask = UINT32_MAX >> self->shift;
    uint32_t place = (pair * 0x9e3779b1U) >> self->shift;
    while (self->slots[place].rank != BPE_NO_RANK && self->slots[place].pair != pair) {
        place = (place + 1) & mask;
    }
    return self->slots[place].rank;
}

/* Private to bpe.c: the same for `count` ids in place, by a heap. */
MUST_CHECK enum status bpe_merge_long(const struct bpe *self, uint16_t *ids, size_t count,
                                      size_t *out_count);

#endif
