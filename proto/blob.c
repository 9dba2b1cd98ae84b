#include "proto/blob.h"

#include "common/check.h"
#include "proto/wire_parts.h"

#include <stdlib.h>
#include <string.h>

/* A chunk's header on the wire, little-endian; the bytes in between are zero. */
enum {
    HEADER_TYPE = 0,
    HEADER_KIND = 1,
    HEADER_INDEX = 4,
    HEADER_ID = 8,
    HEADER_SIZE = 16,
    HEADER_RESERVED = 20,
    HEADER_HASH = 32
};
_Static_assert(HEADER_HASH + DIGEST_BYTES == BLOB_HEADER_BYTES, "the hash ends the header");

struct outstanding {
    uint32_t index;
    uint64_t granted_ms;
};

struct blob_receiver {
    struct blob_ref ref;
    uint32_t chunk_count;
    uint32_t received_count;
    uint64_t received_bytes;
    uint32_t next;        /* below it, every chunk is here or outstanding */
    uint32_t granted_end; /* below it, every chunk was granted at some time */
    uint32_t outstanding_count;
    struct outstanding outstanding[BLOB_WINDOW_MAX];
    bool *received;        /* (chunk_count) */
    struct digest *hashes; /* (chunk_count) */
    uint8_t *data;         /* (ref.size_bytes) */
};

static void put_le(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(value >> 8U * i);
    }
}

static uint64_t get_le(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)from[i] << 8U * i;
    }
    return value;
}

