/* sample_table - who is responsible for each sample of the step in progress, and of the next one.
 *
 * Samples are numbered from the first of the step in progress: [0, size) are its own, and
 * [size, size + next_size) those of the next step. Each is free, owned by one peer (leased, or
 * computed and still in that peer's accumulator), or counted (inside the step's exact sums). A
 * sample is counted at most once: only its owner can have it counted, only in its own step, and
 * counted is final until the step is over.
 *
 * Pure: no I/O, clock or threads. One owner. */
#ifndef DUGNAD_COORDINATOR_CORE_SAMPLE_TABLE_H
#define DUGNAD_COORDINATOR_CORE_SAMPLE_TABLE_H

#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { SAMPLE_TABLE_MAX = 1 << 20 }; /* of one step */

#define SAMPLE_FREE 0U
#define SAMPLE_COUNTED UINT32_MAX

/* The samples of one step. */
struct sample_part {
    uint32_t free_count;
    uint32_t free_hint; /* no sample of this step below it is free */
};

struct sample_table {
    uint32_t *owners; /* (size + next_size): SAMPLE_FREE, SAMPLE_COUNTED or a peer's index + 1 */
    uint32_t size;
    uint32_t next_size;
    uint32_t counted_count;
    struct sample_part now;
    struct sample_part next;
};

/* All free; 0 < size, next_size <= SAMPLE_TABLE_MAX (CHECKed). Errors: NO_MEMORY. */
MUST_CHECK enum status sample_table_init(struct sample_table *self, uint32_t size,
                                         uint32_t next_size);
void sample_table_deinit(struct sample_table *self);

/* Another size for the next step, of which nothing is owned (CHECKed); and for both steps, if
 * nothing of either is owned or counted. Errors: NO_MEMORY; the table is as it was. */
MUST_CHECK enum status sample_table_resize_next(struct sample_table *self, uint32_t next_size);
MUST_CHECK enum status sample_table_resize(struct sample_table *self, uint32_t size);

/* The step is over: the next one is in progress with the owners it has, and all of the one after it
 * are free. Errors: NO_MEMORY; the table is as it was. */
MUST_CHECK enum status sample_table_advance(struct sample_table *self, uint32_t next_size);

/* Gives the first run of free samples of the step in progress, or of the next one, at most
 * count_max long, to `peer`. False: none is free. */
bool sample_table_take(struct sample_table *self, uint32_t peer, uint32_t count_max,
                       uint32_t *out_first, uint32_t *out_count);
bool sample_table_take_next(struct sample_table *self, uint32_t peer, uint32_t count_max,
                            uint32_t *out_first, uint32_t *out_count);

/* True when every sample of the range exists, in either step, and is owned by `peer`. The range may
 * come from a stranger. */
bool sample_table_owned(const struct sample_table *self, uint32_t peer, uint64_t first,
                        uint64_t count);

/* Gives `peer` the sample if it exists and is free; true: it is the peer's own now. */
bool sample_table_reserve(struct sample_table *self, uint32_t peer, uint64_t sample);

/* Owned samples of the step in progress become counted. The range is owned by `peer` (CHECKed). */
void sample_table_count(struct sample_table *self, uint32_t peer, uint32_t first, uint32_t count);

/* An owned sample is free again. It is owned by `peer` (CHECKed). */
void sample_table_release(struct sample_table *self, uint32_t peer, uint32_t sample);

/* Frees all that `peer` owns. */
void sample_table_release_all(struct sample_table *self, uint32_t peer);

#endif
