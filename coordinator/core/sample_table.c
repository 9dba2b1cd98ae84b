#include "coordinator/core/sample_table.h"

#include "common/check.h"

#include <stdlib.h>
#include <string.h>

static void free_all(uint32_t *owners, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        owners[i] = SAMPLE_FREE;
    }
}

enum status sample_table_init(struct sample_table *self, uint32_t size, uint32_t next_size)
{
    CHECK(size > 0 && size <= SAMPLE_TABLE_MAX);
    CHECK(next_size > 0 && next_size <= SAMPLE_TABLE_MAX);
    uint32_t *owners = calloc((size_t)size + next_size, sizeof *owners);
    if (owners == NULL) {
        return STATUS_NO_MEMORY;
    }
    *self = (struct sample_table){.owners = owners,
                                  .size = size,
                                  .next_size = next_size,
                                  .now = {.free_count = size},
                                  .next = {.free_count = next_size}};
    free_all(owners, size + next_size);
    return STATUS_OK;
}

void sample_table_deinit(struct sample_table *self)
{
    free(self->owners);
    self->owners = NULL;
}

enum status sample_table_resize_next(struct sample_table *self, uint32_t next_size)
{
    CHECK(self->next.free_count == self->next_size);
    CHECK(next_size > 0 && next_size <= SAMPLE_TABLE_MAX);
    uint32_t *owners = realloc(self->owners, ((size_t)self->size + next_size) * sizeof *owners);
    if (owners == NULL) {
        return STATUS_NO_MEMORY;
    }
    free_all(owners + self->size, next_size);
    self->owners = owners;
    self->next_size = next_size;
    self->next = (struct sample_part){.free_count = next_size};
    return STATUS_OK;
}

enum status sample_table_resize(struct sample_table *self, uint32_t size)
{
    CHECK(self->now.free_count == self->size && self->next.free_count == self->next_size);
    struct sample_table resized;
    enum status status = sample_table_init(&resized, size, size);
    if (status == STATUS_OK) {
        sample_table_deinit(self);
        *self = resized;
    }
    return status;
}

enum status sample_table_advance(struct sample_table *self, uint32_t next_size)
{
    CHECK(next_size > 0 && next_size <= SAMPLE_TABLE_MAX);
    if (next_size > self->size) { /* room for both, before anything moves */
        size_t room = (size_t)self->next_size + next_size;
        uint32_t *owners = realloc(self->owners, room * sizeof *owners);
        if (owners == NULL) {
            return STATUS_NO_MEMORY;
        }
        self->owners = owners;
    }
    memmove(self->owners, self->owners + self->size, self->next_size * sizeof *self->owners);
    free_all(self->owners + self->next_size, next_size);
    self->size = self->next_size;
    self->next_size = next_size;
    self->counted_count = 0;
    self->now = self->next;
    self->next = (struct sample_part){.free_count = next_size};
    return STATUS_OK;
}

static bool take(uint32_t *owners, uint32_t size, struct sample_part *part, uint32_t owner,
                 uint32_t count_max, uint32_t *out_first, uint32_t *out_count)
{
    if (part->free_count == 0 || count_max == 0) {
        return false;
    }
    uint32_t first = part->free_hint;
    while (owners[first] != SAMPLE_FREE) {
        first++;
    }
    uint32_t end = first;
    while (end < size && end - first < count_max && owners[end] == SAMPLE_FREE) {
        owners[end++] = owner;
    }
    part->free_count -= end - first;
    part->free_hint = end;
    *out_first = first;
    *out_count = end - first;
    return true;
}

bool sample_table_take(struct sample_table *self, uint32_t peer, uint32_t count_max,
                       uint32_t *out_first, uint32_t *out_count)
{
    return take(self->owners, self->size, &self->now, peer + 1, count_max, out_first, out_count);
}

bool sample_table_take_next(struct sample_table *self, uint32_t peer, uint32_t count_max,
                            uint32_t *out_first, uint32_t *out_count)
{
    bool taken = take(self->owners + self->size, self->next_size, &self->next, peer + 1, count_max,
                      out_first, out_count);
    *out_first += taken ? self->size : 0;
    return taken;
}

static bool all_have(const struct sample_table *self, uint32_t owner, uint64_t first,
                     uint64_t count)
{
    uint64_t end = (uint64_t)self->size + self->next_size;
    if (count == 0 || first >= end || count > end - first) {
        return false;
    }
    for (uint64_t i = first; i < first + count; i++) {
        if (self->owners[i] != owner) {
            return false;
        }
    }
    return true;
}

bool sample_table_owned(const struct sample_table *self, uint32_t peer, uint64_t first,
                        uint64_t count)
{
    return all_have(self, peer + 1, first, count);
}

bool sample_table_reserve(struct sample_table *self, uint32_t peer, uint64_t sample)
{
    if (!all_have(self, SAMPLE_FREE, sample, 1)) {
        return false;
    }
    self->owners[sample] = peer + 1;
    (sample < self->size ? &self->now : &self->next)->free_count--;
    return true;
}

void sample_table_count(struct sample_table *self, uint32_t peer, uint32_t first, uint32_t count)
{
    CHECK(sample_table_owned(self, peer, first, count) && first + count <= self->size);
    for (uint32_t i = first; i < first + count; i++) {
        self->owners[i] = SAMPLE_COUNTED;
    }
    self->counted_count += count;
}

void sample_table_release(struct sample_table *self, uint32_t peer, uint32_t sample)
{
    CHECK(sample_table_owned(self, peer, sample, 1));
    bool is_next = sample >= self->size;
    struct sample_part *part = is_next ? &self->next : &self->now;
    uint32_t place = is_next ? sample - self->size : sample;
    self->owners[sample] = SAMPLE_FREE;
    part->free_count++;
    part->free_hint = place < part->free_hint ? place : part->free_hint;
}

void sample_table_release_all(struct sample_table *self, uint32_t peer)
{
    for (uint32_t i = 0; i < self->size + self->next_size; i++) {
        if (self->owners[i] == peer + 1) {
            sample_table_release(self, peer, i);
        }
    }
}
