#include "tests/sim/sim_gather.h"

#include "coordinator/gather/gather_state.h"
#include "tests/sim/sim.h"

#include <string.h>

/* The same sums have the same packing. */
static bool same(const struct packed *a, const struct packed *b)
{
    return a->size_bytes == b->size_bytes && memcmp(a->data, b->data, a->size_bytes) == 0;
}

void sim_gather_check_complete(const struct gather *gather, bool all_checked)
{
    for (uint32_t i = 0; i < gather->chunk_count; i++) {
        const struct chunk *chunk = &gather->chunks[i];
        const struct owner *owner =
            chunk->owner != GATHER_NONE ? &gather->owners[chunk->owner] : NULL;
        if (owner == NULL || owner->out) {
            continue;
        }
        if (all_checked && !owner->facts.trusted && chunk->own.data == NULL) {
            sim_fail("the sum of chunk %u of an owner that is not trusted was not checked",
                     (unsigned)i);
        }
        if (chunk->own.data != NULL && chunk->returned.data != NULL &&
            !same(&chunk->own, &chunk->returned)) {
            sim_fail("an owner returned another sum of chunk %u, and is believed", (unsigned)i);
        }
    }
}
