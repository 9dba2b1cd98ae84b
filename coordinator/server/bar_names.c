#include "coordinator/server/bar_names.h"

#include "proto/channel.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 64 };

static int compare(const void *a, const void *b)
{
    const struct bar_name *one = a;
    const struct bar_name *other = b;
    return memcmp(one->curve_key, other->curve_key, IDENTITY_KEY_BYTES);
}

/* Bans are read in many at a time and looked up seldom: they are sorted when it is needed. */
static void sort(struct bar_names *self)
{
    size_t kept = 0;
    if (self->sorted || self->count == 0) {
        return;
    }
    qsort(self->items, self->count, sizeof *self->items, compare);
    for (size_t i = 1; i < self->count; i++) {
        if (compare(&self->items[kept], &self->items[i]) != 0) {
            self->items[++kept] = self->items[i];
        }
    }
    self->count = kept + 1;
    self->sorted = true;
}

/* Room for one more, half of it free after each time that all are sorted. */
static bool make_room(struct bar_names *self)
{
    if (self->count < self->room) {
        return true;
    }
    sort(self);
    if (self->count > CHANNEL_BARRED_MAX - 1) {
        return false;
    }
    if (2 * self->count < self->room) {
        return true;
    }
    size_t room = self->room == 0 ? ROOM_FIRST : 2 * self->room;
    struct bar_name *items = realloc(self->items, room * sizeof *items);
    if (items == NULL) {
        return self->count < self->room;
    }
    self->items = items;
    self->room = room;
    return true;
}

void bar_names_put(struct bar_names *self, const uint8_t curve_key[IDENTITY_KEY_BYTES],
                   const uint8_t public_key[IDENTITY_KEY_BYTES])
{
    if (!make_room(self)) {
        return;
    }
    struct bar_name *name = &self->items[self->count++];
    memcpy(name->curve_key, curve_key, sizeof name->curve_key);
    memcpy(name->public_key, public_key, sizeof name->public_key);
    self->sorted = false;
}

const uint8_t *bar_names_find(struct bar_names *self, const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    struct bar_name wanted;
    sort(self);
    if (self->count == 0) {
        return NULL;
    }
    memcpy(wanted.curve_key, curve_key, sizeof wanted.curve_key);
    const struct bar_name *found =
        bsearch(&wanted, self->items, self->count, sizeof wanted, compare);
    return found != NULL ? found->public_key : NULL;
}

void bar_names_deinit(struct bar_names *self)
{
    free(self->items);
    *self = (struct bar_names){.count = 0};
}
