#include "common/check.h"
#include "coordinator/gather/gather_state.h"
#include "proto/codec/chunks.h"
#include "proto/codec/sum_pack.h"

#include <stdlib.h>
#include <string.h>

static struct slot *slot_of(struct gather *self, uint32_t chunk)
{
    if (self->chunks[chunk].slot == GATHER_NONE) {
        self->chunks[chunk].slot = self->slot_count;
        self->slots[self->slot_count++] = (struct slot){.chunk = chunk, .wants = GATHER_NONE};
    }
    return &self->slots[self->chunks[chunk].slot];
}

/* More is wanted of a slot than before: grants are looked for from there again. */
static void reopen(struct gather *self, uint32_t slot)
{
    self->first_open = slot < self->first_open ? slot : self->first_open;
    for (uint32_t i = 0; i < self->entry_count; i++) {
        struct entry *entry = &self->entries[i];
        entry->next = slot < entry->next ? slot : entry->next;
    }
}

static bool is_complete(const struct gather *self, const struct slot *slot)
{
    return self->epoch > 0 && self->live_count > 0 && slot->wants == GATHER_ALL &&
           !slot->released && slot->held_count == self->live_count &&
           self->chunks[slot->chunk].own.data == NULL;
}

static void queue_if_complete(struct gather *self, uint32_t index)
{
    struct slot *slot = &self->slots[index];
    if (!slot->queued && is_complete(self, slot)) {
        slot->queued = true;
        self->work[self->work_count++] = index;
    }
}

void gather_need_chunk(struct gather *self, uint32_t chunk)
{
    struct slot *slot = slot_of(self, chunk);
    if (slot->wants != GATHER_ALL) {
        slot->wants = GATHER_ALL;
        reopen(self, self->chunks[chunk].slot);
        queue_if_complete(self, self->chunks[chunk].slot);
    }
    gather_note_chunk(self, chunk);
}

void gather_need_part(struct gather *self, uint32_t chunk, uint32_t entry)
{
    struct slot *slot = slot_of(self, chunk);
    if (slot->wants != GATHER_ALL) {
        slot->wants = entry;
        reopen(self, self->chunks[chunk].slot);
    }
}

bool gather_wants(const struct gather *self, uint32_t index, uint32_t entry)
{
    const struct slot *slot = &self->slots[index];
    return !slot->released && (slot->wants == GATHER_ALL || slot->wants == entry) &&
           self->entries[entry].live && self->entries[entry].parts[index] == NULL;
}

/* Gives up one part; the slot wants it again when it wants it at all. */
static void free_part(struct gather *self, uint32_t index, uint32_t slot)
{
    struct entry *entry = &self->entries[index];
    if (entry->parts[slot] != NULL) {
        free(entry->parts[slot]);
        entry->parts[slot] = NULL;
        self->slots[slot].held_count--;
        self->parts_bytes -= gather_part_bytes(self, entry, self->slots[slot].chunk);
    }
}

void gather_forget_parts(struct gather *self, uint32_t index)
{
    for (uint32_t i = 0; i < self->slot_count; i++) {
        free_part(self, index, i);
        if (self->slots[i].wants == index) {
            self->slots[i].wants = GATHER_NONE;
        }
    }
    self->entries[index].asked.count = 0;
}

void gather_queue_slots(struct gather *self)
{
    for (uint32_t i = 0; i < self->slot_count; i++) {
        queue_if_complete(self, i);
    }
}

void gather_restart_slots(struct gather *self)
{
    for (uint32_t i = 0; i < self->slot_count; i++) {
        if (self->slots[i].released) {
            self->slots[i].released = false;
            reopen(self, i);
        }
    }
    self->first_open = 0;
    gather_queue_slots(self);
}

uint32_t gather_first_open(struct gather *self)
{
    while (self->first_open < self->slot_count) {
        const struct slot *slot = &self->slots[self->first_open];
        if (slot->wants == GATHER_ALL && self->chunks[slot->chunk].own.data == NULL) {
            break;
        }
        self->first_open++;
    }
    return self->first_open;
}

