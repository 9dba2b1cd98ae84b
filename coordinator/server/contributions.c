#include "coordinator/server/contributions.h"

#include <stdlib.h>
#include <string.h>

enum status contributions_reserve(struct contributions *self)
{
    if (self->count == JOURNAL_CONTRIBUTIONS_MAX) {
        return STATUS_FULL;
    }
    if (self->count == self->room) {
        size_t room = self->room > 0 ? 2 * self->room : 16;
        struct journal_contribution *items = realloc(self->items, room * sizeof *items);
        if (items == NULL) {
            return STATUS_NO_MEMORY;
        }
        self->items = items;
        self->room = room;
    }
    return STATUS_OK;
}

enum status contributions_add(struct contributions *self, const struct journal_contribution *item)
{
    enum status status = contributions_reserve(self);
    struct sample_range *ranges = NULL;
    if (status == STATUS_OK) {
        ranges = malloc(item->range_count * sizeof *ranges);
        status = ranges != NULL ? STATUS_OK : STATUS_NO_MEMORY;
    }
    if (status == STATUS_OK) {
        memcpy(ranges, item->ranges, item->range_count * sizeof *ranges);
        self->items[self->count] = *item;
        self->items[self->count++].ranges = ranges;
    }
    return status;
}

bool contributions_have(const struct contributions *self, const uint8_t key[IDENTITY_KEY_BYTES],
                        const struct sample_range *ranges, size_t range_count)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct journal_contribution *item = &self->items[i];
        if (item->range_count == range_count && memcmp(item->key, key, sizeof item->key) == 0 &&
            memcmp(item->ranges, ranges, range_count * sizeof *ranges) == 0) {
            return true;
        }
    }
    return false;
}

void contributions_clear(struct contributions *self)
{
    for (size_t i = 0; i < self->count; i++) {
        free((void *)self->items[i].ranges);
    }
    free(self->items);
    *self = (struct contributions){0};
}
