#include "proto/blob_receiver.h"

#include "common/check.h"
#include "proto/blob_tree.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

enum { RECEIVED = 1, OUTSTANDING = 2, GRANTED = 4 /* at some time */, BATCHES_PER_WINDOW = 8 };

/* One chunk of the part. What is outstanding from a source is chained in the order of its grants.
 */
struct slot {
    uint64_t granted_ms;
    uint32_t older;
    uint32_t newer;
    uint16_t source;
    uint8_t flags;
};

struct source {
    uint32_t outstanding;
    uint32_t oldest; /* ends of its chain */
    uint32_t newest;
    bool came;         /* a chunk, since the time was last told */
    uint64_t heard_ms; /* when the latest one did, about */
    uint32_t first;    /* of the range that it was last asked for */
    uint32_t next;     /* from `first` to here, every chunk is received or outstanding */
};

struct blob_receiver {
    struct blob_ref ref;
    uint32_t first_chunk; /* of the part; slots count from here */
    uint32_t chunk_count; /* of the part */
    uint64_t size_bytes;  /* of the part */
    uint32_t received_count;
    uint64_t received_bytes;
    bool came;          /* from some source */
    bool trusts_hashes; /* they are the checked list, not what the chunks came with */
    struct source sources[BLOB_SOURCES_MAX];
    struct slot *slots;    /* (chunk_count) */
    struct digest *hashes; /* (chunk_count) */
    uint8_t *data;         /* (size_bytes) */
};

uint32_t blob_window(const struct blob_ref *ref, uint64_t size_bytes)
{
    uint64_t chunks = size_bytes / ref->chunk_bytes;
    if (chunks > BLOB_WINDOW_MAX) {
        return BLOB_WINDOW_MAX;
    }
    return chunks > 0 ? (uint32_t)chunks : 1;
}

static bool is_too_large(const struct blob_ref *ref, uint64_t size_bytes_max)
{
    CHECK(ref->size_bytes > 0 && ref->chunk_bytes > 0);
    return ref->size_bytes > size_bytes_max || ref->chunk_bytes > WIRE_BODY_MAX ||
           ref->size_bytes > (uint64_t)BLOB_CHUNKS_MAX * ref->chunk_bytes;
}

enum status blob_receiver_new_part(const struct blob_ref *ref, uint32_t first_chunk,
                                   uint32_t chunk_count, uint64_t size_bytes_max,
                                   struct blob_receiver **out)
{
    *out = NULL;
    if (is_too_large(ref, size_bytes_max)) {
        return STATUS_FULL;
    }
    uint32_t whole = blob_chunk_count(ref->size_bytes, ref->chunk_bytes);
    if (chunk_count == 0 || first_chunk >= whole || chunk_count > whole - first_chunk) {
        return STATUS_OUT_OF_RANGE;
    }
    struct blob_receiver *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->ref = *ref;
    self->first_chunk = first_chunk;
    self->chunk_count = chunk_count;
    self->size_bytes = (uint64_t)(chunk_count - 1) * ref->chunk_bytes +
                       blob_chunk_size(ref, first_chunk + chunk_count - 1);
    for (size_t i = 0; i < BLOB_SOURCES_MAX; i++) {
        self->sources[i].oldest = self->sources[i].newest = NONE;
    }
    self->slots = calloc(chunk_count, sizeof *self->slots);
    self->hashes = calloc(chunk_count, sizeof *self->hashes);
    self->data = malloc(self->size_bytes);
    if (self->slots == NULL || self->hashes == NULL || self->data == NULL) {
        blob_receiver_free(self);
        return STATUS_NO_MEMORY;
    }
    *out = self;
    return STATUS_OK;
}

enum status blob_receiver_new(const struct blob_ref *ref, uint64_t size_bytes_max,
                              struct blob_receiver **out)
{
    *out = NULL;
    return is_too_large(ref, size_bytes_max)
               ? STATUS_FULL
               : blob_receiver_new_part(ref, 0, blob_chunk_count(ref->size_bytes, ref->chunk_bytes),
                                        size_bytes_max, out);
}

void blob_receiver_free(struct blob_receiver *self)
{
    if (self == NULL) {
        return;
    }
    free(self->data);
    free(self->hashes);
    free(self->slots);
    free(self);
}

const struct blob_ref *blob_receiver_ref(const struct blob_receiver *self)
{
    return &self->ref;
}

/* Chunks became free that some sources have passed already. */
static void rewind_sources(struct blob_receiver *self)
{
    for (size_t i = 0; i < BLOB_SOURCES_MAX; i++) {
        self->sources[i].next = self->sources[i].first;
    }
}

static void release(struct blob_receiver *self, uint32_t index)
{
    struct slot *slot = &self->slots[index];
    if ((slot->flags & OUTSTANDING) == 0) {
        return;
    }
    struct source *source = &self->sources[slot->source];
    slot->flags &= (uint8_t)~OUTSTANDING;
    source->outstanding--;
    *(slot->older != NONE ? &self->slots[slot->older].newer : &source->oldest) = slot->newer;
    *(slot->newer != NONE ? &self->slots[slot->newer].older : &source->newest) = slot->older;
}

