#include "peer/daemon/offers.h"

#include "common/check.h"

#include <stdlib.h>
#include <string.h>

/* The root and, where there is memory for it, the tree. */
static void describe(struct offer *self, uint64_t id, size_t size_bytes, uint32_t chunk_bytes)
{
    uint32_t chunk_count = blob_chunk_count(size_bytes, chunk_bytes);
    self->tree = calloc(blob_tree_size(chunk_count), sizeof *self->tree);
    self->facts.blob =
        blob_describe(BLOB_CONTRIBUTION, id, self->data, size_bytes, chunk_bytes, self->tree);
    if (self->tree != NULL) {
        blob_tree_grow(self->tree, chunk_count);
    }
}

struct offer *offers_add(struct offers *self, uint64_t id, enum codec codec, uint8_t *data,
                         size_t size_bytes)
{
    CHECK(self->count < OFFERS_MAX);
    struct offer *place = &self->items[self->count++];
    memset(&place->facts, 0, sizeof place->facts);
    uint32_t chunk_bytes = (uint32_t)codec_encoded_bytes(codec, CODEC_CHUNK_VALUES);
    place->data = data;
    place->facts.codec = codec;
    describe(place, id, size_bytes, chunk_bytes);
    return place;
}

struct offer *offers_find(struct offers *self, uint64_t id)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->items[i].facts.blob.id == id) {
            return &self->items[i];
        }
    }
    return NULL;
}

enum status offer_chunk(struct offer *self, uint32_t index, struct offer_chunk *out)
{
    const struct blob_ref *ref = &self->facts.blob;
    struct blob_chunk_header header;
    if (self->tree == NULL) {
        describe(self, ref->id, ref->size_bytes, ref->chunk_bytes);
    }
    if (self->tree == NULL) {
        return STATUS_NO_MEMORY; /* without its proof it would pass for a lie */
    }
    enum status status = blob_chunk(ref, self->data, self->tree, index, &header, &out->data);
    if (status == STATUS_OK) {
        uint32_t chunk_count = blob_chunk_count(ref->size_bytes, ref->chunk_bytes);
        out->head_bytes = blob_tree_head(&header, self->tree, chunk_count, out->head);
        out->size_bytes = header.size_bytes;
    }
    return status;
}

static void forget(struct offer *offer)
{
    free(offer->data);
    free(offer->tree);
    offer->data = NULL;
    offer->tree = NULL;
}

void offers_drop(struct offers *self, uint64_t id)
{
    struct offer *place = offers_find(self, id);
    if (place == NULL) {
        return;
    }
    forget(place);
    size_t index = (size_t)(place - self->items);
    self->count--;
    memmove(place, place + 1, (self->count - index) * sizeof *place);
    self->items[self->count].data = NULL;
    self->items[self->count].tree = NULL;
}

void offers_clear(struct offers *self)
{
    while (self->count > 0) {
        forget(&self->items[--self->count]);
    }
}

size_t offers_samples(const struct offers *self, struct work_range out[WORK_RANGES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        const struct wire_contribution *facts = &self->items[i].facts;
        struct work_range merged[WORK_RANGES_MAX];
        size_t merged_count = count;
        bool fits = true;
        memcpy(merged, out, count * sizeof *merged);
        for (size_t j = 0; j < facts->range_count && fits; j++) {
            fits = work_merge_range(merged, &merged_count,
                                    (struct work_range){.first = facts->ranges[j].first,
                                                        .count = facts->ranges[j].count});
        }
        if (fits) {
            count = merged_count;
            memcpy(out, merged, count * sizeof *merged);
        }
    }
    return count;
}
