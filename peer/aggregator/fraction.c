#include "peer/aggregator/fraction.h"

#include "common/fault.h"
#include "peer/aggregator/fraction_state.h"
#include "proto/codec/chunks.h"

#include <stdlib.h>
#include <string.h>

enum status fraction_new(uint64_t bytes_max, struct fraction **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to aggregate for others");
    }
    parts_init(&(*out)->parts, bytes_max);
    return STATUS_OK;
}

static void free_sums(struct fraction *self)
{
    free(self->sums);
    free(self->chunks);
    free(self->queue);
    self->sums = NULL;
    self->chunks = NULL;
    self->queue = NULL;
    parts_release(&self->parts, self->sums_capacity * sizeof *self->sums);
    self->sums_capacity = 0;
    self->chunks_capacity = 0;
}

void fraction_free(struct fraction *self)
{
    if (self == NULL) {
        return;
    }
    parts_deinit(&self->parts);
    free_sums(self);
    free(self->set);
    free(self);
}

const struct fraction_task *fraction_task(const struct fraction *self)
{
    return self->begun ? &self->task : NULL;
}

uint64_t fraction_bytes(const struct fraction *self)
{
    return self->parts.bytes;
}

static bool task_is_whole(const struct fraction_task *task)
{
    return task->step_tokens > 0 && task->step_tokens <= UINT64_C(1) << EXACT_SUM_TOKENS_LOG2_MAX &&
           task->value_count > 0 && task->value_count % CODEC_BLOCK_VALUES == 0 &&
           task->value_count <= SIZE_MAX / sizeof(int64_t) &&
           task->value_count / CODEC_CHUNK_VALUES < UINT32_MAX && task->chunk_count > 0 &&
           task->first_chunk < chunks_count(task->value_count) &&
           task->chunk_count <= chunks_count(task->value_count) - task->first_chunk;
}

/* Values of the whole fraction: chunks before the vector's last are full. */
static size_t fraction_values(const struct fraction_task *task)
{
    return (size_t)(task->chunk_count - 1) * CODEC_CHUNK_VALUES +
           chunks_values(task->value_count, task->first_chunk + task->chunk_count - 1);
}

/* Sums, chunk states and queue of the task's size; what is large enough stays. */
static enum status fit_sums(struct fraction *self, const struct fraction_task *task)
{
    size_t values = fraction_values(task);
    if (values <= self->sums_capacity && task->chunk_count <= self->chunks_capacity) {
        return STATUS_OK;
    }
    free_sums(self);
    enum status status = parts_reserve(&self->parts, values * sizeof *self->sums);
    if (status != STATUS_OK) {
        return fault(status,
                     "sums of %zu values do not fit the memory that may be used to "
                     "aggregate; allow more",
                     values);
    }
    self->sums_capacity = values;
    self->sums = malloc(values * sizeof *self->sums);
    self->chunks = malloc(task->chunk_count * sizeof *self->chunks);
    self->queue = malloc(task->chunk_count * sizeof *self->queue);
    if (self->sums == NULL || self->chunks == NULL || self->queue == NULL) {
        free_sums(self);
        return fault(STATUS_NO_MEMORY, "no memory for sums of %zu values", values);
    }
    self->chunks_capacity = task->chunk_count;
    return STATUS_OK;
}

static void forget_step(struct fraction *self)
{
    parts_clear(&self->parts);
    free(self->set);
    self->set = NULL;
    self->set_count = 0;
    self->epoch = 0;
    self->parts_added = 0;
    self->begun = false;
}

static bool same_task(const struct fraction_task *a, const struct fraction_task *b)
{
    return a->step == b->step && a->plan_id == b->plan_id && a->step_tokens == b->step_tokens &&
           a->value_count == b->value_count && a->first_chunk == b->first_chunk &&
           a->chunk_count == b->chunk_count;
}

