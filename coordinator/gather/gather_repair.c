#include "coordinator/gather/gather_state.h"

#include <float.h>

/* The chunks of an owner that is lost are wanted from all contributors once more. Over the
 * coordinator's one link that is as much as a whole gather of a small plan; shared by several
 * owners, in proportion to what their links carry, it takes each of them little. */

/* How long an owner's link needs for what it sums, with so many chunks more, by comparison. */
static double load(const struct owner *owner, uint32_t more)
{
    return ((double)owner->chunk_count + (double)more) / (double)owner->facts.weight;
}

/* It takes over no more chunks than its own, so it needs no more than twice the time and memory. */
static bool may_take(const struct owner *owner, uint32_t more)
{
    return !owner->out && !owner->shed && owner->facts.weight > 0 &&
           owner->range_count <= GATHER_RANGES_MAX &&
           owner->chunk_count + more <= 2 * owner->facts.chunk_count;
}

static uint32_t choose(const struct gather *self, uint32_t chunk_count)
{
    uint32_t best = GATHER_NONE;
    double least = DBL_MAX;
    for (uint32_t i = 0; i < self->owner_count; i++) {
        const struct owner *owner = &self->owners[i];
        if (may_take(owner, chunk_count) && load(owner, chunk_count) < least) {
            best = i;
            least = load(owner, chunk_count);
        }
    }
    return best;
}

static void give(struct gather *self, uint32_t index, uint32_t first_chunk, uint32_t chunk_count)
{
    struct owner *owner = &self->owners[index];
    struct range *last = &owner->ranges[owner->range_count - 1];
    if (owner->range_count > 1 && last->told_epoch == 0 &&
        last->first_chunk + last->chunk_count == first_chunk) {
        last->chunk_count += chunk_count;
    } else {
        owner->ranges[owner->range_count++] =
            (struct range){.first_chunk = first_chunk, .chunk_count = chunk_count};
    }
    owner->chunk_count += chunk_count;
    owner->has_all = false;
    for (uint32_t i = first_chunk; i < first_chunk + chunk_count; i++) {
        struct chunk *chunk = &self->chunks[i];
        bool was_trusted = chunk->owner == GATHER_NONE || self->owners[chunk->owner].facts.trusted;
        self->checked_chunks += was_trusted && !owner->facts.trusted ? 1 : 0;
        chunk->owner = index;
        chunk->repairs++;
        gather_note_chunk(self, i);
    }
    self->repaired += chunk_count;
}

/* The coordinator is the last resort. */
static void sum_here(struct gather *self, uint32_t chunk)
{
    uint32_t owner = self->chunks[chunk].owner;
    if (owner != GATHER_NONE && !self->owners[owner].out) {
        self->chunks[chunk].owner = GATHER_NONE; /* it owns others, but not this one any more */
    }
    gather_need_chunk(self, chunk);
}

/* Chunks side by side that nobody sums: what finds no owner is summed here. */
void gather_give_run(struct gather *self, uint32_t first_chunk, uint32_t chunk_count)
{
    uint32_t piece = (chunk_count + GATHER_PIECES_MAX - 1) / GATHER_PIECES_MAX;
    uint32_t end = first_chunk + chunk_count;
    while (first_chunk < end) {
        uint32_t count = piece < end - first_chunk ? piece : end - first_chunk;
        uint32_t owner = choose(self, count);
        if (owner == GATHER_NONE && count > 1) {
            piece = count / 2;
            continue;
        }
        if (owner != GATHER_NONE) {
            give(self, owner, first_chunk, count);
        } else {
            sum_here(self, first_chunk);
        }
        first_chunk += count;
    }
}

/* Summed neither by this owner of before nor here. */
static bool is_free(const struct gather *self, uint32_t chunk, uint32_t owner)
{
    const struct chunk *facts = &self->chunks[chunk];
    bool here = facts->slot != GATHER_NONE && self->slots[facts->slot].wants == GATHER_ALL;
    return facts->owner == owner && facts->returned.data == NULL && !here;
}

/* Of a range that does not count any more, the chunks that are wanted from others. */
static void repair_range(struct gather *self, uint32_t owner, const struct range *range)
{
    uint32_t end = range->first_chunk + range->chunk_count;
    for (uint32_t i = range->first_chunk; i < end; i++) {
        uint32_t run = i;
        while (run < end && is_free(self, run, owner) &&
               self->chunks[run].repairs < GATHER_REPAIRS_MAX) {
            run++;
        }
        if (run > i) {
            gather_give_run(self, i, run - i);
            i = run - 1;
        } else if (is_free(self, i, owner)) {
            sum_here(self, i);
        }
    }
}

void gather_repair(struct gather *self, uint32_t index)
{
    const struct owner *owner = &self->owners[index];
    for (uint32_t i = owner->out ? 0 : 1; i < owner->range_count; i++) {
        repair_range(self, index, &owner->ranges[i]);
    }
}

void gather_shed(struct gather *self, uint32_t index)
{
    struct owner *owner = &self->owners[index];
    owner->shed = true;
    owner->chunk_count = owner->facts.chunk_count;
    owner->returned_count = 0;
    for (uint32_t i = 0; i < owner->facts.chunk_count; i++) {
        owner->returned_count +=
            self->chunks[owner->facts.first_chunk + i].returned.data != NULL ? 1 : 0;
    }
    gather_repair(self, index);
}
