/* pair_queue - pairs of neighbouring tokens with their counts and places, the most frequent first.
 *
 * A priority queue over the counts: entries are not moved when a count changes, but put right when
 * they come to the top. Of equal counts the smaller left id, then the smaller right id, comes
 * first, as in Hugging Face's trainer. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_PAIR_QUEUE_H
#define DUGNAD_TRAINER_TOKENIZER_PAIR_QUEUE_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pair {
    uint64_t count;
    uint32_t key;     /* left << 16 | right */
    bool is_waiting;  /* for pair_queue_settle */
    uint32_t *places; /* where the pair was seen; it may be gone from there */
    uint32_t place_count, place_capacity;
};

struct queue_entry {
    uint64_t count; /* at most this */
    uint32_t key;
    uint32_t pair; /* place in pairs */
};

struct pair_queue {
    struct pair *pairs;
    size_t pair_count, pair_capacity;
    uint32_t *slots; /* (slot_count) place in pairs + 1; 0: free */
    size_t slot_count;
    struct queue_entry *heap;
    size_t heap_count, heap_capacity;
    uint32_t *waiting; /* pairs that grew since pair_queue_settle */
    size_t waiting_count, waiting_capacity;
};

/* Errors: NO_MEMORY. End it with pair_queue_deinit() in any case. */
MUST_CHECK enum status pair_queue_init(struct pair_queue *self);
void pair_queue_deinit(struct pair_queue *self);

/* Counts `weight` more of a pair at a place. It can be popped after pair_queue_settle().
 * Errors: NO_MEMORY. */
MUST_CHECK enum status pair_queue_add(struct pair_queue *self, uint32_t left, uint32_t right,
                                      uint64_t weight, uint32_t place);

/* Counts `weight` less of a pair that was added with as much. */
void pair_queue_remove(struct pair_queue *self, uint32_t left, uint32_t right, uint64_t weight);

/* Queues what was added. Errors: NO_MEMORY. */
MUST_CHECK enum status pair_queue_settle(struct pair_queue *self);

/* Takes the most frequent pair out, with its places in ascending order, if it occurs `least` times
 * or more; false when none does. The caller frees out->places. */
bool pair_queue_pop(struct pair_queue *self, uint64_t least, struct pair *out);

#endif