static bool all_zero(const uint8_t *data, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

void blob_header_write(const struct blob_chunk_header *header, uint8_t out[BLOB_HEADER_BYTES])
{
    memset(out, 0, BLOB_HEADER_BYTES);
    out[HEADER_TYPE] = WIRE_CHUNK_TYPE;
    out[HEADER_KIND] = (uint8_t)header->kind;
    put_le(out + HEADER_INDEX, header->index, 4);
    put_le(out + HEADER_ID, header->id, 8);
    put_le(out + HEADER_SIZE, header->size_bytes, 4);
    memcpy(out + HEADER_HASH, header->hash.bytes, DIGEST_BYTES);
}

enum status blob_header_read(const uint8_t *head, size_t size_bytes, struct blob_chunk_header *out)
{
    if (size_bytes != BLOB_HEADER_BYTES || head[HEADER_TYPE] != WIRE_CHUNK_TYPE ||
        head[HEADER_KIND] < BLOB_SNAPSHOT || head[HEADER_KIND] > BLOB_CONTRIBUTION ||
        !all_zero(head + HEADER_KIND + 1, HEADER_INDEX - HEADER_KIND - 1) ||
        !all_zero(head + HEADER_RESERVED, HEADER_HASH - HEADER_RESERVED)) {
        return STATUS_PROTOCOL;
    }
    out->kind = (enum blob_kind)head[HEADER_KIND];
    out->index = (uint32_t)get_le(head + HEADER_INDEX, 4);
    out->id = get_le(head + HEADER_ID, 8);
    out->size_bytes = (uint32_t)get_le(head + HEADER_SIZE, 4);
    memcpy(out->hash.bytes, head + HEADER_HASH, DIGEST_BYTES);
    if (out->index >= BLOB_CHUNKS_MAX || out->size_bytes == 0 ||
        out->size_bytes > BLOB_CHUNK_BYTES) {
        return STATUS_PROTOCOL;
    }
    return STATUS_OK;
}

uint32_t blob_chunk_count(uint64_t size_bytes)
{
    CHECK(size_bytes <= (uint64_t)BLOB_CHUNKS_MAX * BLOB_CHUNK_BYTES);
    return (uint32_t)((size_bytes + BLOB_CHUNK_BYTES - 1) / BLOB_CHUNK_BYTES);
}

/* index < chunk count */
static uint32_t chunk_bytes(uint64_t size_bytes, uint32_t index)
{
    uint64_t left = size_bytes - (uint64_t)index * BLOB_CHUNK_BYTES;
    return left < BLOB_CHUNK_BYTES ? (uint32_t)left : (uint32_t)BLOB_CHUNK_BYTES;
}

struct blob_ref blob_describe(enum blob_kind kind, uint64_t id, const uint8_t *data,
                              size_t size_bytes)
{
    CHECK(size_bytes > 0);
    struct blob_ref ref = {.kind = kind, .id = id, .size_bytes = size_bytes};
    struct digest_stream root;
    digest_begin(&root);
    for (uint32_t i = 0; i < blob_chunk_count(size_bytes); i++) {
        struct digest hash =
            digest_of(data + (size_t)i * BLOB_CHUNK_BYTES, chunk_bytes(size_bytes, i));
        digest_update(&root, hash.bytes, DIGEST_BYTES);
    }
    ref.root = digest_end(&root);
    return ref;
}

enum status blob_chunk(const struct blob_ref *ref, const uint8_t *data, uint32_t index,
                       struct blob_chunk_header *out_header, const uint8_t **out_data)
{
    if (index >= blob_chunk_count(ref->size_bytes)) {
        return STATUS_OUT_OF_RANGE;
    }
    *out_data = data + (size_t)index * BLOB_CHUNK_BYTES;
    out_header->kind = ref->kind;
    out_header->id = ref->id;
    out_header->index = index;
    out_header->size_bytes = chunk_bytes(ref->size_bytes, index);
    out_header->hash = digest_of(*out_data, out_header->size_bytes);
    return STATUS_OK;
}

enum status blob_receiver_new(const struct blob_ref *ref, uint64_t size_bytes_max,
                              struct blob_receiver **out)
{
    *out = NULL;
    if (ref->size_bytes > size_bytes_max ||
        ref->size_bytes > (uint64_t)BLOB_CHUNKS_MAX * BLOB_CHUNK_BYTES) {
        return STATUS_FULL;
    }
    CHECK(ref->size_bytes > 0);
    struct blob_receiver *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->ref = *ref;
    self->chunk_count = blob_chunk_count(ref->size_bytes);
    self->received = calloc(self->chunk_count, sizeof *self->received);
    self->hashes = calloc(self->chunk_count, sizeof *self->hashes);
    self->data = malloc(ref->size_bytes);
    if (self->received == NULL || self->hashes == NULL || self->data == NULL) {
        blob_receiver_free(self);
        return STATUS_NO_MEMORY;
    }
    *out = self;
    return STATUS_OK;
}

void blob_receiver_free(struct blob_receiver *self)
{
    if (self == NULL) {
        return;
    }
    free(self->data);
    free(self->hashes);
    free(self->received);
    free(self);
}

const struct blob_ref *blob_receiver_ref(const struct blob_receiver *self)
{
    return &self->ref;
}

/* The outstanding grant of chunk `index` that is overdue; NULL: none. */
static struct outstanding *overdue(struct blob_receiver *self, uint32_t index, uint64_t now_ms,
                                   uint64_t retry_ms)
{
    for (uint32_t i = 0; i < self->outstanding_count; i++) {
        struct outstanding *grant = &self->outstanding[i];
        if (grant->index == index && now_ms >= grant->granted_ms &&
            now_ms - grant->granted_ms >= retry_ms) {
            return grant;
        }
    }
    return NULL;
}

/* Grants the lowest overdue chunk again, and those overdue right behind it. They hold their
 * places in the window already. */
static uint32_t grant_overdue(struct blob_receiver *self, uint64_t now_ms, uint64_t retry_ms,
                              uint32_t *out_first)
{
    uint32_t first = self->chunk_count;
    for (uint32_t i = 0; i < self->outstanding_count; i++) {
        uint32_t index = self->outstanding[i].index;
        if (index < first && overdue(self, index, now_ms, retry_ms) != NULL) {
            first = index;
        }
    }
    uint32_t count = 0;
    struct outstanding *grant = overdue(self, first, now_ms, retry_ms);
    while (grant != NULL) {
        grant->granted_ms = now_ms;
        count++;
        grant = overdue(self, first + count, now_ms, retry_ms);
    }
    *out_first = first;
    return count;
}

/* Grants the next chunks that are neither here nor outstanding. */
static uint32_t grant_fresh(struct blob_receiver *self, uint32_t window, uint64_t now_ms,
                            uint32_t *out_first)
{
    while (self->next < self->chunk_count && self->received[self->next]) {
        self->next++;
    }
    *out_first = self->next;
    uint32_t count = 0;
    while (self->outstanding_count < window && self->next < self->chunk_count &&
           !self->received[self->next]) {
        self->outstanding[self->outstanding_count++] = (struct outstanding){self->next, now_ms};
        self->next++;
        count++;
    }
    if (self->granted_end < self->next) {
        self->granted_end = self->next;
    }
    return count;
}

bool blob_receiver_grant(struct blob_receiver *self, uint32_t window, uint64_t now_ms,
                         uint64_t retry_ms, struct wire_grant *out)
{
    uint32_t first = 0;
    if (window > BLOB_WINDOW_MAX) {
        window = BLOB_WINDOW_MAX;
    }
    uint32_t count = grant_overdue(self, now_ms, retry_ms, &first);
    if (count == 0) {
        count = grant_fresh(self, window, now_ms, &first);
    }
    out->kind = self->ref.kind;
    out->id = self->ref.id;
    out->first_chunk = first;
    out->chunk_count = count;
    return count > 0;
}

void blob_receiver_reset_grants(struct blob_receiver *self)
{
    self->outstanding_count = 0;
    self->next = 0;
}

static void forget_outstanding(struct blob_receiver *self, uint32_t index)
{
    for (uint32_t i = 0; i < self->outstanding_count; i++) {
        if (self->outstanding[i].index == index) {
            self->outstanding_count--;
            self->outstanding[i] = self->outstanding[self->outstanding_count];
            return;
        }
    }
}

enum status blob_receiver_add(struct blob_receiver *self, const struct blob_chunk_header *header,
                              const uint8_t *data, size_t size_bytes)
{
    /* granted_end, not what is outstanding now: a chunk may come after its grant was given up. */
    if (header->kind != self->ref.kind || header->id != self->ref.id ||
        header->index >= self->granted_end || header->size_bytes != size_bytes ||
        size_bytes != chunk_bytes(self->ref.size_bytes, header->index)) {
        return STATUS_PROTOCOL;
    }
    if (self->received[header->index]) {
        return STATUS_OK;
    }
    struct digest hash = digest_of(data, size_bytes);
    if (!digest_equal(&hash, &header->hash)) {
        return STATUS_CORRUPT;
    }
    memcpy(self->data + (size_t)header->index * BLOB_CHUNK_BYTES, data, size_bytes);
    self->hashes[header->index] = hash;
    self->received[header->index] = true;
    self->received_count++;
    self->received_bytes += size_bytes;
    forget_outstanding(self, header->index);
    return STATUS_OK;
}

bool blob_receiver_complete(const struct blob_receiver *self)
{
    return self->received_count == self->chunk_count;
}

uint64_t blob_receiver_received_bytes(const struct blob_receiver *self)
{
    return self->received_bytes;
}

enum status blob_receiver_verify(const struct blob_receiver *self)
{
    if (!blob_receiver_complete(self)) {
        return STATUS_AGAIN;
    }
    struct digest root = digest_of(self->hashes, (size_t)self->chunk_count * DIGEST_BYTES);
    return digest_equal(&root, &self->ref.root) ? STATUS_OK : STATUS_CORRUPT;
}

const uint8_t *blob_receiver_data(const struct blob_receiver *self)
{
    CHECK(blob_receiver_complete(self));
    return self->data;
}
