#include "coordinator/gather/gather.h"

#include "common/check.h"
#include "common/fault.h"
#include "coordinator/gather/gather_state.h"
#include "proto/codec/chunks.h"
#include "proto/codec/sum_pack.h"

#include <stdlib.h>
#include <string.h>

static enum status no_memory(void)
{
    return fault(STATUS_NO_MEMORY, "no memory to gather what others have summed");
}

enum status gather_new(struct gather **out)
{
    *out = NULL;
    struct gather *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return no_memory();
    }
    self->sums = malloc(CODEC_CHUNK_VALUES * sizeof *self->sums);
    self->other = malloc(CODEC_CHUNK_VALUES * sizeof *self->other);
    self->pack = malloc(sum_pack_bytes_max(CODEC_CHUNK_VALUES));
    if (self->sums == NULL || self->other == NULL || self->pack == NULL) {
        gather_free(self);
        return no_memory();
    }
    *out = self;
    return STATUS_OK;
}

void gather_free(struct gather *self)
{
    if (self == NULL) {
        return;
    }
    gather_end(self);
    free(self->pack);
    free(self->other);
    free(self->sums);
    free(self);
}

void gather_free_packed(struct packed *packed)
{
    free(packed->data);
    *packed = (struct packed){.data = NULL};
}

void gather_end(struct gather *self)
{
    for (uint32_t i = 0; i < self->entry_count; i++) {
        gather_forget_parts(self, i);
        free(self->entries[i].parts);
    }
    for (uint32_t i = 0; self->chunks != NULL && i < self->chunk_count; i++) {
        gather_free_packed(&self->chunks[i].returned);
        gather_free_packed(&self->chunks[i].own);
    }
    free(self->entries);
    free(self->work);
    free(self->slots);
    free(self->owners);
    free(self->chunks);
    const struct gather kept = {.sums = self->sums, .other = self->other, .pack = self->pack};
    memcpy(self, &kept, sizeof *self);
}

static bool is_own(const struct gather_plan *plan, uint32_t chunk)
{
    return chunk >= plan->own_first_chunk && chunk - plan->own_first_chunk < plan->own_chunk_count;
}

/* Chunks that no owner has: the coordinator's, which are wanted from the start, and those of owners
 * that are not here. */
static void share_rest(struct gather *self)
{
    for (uint32_t i = 0; i < self->chunk_count; i++) {
        uint32_t end = i;
        while (end < self->chunk_count && self->chunks[end].owner == GATHER_NONE &&
               !is_own(&self->plan, end)) {
            end++;
        }
        if (end > i) {
            gather_give_run(self, i, end - i);
            i = end - 1;
        } else if (self->chunks[i].owner == GATHER_NONE) {
            gather_need_chunk(self, i);
        }
    }
}

/* Who owns which chunk. */
static void share_chunks(struct gather *self)
{
    for (uint32_t i = 0; i < self->chunk_count; i++) {
        self->chunks[i].owner = GATHER_NONE;
        self->chunks[i].slot = GATHER_NONE;
    }
    for (uint32_t i = 0; i < self->owner_count; i++) {
        const struct gather_owner *facts = &self->plan.owners[i];
        CHECK(gather_owner_of(self, facts->peer) == GATHER_NONE && facts->chunk_count > 0 &&
              facts->first_chunk < self->chunk_count &&
              facts->chunk_count <= self->chunk_count - facts->first_chunk);
        self->owners[i].facts = *facts;
        self->owners[i].range_count = 1;
        self->owners[i].ranges[0] =
            (struct range){.first_chunk = facts->first_chunk, .chunk_count = facts->chunk_count};
        self->owners[i].chunk_count = facts->chunk_count;
        self->owners[i].accused_entry = GATHER_NONE;
        self->checked_chunks += facts->trusted ? 0 : facts->chunk_count;
        for (uint32_t j = 0; j < facts->chunk_count; j++) {
            CHECK(self->chunks[facts->first_chunk + j].owner == GATHER_NONE);
            self->chunks[facts->first_chunk + j].owner = i;
        }
    }
    share_rest(self);
}

