#include "tests/sim/experiment_queue.h"

#include "tests/sim/sim_memory.h"

enum { CHILDREN = 4, CAPACITY_FIRST = 1024 };

static bool is_before(const struct experiment_event *a, const struct experiment_event *b)
{
    return a->at_s < b->at_s || (a->at_s == b->at_s && a->order < b->order);
}

void experiment_queue_deinit(struct experiment_queue *self)
{
    sim_memory_free(self->items);
    *self = (struct experiment_queue){0};
}

void experiment_queue_add(struct experiment_queue *self, struct experiment_event event)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity == 0 ? CAPACITY_FIRST : 2 * self->capacity;
        self->items = sim_memory_resize(self->items, self->capacity, sizeof *self->items);
    }
    event.order = self->asked++;
    size_t at = self->count++;
    while (at > 0 && is_before(&event, &self->items[(at - 1) / CHILDREN])) {
        self->items[at] = self->items[(at - 1) / CHILDREN];
        at = (at - 1) / CHILDREN;
    }
    self->items[at] = event;
}

static size_t first_child(const struct experiment_queue *self, size_t at)
{
    size_t best = CHILDREN * at + 1;
    for (size_t child = best + 1; child <= CHILDREN * at + CHILDREN && child < self->count;
         child++) {
        if (is_before(&self->items[child], &self->items[best])) {
            best = child;
        }
    }
    return best;
}

bool experiment_queue_take(struct experiment_queue *self, struct experiment_event *out)
{
    if (self->count == 0) {
        return false;
    }
    *out = self->items[0];
    struct experiment_event moved = self->items[--self->count];
    size_t at = 0;
    while (CHILDREN * at + 1 < self->count) {
        size_t child = first_child(self, at);
        if (!is_before(&self->items[child], &moved)) {
            break;
        }
        self->items[at] = self->items[child];
        at = child;
    }
    self->items[at] = moved;
    return true;
}
