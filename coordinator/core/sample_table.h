/* sample_table - who is responsible for each sample of the step in progress.
 *
 * Samples are numbered from the step's first. Each is free, owned by one peer (leased, or
 * computed and still in that peer's accumulator), or counted (inside the step's exact sums).
 * A sample is counted at most once: only its owner can have it counted, and counted is final
 * until the step is over.
 *
 * Pure: no I/O, clock or threads. One owner. */
#ifndef DUGNAD_COORDINATOR_CORE_SAMPLE_TABLE_H
#define DUGNAD_COORDINATOR_CORE_SAMPLE_TABLE_H

#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { SAMPLE_TABLE_MAX = 1 << 20 };

#define SAMPLE_FREE 0U
#define SAMPLE_COUNTED UINT32_MAX

struct sample_table {
    uint32_t *owners; /* (size): SAMPLE_FREE, SAMPLE_COUNTED or a peer's index + 1 */
    uint32_t size;
    uint32_t free_count;
    uint32_t counted_count;
    uint32_t free_hint; /* no sample below it is free */
};

/* All free; 0 < size <= SAMPLE_TABLE_MAX. Errors: NO_MEMORY. */
MUST_CHECK enum status sample_table_init(struct sample_table *self, uint32_t size);
void sample_table_deinit(struct sample_table *self);

/* A new step: all free. */
void sample_table_reset(struct sample_table *self);

/* Gives the first run of free samples, at most count_max long, to `peer`. False: none is free. */
bool sample_table_take(struct sample_table *self, uint32_t peer, uint32_t count_max,
                       uint32_t *out_first, uint32_t *out_count);

/* True when every sample of the range exists and is owned by `peer`. The range may come from a
 * stranger. */
bool sample_table_owned(const struct sample_table *self, uint32_t peer, uint64_t first,
                        uint64_t count);

/* True when every sample of the range exists and is counted. */
bool sample_table_counted(const struct sample_table *self, uint64_t first, uint64_t count);

/* Gives `peer` those samples of [first, first + count) that exist and are free; returns how many.
 */
uint32_t sample_table_reserve(struct sample_table *self, uint32_t peer, uint64_t first,
                              uint64_t count);

/* Owned samples become counted, or free again. The range is owned by `peer` (CHECKed). */
void sample_table_count(struct sample_table *self, uint32_t peer, uint32_t first, uint32_t count);
void sample_table_release(struct sample_table *self, uint32_t peer, uint32_t first, uint32_t count);

/* Frees all that `peer` owns; returns how many samples that were. */
uint32_t sample_table_release_all(struct sample_table *self, uint32_t peer);

#endif