enum status gather_begin(struct gather *self, const struct gather_plan *plan)
{
    CHECK(plan->value_count > 0 && plan->value_count % CODEC_BLOCK_VALUES == 0 &&
          plan->owner_count <= GATHER_OWNERS_MAX && plan->window > 0 && plan->window <= ASKED_MAX);
    gather_end(self);
    self->plan = *plan;
    self->grid = exact_grid_for(plan->step_tokens);
    self->chunk_count = chunks_count(plan->value_count);
    self->chunks = calloc(self->chunk_count, sizeof *self->chunks);
    self->slots = calloc(self->chunk_count, sizeof *self->slots);
    self->work = calloc(self->chunk_count, sizeof *self->work);
    self->owners = calloc(plan->owner_count + 1U, sizeof *self->owners);
    if (self->chunks == NULL || self->slots == NULL || self->work == NULL || self->owners == NULL) {
        gather_end(self);
        return no_memory();
    }
    for (uint32_t i = 0; i < plan->owner_count; i++) {
        self->owners[i].facts.peer = UINT32_MAX;
    }
    self->owner_count = plan->owner_count;
    share_chunks(self);
    self->plan.owners = NULL;
    self->begun = true;
    return STATUS_OK;
}

bool gather_is_open(const struct gather *self)
{
    return self->begun && self->epoch == 0;
}

void gather_close(struct gather *self)
{
    CHECK(self->begun);
    if (self->epoch == 0) {
        self->epoch = self->plan.epoch_before + 1;
        gather_forget_accusations(self);
        gather_queue_slots(self);
    }
}

bool gather_covered(const struct gather *self)
{
    return self->live_tokens + self->central_tokens == self->plan.step_tokens;
}

static enum status grow_entries(struct gather *self)
{
    if (self->entry_count < self->entry_capacity) {
        return STATUS_OK;
    }
    if (self->entry_count == GATHER_ENTRIES_MAX) {
        return STATUS_FULL;
    }
    uint32_t capacity = self->entry_capacity == 0 ? 16 : self->entry_capacity * 2;
    struct entry *entries = realloc(self->entries, capacity * sizeof *entries);
    if (entries == NULL) {
        return no_memory();
    }
    self->entries = entries;
    self->entry_capacity = capacity;
    return STATUS_OK;
}

enum status gather_add_entry(struct gather *self, const struct gather_entry *facts,
                             uint32_t *out_entry)
{
    CHECK(gather_is_open(self) && facts->serial > 0);
    if (facts->tokens == 0 ||
        facts->tokens > self->plan.step_tokens - self->live_tokens - self->central_tokens) {
        return STATUS_OUT_OF_RANGE;
    }
    enum status status = grow_entries(self);
    if (status != STATUS_OK) {
        return status;
    }
    struct entry *entry = &self->entries[self->entry_count];
    *entry = (struct entry){.facts = *facts, .live = true};
    entry->parts = calloc(self->chunk_count, sizeof *entry->parts);
    if (entry->parts == NULL) {
        return no_memory();
    }
    *out_entry = self->entry_count++;
    self->live_count++;
    self->live_tokens += facts->tokens;
    size_t part_bytes = codec_encoded_bytes(facts->codec, CODEC_CHUNK_VALUES);
    self->part_bytes_max = part_bytes > self->part_bytes_max ? part_bytes : self->part_bytes_max;
    return STATUS_OK;
}

void gather_count_central(struct gather *self, uint64_t tokens)
{
    CHECK(self->begun &&
          tokens <= self->plan.step_tokens - self->live_tokens - self->central_tokens);
    self->central_tokens += tokens;
}

const struct gather_entry *gather_entry_at(const struct gather *self, uint32_t entry)
{
    return entry < self->entry_count && self->entries[entry].live ? &self->entries[entry].facts
                                                                  : NULL;
}

uint32_t gather_entry_end(const struct gather *self)
{
    return self->entry_count;
}

size_t gather_part_bytes(const struct gather *self, const struct entry *entry, uint32_t chunk)
{
    return codec_encoded_bytes(entry->facts.codec, chunks_values(self->plan.value_count, chunk));
}

/* With a slot, what was summed here counts; otherwise what the owner returned. */
void gather_note_chunk(struct gather *self, uint32_t i)
{
    struct chunk *chunk = &self->chunks[i];
    bool here = chunk->slot != GATHER_NONE && self->slots[chunk->slot].wants == GATHER_ALL;
    bool done = here ? chunk->own.data != NULL : chunk->returned.data != NULL;
    self->done_count += (done ? 1U : 0U) - (chunk->done ? 1U : 0U);
    chunk->done = done;
}