static void grant_one(struct blob_receiver *self, uint32_t index, const struct blob_ask *ask)
{
    release(self, index);
    struct source *source = &self->sources[ask->source];
    self->slots[index] = (struct slot){.granted_ms = ask->now_ms,
                                       .older = source->newest,
                                       .newer = NONE,
                                       .source = (uint16_t)ask->source,
                                       .flags = OUTSTANDING | GRANTED};
    *(source->newest != NONE ? &self->slots[source->newest].newer : &source->oldest) = index;
    source->newest = index;
    source->outstanding++;
}

/* A range of slots. */
struct span {
    uint32_t first;
    uint32_t end;
};

/* While chunks come from a source, however slowly, the others are still under way. */
static bool is_overdue(const struct blob_receiver *self, uint32_t index, const struct blob_ask *ask)
{
    const struct slot *slot = &self->slots[index];
    uint64_t heard_ms = self->sources[slot->source].heard_ms;
    uint64_t since_ms = slot->granted_ms > heard_ms ? slot->granted_ms : heard_ms;
    return (slot->flags & OUTSTANDING) != 0 && ask->now_ms >= since_ms &&
           ask->now_ms - since_ms >= ask->retry_ms;
}

/* An overdue chunk of its own holds its place in the source's window already. */
static bool may_take(const struct blob_receiver *self, uint32_t index, const struct blob_ask *ask)
{
    return is_overdue(self, index, ask) && (self->slots[index].source == ask->source ||
                                            self->sources[ask->source].outstanding < ask->window);
}

/* The lowest overdue chunk of the span; its end: there is none. */
static uint32_t find_overdue(const struct blob_receiver *self, const struct blob_ask *ask,
                             struct span span)
{
    uint32_t first = span.end;
    for (size_t source = 0; source < BLOB_SOURCES_MAX; source++) {
        for (uint32_t i = self->sources[source].oldest; i != NONE && is_overdue(self, i, ask);
             i = self->slots[i].newer) {
            if (i >= span.first && i < first && may_take(self, i, ask)) {
                first = i;
            }
        }
    }
    return first;
}

/* Grants the lowest overdue chunk again, and those overdue right behind it. */
static uint32_t grant_overdue(struct blob_receiver *self, const struct blob_ask *ask,
                              struct span span, uint32_t *out_first)
{
    uint32_t first = find_overdue(self, ask, span);
    uint32_t end = first;
    while (end < span.end && may_take(self, end, ask)) {
        grant_one(self, end, ask);
        end++;
    }
    *out_first = first;
    return end - first;
}

/* Grants the next chunks that are neither here nor outstanding. */
static uint32_t grant_fresh(struct blob_receiver *self, const struct blob_ask *ask,
                            struct span span, uint32_t *out_first)
{
    struct source *source = &self->sources[ask->source];
    if (source->first != span.first) {
        source->first = source->next = span.first;
    }
    while (source->next < span.end &&
           (self->slots[source->next].flags & (RECEIVED | OUTSTANDING)) != 0) {
        source->next++;
    }
    *out_first = source->next;
    if (source->outstanding + ask->window / BATCHES_PER_WINDOW > ask->window) {
        return 0;
    }
    while (source->outstanding < ask->window && source->next < span.end &&
           (self->slots[source->next].flags & (RECEIVED | OUTSTANDING)) == 0) {
        grant_one(self, source->next, ask);
        source->next++;
    }
    return source->next - *out_first;
}

/* The part of the asked range that is wanted here. */
static struct span span_of(const struct blob_receiver *self, const struct blob_ask *ask)
{
    uint64_t part_end = (uint64_t)self->first_chunk + self->chunk_count;
    uint64_t end = (uint64_t)ask->first_chunk + ask->chunk_count;
    uint64_t first = ask->first_chunk > self->first_chunk ? ask->first_chunk : self->first_chunk;
    end = end < part_end ? end : part_end;
    if (first >= end) {
        return (struct span){0, 0};
    }
    return (struct span){(uint32_t)(first - self->first_chunk),
                         (uint32_t)(end - self->first_chunk)};
}

/* Whoever sent since the last call is heard now: a call follows each chunk. */
static void note_heard(struct blob_receiver *self, uint64_t now_ms)
{
    for (size_t i = 0; self->came && i < BLOB_SOURCES_MAX; i++) {
        struct source *source = &self->sources[i];
        source->heard_ms = source->came ? now_ms : source->heard_ms;
        source->came = false;
    }
    self->came = false;
}

bool blob_receiver_grant_from(struct blob_receiver *self, const struct blob_ask *ask,
                              struct wire_grant *out)
{
    struct blob_ask cut = *ask;
    struct span span = span_of(self, ask);
    uint32_t first = 0;
    CHECK(ask->source < BLOB_SOURCES_MAX);
    note_heard(self, ask->now_ms);
    if (cut.window > BLOB_WINDOW_MAX) {
        cut.window = BLOB_WINDOW_MAX;
    }
    uint32_t count = grant_overdue(self, &cut, span, &first);
    if (count == 0) {
        count = grant_fresh(self, &cut, span, &first);
    }
    *out = (struct wire_grant){.kind = self->ref.kind,
                               .id = self->ref.id,
                               .first_chunk = self->first_chunk + first,
                               .chunk_count = count};
    return count > 0;
}

