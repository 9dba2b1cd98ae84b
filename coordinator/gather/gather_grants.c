#include "coordinator/gather/gather_state.h"

enum { TICKS_PER_RETRY = 8 };

/* Nothing more comes from an entry whose peer is gone: it stays only if nothing is missing. */
static void judge_gone(struct gather *self)
{
    bool delivered = gather_delivered(self);
    for (uint32_t i = 0; self->any_gone && i < self->entry_count; i++) {
        struct entry *entry = &self->entries[i];
        if (!entry->live || !entry->gone) {
            continue;
        }
        while (entry->next < self->slot_count && !gather_wants(self, entry->next, i)) {
            entry->next++;
        }
        if (!delivered || entry->next < self->slot_count) {
            gather_remove_entry(self, i, GATHER_LOST);
        }
    }
}

void gather_judge_entries(struct gather *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->entry_count; i++) {
        struct entry *entry = &self->entries[i];
        if (!entry->live || entry->gone) {
            continue;
        }
        bool stalled = entry->waiting && entry->asked.count > 0 && now_ms >= entry->progress_ms &&
                       now_ms - entry->progress_ms >= self->plan.stall_ms;
        uint32_t lowest = asked_expire(&entry->asked, now_ms, self->plan.retry_ms);
        entry->next = lowest < entry->next ? lowest : entry->next;
        if (stalled) {
            gather_remove_entry(self, i, GATHER_SLOW);
        }
    }
}

/* Slots below are granted: so many from the first open one that their parts fill half of what may
 * be kept. The other half is for parts that the next epoch may need. */
static uint32_t slots_end(struct gather *self)
{
    uint32_t entries = self->live_count > self->plan.entries_expected ? self->live_count
                                                                      : self->plan.entries_expected;
    uint64_t slot_bytes = (uint64_t)entries * self->part_bytes_max;
    uint64_t room = slot_bytes > 0 ? self->plan.bytes_max / 2 / slot_bytes : 0;
    uint64_t end = (uint64_t)gather_first_open(self) + (room > 0 ? room : 1);
    return end < self->slot_count ? (uint32_t)end : self->slot_count;
}

static bool is_fresh(const struct gather *self, uint32_t index, uint32_t slot)
{
    return gather_wants(self, slot, index) && !asked_has(&self->entries[index].asked, slot);
}

/* The next run of chunks to grant to an entry. */
static bool grant_parts(struct gather *self, uint32_t index, uint32_t end, uint64_t now_ms,
                        struct gather_action *out)
{
    struct entry *entry = &self->entries[index];
    if (!entry->live || entry->gone || entry->asked.count >= self->plan.window) {
        return false;
    }
    while (entry->next < end && !is_fresh(self, index, entry->next)) {
        entry->next++;
    }
    if (entry->next >= end) {
        return false;
    }
    *out = (struct gather_action){.type = GATHER_GRANT_PARTS,
                                  .peer = entry->facts.peer,
                                  .entry = index,
                                  .blob_id = entry->facts.blob_id,
                                  .first_chunk = self->slots[entry->next].chunk};
    if (!entry->waiting) {
        entry->waiting = true;
        entry->progress_ms = now_ms;
    }
    while (entry->next < end && entry->asked.count < self->plan.window &&
           is_fresh(self, index, entry->next) &&
           self->slots[entry->next].chunk == out->first_chunk + out->chunk_count) {
        asked_add(&entry->asked, entry->next++, now_ms);
        out->chunk_count++;
    }
    return true;
}

static bool next_parts(struct gather *self, uint64_t now_ms, struct gather_action *out)
{
    uint32_t end = slots_end(self);
    for (uint32_t i = 0; i < self->entry_count; i++) {
        self->turn = self->turn < self->entry_count ? self->turn : 0;
        if (grant_parts(self, self->turn, end, now_ms, out)) {
            return true;
        }
        self->turn++;
    }
    return false;
}

/* What left, for the shell to act on. */
static bool next_out(struct gather *self, struct gather_action *out)
{
    for (uint32_t i = 0; self->any_out && i < self->owner_count; i++) {
        struct owner *owner = &self->owners[i];
        if (owner->reason != 0) {
            *out = (struct gather_action){
                .type = GATHER_OWNER_OUT, .peer = owner->facts.peer, .reason = owner->reason};
            owner->reason = (enum gather_reason)0;
            return true;
        }
    }
    for (uint32_t i = 0; self->any_out && i < self->entry_count; i++) {
        struct entry *entry = &self->entries[i];
        if (entry->reason != 0) {
            *out = (struct gather_action){.type = GATHER_ENTRY_OUT,
                                          .peer = entry->facts.peer,
                                          .entry = i,
                                          .blob_id = entry->facts.blob_id,
                                          .reason = entry->reason};
            entry->reason = (enum gather_reason)0;
            return true;
        }
    }
    self->any_out = false;
    return false;
}

