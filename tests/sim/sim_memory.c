#include "tests/sim/sim_memory.h"

#include <stdio.h>
#include <stdlib.h>

static void *checked(void *memory)
{
    if (memory == NULL) {
        (void)fputs("the simulator has no memory\n", stderr);
        abort();
    }
    return memory;
}

void *sim_memory_new(size_t count, size_t item_bytes)
{
    return checked(calloc(count > 0 ? count : 1, item_bytes));
}

void *sim_memory_resize(void *old, size_t count, size_t item_bytes)
{
    return checked(reallocarray(old, count > 0 ? count : 1, item_bytes));
}

void sim_memory_free(void *memory)
{
    free(memory);
}
