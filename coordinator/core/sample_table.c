#include "coordinator/core/sample_table.h"

#include "common/check.h"

#include <stdlib.h>

enum status sample_table_init(struct sample_table *self, uint32_t size)
{
    CHECK(size > 0 && size <= SAMPLE_TABLE_MAX);
    self->owners = calloc(size, sizeof *self->owners);
    if (self->owners == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->size = size;
    sample_table_reset(self);
    return STATUS_OK;
}

void sample_table_deinit(struct sample_table *self)
{
    free(self->owners);
    self->owners = NULL;
}

void sample_table_reset(struct sample_table *self)
{
    for (uint32_t i = 0; i < self->size; i++) {
        self->owners[i] = SAMPLE_FREE;
    }
    self->free_count = self->size;
    self->counted_count = 0;
    self->free_hint = 0;
}

bool sample_table_take(struct sample_table *self, uint32_t peer, uint32_t count_max,
                       uint32_t *out_first, uint32_t *out_count)
{
    if (self->free_count == 0 || count_max == 0) {
        return false;
    }
    uint32_t first = self->free_hint;
    while (self->owners[first] != SAMPLE_FREE) {
        first++;
    }
    uint32_t end = first;
    while (end < self->size && end - first < count_max && self->owners[end] == SAMPLE_FREE) {
        self->owners[end++] = peer + 1;
    }
    self->free_count -= end - first;
    self->free_hint = end;
    *out_first = first;
    *out_count = end - first;
    return true;
}

static bool all_have(const struct sample_table *self, uint32_t owner, uint64_t first,
                     uint64_t count)
{
    if (count == 0 || first >= self->size || count > self->size - first) {
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

bool sample_table_counted(const struct sample_table *self, uint64_t first, uint64_t count)
{
    return all_have(self, SAMPLE_COUNTED, first, count);
}

uint32_t sample_table_reserve(struct sample_table *self, uint32_t peer, uint64_t first,
                              uint64_t count)
{
    uint32_t reserved = 0;
    for (uint64_t i = first; i < self->size && i - first < count; i++) {
        if (self->owners[i] == SAMPLE_FREE) {
            self->owners[i] = peer + 1;
            reserved++;
        }
    }
    self->free_count -= reserved;
    return reserved;
}

void sample_table_count(struct sample_table *self, uint32_t peer, uint32_t first, uint32_t count)
{
    CHECK(sample_table_owned(self, peer, first, count));
    for (uint32_t i = first; i < first + count; i++) {
        self->owners[i] = SAMPLE_COUNTED;
    }
    self->counted_count += count;
}

void sample_table_release(struct sample_table *self, uint32_t peer, uint32_t first, uint32_t count)
{
    CHECK(sample_table_owned(self, peer, first, count));
    for (uint32_t i = first; i < first + count; i++) {
        self->owners[i] = SAMPLE_FREE;
    }
    self->free_count += count;
    if (first < self->free_hint) {
        self->free_hint = first;
    }
}

uint32_t sample_table_release_all(struct sample_table *self, uint32_t peer)
{
    uint32_t released = 0;
    for (uint32_t i = self->size; i-- > 0;) {
        if (self->owners[i] == peer + 1) {
            self->owners[i] = SAMPLE_FREE;
            self->free_hint = i < self->free_hint ? i : self->free_hint;
            released++;
        }
    }
    self->free_count += released;
    return released;
}
