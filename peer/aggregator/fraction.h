/* fraction - an owner's side of one step: exact sums of a range of chunks of the flat vector.
 *
 * Contributions are opened with what a verified ticket says; their chunks come in any order, are
 * checked, kept as they came, and added at once. The coordinator's newest set (an epoch and the
 * serials in it) says what belongs in the sums: before the first set that is everything that is
 * open, afterwards the set alone. What leaves is subtracted, which is exact, because sums are
 * integers. A chunk is ready when every contribution of the set has its part of it there; its
 * packed sum is due to the coordinator once that has also granted it in this epoch.
 *
 * The bytes that are kept never exceed the limit. Buffers are used again in later steps.
 *
 * Pure: no I/O, clock or threads. One owner; not thread-safe. */
#ifndef DUGNAD_PEER_AGGREGATOR_FRACTION_H
#define DUGNAD_PEER_AGGREGATOR_FRACTION_H

#include "proto/codec/exact_sum.h"

enum { FRACTION_PARTS_MAX = 65536 /* contributions that are open, and serials in a set */ };

struct fraction_task {
    uint64_t step;
    uint64_t plan_id;
    uint64_t step_tokens; /* of the whole target batch: the grid of the sums */
    size_t value_count;   /* of the whole vector, a multiple of CODEC_BLOCK_VALUES */
    uint32_t first_chunk;
    uint32_t chunk_count;
};

struct fraction_part {
    uint64_t serial;
    enum codec codec;
    uint64_t tokens;
};

struct fraction_run {
    uint32_t first_chunk; /* of the whole vector */
    uint32_t chunk_count;
};

struct fraction_holds {
    uint64_t epoch;         /* 0: there is no set */
    uint64_t parts_held;    /* chunks of contributions that are in the sums */
    uint64_t parts_missing; /* of the set; 0 without a set */
    uint32_t sums_ready;
    uint32_t lacking_count;  /* contributions of the set that lack chunks here */
    uint64_t lacking_serial; /* the one that lacks most; 0: none */
    uint64_t bad_serial;     /* one whose chunk failed its check, and that chunk; 0: none */
    uint32_t bad_chunk;
    uint64_t torn_serial; /* one that fraction_tear was told of, or without room; 0: none */
};

struct fraction;

/* Nothing is open. Sums and contributions may take `bytes_max` together. Errors: NO_MEMORY. The
 * caller owns *out. */
MUST_CHECK enum status fraction_new(uint64_t bytes_max, struct fraction **out);
void fraction_free(struct fraction *self); /* NULL is allowed. */

/* Begins a step; the task that is under way already changes nothing, another one forgets all of
 * it. Errors: STALE (an earlier step than the one under way; nothing changes); BAD_SHAPE (chunks
 * that the vector does not have, wrong sizes), FULL (the sums exceed the limit) and NO_MEMORY with
 * a sentence: then no task is under way. */
MUST_CHECK enum status fraction_begin(struct fraction *self, const struct fraction_task *task);

/* The task under way; NULL: none. */
const struct fraction_task *fraction_task(const struct fraction *self);

/* Opens a contribution of this step; serial > 0. Opening it again is fine. Errors: STALE (no task),
 * BAD_DATA (open already, with other facts), OUT_OF_RANGE (tokens), FULL (it does not fit the
 * limit, though all that the set does not need was given up), NO_MEMORY. */
MUST_CHECK enum status fraction_open(struct fraction *self, const struct fraction_part *part);

/* Takes one chunk, from outside; borrowed. One that is there already is fine and changes nothing.
 * On error nothing changes, but that a bad part is reported from now on. Errors: STALE (not open),
 * PROTOCOL (not a chunk of this fraction), BAD_SHAPE and OUT_OF_RANGE (a bad part). */
MUST_CHECK enum status fraction_add(struct fraction *self, uint64_t serial, uint32_t chunk,
                                    const uint8_t *data, size_t size_bytes);

/* The set has it, and it is not open. */
bool fraction_wants(const struct fraction *self, uint64_t serial);

/* Its contributor sends other bytes than it promised: what is here of it stays, nothing more is
 * granted, and it is reported from now on. True: this is news. */
bool fraction_tear(struct fraction *self, uint64_t serial);

/* Forgets a contribution, which leaves the sums exactly as if it had never come. */
void fraction_drop(struct fraction *self, uint64_t serial);

/* The next run of chunks to grant to a contributor, so that at most `window` are outstanding;
 * those that did not come within retry_ms are granted again. False: nothing to grant now. */
MUST_CHECK bool fraction_grant(struct fraction *self, uint64_t serial, uint32_t window,
                               uint64_t now_ms, uint64_t retry_ms, struct fraction_run *out);

/* The connection was lost: all that is missing may be granted again. */
void fraction_reset_grants(struct fraction *self, uint64_t serial);

/* The coordinator's set, epoch > 0. Sums that were granted under an earlier epoch are not due any
 * more. The present epoch again changes nothing. Errors: STALE (no task, or an older epoch),
 * BAD_DATA (a serial of 0, or twice), FULL (more than FRACTION_PARTS_MAX), NO_MEMORY; then
 * nothing changes. */
MUST_CHECK enum status fraction_set(struct fraction *self, uint64_t epoch, const uint64_t *serials,
                                    size_t count);

/* The coordinator wants these sums as soon as they are ready; again what it did not get.
 * Errors: STALE (another epoch), OUT_OF_RANGE (not chunks of this fraction). */
MUST_CHECK enum status fraction_grant_sums(struct fraction *self, uint64_t epoch,
                                           uint32_t first_chunk, uint32_t chunk_count);

/* A chunk whose sum is ready and granted. False: none now. */
MUST_CHECK bool fraction_next_sum(struct fraction *self, uint32_t *out_chunk);

/* Packs the sum of a chunk that fraction_next_sum gave (CHECKed: it is ready) into `out`, which has
 * room for sum_pack_bytes_max(CODEC_CHUNK_VALUES); its size in bytes. */
size_t fraction_pack(const struct fraction *self, uint32_t chunk, uint8_t *out);

/* The chunk that fraction_next_sum gave (CHECKed) was sent; it is due again only when it is granted
 * again. */
void fraction_sum_sent(struct fraction *self, uint32_t chunk);

void fraction_holds(const struct fraction *self, struct fraction_holds *out);

/* What sums, contributions and buffers for later steps take now. */
uint64_t fraction_bytes(const struct fraction *self);

#endif
