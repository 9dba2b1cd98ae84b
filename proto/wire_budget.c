#include "proto/wire_parts.h"

#include <stdlib.h>

static void *budget_alloc(void *context, size_t size_bytes)
{
    struct wire_budget *self = context;
    if (size_bytes > self->limit_bytes - self->used_bytes) {
        return NULL;
    }
    self->used_bytes += size_bytes;
    return malloc(size_bytes);
}

static void budget_free(void *context, void *memory)
{
    (void)context;
    free(memory);
}

void wire_budget_init(struct wire_budget *self, size_t limit_bytes)
{
    self->allocator.alloc = budget_alloc;
    self->allocator.free = budget_free;
    self->allocator.allocator_data = self;
    self->limit_bytes = limit_bytes;
    self->used_bytes = 0;
}
