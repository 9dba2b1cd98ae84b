#include "trainer/tokenizer/bpe.h"

#include "common/fault.h"

#include <stdlib.h>
#include <string.h>

static void insert(struct bpe *self, const struct merge *merge, uint32_t rank)
{
    uint32_t pair = (uint32_t)merge->left << 16 | merge->right;
    uint32_t mask = UINT32_MAX >> self->shift;
    uint32_t place = (pair * 0x9e3779b1U) >> self->shift;
    while (self->slots[place].rank != BPE_NO_RANK && self->slots[place].pair != pair) {
        place = (place + 1) & mask;
    }
    self->slots[place] = (struct bpe_slot){.pair = pair, .rank = rank};
}

enum status bpe_init(struct bpe *self, const struct recipe *recipe)
{
    *self = (struct bpe){.merges = recipe->merges, .shift = 32 - 10};
    while (((size_t)1 << (32 - self->shift)) < 2 * recipe->merge_count) {
        self->shift--;
    }
    size_t slots = (size_t)1 << (32 - self->shift);
    self->slots = malloc(slots * sizeof(*self->slots));
    if (self->slots == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the tokenizer");
    }
    memset(self->slots, 0xff, slots * sizeof(*self->slots));
    for (size_t i = 0; i < recipe->merge_count; i++) {
        insert(self, &recipe->merges[i], (uint32_t)i);
    }
    for (uint32_t id = 0; id < recipe->vocab_size; id++) {
        const struct recipe_token *token = &recipe->tokens[id];
        if (token->kind == TOKEN_PLAIN && token->length == 1) {
            self->byte_ids[recipe->bytes[token->offset]] = (uint16_t)id;
        }
    }
    return STATUS_OK;
}

void bpe_deinit(struct bpe *self)
{
    free(self->slots);
    *self = (struct bpe){0};
}

/* Quadratic in count, and the fastest for a word. */
static size_t merge_short(const struct bpe *self, uint16_t *ids, size_t count)
{
    uint32_t ranks[BPE_SHORT_MAX]; /* ranks[i]: of ids[i] and ids[i + 1] */
    for (size_t i = 0; i + 1 < count; i++) {
        ranks[i] = bpe_rank(self, ids[i], ids[i + 1]);
    }
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++) {
            best = ranks[i] < ranks[best] ? i : best;
        }
        if (ranks[best] == BPE_NO_RANK) {
            break;
        }
        ids[best] = self->merges[ranks[best]].result;
        count--;
        memmove(ids + best + 1, ids + best + 2, (count - best - 1) * sizeof(*ids));
        memmove(ranks + best, ranks + best + 1, (count - best - 1) * sizeof(*ranks));
        if (best > 0) {
            ranks[best - 1] = bpe_rank(self, ids[best - 1], ids[best]);
        }
        if (best + 1 < count) {
            ranks[best] = bpe_rank(self, ids[best], ids[best + 1]);
        }
    }
    return count;
}

enum status bpe_encode(const struct bpe *self, const uint8_t *piece, size_t length, uint16_t *out,
                       size_t *out_count)
{
    for (size_t i = 0; i < length; i++) {
        out[i] = self->byte_ids[piece[i]];
    }
    if (length > BPE_SHORT_MAX) {
        return bpe_merge_long(self, out, length, out_count);
    }
    *out_count = merge_short(self, out, length);
    return STATUS_OK;
}