static enum status keep_part(struct gather *self, struct entry *entry, uint32_t slot,
                             const uint8_t *data, size_t size_bytes)
{
    uint8_t *copy = malloc(size_bytes);
    if (copy == NULL) {
        return STATUS_NO_MEMORY;
    }
    memcpy(copy, data, size_bytes);
    entry->parts[slot] = copy;
    self->slots[slot].held_count++;
    self->parts_bytes += size_bytes;
    return STATUS_OK;
}

bool gather_waits_for_part(const struct gather *self, uint32_t entry, uint32_t chunk)
{
    uint32_t slot = chunk < self->chunk_count ? self->chunks[chunk].slot : GATHER_NONE;
    return entry < self->entry_count && slot != GATHER_NONE && gather_wants(self, slot, entry);
}

enum status gather_take_part(struct gather *self, uint32_t index, uint32_t chunk,
                             const uint8_t *data, size_t size_bytes, uint64_t now_ms)
{
    if (!gather_waits_for_part(self, index, chunk)) {
        return STATUS_OK;
    }
    uint32_t slot = self->chunks[chunk].slot;
    struct entry *entry = &self->entries[index];
    enum status status =
        exact_sum_check(&self->grid, entry->facts.codec, data, size_bytes,
                        chunks_values(self->plan.value_count, chunk), entry->facts.tokens);
    if (status != STATUS_OK) {
        gather_remove_entry(self, index, GATHER_BAD);
        return status;
    }
    asked_forget(&entry->asked, slot);
    self->fetched_bytes += size_bytes;
    entry->progress_ms = now_ms;
    entry->waiting = entry->asked.count > 0;
    if (self->slots[slot].wants == index) {
        self->slots[slot].wants = GATHER_NONE;
    } else {
        status = keep_part(self, entry, slot, data, size_bytes);
        entry->next = status != STATUS_OK && slot < entry->next ? slot : entry->next;
    }
    if (status == STATUS_OK) {
        queue_if_complete(self, slot);
        gather_part_is_fine(self, index, chunk);
    }
    return status;
}

/* self->sums = the sum of a complete slot. */
static void sum_parts(struct gather *self, uint32_t slot, size_t count)
{
    memset(self->sums, 0, count * sizeof *self->sums);
    for (uint32_t i = 0; i < self->entry_count; i++) {
        const struct entry *entry = &self->entries[i];
        if (entry->live) {
            CHECK(entry->parts[slot] != NULL);
            exact_sum_add(&self->grid, entry->facts.codec, entry->parts[slot], count, self->sums);
        }
    }
}

/* Half of the room for parts is for those that are on their way (gather_grants.c). */
static void release_if_tight(struct gather *self, uint32_t index)
{
    if (self->parts_bytes > self->plan.bytes_max / 2) {
        for (uint32_t i = 0; i < self->entry_count; i++) {
            free_part(self, i, index);
        }
        self->slots[index].released = true;
    }
}

static enum status sum_slot(struct gather *self, uint32_t index)
{
    struct slot *slot = &self->slots[index];
    struct chunk *chunk = &self->chunks[slot->chunk];
    size_t count = chunks_values(self->plan.value_count, slot->chunk);
    sum_parts(self, index, count);
    size_t size_bytes = sum_pack(self->sums, count, self->pack);
    chunk->own.data = malloc(size_bytes);
    if (chunk->own.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    memcpy(chunk->own.data, self->pack, size_bytes);
    chunk->own.size_bytes = size_bytes;
    gather_note_chunk(self, slot->chunk);
    release_if_tight(self, index);
    if (gather_differs(self, slot->chunk)) {
        gather_owner_out(self, chunk->owner, GATHER_LIAR);
    }
    return STATUS_OK;
}

enum status gather_work(struct gather *self, bool *out_more)
{
    enum status status = STATUS_OK;
    if (self->work_count > 0) {
        uint32_t index = self->work[--self->work_count];
        self->slots[index].queued = false;
        if (is_complete(self, &self->slots[index])) {
            status = sum_slot(self, index);
        }
        if (status != STATUS_OK) {
            queue_if_complete(self, index);
        }
    }
    *out_more = self->work_count > 0;
    return status;
}
