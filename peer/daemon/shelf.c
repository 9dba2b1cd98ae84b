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

static bool is_update(const struct fetch *fetch)
{
    return fetch != NULL && fetch_ref(fetch)->kind == BLOB_UPDATE;
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
    bool newer = is_update(self->coming) && fetch_ref(self->coming)->id > id;
    for (size_t i = 0; !newer && i < SHELF_KEPT_MAX; i++) {
        newer = is_update(self->kept[i]) && fetch_ref(self->kept[i])->id > id;
    }
    return newer && find(self, id) == NULL;
}
