/* parts - the contributions that an owner keeps, within a limit of bytes.
 *
 * One buffer a contribution holds the encoded chunks of the fraction, each at its own place.
 * Buffers of contributions that ended are kept for later ones as long as they fit.
 *
 * Pure: no I/O, clock or threads. One owner; inside peer/aggregator only. */
#ifndef DUGNAD_PEER_AGGREGATOR_PARTS_H
#define DUGNAD_PEER_AGGREGATOR_PARTS_H

#include "common/asked.h"
#include "peer/aggregator/fraction.h"

enum { PARTS_SPARES_MAX = 1024 };

struct part_buffer {
    uint8_t *data;
    size_t capacity_bytes;
};

struct part {
    struct fraction_part facts;
    bool included; /* its chunks are in the sums */
    bool torn;     /* fraction_tear */
    bool bad;      /* a chunk failed its check: bad_chunk, of the fraction */
    uint32_t bad_chunk;
    uint32_t held_count;
    uint32_t next; /* below it, every chunk is held or asked for */
    struct asked asked;
    struct part_buffer buffer; /* the encoded chunks, then `held` */
    uint8_t *held;             /* (chunk_count), 1: here */
};

struct parts {
    uint64_t bytes_max;
    uint64_t bytes; /* of items, spares and what the fraction reserved */
    size_t count;
    size_t capacity;
    struct part **items; /* (count), by serial */
    size_t spare_count;
    struct part_buffer spares[PARTS_SPARES_MAX];
};

void parts_init(struct parts *self, uint64_t bytes_max);
void parts_deinit(struct parts *self);

/* The part of a serial; NULL: there is none. */
struct part *parts_find(const struct parts *self, uint64_t serial);

/* Adds a part with room for `data_bytes` and chunk_count flags. Errors: FULL, NO_MEMORY. */
MUST_CHECK enum status parts_add(struct parts *self, const struct fraction_part *facts,
                                 size_t data_bytes, uint32_t chunk_count, struct part **out);
void parts_remove(struct parts *self, struct part *part);
void parts_clear(struct parts *self);

/* Counts bytes that are allocated elsewhere, giving up spare buffers where needed. Errors: FULL. */
MUST_CHECK enum status parts_reserve(struct parts *self, uint64_t bytes);
void parts_release(struct parts *self, uint64_t bytes);

#endif
