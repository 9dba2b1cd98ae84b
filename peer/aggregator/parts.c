#include "peer/aggregator/parts.h"

#include "common/check.h"

#include <stdlib.h>
#include <string.h>

void parts_init(struct parts *self, uint64_t bytes_max)
{
    memset(self, 0, sizeof *self);
    self->bytes_max = bytes_max;
}

static void drop_spare(struct parts *self, size_t index)
{
    self->bytes -= self->spares[index].capacity_bytes;
    free(self->spares[index].data);
    self->spare_count--;
    self->spares[index] = self->spares[self->spare_count];
}

void parts_deinit(struct parts *self)
{
    parts_clear(self);
    while (self->spare_count > 0) {
        drop_spare(self, 0);
    }
    free(self->items);
    self->items = NULL;
}

enum status parts_reserve(struct parts *self, uint64_t bytes)
{
    while (self->spare_count > 0 &&
           (self->bytes > self->bytes_max || bytes > self->bytes_max - self->bytes)) {
        drop_spare(self, 0);
    }
    if (self->bytes > self->bytes_max || bytes > self->bytes_max - self->bytes) {
        return STATUS_FULL;
    }
    self->bytes += bytes;
    return STATUS_OK;
}

void parts_release(struct parts *self, uint64_t bytes)
{
    CHECK(self->bytes >= bytes);
    self->bytes -= bytes;
}

/* Where a serial is, or belongs. */
static size_t place_of(const struct parts *self, uint64_t serial)
{
    size_t low = 0;
    size_t high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->items[middle]->facts.serial < serial) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct part *parts_find(const struct parts *self, uint64_t serial)
{
    size_t place = place_of(self, serial);
    return place < self->count && self->items[place]->facts.serial == serial ? self->items[place]
                                                                             : NULL;
}

/* The smallest spare that is large enough and not half empty, or new memory. */
static enum status take_buffer(struct parts *self, size_t size_bytes, struct part_buffer *out)
{
    size_t best = self->spare_count;
    for (size_t i = 0; i < self->spare_count; i++) {
        size_t capacity = self->spares[i].capacity_bytes;
        if (capacity >= size_bytes && capacity / 2 <= size_bytes &&
            (best == self->spare_count || capacity < self->spares[best].capacity_bytes)) {
            best = i;
        }
    }
    if (best < self->spare_count) {
        *out = self->spares[best];
        self->spare_count--;
        self->spares[best] = self->spares[self->spare_count];
        return STATUS_OK;
    }
    enum status status = parts_reserve(self, size_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    *out = (struct part_buffer){.data = malloc(size_bytes), .capacity_bytes = size_bytes};
    if (out->data == NULL) {
        parts_release(self, size_bytes);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static void give_buffer(struct parts *self, const struct part_buffer *buffer)
{
    if (self->spare_count == PARTS_SPARES_MAX) {
        drop_spare(self, 0);
    }
    self->spares[self->spare_count++] = *buffer;
}

static enum status grow_list(struct parts *self)
{
    if (self->count < self->capacity) {
        return STATUS_OK;
    }
    size_t capacity = self->capacity == 0 ? 16 : self->capacity * 2;
    struct part **items = realloc(self->items, capacity * sizeof(struct part *));
    if (items == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->items = items;
    self->capacity = capacity;
    return STATUS_OK;
}

enum status parts_add(struct parts *self, const struct fraction_part *facts, size_t data_bytes,
                      uint32_t chunk_count, struct part **out)
{
    struct part_buffer buffer;
    if (self->count == FRACTION_PARTS_MAX) {
        return STATUS_FULL;
    }
    enum status status = grow_list(self);
    if (status == STATUS_OK) {
        status = take_buffer(self, data_bytes + chunk_count, &buffer);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = parts_reserve(self, sizeof(struct part));
    struct part *part = status == STATUS_OK ? calloc(1, sizeof *part) : NULL;
    if (part == NULL) {
        if (status == STATUS_OK) {
            parts_release(self, sizeof *part);
            status = STATUS_NO_MEMORY;
        }
        give_buffer(self, &buffer);
        return status;
    }
    part->facts = *facts;
    part->buffer = buffer;
    part->held = buffer.data + data_bytes;
    memset(part->held, 0, chunk_count);
    size_t place = place_of(self, facts->serial);
    memmove(self->items + place + 1, self->items + place,
            (self->count - place) * sizeof(struct part *));
    self->items[place] = part;
    self->count++;
    *out = part;
    return STATUS_OK;
}

static void end_part(struct parts *self, struct part *part)
{
    give_buffer(self, &part->buffer);
    parts_release(self, sizeof *part);
    free(part);
}

void parts_remove(struct parts *self, struct part *part)
{
    size_t place = place_of(self, part->facts.serial);
    CHECK(place < self->count && self->items[place] == part);
    self->count--;
    memmove(self->items + place, self->items + place + 1,
            (self->count - place) * sizeof(struct part *));
    end_part(self, part);
}

void parts_clear(struct parts *self)
{
    for (size_t i = 0; i < self->count; i++) {
        end_part(self, self->items[i]);
    }
    self->count = 0;
}
