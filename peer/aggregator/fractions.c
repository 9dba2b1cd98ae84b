#include "peer/aggregator/fractions.h"

#include "common/check.h"
#include "common/fault.h"
#include "peer/aggregator/fraction_state.h"

#include <stdlib.h>

struct fractions {
    uint64_t bytes_max;
    uint64_t epoch; /* the newest that any range was told; 0: none */
    bool shrunk;    /* a range of this step was given up: what is on its way for it is no fault */
    uint64_t roomless_serial; /* a contribution that found no room in the first range; 0: none */
    uint32_t sum_of;          /* the range that gave the latest sum */
    uint32_t count;           /* the first range stays the first */
    struct fraction *items[FRACTIONS_MAX];
};

enum status fractions_new(uint64_t bytes_max, struct fractions **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to aggregate for others");
    }
    (*out)->bytes_max = bytes_max;
    enum status status = fraction_new(bytes_max, &(*out)->items[0]);
    if (status != STATUS_OK) {
        free(*out);
        *out = NULL;
        return status;
    }
    (*out)->count = 1;
    return STATUS_OK;
}

void fractions_free(struct fractions *self)
{
    for (uint32_t i = 0; self != NULL && i < self->count; i++) {
        fraction_free(self->items[i]);
    }
    free(self);
}

const struct fraction_task *fractions_task(const struct fractions *self)
{
    return fraction_task(self->items[0]);
}

bool fractions_belongs(const struct fractions *self, const struct fraction_task *task)
{
    const struct fraction_task *now = fractions_task(self);
    return now != NULL && now->step == task->step && now->plan_id == task->plan_id &&
           now->step_tokens == task->step_tokens && now->value_count == task->value_count;
}

static bool is_active(const struct fractions *self, uint32_t i)
{
    return self->items[i]->begun && self->items[i]->epoch == self->epoch;
}

uint32_t fractions_chunk_count(const struct fractions *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        count += is_active(self, i) ? self->items[i]->task.chunk_count : 0;
    }
    return count;
}

/* What this range may take is what the others leave. */
static void share_memory(struct fractions *self, uint32_t i)
{
    uint64_t others = 0;
    for (uint32_t j = 0; j < self->count; j++) {
        others += j != i ? fraction_bytes(self->items[j]) : 0;
    }
    self->items[i]->parts.bytes_max = others < self->bytes_max ? self->bytes_max - others : 0;
}

static void remove_range(struct fractions *self, uint32_t i)
{
    fraction_free(self->items[i]);
    self->count--;
    for (; i < self->count; i++) {
        self->items[i] = self->items[i + 1];
    }
    self->shrunk = true;
}

static void remove_further(struct fractions *self)
{
    while (self->count > 1) {
        remove_range(self, self->count - 1);
    }
}

/* The next epoch may name other ranges than the one before. */
static bool make_room(struct fractions *self)
{
    for (uint32_t i = 1; self->count == FRACTIONS_MAX && i < self->count; i++) {
        if (!is_active(self, i)) {
            remove_range(self, i);
        }
    }
    return self->count < FRACTIONS_MAX;
}

static enum status add_range(struct fractions *self, const struct fraction_task *task)
{
    if (!make_room(self)) {
        return fault(STATUS_FULL, "the coordinator gives out more ranges than one peer can sum");
    }
    enum status status = fraction_new(0, &self->items[self->count]);
    if (status != STATUS_OK) {
        return status;
    }
    share_memory(self, self->count++);
    status = fraction_begin(self->items[self->count - 1], task);
    if (status != STATUS_OK) {
        remove_range(self, self->count - 1);
    }
    return status;
}

enum status fractions_begin(struct fractions *self, const struct fraction_task *task)
{
    if (fractions_belongs(self, task)) {
        for (uint32_t i = 0; i < self->count; i++) {
            const struct fraction_task *known = fraction_task(self->items[i]);
            if (known->first_chunk == task->first_chunk &&
                known->chunk_count == task->chunk_count) {
                return STATUS_OK;
            }
        }
        return add_range(self, task);
    }
    const struct fraction_task *now = fractions_task(self);
    if (now != NULL && task->step < now->step) {
        return STATUS_STALE;
    }
    remove_further(self);
    self->shrunk = false;
    self->roomless_serial = 0;
    self->epoch = 0;
    share_memory(self, 0);
    return fraction_begin(self->items[0], task);
}

enum status fractions_open(struct fractions *self, const struct fraction_part *part)
{
    share_memory(self, 0);
    enum status status = fraction_open(self->items[0], part);
    bool roomless = status == STATUS_FULL || status == STATUS_NO_MEMORY;
    if (roomless && !fraction_wants(self->items[0], self->roomless_serial)) {
        self->roomless_serial = part->serial;
    }
    return status;
}

/* Whether what is open in the first range is open in this one as well, now. */
static bool opens(struct fractions *self, uint32_t i, uint64_t serial)
{
    const struct part *first = parts_find(&self->items[0]->parts, serial);
    if (first == NULL || !is_active(self, i)) {
        return false;
    }
    if (i == 0 || parts_find(&self->items[i]->parts, serial) != NULL) {
        return true;
    }
    share_memory(self, i);
    return fraction_open(self->items[i], &first->facts) == STATUS_OK;
}

static bool has_chunk(const struct fraction *fraction, uint32_t chunk)
{
    return fraction->begun && chunk >= fraction->task.first_chunk &&
           chunk - fraction->task.first_chunk < fraction->task.chunk_count;
}

