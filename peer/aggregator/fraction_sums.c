#include "common/check.h"
#include "peer/aggregator/fraction_state.h"
#include "proto/codec/chunks.h"
#include "proto/codec/sum_pack.h"

#include <string.h>

size_t fraction_chunk_values(const struct fraction *self, uint32_t i)
{
    return chunks_values(self->task.value_count, self->task.first_chunk + i);
}

uint8_t *fraction_part_data(const struct part *part, uint32_t i)
{
    return part->buffer.data +
           (size_t)i * codec_encoded_bytes(part->facts.codec, CODEC_CHUNK_VALUES);
}

static int64_t *chunk_sums(const struct fraction *self, uint32_t i)
{
    return self->sums + (size_t)i * CODEC_CHUNK_VALUES;
}

static bool is_ready(const struct fraction *self, uint32_t i)
{
    return self->epoch > 0 && self->chunks[i].added == self->set_count;
}

static void queue_if_due(struct fraction *self, uint32_t i)
{
    struct fraction_chunk *chunk = &self->chunks[i];
    if (chunk->granted && !chunk->queued && is_ready(self, i)) {
        uint32_t place = (self->queue_first + self->queue_count) % self->task.chunk_count;
        self->queue[place] = i;
        self->queue_count++;
        chunk->queued = true;
    }
}

/* Sums become zero when they are first needed, not when the step begins: the next line reads them
 * from the cache. */
void fraction_include(struct fraction *self, const struct part *part, uint32_t i)
{
    size_t count = fraction_chunk_values(self, i);
    int64_t *sums = chunk_sums(self, i);
    if (self->chunks[i].added == 0) {
        memset(sums, 0, count * sizeof *sums);
    }
    exact_sum_add(&self->grid, part->facts.codec, fraction_part_data(part, i), count, sums);
    self->chunks[i].added++;
    self->parts_added++;
    if (is_ready(self, i)) {
        self->ready_count++;
        queue_if_due(self, i);
    }
}

void fraction_exclude(struct fraction *self, const struct part *part, uint32_t i)
{
    CHECK(self->chunks[i].added > 0);
    self->ready_count -= is_ready(self, i) ? 1 : 0;
    exact_sum_subtract(&self->grid, part->facts.codec, fraction_part_data(part, i),
                       fraction_chunk_values(self, i), chunk_sums(self, i));
    self->chunks[i].added--;
    self->parts_added--;
}

void fraction_include_all(struct fraction *self, struct part *part)
{
    for (uint32_t i = 0; !part->included && i < self->task.chunk_count; i++) {
        if (part->held[i]) {
            fraction_include(self, part, i);
        }
    }
    part->included = true;
}

void fraction_exclude_all(struct fraction *self, struct part *part)
{
    for (uint32_t i = 0; part->included && i < self->task.chunk_count; i++) {
        if (part->held[i]) {
            fraction_exclude(self, part, i);
        }
    }
    part->included = false;
}

void fraction_restart_sums(struct fraction *self)
{
    self->queue_first = 0;
    self->queue_count = 0;
    self->ready_count = 0;
    for (uint32_t i = 0; i < self->task.chunk_count; i++) {
        self->chunks[i].granted = false;
        self->chunks[i].queued = false;
        self->ready_count += is_ready(self, i) ? 1 : 0;
    }
}

enum status fraction_grant_sums(struct fraction *self, uint64_t epoch, uint32_t first_chunk,
                                uint32_t chunk_count)
{
    const struct fraction_task *task = &self->task;
    if (!self->begun || self->epoch == 0 || epoch != self->epoch) {
        return STATUS_STALE;
    }
    if (first_chunk < task->first_chunk || first_chunk - task->first_chunk > task->chunk_count ||
        chunk_count > task->chunk_count - (first_chunk - task->first_chunk)) {
        return STATUS_OUT_OF_RANGE;
    }
    uint32_t first = first_chunk - task->first_chunk;
    for (uint32_t i = first; i < first + chunk_count; i++) {
        self->chunks[i].granted = true;
        queue_if_due(self, i);
    }
    return STATUS_OK;
}

static void pop(struct fraction *self)
{
    self->chunks[self->queue[self->queue_first]].queued = false;
    self->queue_first = (self->queue_first + 1) % self->task.chunk_count;
    self->queue_count--;
}

bool fraction_next_sum(struct fraction *self, uint32_t *out_chunk)
{
    while (self->queue_count > 0 && !is_ready(self, self->queue[self->queue_first])) {
        pop(self); /* a part was dropped; it comes back when it is ready again */
    }
    if (self->queue_count == 0) {
        return false;
    }
    *out_chunk = self->task.first_chunk + self->queue[self->queue_first];
    return true;
}

size_t fraction_pack(const struct fraction *self, uint32_t chunk, uint8_t *out)
{
    CHECK(self->begun && chunk >= self->task.first_chunk &&
          chunk - self->task.first_chunk < self->task.chunk_count);
    uint32_t i = chunk - self->task.first_chunk;
    CHECK(is_ready(self, i));
    if (self->chunks[i].added == 0) { /* an empty set */
        memset(chunk_sums(self, i), 0, fraction_chunk_values(self, i) * sizeof *self->sums);
    }
    return sum_pack(chunk_sums(self, i), fraction_chunk_values(self, i), out);
}

void fraction_sum_sent(struct fraction *self, uint32_t chunk)
{
    CHECK(self->queue_count > 0 &&
          chunk == self->task.first_chunk + self->queue[self->queue_first]);
    self->chunks[self->queue[self->queue_first]].granted = false;
    pop(self);
}