/* The next run of sums that an owner was not asked for in this epoch. */
static bool grant_sums(struct gather *self, struct owner *owner, struct range *range,
                       uint64_t now_ms, struct gather_action *out)
{
    uint32_t index = (uint32_t)(owner - self->owners);
    uint32_t end = range->first_chunk + range->chunk_count;
    while (range->grant_next < end && (self->chunks[range->grant_next].returned.data != NULL ||
                                       self->chunks[range->grant_next].owner != index)) {
        range->grant_next++;
    }
    if (range->grant_next == end) {
        return false;
    }
    *out = (struct gather_action){.type = GATHER_GRANT_SUMS,
                                  .peer = owner->facts.peer,
                                  .epoch = self->epoch,
                                  .first_chunk = range->grant_next};
    while (range->grant_next < end && self->chunks[range->grant_next].returned.data == NULL &&
           self->chunks[range->grant_next].owner == index) {
        range->grant_next++;
        out->chunk_count++;
    }
    owner->granted_ms = now_ms;
    return true;
}

/* Sums that are ready there, and did not come for a while, are asked for again. */
static void retry_sums(const struct gather *self, struct owner *owner, uint64_t now_ms)
{
    uint64_t since_ms =
        owner->granted_ms > owner->progress_ms ? owner->granted_ms : owner->progress_ms;
    if (owner->holds.epoch == self->epoch && owner->holds.sums_ready > owner->returned_count &&
        now_ms >= since_ms && now_ms - since_ms >= self->plan.retry_ms) {
        owner->granted_ms = now_ms;
        for (uint32_t i = 0; i < owner->range_count; i++) {
            owner->ranges[i].grant_next = owner->ranges[i].first_chunk;
        }
    }
}

/* The set, one message a range, before any sum is asked for. */
static bool tell_set(struct gather *self, struct owner *owner, uint64_t now_ms,
                     struct gather_action *out)
{
    for (uint32_t i = 0; i < (owner->shed ? 1 : owner->range_count); i++) {
        struct range *range = &owner->ranges[i];
        if (range->told_epoch != self->epoch) {
            range->told_epoch = self->epoch;
            range->grant_next = range->first_chunk;
            owner->told_ms = now_ms;
            owner->progress_ms = now_ms;
            *out = (struct gather_action){.type = GATHER_SEND_SET,
                                          .peer = owner->facts.peer,
                                          .epoch = self->epoch,
                                          .first_chunk = range->first_chunk,
                                          .chunk_count = range->chunk_count};
            return true;
        }
    }
    return false;
}

static bool next_of_owners(struct gather *self, uint64_t now_ms, struct gather_action *out)
{
    bool due = gather_sums_are_due(self);
    for (uint32_t i = 0; self->epoch > 0 && self->live_count > 0 && i < self->owner_count; i++) {
        struct owner *owner = &self->owners[i];
        if (owner->out) {
            continue;
        }
        if (tell_set(self, owner, now_ms, out)) {
            return true;
        }
        retry_sums(self, owner, now_ms);
        for (uint32_t j = 0; due && j < (owner->shed ? 1 : owner->range_count); j++) {
            if (grant_sums(self, owner, &owner->ranges[j], now_ms, out)) {
                return true;
            }
        }
    }
    return false;
}

bool gather_next(struct gather *self, uint64_t now_ms, struct gather_action *out)
{
    if (!self->begun) {
        return false;
    }
    judge_gone(self);
    if (now_ms >= self->expire_ms) {
        self->expire_ms = now_ms + self->plan.retry_ms / TICKS_PER_RETRY;
        gather_judge_entries(self, now_ms);
        gather_judge_owners(self, now_ms);
        judge_gone(self);
    }
    if (self->epoch == 0 && self->live_count > 0 && gather_covered(self)) {
        gather_close(self);
    }
    return next_out(self, out) || next_of_owners(self, now_ms, out) ||
           next_parts(self, now_ms, out);
}
