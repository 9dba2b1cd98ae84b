#include "peer/daemon/offers.h"

#include <stdlib.h>

struct blob_ref offers_add(struct offers *self, uint8_t *data, size_t size_bytes)
{
    uint64_t id = ++self->next_id;
    struct offer *place = &self->items[id % OFFERS_MAX];
    free(place->data);
    place->data = data;
    place->ref = blob_describe(BLOB_CONTRIBUTION, id, data, size_bytes);
    return place->ref;
}

const struct offer *offers_find(const struct offers *self, uint64_t id)
{
    const struct offer *place = &self->items[id % OFFERS_MAX];
    return place->data != NULL && place->ref.id == id ? place : NULL;
}

void offers_clear(struct offers *self)
{
    for (size_t i = 0; i < OFFERS_MAX; i++) {
        free(self->items[i].data);
        self->items[i].data = NULL;
    }
}
