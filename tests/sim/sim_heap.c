#include "tests/sim/sim_heap.h"

#include "common/check.h"
#include "tests/sim/sim_blocks.h"

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->time_us != b->time_us) {
        return a->time_us < b->time_us;
    }
    return a->tie != b->tie ? a->tie < b->tie : a->number < b->number;
}

static void grow(struct sim_heap *self)
{
    if (self->count < self->capacity) {
        return;
    }
    self->capacity = self->capacity == 0 ? 256 : 2 * self->capacity;
    self->items = sim_outer_realloc(self->items, self->capacity * sizeof *self->items);
}

void sim_heap_push(struct sim_heap *self, const struct sim_event *event)
{
    grow(self);
    struct sim_event item = *event;
    item.number = self->pushed++;
    size_t at = self->count++;
    while (at > 0 && before(&item, &self->items[(at - 1) / 2])) {
        self->items[at] = self->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->items[at] = item;
}

static void sift_down(struct sim_heap *self, const struct sim_event *item)
{
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->count) {
            break;
        }
        if (child + 1 < self->count && before(&self->items[child + 1], &self->items[child])) {
            child++;
        }
        if (!before(&self->items[child], item)) {
            break;
        }
        self->items[at] = self->items[child];
        at = child;
    }
    self->items[at] = *item;
}

bool sim_heap_pop(struct sim_heap *self, struct sim_event *out)
{
    if (self->count == 0) {
        return false;
    }
    *out = self->items[0];
    self->count--;
    if (self->count > 0) {
        struct sim_event last = self->items[self->count];
        sift_down(self, &last);
    }
    return true;
}

void sim_heap_deinit(struct sim_heap *self)
{
    sim_outer_free(self->items);
    *self = (struct sim_heap){0};
}
