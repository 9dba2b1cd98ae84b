#include "coordinator/server/publisher.h"

#include "common/check.h"
#include "common/fault.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT_BYTES_MAX = 256 << 20, KEPT_MIN = 4 };

struct publisher {
    size_t value_count;
    size_t update_bytes; /* room for one */
    size_t slot_count;
    size_t kept; /* updates published and still here */
    size_t next; /* slot that is filled next */
    uint8_t *updates[PUBLISHER_UPDATES_MAX];
    struct digest *hashes[PUBLISHER_UPDATES_MAX]; /* each (chunk count) */
    struct wire_committed committed[PUBLISHER_UPDATES_MAX];
    bool has_snapshot;
    uint64_t snapshot_version;
    struct blob_ref snapshot_ref;
    float *snapshot; /* (value_count) */
    struct digest *snapshot_hashes;
};

/* All blobs of the vector are cut at the same values. */
static uint32_t chunk_bytes_of(enum codec codec)
{
    return (uint32_t)codec_encoded_bytes(codec, CODEC_CHUNK_VALUES);
}

static bool allocate(struct publisher *self)
{
    size_t snapshot_bytes = self->value_count * sizeof *self->snapshot;
    size_t chunks = blob_chunk_count(snapshot_bytes, chunk_bytes_of(CODEC_FP32));
    self->snapshot = malloc(snapshot_bytes);
    self->snapshot_hashes = calloc(chunks, sizeof *self->snapshot_hashes);
    bool complete = self->snapshot != NULL && self->snapshot_hashes != NULL;
    for (size_t i = 0; i < self->slot_count; i++) {
        self->updates[i] = malloc(self->update_bytes);
        self->hashes[i] = calloc(chunks, sizeof *self->hashes[i]);
        complete = complete && self->updates[i] != NULL && self->hashes[i] != NULL;
    }
    return complete;
}

enum status publisher_new(size_t value_count, enum codec codec, struct publisher **out)
{
    *out = NULL;
    struct publisher *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to publish updates");
    }
    self->value_count = value_count;
    self->update_bytes = codec_encoded_bytes(codec, value_count);
    self->slot_count = KEPT_BYTES_MAX / self->update_bytes;
    self->slot_count = self->slot_count < KEPT_MIN ? KEPT_MIN : self->slot_count;
    if (self->slot_count > PUBLISHER_UPDATES_MAX) {
        self->slot_count = PUBLISHER_UPDATES_MAX;
    }
    if (!allocate(self)) {
        publisher_free(self);
        return fault(STATUS_NO_MEMORY, "no memory to publish updates");
    }
    *out = self;
    return STATUS_OK;
}

void publisher_free(struct publisher *self)
{
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < PUBLISHER_UPDATES_MAX; i++) {
        free(self->updates[i]);
        free(self->hashes[i]);
    }
    free(self->snapshot);
    free(self->snapshot_hashes);
    free(self);
}

uint8_t *publisher_next_update(struct publisher *self)
{
    if (self->kept == self->slot_count) {
        self->kept--; /* the oldest lies here and is given up */
    }
    return self->updates[self->next];
}

void publisher_add(struct publisher *self, struct wire_committed *committed)
{
    size_t size_bytes = codec_encoded_bytes(committed->codec, self->value_count);
    CHECK(size_bytes <= self->update_bytes);
    committed->update =
        blob_describe(BLOB_UPDATE, committed->step + 1, self->updates[self->next], size_bytes,
                      chunk_bytes_of(committed->codec), self->hashes[self->next]);
    self->committed[self->next] = *committed;
    self->next = (self->next + 1) % self->slot_count;
    self->kept++;
}

/* The slot of this step's update; slot_count when it is not kept. */
static size_t find_slot(const struct publisher *self, uint64_t step)
{
    for (size_t age = 1; age <= self->kept; age++) {
        size_t slot = (self->next + self->slot_count - age) % self->slot_count;
        if (self->committed[slot].step == step) {
            return slot;
        }
    }
    return self->slot_count;
}

const struct wire_committed *publisher_committed(const struct publisher *self, uint64_t step)
{
    size_t slot = find_slot(self, step);
    return slot < self->slot_count ? &self->committed[slot] : NULL;
}

struct blob_ref publisher_snapshot(struct publisher *self, const float *params, uint64_t version)
{
    /* Half of the kept updates may still be needed while the snapshot is on its way. */
    bool usable = self->has_snapshot && self->snapshot_version <= version &&
                  version - self->snapshot_version <= self->kept / 2;
    if (!usable) {
        memcpy(self->snapshot, params, self->value_count * sizeof *params);
        self->snapshot_version = version;
        self->snapshot_ref = blob_describe(BLOB_SNAPSHOT, version, (const uint8_t *)self->snapshot,
                                           self->value_count * sizeof *params,
                                           chunk_bytes_of(CODEC_FP32), self->snapshot_hashes);
        self->has_snapshot = true;
    }
    return self->snapshot_ref;
}

static bool find_blob(const struct publisher *self, enum blob_kind kind, uint64_t id,
                      struct publisher_blob *out)
{
    if (kind == BLOB_SNAPSHOT && self->has_snapshot && id == self->snapshot_version) {
        *out = (struct publisher_blob){.ref = self->snapshot_ref,
                                       .data = (const uint8_t *)self->snapshot,
                                       .hashes = self->snapshot_hashes};
        return true;
    }
    size_t slot = kind == BLOB_UPDATE && id > 0 ? find_slot(self, id - 1) : self->slot_count;
    if (slot == self->slot_count) {
        return false;
    }
    *out = (struct publisher_blob){.ref = self->committed[slot].update,
                                   .data = self->updates[slot],
                                   .hashes = self->hashes[slot]};
    return true;
}

bool publisher_find(const struct publisher *self, enum blob_kind kind, uint64_t id,
                    struct publisher_blob *out)
{
    if (kind != BLOB_HASHES) {
        return find_blob(self, kind, id, out);
    }
    if (!blob_hashes_of(id, &kind, &id) || !find_blob(self, kind, id, out)) {
        return false;
    }
    *out = (struct publisher_blob){.ref = blob_hashes_ref(&out->ref),
                                   .data = (const uint8_t *)out->hashes};
    return true;
}
