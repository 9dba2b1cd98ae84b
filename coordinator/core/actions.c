#include "coordinator/core/core_state.h"

#include <stdlib.h>

struct core_action *actions_add(struct core_actions *self, enum core_action_type type,
                                uint32_t peer)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity == 0 ? 16 : self->capacity * 2;
        struct core_action *items = realloc(self->items, capacity * sizeof *items);
        if (items == NULL) {
            return NULL;
        }
        self->items = items;
        self->capacity = capacity;
    }
    struct core_action *action = &self->items[self->count++];
    *action = (struct core_action){.type = type, .peer = peer};
    return action;
}

void core_actions_deinit(struct core_actions *self)
{
    free(self->items);
    *self = (struct core_actions){0};
}
