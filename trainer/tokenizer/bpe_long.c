#include "common/fault.h"
#include "trainer/tokenizer/bpe.h"

#include <stdlib.h>

enum { NOWHERE = UINT32_MAX };

/* A linked list of ids, and a heap of what may be merged. An entry is rank << 32 | place, so the
 * least is the lowest rank and of these the leftmost. Entries are never removed: one that no
 * longer tells the rank at its place is passed over. */
struct merging {
    const struct bpe *bpe;
    uint16_t *ids;
    uint32_t *next;     /* (count) NOWHERE at the end */
    uint32_t *previous; /* (count) NOWHERE at the start */
    uint64_t *heap;     /* (3 * count): one for each pair, two for each merge */
    size_t heap_count;
    bool *gone; /* (count) merged into its left neighbour */
};

static void heap_push(struct merging *self, uint64_t entry)
{
    size_t at = self->heap_count++;
    while (at > 0 && self->heap[(at - 1) / 2] > entry) {
        self->heap[at] = self->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->heap[at] = entry;
}

static uint64_t heap_pop(struct merging *self)
{
    uint64_t least = self->heap[0];
    uint64_t last = self->heap[--self->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->heap_count) {
            break;
        }
        if (child + 1 < self->heap_count && self->heap[child + 1] < self->heap[child]) {
            child++;
        }
        if (last <= self->heap[child]) {
            break;
        }
        self->heap[at] = self->heap[child];
        at = child;
    }
    self->heap[at] = last;
    return least;
}

static void consider(struct merging *self, uint32_t place)
{
    if (place == NOWHERE || self->next[place] == NOWHERE) {
        return;
    }
    uint32_t rank = bpe_rank(self->bpe, self->ids[place], self->ids[self->next[place]]);
    if (rank != BPE_NO_RANK) {
        heap_push(self, (uint64_t)rank << 32 | place);
    }
}

static void merge_at(struct merging *self, uint32_t place, uint32_t rank)
{
    uint32_t next = self->next[place];
    if (self->gone[place] || next == NOWHERE ||
        bpe_rank(self->bpe, self->ids[place], self->ids[next]) != rank) {
        return;
    }
    self->ids[place] = self->bpe->merges[rank].result;
    self->gone[next] = true;
    self->next[place] = self->next[next];
    if (self->next[next] != NOWHERE) {
        self->previous[self->next[next]] = place;
    }
    consider(self, self->previous[place]);
    consider(self, place);
}

static size_t merge_all(struct merging *self, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        self->next[i] = i + 1 < count ? (uint32_t)(i + 1) : NOWHERE;
        self->previous[i] = i > 0 ? (uint32_t)(i - 1) : NOWHERE;
    }
    for (size_t i = 0; i < count; i++) {
        consider(self, (uint32_t)i);
    }
    while (self->heap_count > 0) {
        uint64_t entry = heap_pop(self);
        merge_at(self, (uint32_t)entry, (uint32_t)(entry >> 32));
    }
    size_t kept = 0;
    for (uint32_t place = 0; place != NOWHERE; place = self->next[place]) {
        self->ids[kept++] = self->ids[place];
    }
    return kept;
}

enum status bpe_merge_long(const struct bpe *self, uint16_t *ids, size_t count, size_t *out_count)
{
    *out_count = 0;
    if (count >= NOWHERE) {
        return fault(STATUS_FULL, "a piece of text without a break has %zu bytes, too many", count);
    }
    struct merging merging = {
        .bpe = self,
        .ids = ids,
        .next = malloc(count * sizeof(*merging.next)),
        .previous = malloc(count * sizeof(*merging.previous)),
        .heap = malloc(3 * count * sizeof(*merging.heap)),
        .gone = calloc(count, sizeof(*merging.gone)),
    };
    enum status status = STATUS_OK;
    if (merging.next == NULL || merging.previous == NULL || merging.heap == NULL ||
        merging.gone == NULL) {
        status = fault(STATUS_NO_MEMORY, "no memory to encode a piece of %zu bytes without a break",
                       count);
    } else {
        *out_count = merge_all(&merging, count);
    }
    free(merging.next);
    free(merging.previous);
    free(merging.heap);
    free(merging.gone);
    return status;
}