enum status fraction_begin(struct fraction *self, const struct fraction_task *task)
{
    if (self->begun && same_task(&self->task, task)) {
        return STATUS_OK;
    }
    if (self->begun && task->step < self->task.step) {
        return STATUS_STALE;
    }
    forget_step(self);
    if (!task_is_whole(task)) {
        return fault(STATUS_BAD_SHAPE, "the coordinator asks for sums of chunks that the "
                                       "parameters do not have");
    }
    enum status status = fit_sums(self, task);
    if (status != STATUS_OK) {
        return status;
    }
    self->task = *task;
    self->grid = exact_grid_for(task->step_tokens);
    self->begun = true;
    memset(self->chunks, 0, task->chunk_count * sizeof *self->chunks);
    fraction_restart_sums(self);
    return STATUS_OK;
}

static int compare_serials(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static bool in_set(const struct fraction *self, uint64_t serial)
{
    return self->set_count > 0 &&
           bsearch(&serial, self->set, self->set_count, sizeof serial, compare_serials) != NULL;
}

/* Gives up one contribution that the set does not need. */
static bool evict(struct fraction *self)
{
    for (size_t i = 0; self->epoch > 0 && i < self->parts.count; i++) {
        if (!self->parts.items[i]->included) {
            parts_remove(&self->parts, self->parts.items[i]);
            return true;
        }
    }
    return false;
}

enum status fraction_open(struct fraction *self, const struct fraction_part *facts)
{
    if (!self->begun) {
        return STATUS_STALE;
    }
    struct part *part = parts_find(&self->parts, facts->serial);
    if (part != NULL) {
        bool same = part->facts.codec == facts->codec && part->facts.tokens == facts->tokens;
        return same ? STATUS_OK : STATUS_BAD_DATA;
    }
    if (facts->serial == 0 || facts->tokens == 0 || facts->tokens > self->grid.tokens_max) {
        return STATUS_OUT_OF_RANGE;
    }
    size_t data_bytes = codec_encoded_bytes(facts->codec, fraction_values(&self->task));
    enum status status = STATUS_FULL;
    do {
        status = parts_add(&self->parts, facts, data_bytes, self->task.chunk_count, &part);
    } while (status == STATUS_FULL && evict(self));
    if (status == STATUS_OK) {
        part->included = self->epoch == 0 || in_set(self, facts->serial);
    }
    return status;
}

enum status fraction_add(struct fraction *self, uint64_t serial, uint32_t chunk,
                         const uint8_t *data, size_t size_bytes)
{
    struct part *part = self->begun ? parts_find(&self->parts, serial) : NULL;
    if (part == NULL) {
        return STATUS_STALE;
    }
    uint32_t i = chunk - self->task.first_chunk;
    if (chunk < self->task.first_chunk || i >= self->task.chunk_count) {
        return STATUS_PROTOCOL;
    }
    if (part->held[i]) {
        return STATUS_OK;
    }
    enum status status = exact_sum_check(&self->grid, part->facts.codec, data, size_bytes,
                                         fraction_chunk_values(self, i), part->facts.tokens);
    if (status != STATUS_OK) {
        part->bad = true;
        part->bad_chunk = i;
        return status;
    }
    memcpy(fraction_part_data(part, i), data, size_bytes);
    part->held[i] = 1;
    part->held_count++;
    asked_forget(&part->asked, i);
    if (part->included) {
        fraction_include(self, part, i);
    }
    return STATUS_OK;
}

bool fraction_wants(const struct fraction *self, uint64_t serial)
{
    return self->begun && in_set(self, serial) && parts_find(&self->parts, serial) == NULL;
}

bool fraction_tear(struct fraction *self, uint64_t serial)
{
    struct part *part = self->begun ? parts_find(&self->parts, serial) : NULL;
    bool news = part != NULL && !part->torn;
    if (news) {
        part->torn = true;
    }
    return news;
}

void fraction_drop(struct fraction *self, uint64_t serial)
{
    struct part *part = self->begun ? parts_find(&self->parts, serial) : NULL;
    if (part != NULL) {
        fraction_exclude_all(self, part);
        parts_remove(&self->parts, part);
    }
}

static bool is_fresh(const struct fraction *self, const struct part *part, uint32_t i)
{
    return i < self->task.chunk_count && !part->held[i] && !asked_has(&part->asked, i);
}

bool fraction_grant(struct fraction *self, uint64_t serial, uint32_t window, uint64_t now_ms,
                    uint64_t retry_ms, struct fraction_run *out)
{
    struct part *part = self->begun ? parts_find(&self->parts, serial) : NULL;
    if (part == NULL || part->bad || part->torn || part->held_count == self->task.chunk_count) {
        return false;
    }
    uint32_t lowest = asked_expire(&part->asked, now_ms, retry_ms);
    part->next = lowest < part->next ? lowest : part->next;
    while (part->next < self->task.chunk_count && !is_fresh(self, part, part->next)) {
        part->next++;
    }
    window = window < ASKED_MAX ? window : ASKED_MAX;
    *out = (struct fraction_run){.first_chunk = self->task.first_chunk + part->next};
    while (part->asked.count < window && is_fresh(self, part, part->next)) {
        asked_add(&part->asked, part->next++, now_ms);
        out->chunk_count++;
    }
    return out->chunk_count > 0;
}

void fraction_reset_grants(struct fraction *self, uint64_t serial)
{
    struct part *part = self->begun ? parts_find(&self->parts, serial) : NULL;
    if (part != NULL) {
        part->asked.count = 0;
        part->next = 0;
    }
}

/* A sorted copy of serials from outside. */
static enum status copy_set(const uint64_t *serials, size_t count, uint64_t **out)
{
    *out = malloc(count * sizeof **out + 1);
    if (*out == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (count > 0) {
        memcpy(*out, serials, count * sizeof **out);
        qsort(*out, count, sizeof **out, compare_serials);
    }
    for (size_t i = 0; i < count; i++) {
        if ((*out)[i] == 0 || (i > 0 && (*out)[i] == (*out)[i - 1])) {
            free(*out);
            *out = NULL;
            return STATUS_BAD_DATA;
        }
    }
    return STATUS_OK;
}

enum status fraction_set(struct fraction *self, uint64_t epoch, const uint64_t *serials,
                         size_t count)
{
    if (!self->begun || epoch == 0 || epoch < self->epoch) {
        return STATUS_STALE;
    }
    if (epoch == self->epoch) {
        return STATUS_OK;
    }
    if (count > FRACTION_PARTS_MAX) {
        return STATUS_FULL;
    }
    uint64_t *set = NULL;
    enum status status = copy_set(serials, count, &set);
    if (status != STATUS_OK) {
        return status;
    }
    free(self->set);
    self->set = set;
    self->set_count = (uint32_t)count;
    self->epoch = epoch;
    for (size_t i = 0; i < self->parts.count; i++) {
        struct part *part = self->parts.items[i];
        if (in_set(self, part->facts.serial)) {
            fraction_include_all(self, part);
        } else {
            fraction_exclude_all(self, part);
        }
    }
    fraction_restart_sums(self);
    return STATUS_OK;
}

/* The contribution of the set that lacks most, and how many lack anything. */
static void find_lacking(const struct fraction *self, struct fraction_holds *out)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < self->set_count; i++) {
        const struct part *part = parts_find(&self->parts, self->set[i]);
        uint32_t missing = self->task.chunk_count - (part != NULL ? part->held_count : 0);
        out->lacking_count += missing > 0 ? 1 : 0;
        if (missing > most) {
            most = missing;
            out->lacking_serial = self->set[i];
        }
    }
}

void fraction_holds(const struct fraction *self, struct fraction_holds *out)
{
    *out = (struct fraction_holds){.epoch = self->begun ? self->epoch : 0};
    if (!self->begun) {
        return;
    }
    out->parts_held = self->parts_added;
    out->sums_ready = self->ready_count;
    if (self->epoch > 0) {
        out->parts_missing = (uint64_t)self->set_count * self->task.chunk_count - self->parts_added;
        find_lacking(self, out);
    }
    for (size_t i = 0; i < self->parts.count; i++) {
        const struct part *part = self->parts.items[i];
        if (part->torn && part->included && out->torn_serial == 0) {
            out->torn_serial = part->facts.serial;
        }
        if (part->bad && part->included && out->bad_serial == 0) {
            out->bad_serial = part->facts.serial;
            out->bad_chunk = self->task.first_chunk + part->bad_chunk;
        }
    }
}
