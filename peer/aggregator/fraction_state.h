/* fraction_state - what fraction.c (contributions, sets) and fraction_sums.c (chunks) share. Inside
 * peer/aggregator only. */
#ifndef DUGNAD_PEER_AGGREGATOR_FRACTION_STATE_H
#define DUGNAD_PEER_AGGREGATOR_FRACTION_STATE_H

#include "peer/aggregator/parts.h"

struct fraction_chunk {
    uint32_t added; /* contributions in its sum; 0: the sum's memory holds anything */
    bool granted;   /* the coordinator wants it in this epoch, and it was not sent since */
    bool queued;
};

struct fraction {
    bool begun;
    struct fraction_task task;
    struct exact_grid grid;
    struct parts parts;
    size_t sums_capacity; /* values */
    int64_t *sums;        /* of chunk i at i * CODEC_CHUNK_VALUES */
    size_t chunks_capacity;
    struct fraction_chunk *chunks; /* (task.chunk_count) */
    uint32_t *queue;               /* ring (task.chunk_count): chunks that were ready and granted */
    uint32_t queue_first;
    uint32_t queue_count;
    uint64_t epoch; /* 0: no set yet */
    uint32_t set_count;
    uint64_t *set; /* (set_count), sorted */
    uint32_t ready_count;
    uint64_t parts_added; /* sum of all chunks' `added` */
};

/* Values of chunk i of the fraction. */
size_t fraction_chunk_values(const struct fraction *self, uint32_t i);

/* Encoded chunk i of a part. */
uint8_t *fraction_part_data(const struct part *part, uint32_t i);

/* Chunk i of a part, which is there, goes into the sum or leaves it. */
void fraction_include(struct fraction *self, const struct part *part, uint32_t i);
void fraction_exclude(struct fraction *self, const struct part *part, uint32_t i);

/* The same for all chunks that are there, unless it is so already. */
void fraction_include_all(struct fraction *self, struct part *part);
void fraction_exclude_all(struct fraction *self, struct part *part);

/* The set is another: no sum is granted, and what is ready is counted afresh. */
void fraction_restart_sums(struct fraction *self);

#endif
