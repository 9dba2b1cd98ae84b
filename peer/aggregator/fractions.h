/* fractions - all that an owner sums in one step: the range of chunks that the plan gives it, and
 * ranges of owners that were lost, which the coordinator gives it since.
 *
 * One fraction (fraction.h) a range, all within one limit of memory. What is opened is opened for
 * all of them, and each chunk goes to the fraction that has it. Every set names its range; a range
 * that the newest epoch does not name is not summed any more: nothing is granted for it, and it is
 * in no report.
 *
 * Pure: no I/O, clock or threads. One owner; not thread-safe. */
#ifndef DUGNAD_PEER_AGGREGATOR_FRACTIONS_H
#define DUGNAD_PEER_AGGREGATOR_FRACTIONS_H

#include "peer/aggregator/fraction.h"

enum { FRACTIONS_MAX = 5 };

struct fractions;

/* Nothing is open; all may take `bytes_max` together. Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status fractions_new(uint64_t bytes_max, struct fractions **out);
void fractions_free(struct fractions *self); /* NULL is allowed. */

/* Begins a step with its first range, or, when the task differs from the one under way in nothing
 * but its range, one more range. Errors: those of fraction_begin; FULL also when there are
 * FRACTIONS_MAX ranges that the newest epoch names. A further range that fails changes nothing. */
MUST_CHECK enum status fractions_begin(struct fractions *self, const struct fraction_task *task);

/* The task of the first range; NULL: none is under way. */
const struct fraction_task *fractions_task(const struct fractions *self);

/* The task is of the step and the plan under way, whatever its range. */
bool fractions_belongs(const struct fractions *self, const struct fraction_task *task);

/* Chunks of all ranges that are summed. */
uint32_t fractions_chunk_count(const struct fractions *self);

/* As fraction_open, in the first range; in the others it is opened when it is needed there. One
 * of the set that finds no room is reported from now on. */
MUST_CHECK enum status fractions_open(struct fractions *self, const struct fraction_part *part);

/* As the functions of fraction.h, in the range that has the chunk, or in one after the other. */
MUST_CHECK enum status fractions_add(struct fractions *self, uint64_t serial, uint32_t chunk,
                                     const uint8_t *data, size_t size_bytes);
MUST_CHECK bool fractions_grant(struct fractions *self, uint64_t serial, uint32_t window,
                                uint64_t now_ms, uint64_t retry_ms, struct fraction_run *out);
bool fractions_tear(struct fractions *self, uint64_t serial);
void fractions_reset_grants(struct fractions *self, uint64_t serial);
MUST_CHECK enum status fractions_grant_sums(struct fractions *self, uint64_t epoch,
                                            uint32_t first_chunk, uint32_t chunk_count);
MUST_CHECK bool fractions_next_sum(struct fractions *self, uint32_t *out_chunk);

/* Of the chunk that fractions_next_sum gave last (CHECKed), before anything else is changed. */
size_t fractions_pack(const struct fractions *self, uint32_t chunk, uint8_t *out);
void fractions_sum_sent(struct fractions *self, uint32_t chunk);

/* This chunk of an open contribution is here. */
bool fractions_has(const struct fractions *self, uint64_t serial, uint32_t chunk);

/* A chunk of an open contribution that is not here, for who does not wait for grants. False: all
 * are. */
MUST_CHECK bool fractions_missing(struct fractions *self, uint64_t serial, uint32_t *out_chunk);

/* The set of the range that begins at first_chunk; as fraction_set. Errors: also STALE (no such
 * range). */
MUST_CHECK enum status fractions_set(struct fractions *self, uint32_t first_chunk, uint64_t epoch,
                                     const uint64_t *serials, size_t count);

/* Of all ranges of the newest epoch together. */
void fractions_holds(const struct fractions *self, struct fraction_holds *out);

#endif
