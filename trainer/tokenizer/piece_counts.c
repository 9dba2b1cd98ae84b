#include "trainer/tokenizer/piece_counts.h"

#include "common/fault.h"
#include "trainer/tokenizer/bytes_hash.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_AT_FIRST = 1 << 16 };

static enum status no_memory(void)
{
    return fault(STATUS_NO_MEMORY, "no memory to count the words of the text");
}

enum status piece_counts_init(struct piece_counts *self)
{
    *self = (struct piece_counts){.slot_count = SLOTS_AT_FIRST};
    self->slots = calloc(self->slot_count, sizeof(*self->slots));
    return self->slots == NULL ? no_memory() : STATUS_OK;
}

void piece_counts_deinit(struct piece_counts *self)
{
    free(self->pieces);
    free(self->text);
    free(self->slots);
    *self = (struct piece_counts){0};
}

/* The slot that holds the piece, or the free one where it belongs. */
static uint32_t *find_slot(const struct piece_counts *self, const uint8_t *piece, size_t length)
{
    size_t mask = self->slot_count - 1;
    size_t place = bytes_hash(piece, length) & mask;
    while (self->slots[place] != 0) {
        const struct counted_piece *known = &self->pieces[self->slots[place] - 1];
        if (known->length == length && memcmp(self->text + known->text_at, piece, length) == 0) {
            break;
        }
        place = (place + 1) & mask;
    }
    return &self->slots[place];
}

static void fill_slots(struct piece_counts *self)
{
    memset(self->slots, 0, self->slot_count * sizeof(*self->slots));
    for (size_t i = 0; i < self->count; i++) {
        const struct counted_piece *piece = &self->pieces[i];
        *find_slot(self, self->text + piece->text_at, piece->length) = (uint32_t)(i + 1);
    }
}

/* Forgets the pieces that occurred less often than `least`, keeping the order of the others. */
static void forget_below(struct piece_counts *self, uint64_t least)
{
    size_t kept = 0;
    size_t text_used = 0;
    for (size_t i = 0; i < self->count; i++) {
        struct counted_piece piece = self->pieces[i];
        if (piece.count >= least) {
            memmove(self->text + text_used, self->text + piece.text_at, piece.length);
            piece.text_at = (uint32_t)text_used;
            text_used += piece.length;
            self->pieces[kept++] = piece;
        }
    }
    self->count = kept;
    self->text_used = text_used;
}

static void make_room(struct piece_counts *self, size_t length)
{
    if (self->count < PIECE_COUNTS_MAX && self->text_used + length <= PIECE_COUNTS_BYTES_MAX) {
        return;
    }
    for (uint64_t least = 2;
         self->count > PIECE_COUNTS_MAX / 2 || self->text_used > PIECE_COUNTS_BYTES_MAX / 2;
         least *= 2) {
        forget_below(self, least);
    }
    fill_slots(self);
}

static enum status grow(struct piece_counts *self, size_t length)
{
    if (self->count == self->capacity) {
        size_t wanted = 2 * self->capacity + SLOTS_AT_FIRST / 2;
        struct counted_piece *pieces = realloc(self->pieces, wanted * sizeof(*pieces));
        if (pieces == NULL) {
            return no_memory();
        }
        self->pieces = pieces;
        self->capacity = wanted;
    }
    if (self->text_capacity - self->text_used < length) {
        size_t wanted = 2 * self->text_capacity + PIECE_BYTES_MAX;
        uint8_t *text = realloc(self->text, wanted);
        if (text == NULL) {
            return no_memory();
        }
        self->text = text;
        self->text_capacity = wanted;
    }
    if (2 * (self->count + 1) > self->slot_count) {
        uint32_t *slots = realloc(self->slots, 2 * self->slot_count * sizeof(*slots));
        if (slots == NULL) {
            return no_memory();
        }
        self->slots = slots;
        self->slot_count *= 2;
        fill_slots(self);
    }
    return STATUS_OK;
}

static enum status add_short(struct piece_counts *self, const uint8_t *piece, size_t length)
{
    const uint32_t *known = find_slot(self, piece, length);
    if (*known != 0) {
        self->pieces[*known - 1].count++;
        return STATUS_OK;
    }
    make_room(self, length);
    enum status status = grow(self, length);
    if (status != STATUS_OK) {
        return status;
    }
    memcpy(self->text + self->text_used, piece, length);
    self->pieces[self->count] = (struct counted_piece){
        .count = 1, .text_at = (uint32_t)self->text_used, .length = (uint32_t)length};
    self->text_used += length;
    *find_slot(self, piece, length) = (uint32_t)++self->count;
    return STATUS_OK;
}

enum status piece_counts_add(struct piece_counts *self, const uint8_t *piece, size_t length)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && length > 0) {
        size_t part = length < PIECE_BYTES_MAX ? length : PIECE_BYTES_MAX;
        status = add_short(self, piece, part);
        piece += part;
        length -= part;
    }
    return status;
}
