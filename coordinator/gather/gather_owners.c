#include "coordinator/gather/gather_state.h"

uint32_t gather_owner_of(const struct gather *self, uint32_t peer)
{
    for (uint32_t i = 0; i < self->owner_count; i++) {
        if (self->owners[i].facts.peer == peer) {
            return i;
        }
    }
    return GATHER_NONE;
}

/* What a liar returned is forgotten; what others returned stays in this epoch. */
void gather_owner_out(struct gather *self, uint32_t index, enum gather_reason reason)
{
    struct owner *owner = &self->owners[index];
    if (owner->out) {
        return;
    }
    owner->out = true;
    owner->reason = reason;
    self->any_out = true;
    owner->accused_entry = GATHER_NONE;
    for (uint32_t i = 0; i < self->chunk_count; i++) {
        if (self->chunks[i].owner == index && (reason == GATHER_LIAR || reason == GATHER_BAD)) {
            gather_free_packed(&self->chunks[i].returned);
            gather_note_chunk(self, i);
        }
    }
    gather_repair(self, index);
}

static uint32_t find_entry(const struct gather *self, uint64_t serial)
{
    for (uint32_t i = 0; i < self->entry_count; i++) {
        if (self->entries[i].live && self->entries[i].facts.serial == serial) {
            return i;
        }
    }
    return GATHER_NONE;
}

/* An owner says that a part is bad. It is fetched and judged here: either the entry leaves, or the
 * owner does, for both were sent what the entry's root proves. One at a time. Before an owner knows
 * the set it may go by the grid of another step: then only the entry is judged. */
static void hear_accusation(struct gather *self, uint32_t index, const struct gather_holds *holds)
{
    struct owner *owner = &self->owners[index];
    uint64_t serial = holds->bad_serial;
    uint32_t chunk = holds->bad_chunk;
    uint32_t entry = serial != 0 ? find_entry(self, serial) : GATHER_NONE;
    bool early = holds->epoch == 0;
    if (entry == GATHER_NONE || owner->accused_entry != GATHER_NONE || chunk >= self->chunk_count ||
        self->chunks[chunk].owner != index || (early && self->epoch > 0)) {
        return;
    }
    uint32_t slot = self->chunks[chunk].slot;
    if (slot != GATHER_NONE && self->slots[slot].wants == GATHER_ALL &&
        !gather_wants(self, slot, entry)) {
        if (!early) {
            gather_owner_out(self, index, GATHER_WRONG); /* it is here, and it was checked */
        }
        return;
    }
    owner->accused_entry = entry;
    owner->accused_chunk = chunk;
    owner->accused_early = early;
    gather_need_part(self, chunk, entry);
}

void gather_part_is_fine(struct gather *self, uint32_t entry, uint32_t chunk)
{
    uint32_t index = self->chunks[chunk].owner;
    if (index != GATHER_NONE && self->owners[index].accused_entry == entry &&
        self->owners[index].accused_chunk == chunk && !self->owners[index].accused_early) {
        gather_owner_out(self, index, GATHER_WRONG);
    }
}

void gather_forget_accusations(struct gather *self)
{
    for (uint32_t i = 0; i < self->owner_count; i++) {
        self->owners[i].accused_entry = GATHER_NONE;
    }
}

/* An owner says that a contributor sends it other bytes than it promised, or more than it has room
 * for. Nobody can tell which of the two is to blame, and nobody needs to: the whole contribution is
 * fetched and compared with its root. An owner says so of a few at most. */
static void hear_torn(struct gather *self, struct owner *owner, uint64_t serial)
{
    uint32_t entry = serial != 0 ? find_entry(self, serial) : GATHER_NONE;
    if (entry != GATHER_NONE && owner->moves < GATHER_MOVES_MAX) {
        owner->moves++;
        gather_remove_entry(self, entry, GATHER_MOVED);
    }
}

void gather_take_holds(struct gather *self, uint32_t peer, const struct gather_holds *holds,
                       uint64_t now_ms)
{
    uint32_t index = gather_owner_of(self, peer);
    if (index == GATHER_NONE || self->owners[index].out) {
        return;
    }
    struct owner *owner = &self->owners[index];
    if (self->epoch > 0 && holds->epoch == self->epoch) {
        bool moved = owner->holds.epoch != holds->epoch ||
                     holds->parts_held > owner->holds.parts_held ||
                     holds->sums_ready > owner->holds.sums_ready;
        owner->progress_ms = moved ? now_ms : owner->progress_ms;
        owner->has_all = owner->has_all ||
                         (holds->parts_missing == 0 &&
                          holds->parts_held >= (uint64_t)self->live_count * owner->chunk_count);
    }
    owner->holds = *holds;
    hear_accusation(self, index, holds);
    if (!owner->out) {
        hear_torn(self, owner, holds->torn_serial);
    }
}

