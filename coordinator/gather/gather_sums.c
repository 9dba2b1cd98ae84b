#include "common/check.h"
#include "common/random.h"
#include "coordinator/gather/gather_state.h"
#include "proto/codec/chunks.h"
#include "proto/codec/sum_pack.h"

#include <stdlib.h>
#include <string.h>

static void unpack(const struct gather *self, uint32_t chunk, const struct packed *packed,
                   int64_t *out)
{
    size_t count = chunks_values(self->plan.value_count, chunk);
    memset(out, 0, count * sizeof *out);
    CHECK(sum_unpack_add(packed->data, packed->size_bytes, count, out) == STATUS_OK);
}

/* Both the owner's sum and the one made here are there, and they are not the same. */
bool gather_differs(struct gather *self, uint32_t index)
{
    const struct chunk *chunk = &self->chunks[index];
    if (chunk->own.data == NULL || chunk->returned.data == NULL) {
        return false;
    }
    unpack(self, index, &chunk->own, self->sums);
    unpack(self, index, &chunk->returned, self->other);
    return memcmp(self->sums, self->other,
                  chunks_values(self->plan.value_count, index) * sizeof *self->sums) != 0;
}

/* No sum over the set's tokens can be larger (exact_sum.h), so merging cannot overflow. */
static bool is_plausible(struct gather *self, const uint8_t *data, size_t size_bytes, size_t count)
{
    memset(self->other, 0, count * sizeof *self->other);
    if (sum_unpack_add(data, size_bytes, count, self->other) != STATUS_OK) {
        return false;
    }
    int64_t limit =
        (int64_t)(self->live_tokens << (EXACT_SUM_PER_TOKEN_LOG2_MAX + self->grid.shift));
    bool within = true;
    for (size_t i = 0; i < count; i++) {
        within = within && self->other[i] <= limit && self->other[i] >= -limit;
    }
    return within;
}

/* Draws whether the sum that an owner has just committed itself to is checked. Draws are
 * independent, so checks that were seen say nothing about those to come. What traffic is allowed
 * is aimed at half by the first epoch, a quarter by the next and so on, so its limit, which could
 * be noticed, is seldom met. One check is always allowed. */
static bool is_drawn(const struct gather *self, uint32_t chunk)
{
    double parts_max = self->plan.check_traffic * (double)self->chunk_count;
    double each = (double)self->live_count;
    if (self->checked_parts > 0 && (double)self->checked_parts + each > parts_max) {
        return false;
    }
    double chance = parts_max / (each * (double)self->checked_chunks);
    for (uint64_t i = self->plan.epoch_before; i < self->epoch && chance > 0.0; i++) {
        chance /= 2.0;
    }
    chance = chance < self->plan.check_share ? chance : self->plan.check_share;
    uint64_t bits = random_mix(self->plan.check_seed ^ random_mix(self->epoch << 32 | chunk));
    return (double)(bits >> 11) * 0x1p-53 < chance;
}

static void check_perhaps(struct gather *self, const struct owner *owner, uint32_t index)
{
    const struct chunk *chunk = &self->chunks[index];
    bool here = chunk->slot != GATHER_NONE && self->slots[chunk->slot].wants == GATHER_ALL;
    if (!owner->facts.trusted && !here && is_drawn(self, index)) {
        self->checks++;
        self->checked_parts += self->live_count;
        gather_need_chunk(self, index);
    }
}

bool gather_waits_for_sum(const struct gather *self, uint32_t peer, uint64_t epoch, uint32_t index)
{
    uint32_t number = gather_owner_of(self, peer);
    return number != GATHER_NONE && !self->owners[number].out && epoch == self->epoch &&
           index < self->chunk_count && self->chunks[index].owner == number &&
           self->chunks[index].returned.data == NULL;
}

enum status gather_take_sum(struct gather *self, uint32_t peer, uint64_t epoch, uint32_t index,
                            const uint8_t *data, size_t size_bytes, uint64_t now_ms)
{
    uint32_t number = gather_owner_of(self, peer);
    if (number == GATHER_NONE || self->owners[number].out || epoch == 0 || epoch != self->epoch) {
        return STATUS_STALE;
    }
    struct owner *owner = &self->owners[number];
    if (index >= self->chunk_count || self->chunks[index].owner != number) {
        bool given = index < self->chunk_count && self->chunks[index].repairs > 0;
        return given ? STATUS_STALE : STATUS_PROTOCOL;
    }
    struct chunk *chunk = &self->chunks[index];
    if (chunk->returned.data != NULL) {
        return STATUS_OK;
    }
    if (!is_plausible(self, data, size_bytes, chunks_values(self->plan.value_count, index))) {
        gather_owner_out(self, number, GATHER_BAD);
        return STATUS_BAD_DATA;
    }
    chunk->returned.data = malloc(size_bytes);
    if (chunk->returned.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    memcpy(chunk->returned.data, data, size_bytes);
    chunk->returned.size_bytes = size_bytes;
    self->sum_bytes += size_bytes;
    owner->returned_count++;
    owner->has_all = owner->has_all || owner->returned_count == owner->chunk_count;
    owner->progress_ms = now_ms;
    check_perhaps(self, owner, index);
    gather_note_chunk(self, index);
    if (gather_differs(self, index)) {
        gather_owner_out(self, number, GATHER_LIAR);
    }
    return STATUS_OK;
}

void gather_merge(const struct gather *self, uint32_t first_chunk, uint32_t chunk_count,
                  int64_t *sums)
{
    CHECK(gather_complete(self) && first_chunk <= self->chunk_count &&
          chunk_count <= self->chunk_count - first_chunk);
    for (uint32_t i = first_chunk; self->live_count > 0 && i < first_chunk + chunk_count; i++) {
        const struct chunk *chunk = &self->chunks[i];
        const struct packed *sum = chunk->own.data != NULL ? &chunk->own : &chunk->returned;
        CHECK(sum_unpack_add(sum->data, sum->size_bytes, chunks_values(self->plan.value_count, i),
                             sums + (size_t)i * CODEC_CHUNK_VALUES) == STATUS_OK);
    }
}
