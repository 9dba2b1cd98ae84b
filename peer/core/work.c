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

enum status work_add_lease(struct work *self, uint64_t id, uint64_t step, uint64_t first,
                           uint32_t count, uint16_t *tokens)
{
    if (id == 0 || count == 0 || first > UINT64_MAX - count || is_taken(self, id, first, count)) {
        return STATUS_OUT_OF_RANGE;
    }
    if (self->held_count > WORK_RANGES_MAX - WORK_RANGES_RESERVED) {
        return STATUS_FULL;
    }
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        if (self->leases[i].id == 0) {
            self->leases[i] = (struct work_lease){
                .id = id, .step = step, .first = first, .count = count, .tokens = tokens};
            return STATUS_OK;
        }
    }
    return STATUS_FULL;
}

bool work_begin(struct work *self, struct work_item *out)
{
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        struct work_lease *lease = &self->leases[i];
        if (lease->id != 0 && lease->step == self->open_step && lease->begun < lease->count) {
            out->lease_id = lease->id;
            out->sample = lease->first + lease->begun;
            out->stale = self->open_stale;
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

bool work_has_lease(const struct work *self, uint64_t lease_id)
{
    return find_lease(self, lease_id) < WORK_LEASES_MAX;
}

static void remove_lease(struct work *self, size_t index)
{
    free(self->leases[index].tokens);
    for (size_t i = index; i + 1 < WORK_LEASES_MAX; i++) {
        self->leases[i] = self->leases[i + 1];
    }
    self->leases[WORK_LEASES_MAX - 1] = (struct work_lease){0};
}

bool work_merge_range(struct work_range *ranges, size_t *count, struct work_range range)
{
    uint64_t first = range.first;
    uint64_t end = range.first + range.count;
    size_t at = 0;
    while (at < *count && ranges[at].first + ranges[at].count < first) {
        at++;
    }
    size_t next = at; /* behind those that touch */
    while (next < *count && ranges[next].first <= end) {
        uint64_t other_end = ranges[next].first + ranges[next].count;
        first = ranges[next].first < first ? ranges[next].first : first;
        end = other_end > end ? other_end : end;
        next++;
    }
    if (next == at && *count == WORK_RANGES_MAX) {
        return false;
    }
    memmove(&ranges[at + 1], &ranges[next], (*count - next) * sizeof *ranges);
    ranges[at] = (struct work_range){.first = first, .count = end - first};
    *count = *count + 1 - (next - at);
    return true;
}

void work_done(struct work *self, const struct work_item *item, double loss_sum)
{
    size_t index = find_lease(self, item->lease_id);
    CHECK(index < WORK_LEASES_MAX);
    struct work_lease *lease = &self->leases[index];
    CHECK(lease->done < lease->begun);
    CHECK(self->held_samples == 0 || self->held_step == lease->step);
    lease->done++;
    lease->loss_sum += loss_sum;
    /* work_add_lease kept room for it. */
    CHECK(work_merge_range(self->held, &self->held_count,
                           (struct work_range){.first = item->sample, .count = 1}));
    self->held_step = lease->step;
    self->held_samples++;
    self->held_stale += item->stale ? 1 : 0;
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

size_t work_owned(const struct work *self, struct work_range out[WORK_RANGES_MAX])
{
    size_t count = self->held_count;
    memcpy(out, self->held, count * sizeof *out);
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        const struct work_lease *lease = &self->leases[i];
        if (lease->id != 0 && lease->count > 0) {
            /* A lease swallows the gaps in it, and work_add_lease kept room for it. */
            CHECK(work_merge_range(
                out, &count, (struct work_range){.first = lease->first, .count = lease->count}));
        }
    }
    return count;
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

uint32_t work_at_hand(const struct work *self)
{
    uint32_t at_hand = 0;
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        const struct work_lease *lease = &self->leases[i];
        bool later = self->held_samples > 0 && lease->step > self->held_step;
        at_hand += later ? 0 : lease->count - lease->begun;
    }
    return at_hand;
}

uint32_t work_ready(const struct work *self)
{
    uint32_t ready = 0;
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        const struct work_lease *lease = &self->leases[i];
        ready += lease->step == self->open_step ? lease->count - lease->begun : 0;
    }
    return ready;
}

uint32_t work_left(const struct work *self, uint64_t step)
{
    uint32_t left = 0;
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        const struct work_lease *lease = &self->leases[i];
        left += lease->step == step ? lease->count - lease->done : 0;
    }
    return left;
}

uint64_t work_first_step(const struct work *self)
{
    uint64_t first = WORK_STEP_NONE;
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        const struct work_lease *lease = &self->leases[i];
        if (lease->begun < lease->count && lease->step < first) {
            first = lease->step;
        }
    }
    return first;
}

bool work_goes_past(const struct work *self, uint64_t step)
{
    bool past = self->held_samples > 0 && self->held_step > step;
    for (size_t i = 0; i < WORK_LEASES_MAX && !past; i++) {
        const struct work_lease *lease = &self->leases[i];
        past = lease->id != 0 && lease->step > step && lease->done < lease->count;
    }
    return past;
}

bool work_drop(struct work *self, uint64_t last_step)
{
    bool begun = self->held_samples > 0 && self->held_step <= last_step;
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        struct work_lease *lease = &self->leases[i];
        if (lease->id != 0 && lease->step <= last_step) {
            lease->count = lease->begun;
            begun = begun || lease->done < lease->begun;
        }
    }
    return begun;
}

void work_clear_held(struct work *self)
{
    self->held_count = 0;
    self->held_samples = 0;
    self->held_stale = 0;
    self->held_loss_sum = 0.0;
}

void work_clear(struct work *self, uint64_t last_step)
{
    CHECK(self->held_samples == 0 || self->held_step <= last_step);
    for (size_t i = WORK_LEASES_MAX; i-- > 0;) {
        const struct work_lease *lease = &self->leases[i];
        if (lease->id != 0 && lease->step <= last_step) {
            CHECK(lease->done == lease->begun);
            remove_lease(self, i);
        }
    }
    work_clear_held(self);
}
