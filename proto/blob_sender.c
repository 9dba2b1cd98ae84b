#include "proto/blob_sender.h"

#include "common/check.h"

#include <stdlib.h>

enum { WORD_BITS = 64 };

struct blob_sender {
    enum blob_kind kind;
    uint64_t id;
    uint32_t chunk_count;
    uint32_t pending;
    uint32_t first;     /* no granted chunk lies before this one */
    uint64_t granted[]; /* a bit a chunk: granted and not sent */
};

enum status blob_sender_new(enum blob_kind kind, uint64_t id, uint32_t chunk_count,
                            struct blob_sender **out)
{
    CHECK(chunk_count > 0 && chunk_count <= BLOB_CHUNKS_MAX);
    size_t words = ((size_t)chunk_count + WORD_BITS - 1) / WORD_BITS;
    struct blob_sender *self = calloc(1, sizeof *self + words * sizeof self->granted[0]);
    *out = self;
    if (self == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->kind = kind;
    self->id = id;
    self->chunk_count = chunk_count;
    return STATUS_OK;
}

void blob_sender_free(struct blob_sender *self)
{
    free(self);
}

enum blob_kind blob_sender_kind(const struct blob_sender *self)
{
    return self->kind;
}

uint64_t blob_sender_id(const struct blob_sender *self)
{
    return self->id;
}

static uint64_t bit_of(uint32_t index)
{
    return UINT64_C(1) << index % WORD_BITS;
}

enum status blob_sender_grant(struct blob_sender *self, const struct wire_grant *grant)
{
    if (grant->kind != self->kind || grant->id != self->id) {
        return STATUS_PROTOCOL;
    }
    if (grant->chunk_count > self->chunk_count ||
        grant->first_chunk > self->chunk_count - grant->chunk_count) {
        return STATUS_OUT_OF_RANGE;
    }
    for (uint32_t i = 0; i < grant->chunk_count; i++) {
        uint32_t index = grant->first_chunk + i;
        uint64_t *word = &self->granted[index / WORD_BITS];
        self->pending += (*word & bit_of(index)) == 0;
        *word |= bit_of(index);
    }
    if (grant->chunk_count > 0 && grant->first_chunk < self->first) {
        self->first = grant->first_chunk;
    }
    return STATUS_OK;
}

bool blob_sender_next(const struct blob_sender *self, uint32_t from, uint32_t *out_index)
{
    uint32_t index = from > self->first ? from : self->first;
    while (self->pending > 0 && index < self->chunk_count) {
        uint64_t ahead = self->granted[index / WORD_BITS] >> index % WORD_BITS;
        if ((ahead & 1U) != 0) {
            *out_index = index;
            return true;
        }
        index += ahead != 0 ? (uint32_t)__builtin_ctzll(ahead) : WORD_BITS - index % WORD_BITS;
    }
    return false;
}

void blob_sender_sent(struct blob_sender *self, uint32_t index)
{
    CHECK(index < self->chunk_count);
    uint64_t *word = &self->granted[index / WORD_BITS];
    if ((*word & bit_of(index)) == 0) {
        return;
    }
    *word &= ~bit_of(index);
    self->pending--;
    if (self->pending == 0) {
        self->first = self->chunk_count; /* a grant brings it back */
    } else if (index == self->first) {
        self->first++;
    }
}

uint32_t blob_sender_pending(const struct blob_sender *self)
{
    return self->pending;
}

/* The place of a transfer; BLOB_SENDERS_MAX: it has none. */
static uint32_t find(const struct blob_senders *self, enum blob_kind kind, uint64_t id)
{
    uint32_t place = 0;
    while (place < BLOB_SENDERS_MAX &&
           (self->items[place] == NULL || self->items[place]->kind != kind ||
            self->items[place]->id != id)) {
        place++;
    }
    return place;
}

/* A place for a new transfer, emptied. */
static uint32_t make_room(struct blob_senders *self)
{
    uint32_t place = 0;
    while (place < BLOB_SENDERS_MAX && self->items[place] != NULL &&
           self->items[place]->pending > 0) {
        place++;
    }
    if (place == BLOB_SENDERS_MAX) {
        place = self->oldest;
        self->oldest = (self->oldest + 1) % BLOB_SENDERS_MAX;
    }
    blob_sender_free(self->items[place]);
    self->items[place] = NULL;
    return place;
}

enum status blob_senders_grant(struct blob_senders *self, const struct wire_grant *grant,
                               uint32_t chunk_count)
{
    uint32_t place = find(self, grant->kind, grant->id);
    if (place == BLOB_SENDERS_MAX) {
        place = make_room(self);
        enum status status =
            blob_sender_new(grant->kind, grant->id, chunk_count, &self->items[place]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return blob_sender_grant(self->items[place], grant);
}

bool blob_senders_next(const struct blob_senders *self, struct blob_sender **out,
                       uint32_t *out_index)
{
    for (size_t i = 0; i < BLOB_SENDERS_MAX; i++) {
        if (self->items[i] != NULL && blob_sender_next(self->items[i], 0, out_index)) {
            *out = self->items[i];
            return true;
        }
    }
    return false;
}

uint32_t blob_senders_pending(const struct blob_senders *self)
{
    uint32_t pending = 0;
    for (size_t i = 0; i < BLOB_SENDERS_MAX; i++) {
        pending += self->items[i] != NULL ? self->items[i]->pending : 0;
    }
    return pending;
}

void blob_senders_drop(struct blob_senders *self, enum blob_kind kind, uint64_t id)
{
    uint32_t place = find(self, kind, id);
    if (place < BLOB_SENDERS_MAX) {
        blob_sender_free(self->items[place]);
        self->items[place] = NULL;
    }
}

void blob_senders_clear(struct blob_senders *self)
{
    for (size_t i = 0; i < BLOB_SENDERS_MAX; i++) {
        blob_sender_free(self->items[i]);
        self->items[i] = NULL;
    }
}
