#include "peer/daemon/shelf.h"

#include <stddef.h>

void shelf_clear(struct shelf *self)
{
    shelf_drop(self);
    for (size_t i = 0; i < SHELF_KEPT_MAX; i++) {
        fetch_free(self->kept[i]);
        self->kept[i] = NULL;
    }
}

void shelf_keep(struct shelf *self)
{
    fetch_free(self->kept[SHELF_KEPT_MAX - 1]);
    for (size_t i = SHELF_KEPT_MAX - 1; i > 0; i--) {
        self->kept[i] = self->kept[i - 1];
    }
    self->kept[0] = self->coming;
    self->coming = NULL;
    self->arrivals++;
}

void shelf_drop(struct shelf *self)
{
    fetch_free(self->coming);
    self->coming = NULL;
}

void shelf_pass(struct shelf *self, uint64_t id)
{
    self->passed_id = id > self->passed_id ? id : self->passed_id;
    self->arrivals++; /* who waits is looked at once more */
}

bool shelf_has_room(const struct shelf *self, uint64_t bytes)
{
    return self->bytes_max == 0 || bytes <= self->bytes_max / (SHELF_KEPT_MAX + 1);
}

static bool is_update(const struct fetch *fetch)
{
    return fetch != NULL && fetch_ref(fetch)->kind == BLOB_UPDATE;
}

void shelf_finish(struct shelf *self, bool for_others)
{
    struct blob_ref ref = *fetch_ref(self->coming);
    if (ref.kind == BLOB_UPDATE && for_others && shelf_has_room(self, ref.size_bytes)) {
        shelf_keep(self);
        return;
    }
    shelf_drop(self);
    shelf_pass(self, ref.id); /* a snapshot takes the place of all updates up to it */
}

static const struct fetch *find(const struct shelf *self, uint64_t id)
{
    if (is_update(self->coming) && fetch_ref(self->coming)->id == id) {
        return self->coming;
    }
    for (size_t i = 0; i < SHELF_KEPT_MAX; i++) {
        if (is_update(self->kept[i]) && fetch_ref(self->kept[i])->id == id) {
            return self->kept[i];
        }
    }
    return NULL;
}

bool shelf_chunk(const struct shelf *self, uint64_t id, uint32_t index,
                 struct blob_chunk_header *out_header, const uint8_t **out_data)
{
    const struct fetch *fetch = find(self, id);
    return fetch != NULL && fetch_chunk(fetch, index, out_header, out_data);
}

bool shelf_is_gone(const struct shelf *self, uint64_t id)
{
    bool newer =
        id <= self->passed_id || (is_update(self->coming) && fetch_ref(self->coming)->id > id);
    for (size_t i = 0; !newer && i < SHELF_KEPT_MAX; i++) {
        newer = is_update(self->kept[i]) && fetch_ref(self->kept[i])->id > id;
    }
    return newer && find(self, id) == NULL;
}