/* The set is another: every sum was over the old one. */
static void next_epoch(struct gather *self)
{
    self->epoch++;
    for (uint32_t i = 0; i < self->owner_count; i++) {
        self->owners[i].returned_count = 0;
    }
    for (uint32_t i = 0; i < self->chunk_count; i++) {
        struct chunk *chunk = &self->chunks[i];
        gather_free_packed(&chunk->returned);
        gather_free_packed(&chunk->own);
        gather_note_chunk(self, i);
    }
    for (uint32_t i = 0; i < self->owner_count; i++) {
        if (self->owners[i].out || self->owners[i].shed) {
            gather_repair(self, i); /* also what it had returned */
        }
    }
    gather_restart_slots(self);
}

void gather_remove_entry(struct gather *self, uint32_t index, enum gather_reason reason)
{
    struct entry *entry = &self->entries[index];
    if (!entry->live) {
        return;
    }
    gather_forget_parts(self, index);
    entry->live = false;
    entry->reason = reason;
    self->any_out = true;
    self->live_count--;
    self->live_tokens -= entry->facts.tokens;
    for (uint32_t i = 0; i < self->owner_count; i++) {
        struct owner *owner = &self->owners[i];
        owner->accused_entry = owner->accused_entry == index ? GATHER_NONE : owner->accused_entry;
    }
    if (self->epoch > 0) {
        next_epoch(self);
    }
}

void gather_drop_entry(struct gather *self, uint32_t entry)
{
    if (entry < self->entry_count) {
        gather_remove_entry(self, entry, (enum gather_reason)0);
    }
}

void gather_refuse_part(struct gather *self, uint32_t entry)
{
    if (entry < self->entry_count) {
        gather_remove_entry(self, entry, GATHER_BAD);
    }
}

void gather_peer_lost(struct gather *self, uint32_t peer)
{
    uint32_t owner = gather_owner_of(self, peer);
    for (uint32_t i = 0; i < self->entry_count; i++) {
        if (self->entries[i].facts.peer == peer) {
            self->entries[i].gone = true;
            self->any_gone = true;
            self->entries[i].asked.count = 0;
            self->entries[i].next = 0;
        }
    }
    if (owner != GATHER_NONE) {
        gather_owner_out(self, owner, GATHER_LOST);
    }
}

void gather_peer_back(struct gather *self, uint32_t peer)
{
    uint32_t owner = gather_owner_of(self, peer);
    for (uint32_t i = 0; i < self->entry_count; i++) {
        struct entry *entry = &self->entries[i];
        if (entry->facts.peer == peer) {
            entry->gone = false;
            entry->waiting = false;
            entry->asked.count = 0;
            entry->next = 0;
        }
    }
    if (owner != GATHER_NONE) {
        for (uint32_t i = 0; i < self->owners[owner].range_count; i++) {
            self->owners[owner].ranges[i].told_epoch = UINT64_MAX; /* none */
        }
    }
}

uint32_t gather_set(const struct gather *self, uint64_t *out_serials)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->entry_count; i++) {
        if (self->entries[i].live) {
            out_serials[count++] = self->entries[i].facts.serial;
        }
    }
    return count;
}

bool gather_complete(const struct gather *self)
{
    return self->begun &&
           (self->live_count == 0 ? self->epoch > 0 || gather_covered(self)
                                  : self->epoch > 0 && self->done_count == self->chunk_count);
}

void gather_progress(const struct gather *self, struct gather_progress *out)
{
    *out = (struct gather_progress){.epoch = self->epoch,
                                    .chunks = self->chunk_count,
                                    .chunks_done = self->done_count,
                                    .entries = self->live_count,
                                    .checks = self->checks,
                                    .repaired = self->repaired,
                                    .fetched_bytes = self->fetched_bytes,
                                    .sum_bytes = self->sum_bytes,
                                    .bytes = self->parts_bytes};
    for (uint32_t i = 0; i < self->owner_count; i++) {
        out->owners += self->owners[i].out ? 0 : 1;
    }
}
