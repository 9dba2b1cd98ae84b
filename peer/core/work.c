#include "peer/core/work.h"

#include "common/check.h"

#include <stdlib.h>
#include <string.h>

void work_init(struct work *self, uint32_t context)
{
    memset(self, 0, sizeof *self);
    self->context = context;
}

void work_deinit(struct work *self)
{
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        free(self->leases[i].tokens);
        self->leases[i].tokens = NULL;
    }
}

static bool overlaps(uint64_t first_a, uint64_t count_a, uint64_t first_b, uint64_t count_b)
{
    return first_a < first_b + count_b && first_b < first_a + count_a;
}

static bool is_taken(const struct work *self, uint64_t id, uint64_t first, uint32_t count)
{
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        const struct work_lease *lease = &self->leases[i];
        bool same = lease->id == id || overlaps(first, count, lease->first, lease->count);
        if (lease->id != 0 && same) {
            return true;
        }
    }
    for (size_t i = 0; i < self->held_count; i++) {
        if (overlaps(first, count, self->held[i].first, self->held[i].count)) {
            return true;
        }
    }
    return false;
}

enum status work_add_lease(struct work *self, uint64_t id, uint64_t first, uint32_t count,
                           uint16_t *tokens)
{
    if (id == 0 || count == 0 || first > UINT64_MAX - count || is_taken(self, id, first, count)) {
        return STATUS_OUT_OF_RANGE;
    }
    if (self->held_count > WORK_RANGES_MAX - WORK_RANGES_RESERVED) {
        return STATUS_FULL;
    }
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        if (self->leases[i].id == 0) {
            self->leases[i] =
                (struct work_lease){.id = id, .first = first, .count = count, .tokens = tokens};
            return STATUS_OK;
        }
    }
    return STATUS_FULL;
}

bool work_begin(struct work *self, struct work_item *out)
{
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        struct work_lease *lease = &self->leases[i];
        if (lease->id != 0 && lease->begun < lease->count) {
            out->lease_id = lease->id;
            out->sample = lease->first + lease->begun;
            out->tokens = lease->tokens + (size_t)lease->begun * (self->context + 1U);
            lease->begun++;
            return true;
        }
    }
    return false;
}

static size_t find_lease(const struct work *self, uint64_t lease_id)
{
    size_t index = 0;
    while (index < WORK_LEASES_MAX && (lease_id == 0 || self->leases[index].id != lease_id)) {
        index++;
    }
    return index;
}

static void remove_lease(struct work *self, size_t index)
{
    free(self->leases[index].tokens);
    for (size_t i = index; i + 1 < WORK_LEASES_MAX; i++) {
        self->leases[i] = self->leases[i + 1];
    }
    self->leases[WORK_LEASES_MAX - 1] = (struct work_lease){0};
}

/* Puts one sample into the sorted ranges; work_add_lease kept room for it. */
static void hold_sample(struct work *self, uint64_t sample)
{
    size_t at = 0;
    while (at < self->held_count && self->held[at].first + self->held[at].count < sample) {
        at++;
    }
    struct work_range *range = &self->held[at];
    if (at < self->held_count && range->first + range->count == sample) {
        range->count++;
        if (at + 1 < self->held_count && range[1].first == sample + 1) {
            range->count += range[1].count;
            memmove(range + 1, range + 2, (self->held_count - at - 2) * sizeof *range);
            self->held_count--;
        }
    } else if (at < self->held_count && range->first == sample + 1) {
        range->first = sample;
        range->count++;
    } else {
        CHECK(self->held_count < WORK_RANGES_MAX);
        memmove(range + 1, range, (self->held_count - at) * sizeof *range);
        *range = (struct work_range){.first = sample, .count = 1};
        self->held_count++;
    }
}

void work_done(struct work *self, const struct work_item *item, double loss_sum)
{
    size_t index = find_lease(self, item->lease_id);
    CHECK(index < WORK_LEASES_MAX);
    struct work_lease *lease = &self->leases[index];
    CHECK(lease->done < lease->begun);
    lease->done++;
    lease->loss_sum += loss_sum;
    hold_sample(self, item->sample);
    self->held_samples++;
    self->held_loss_sum += loss_sum;
}

bool work_report(struct work *self, bool ended_only, struct work_report *out)
{
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        struct work_lease *lease = &self->leases[i];
        if (lease->id == 0) {
            return false;
        }
        bool ended = lease->done == lease->count;
        bool news = lease->done > lease->reported && (ended || !ended_only);
        if (news) {
            *out = (struct work_report){
                .lease_id = lease->id, .samples_done = lease->done, .loss_sum = lease->loss_sum};
            lease->reported = lease->done;
        }
        if (ended) {
            remove_lease(self, i);
            i--;
        }
        if (news) {
            return true;
        }
    }
    return false;
}

bool work_yield(struct work *self, uint64_t lease_id, uint32_t keep, uint32_t *out_kept)
{
    size_t index = find_lease(self, lease_id);
    if (index == WORK_LEASES_MAX) {
        return false;
    }
    struct work_lease *lease = &self->leases[index];
    uint32_t kept = keep > lease->begun ? keep : lease->begun;
    lease->count = kept < lease->count ? kept : lease->count;
    *out_kept = lease->count;
    return true;
}

uint32_t work_waiting(const struct work *self)
{
    uint32_t waiting = 0;
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        waiting += self->leases[i].count - self->leases[i].begun;
    }
    return waiting;
}

uint32_t work_running(const struct work *self)
{
    uint32_t running = 0;
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        running += self->leases[i].begun - self->leases[i].done;
    }
    return running;
}

void work_clear_held(struct work *self)
{
    self->held_count = 0;
    self->held_samples = 0;
    self->held_loss_sum = 0.0;
}

void work_clear(struct work *self)
{
    CHECK(work_running(self) == 0);
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        free(self->leases[i].tokens);
        self->leases[i] = (struct work_lease){0};
    }
    work_clear_held(self);
}
