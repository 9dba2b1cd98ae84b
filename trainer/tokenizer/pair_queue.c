#include "trainer/tokenizer/pair_queue.h"

#include "common/check.h"
#include "common/fault.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_AT_FIRST = 1 << 16 };

static enum status no_memory(void)
{
    return fault(STATUS_NO_MEMORY, "no memory to train the tokenizer");
}

enum status pair_queue_init(struct pair_queue *self)
{
    *self = (struct pair_queue){.slot_count = SLOTS_AT_FIRST};
    self->slots = calloc(self->slot_count, sizeof(*self->slots));
    return self->slots == NULL ? no_memory() : STATUS_OK;
}

void pair_queue_deinit(struct pair_queue *self)
{
    for (size_t i = 0; i < self->pair_count; i++) {
        free(self->pairs[i].places);
    }
    free(self->pairs);
    free(self->slots);
    free(self->heap);
    free(self->waiting);
    *self = (struct pair_queue){0};
}

/* Room for one more item; `*items` keeps its value on error. */
static enum status grow(void **items, size_t *capacity, size_t used, size_t item_size)
{
    if (used < *capacity) {
        return STATUS_OK;
    }
    size_t wanted = *capacity < 4 ? 4 : 2 * *capacity;
    void *larger = realloc(*items, wanted * item_size);
    if (larger == NULL) {
        return no_memory();
    }
    *items = larger;
    *capacity = wanted;
    return STATUS_OK;
}

static uint32_t *find_slot(const struct pair_queue *self, uint32_t key)
{
    size_t mask = self->slot_count - 1;
    uint64_t hash = key * 0x9e3779b97f4a7c15U;
    size_t place = (hash >> 32) & mask;
    while (self->slots[place] != 0 && self->pairs[self->slots[place] - 1].key != key) {
        place = (place + 1) & mask;
    }
    return &self->slots[place];
}

static enum status grow_slots(struct pair_queue *self)
{
    if (2 * (self->pair_count + 1) <= self->slot_count) {
        return STATUS_OK;
    }
    uint32_t *slots = calloc(2 * self->slot_count, sizeof(*slots));
    if (slots == NULL) {
        return no_memory();
    }
    free(self->slots);
    self->slots = slots;
    self->slot_count *= 2;
    for (size_t i = 0; i < self->pair_count; i++) {
        *find_slot(self, self->pairs[i].key) = (uint32_t)(i + 1);
    }
    return STATUS_OK;
}

/* The place in pairs of a pair, which is made when it is new. */
static enum status find_or_make(struct pair_queue *self, uint32_t key, uint32_t *out)
{
    uint32_t *slot = find_slot(self, key);
    if (*slot != 0) {
        *out = *slot - 1;
        return STATUS_OK;
    }
    void *items = self->pairs;
    enum status status = grow_slots(self);
    if (status == STATUS_OK) {
        status = grow(&items, &self->pair_capacity, self->pair_count, sizeof(*self->pairs));
        self->pairs = items;
    }
    if (status != STATUS_OK) {
        return status;
    }
    *out = (uint32_t)self->pair_count++;
    self->pairs[*out] = (struct pair){.key = key};
    *find_slot(self, key) = *out + 1;
    return STATUS_OK;
}

enum status pair_queue_add(struct pair_queue *self, uint32_t left, uint32_t right, uint64_t weight,
                           uint32_t place)
{
    uint32_t index = 0;
    enum status status = find_or_make(self, left << 16 | right, &index);
    if (status != STATUS_OK) {
        return status;
    }
    struct pair *pair = &self->pairs[index];
    void *places = pair->places;
    size_t capacity = pair->place_capacity;
    status = grow(&places, &capacity, pair->place_count, sizeof(*pair->places));
    pair->places = places;
    pair->place_capacity = (uint32_t)capacity;
    if (status == STATUS_OK && !pair->is_waiting) {
        void *waiting = self->waiting;
        status =
            grow(&waiting, &self->waiting_capacity, self->waiting_count, sizeof(*self->waiting));
        self->waiting = waiting;
    }
    if (status != STATUS_OK) {
        return status;
    }
    pair->places[pair->place_count++] = place;
    pair->count += weight;
    if (!pair->is_waiting) {
        pair->is_waiting = true;
        self->waiting[self->waiting_count++] = index;
    }
    return STATUS_OK;
}

void pair_queue_remove(struct pair_queue *self, uint32_t left, uint32_t right, uint64_t weight)
{
    const uint32_t *slot = find_slot(self, left << 16 | right);
    if (*slot != 0) {
        struct pair *pair = &self->pairs[*slot - 1];
        pair->count -= weight < pair->count ? weight : pair->count;
    }
}

static bool comes_before(const struct queue_entry *a, const struct queue_entry *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

/* Moves the entry at the top down to its place. */
static void sift_down(struct pair_queue *self)
{
    const struct queue_entry moved = self->heap[0];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->heap_count) {
            break;
        }
        if (child + 1 < self->heap_count &&
            comes_before(&self->heap[child + 1], &self->heap[child])) {
            child++;
        }
        if (!comes_before(&self->heap[child], &moved)) {
            break;
        }
        self->heap[at] = self->heap[child];
        at = child;
    }
    self->heap[at] = moved;
}

static void drop_top(struct pair_queue *self)
{
    self->heap[0] = self->heap[--self->heap_count];
    if (self->heap_count > 0) {
        sift_down(self);
    }
}

static enum status push(struct pair_queue *self, struct queue_entry entry)
{
    void *items = self->heap;
    enum status status = grow(&items, &self->heap_capacity, self->heap_count, sizeof(*self->heap));
    self->heap = items;
    if (status != STATUS_OK) {
        return status;
    }
    size_t at = self->heap_count++;
    while (at > 0 && comes_before(&entry, &self->heap[(at - 1) / 2])) {
        self->heap[at] = self->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->heap[at] = entry;
    return STATUS_OK;
}

enum status pair_queue_settle(struct pair_queue *self)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < self->waiting_count; i++) {
        uint32_t index = self->waiting[i];
        struct pair *pair = &self->pairs[index];
        pair->is_waiting = false;
        if (pair->count > 0) {
            status = push(self, (struct queue_entry){pair->count, pair->key, index});
        }
    }
    self->waiting_count = 0;
    return status;
}

static int compare_places(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

/* They are appended in order, except where two merges made the same token. */
static void sort_places(struct pair *pair)
{
    for (uint32_t i = 1; i < pair->place_count; i++) {
        if (pair->places[i] < pair->places[i - 1]) {
            qsort(pair->places, pair->place_count, sizeof(*pair->places), compare_places);
            return;
        }
    }
}

bool pair_queue_pop(struct pair_queue *self, uint64_t least, struct pair *out)
{
    while (self->heap_count > 0) {
        struct queue_entry *top = &self->heap[0];
        struct pair *pair = &self->pairs[top->pair];
        CHECK(pair->count <= top->count);
        if (pair->count == 0) {
            drop_top(self);
        } else if (pair->count != top->count) {
            top->count = pair->count;
            sift_down(self);
        } else if (pair->count < least) {
            return false;
        } else {
            drop_top(self);
            *out = *pair;
            pair->count = 0;
            pair->places = NULL;
            pair->place_count = 0;
            pair->place_capacity = 0;
            sort_places(out);
            return true;
        }
    }
    return false;
}