/* The range that has a chunk, FRACTIONS_MAX: none; one that is summed, if there is one. */
static uint32_t find_range(const struct fractions *self, uint32_t chunk)
{
    uint32_t found = FRACTIONS_MAX;
    for (uint32_t i = 0; i < self->count; i++) {
        bool better = found == FRACTIONS_MAX || !is_active(self, found);
        found = has_chunk(self->items[i], chunk) && better ? i : found;
    }
    return found;
}

enum status fractions_add(struct fractions *self, uint64_t serial, uint32_t chunk,
                          const uint8_t *data, size_t size_bytes)
{
    uint32_t i = find_range(self, chunk);
    if (i == FRACTIONS_MAX) {
        bool open = parts_find(&self->items[0]->parts, serial) != NULL;
        return open && !self->shrunk ? STATUS_PROTOCOL : STATUS_STALE;
    }
    return i == 0 || opens(self, i, serial)
               ? fraction_add(self->items[i], serial, chunk, data, size_bytes)
               : STATUS_STALE;
}

bool fractions_has(const struct fractions *self, uint64_t serial, uint32_t chunk)
{
    uint32_t i = find_range(self, chunk);
    const struct part *part = i < FRACTIONS_MAX ? parts_find(&self->items[i]->parts, serial) : NULL;
    return part != NULL && part->held[chunk - self->items[i]->task.first_chunk] != 0;
}

bool fractions_grant(struct fractions *self, uint64_t serial, uint32_t window, uint64_t now_ms,
                     uint64_t retry_ms, struct fraction_run *out)
{
    for (uint32_t i = 0; i < self->count; i++) {
        if (opens(self, i, serial) &&
            fraction_grant(self->items[i], serial, window, now_ms, retry_ms, out)) {
            return true;
        }
    }
    return false;
}

bool fractions_tear(struct fractions *self, uint64_t serial)
{
    bool news = false;
    for (uint32_t i = 0; i < self->count; i++) {
        news = fraction_tear(self->items[i], serial) || news;
    }
    return news;
}

void fractions_reset_grants(struct fractions *self, uint64_t serial)
{
    for (uint32_t i = 0; i < self->count; i++) {
        fraction_reset_grants(self->items[i], serial);
    }
}

bool fractions_missing(struct fractions *self, uint64_t serial, uint32_t *out_chunk)
{
    for (uint32_t i = 0; i < self->count; i++) {
        struct fraction *fraction = self->items[i];
        struct part *part = opens(self, i, serial) ? parts_find(&fraction->parts, serial) : NULL;
        if (part == NULL || part->bad || part->held_count == fraction->task.chunk_count) {
            continue;
        }
        while (part->held[part->next % fraction->task.chunk_count]) {
            part->next = (part->next + 1) % fraction->task.chunk_count;
        }
        *out_chunk = fraction->task.first_chunk + part->next % fraction->task.chunk_count;
        return true;
    }
    return false;
}

enum status fractions_set(struct fractions *self, uint32_t first_chunk, uint64_t epoch,
                          const uint64_t *serials, size_t count)
{
    for (uint32_t i = 0; i < self->count; i++) {
        struct fraction *fraction = self->items[i];
        if (fraction->begun && fraction->task.first_chunk == first_chunk) {
            enum status status = fraction_set(fraction, epoch, serials, count);
            if (status == STATUS_OK && epoch > self->epoch) {
                self->roomless_serial = 0; /* what the new set does not need may give way */
            }
            self->epoch = status == STATUS_OK && epoch > self->epoch ? epoch : self->epoch;
            return status;
        }
    }
    return STATUS_STALE;
}

/* A grant lies within one range, as the sets do. */
enum status fractions_grant_sums(struct fractions *self, uint64_t epoch, uint32_t first_chunk,
                                 uint32_t chunk_count)
{
    uint32_t i = find_range(self, first_chunk);
    return i == FRACTIONS_MAX
               ? STATUS_OUT_OF_RANGE
               : fraction_grant_sums(self->items[i], epoch, first_chunk, chunk_count);
}

bool fractions_next_sum(struct fractions *self, uint32_t *out_chunk)
{
    for (uint32_t i = 0; i < self->count; i++) {
        if (is_active(self, i) && fraction_next_sum(self->items[i], out_chunk)) {
            self->sum_of = i;
            return true;
        }
    }
    return false;
}

size_t fractions_pack(const struct fractions *self, uint32_t chunk, uint8_t *out)
{
    CHECK(self->sum_of < self->count);
    return fraction_pack(self->items[self->sum_of], chunk, out);
}

void fractions_sum_sent(struct fractions *self, uint32_t chunk)
{
    CHECK(self->sum_of < self->count);
    fraction_sum_sent(self->items[self->sum_of], chunk);
}

void fractions_holds(const struct fractions *self, struct fraction_holds *out)
{
    *out = (struct fraction_holds){.epoch = self->epoch};
    for (uint32_t i = 0; i < self->count; i++) {
        struct fraction_holds one;
        if (!is_active(self, i)) {
            continue;
        }
        fraction_holds(self->items[i], &one);
        out->parts_held += one.parts_held;
        out->parts_missing += one.parts_missing;
        out->sums_ready += one.sums_ready;
        if (one.lacking_count > out->lacking_count) {
            out->lacking_count = one.lacking_count;
            out->lacking_serial = one.lacking_serial;
        }
        out->torn_serial = out->torn_serial == 0 ? one.torn_serial : out->torn_serial;
        if (out->bad_serial == 0) {
            out->bad_serial = one.bad_serial;
            out->bad_chunk = one.bad_chunk;
        }
    }
    /* Further ranges are given up before a contribution is. */
    if (out->torn_serial == 0 && self->count == 1 &&
        fraction_wants(self->items[0], self->roomless_serial)) {
        out->torn_serial = self->roomless_serial;
    }
}