bool blob_receiver_grant(struct blob_receiver *self, uint32_t window, uint64_t now_ms,
                         uint64_t retry_ms, struct wire_grant *out)
{
    const struct blob_ask ask = {.first_chunk = 0,
                                 .chunk_count = BLOB_CHUNKS_MAX,
                                 .window = window,
                                 .now_ms = now_ms,
                                 .retry_ms = retry_ms};
    return blob_receiver_grant_from(self, &ask, out);
}

uint32_t blob_receiver_outstanding(const struct blob_receiver *self, uint32_t source)
{
    CHECK(source < BLOB_SOURCES_MAX);
    return self->sources[source].outstanding;
}

void blob_receiver_forget_source(struct blob_receiver *self, uint32_t source)
{
    CHECK(source < BLOB_SOURCES_MAX);
    while (self->sources[source].oldest != NONE) {
        release(self, self->sources[source].oldest);
    }
    rewind_sources(self);
}

void blob_receiver_reset_grants(struct blob_receiver *self)
{
    for (uint32_t i = 0; i < BLOB_SOURCES_MAX; i++) {
        blob_receiver_forget_source(self, i);
    }
}

enum status blob_receiver_use_hashes(struct blob_receiver *self, const struct digest *hashes,
                                     uint32_t count)
{
    if (blob_hashes_check(&self->ref, hashes->bytes, (size_t)count * DIGEST_BYTES) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    hashes += self->first_chunk;
    for (uint32_t i = 0; i < self->chunk_count; i++) {
        struct slot *slot = &self->slots[i];
        if ((slot->flags & RECEIVED) != 0 && !digest_equal(&self->hashes[i], &hashes[i])) {
            slot->flags &= (uint8_t)~RECEIVED;
            self->received_count--;
            self->received_bytes -= blob_chunk_size(&self->ref, self->first_chunk + i);
        }
        self->hashes[i] = hashes[i];
    }
    self->trusts_hashes = true;
    rewind_sources(self);
    return STATUS_OK;
}

enum status blob_receiver_add(struct blob_receiver *self, const struct blob_chunk_header *header,
                              const uint8_t *data, size_t size_bytes)
{
    uint32_t index = header->index - self->first_chunk;
    /* Granted at some time, not outstanding now: it may come after its grant was given up. */
    if (header->kind != self->ref.kind || header->id != self->ref.id ||
        header->index < self->first_chunk || index >= self->chunk_count ||
        (self->slots[index].flags & GRANTED) == 0 || header->size_bytes != size_bytes ||
        size_bytes != blob_chunk_size(&self->ref, header->index)) {
        return STATUS_PROTOCOL;
    }
    struct slot *slot = &self->slots[index];
    if ((slot->flags & RECEIVED) != 0) {
        return STATUS_OK;
    }
    struct digest hash = digest_of(data, size_bytes);
    if (!digest_equal(&hash, &header->hash) ||
        (self->trusts_hashes && !digest_equal(&hash, &self->hashes[index]))) {
        return STATUS_CORRUPT;
    }
    memcpy(self->data + (size_t)index * self->ref.chunk_bytes, data, size_bytes);
    release(self, index);
    self->sources[slot->source].came = true;
    self->came = true;
    self->hashes[index] = hash;
    slot->flags |= RECEIVED;
    self->received_count++;
    self->received_bytes += size_bytes;
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

const uint8_t *blob_receiver_chunk(const struct blob_receiver *self, uint32_t index)
{
    uint32_t at = index - self->first_chunk;
    if (index < self->first_chunk || at >= self->chunk_count ||
        (self->slots[at].flags & RECEIVED) == 0) {
        return NULL;
    }
    return self->data + (size_t)at * self->ref.chunk_bytes;
}

const struct digest *blob_receiver_hash(const struct blob_receiver *self, uint32_t index)
{
    CHECK(blob_receiver_chunk(self, index) != NULL);
    return &self->hashes[index - self->first_chunk];
}

enum status blob_receiver_verify(const struct blob_receiver *self)
{
    if (!blob_receiver_complete(self)) {
        return STATUS_AGAIN;
    }
    if (self->trusts_hashes) {
        return STATUS_OK;
    }
    if (self->size_bytes != self->ref.size_bytes) {
        return STATUS_REFUSED;
    }
    struct digest root = self->ref.kind == BLOB_HASHES ? digest_of(self->data, self->size_bytes)
                         : self->ref.kind == BLOB_CONTRIBUTION
                             ? blob_tree_root(self->hashes, self->chunk_count)
                             : digest_of(self->hashes, (size_t)self->chunk_count * DIGEST_BYTES);
    return digest_equal(&root, &self->ref.root) ? STATUS_OK : STATUS_CORRUPT;
}

const uint8_t *blob_receiver_data(const struct blob_receiver *self)
{
    CHECK(blob_receiver_complete(self));
    return self->data;
}