bool gather_delivered(const struct gather *self)
{
    bool delivered = self->epoch > 0;
    for (uint32_t i = 0; delivered && i < self->owner_count; i++) {
        const struct owner *owner = &self->owners[i];
        delivered = owner->out || (owner->facts.trusted && owner->has_all);
    }
    return delivered;
}

/* Sums go as soon as they are whole while nothing was lost. After that, each further loss would
 * have everything returned once more: they wait until nothing can be missing any more. */
bool gather_sums_are_due(struct gather *self)
{
    if (self->epoch <= self->plan.epoch_before + 1) {
        return true;
    }
    bool all = true;
    for (uint32_t i = 0; all && i < self->owner_count; i++) {
        all = self->owners[i].out || self->owners[i].has_all;
    }
    return all && gather_first_open(self) == self->slot_count;
}

/* An owner that stands still for want of a few contributions: to have these fetched centrally costs
 * one contribution each, to take the owner over costs its chunks of all. */
static bool move_entry(struct gather *self, struct owner *owner)
{
    const struct gather_holds *holds = &owner->holds;
    uint32_t entry = holds->epoch == self->epoch && holds->lacking_serial != 0
                         ? find_entry(self, holds->lacking_serial)
                         : GATHER_NONE;
    if (entry == GATHER_NONE || owner->moves == GATHER_MOVES_MAX ||
        (uint64_t)holds->lacking_count * self->chunk_count >=
            (uint64_t)self->live_count * owner->chunk_count) {
        return false;
    }
    owner->moves++;
    gather_remove_entry(self, entry, GATHER_MOVED);
    return true;
}

static bool is_finished(const struct owner *owner)
{
    return owner->out || owner->returned_count >= owner->chunk_count;
}

/* A peer may say for ever that it goes on: that ends it. */
enum { DEADLINES_MAX = 4 };

static bool is_late(const struct gather *self, const struct owner *owner, bool half_finished,
                    uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms > owner->told_ms ? now_ms - owner->told_ms : 0;
    return (half_finished && elapsed_ms >= self->plan.deadline_ms) ||
           elapsed_ms / DEADLINES_MAX >= self->plan.deadline_ms;
}

static bool was_told(const struct gather *self, const struct owner *owner)
{
    bool told = true;
    for (uint32_t i = 0; i < (owner->shed ? 1 : owner->range_count); i++) {
        told = told && owner->ranges[i].told_epoch == self->epoch;
    }
    return told;
}

static bool is_stalled(const struct gather *self, const struct owner *owner, uint64_t now_ms)
{
    return now_ms >= owner->progress_ms && now_ms - owner->progress_ms >= self->plan.stall_ms;
}

void gather_judge_owners(struct gather *self, uint64_t now_ms)
{
    uint32_t finished = 0;
    for (uint32_t i = 0; i < self->owner_count; i++) {
        finished += is_finished(&self->owners[i]) ? 1 : 0;
    }
    bool due = gather_sums_are_due(self);
    for (uint32_t i = 0; self->epoch > 0 && self->live_count > 0 && i < self->owner_count; i++) {
        struct owner *owner = &self->owners[i];
        if (!due && owner->has_all) { /* it waits for others */
            owner->told_ms = now_ms;
            owner->progress_ms = now_ms;
        }
        if (is_finished(owner) || !was_told(self, owner) ||
            (!is_stalled(self, owner, now_ms) &&
             !is_late(self, owner, finished * 2 >= self->owner_count, now_ms))) {
            continue;
        }
        if (move_entry(self, owner)) {
            return; /* another epoch: everybody begins anew */
        }
        if (owner->range_count > 1 && !owner->shed) {
            gather_shed(self, i); /* its own chunks may come once it is rid of others' */
            owner->told_ms = now_ms;
            owner->progress_ms = now_ms;
        } else {
            gather_owner_out(self, i, GATHER_SLOW);
        }
    }
}
