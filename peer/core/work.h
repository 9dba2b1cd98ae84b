/* work - what a peer has been lent, what it has begun, and what its accumulator holds.
 *
 * Leases are worked through in order, one sample at a time; several threads may have samples
 * begun at once. Done samples are held until they are handed in as sorted, merged ranges. There may
 * be leases of two steps, but one accumulator: samples are begun of the open step alone, and
 * another is opened when what is held is gone.
 *
 * Pure: no I/O, clock or threads. The shell guards it with one lock. */
#ifndef DUGNAD_PEER_CORE_WORK_H
#define DUGNAD_PEER_CORE_WORK_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WORK_LEASES_MAX = 4,
    WORK_RANGES_MAX = 1024,
    /* Room for the gaps that threads leave while they end samples out of order. */
    WORK_RANGES_RESERVED = 512,
    WORK_THREADS_MAX = 500 /* each leaves at most one gap; a lease adds one range */
};

#define WORK_STEP_NONE UINT64_MAX

struct work_range {
    uint64_t first;
    uint64_t count;
};

struct work_lease {
    uint64_t id; /* 0: this place is empty */
    uint64_t step;
    uint64_t first;
    uint32_t count;
    uint32_t begun;
    uint32_t done;
    uint32_t reported;
    double loss_sum;
    uint16_t *tokens; /* (count, context + 1), owned */
};

struct work {
    uint32_t context;
    struct work_lease leases[WORK_LEASES_MAX]; /* in order of arrival, empty ones last */
    struct work_range held[WORK_RANGES_MAX];   /* sorted, disjoint, not touching */
    size_t held_count;
    uint64_t held_samples;
    uint64_t held_stale; /* of them */
    double held_loss_sum;
    uint64_t held_step; /* of what is held */
    uint64_t open_step; /* WORK_STEP_NONE: nothing is begun */
    bool open_stale;    /* its samples are computed on parameters before those of the step */
};

/* One sample to compute. */
struct work_item {
    uint64_t lease_id;
    uint64_t sample;
    bool stale;
    const uint16_t *tokens; /* (context + 1); valid until work_done */
};

/* What is to be told of a lease. */
struct work_report {
    uint64_t lease_id;
    uint32_t samples_done;
    double loss_sum;
};

void work_init(struct work *self, uint32_t context);
void work_deinit(struct work *self);

/* Takes a lease; owns `tokens` (from malloc) when OK.
 * Errors: FULL (more leases, or more scattered ones, than a coordinator may give), OUT_OF_RANGE
 * (empty, or overlapping what is leased or held, or the id of another lease). */
MUST_CHECK enum status work_add_lease(struct work *self, uint64_t id, uint64_t step, uint64_t first,
                                      uint32_t count, uint16_t *tokens);

/* The lease with this id is here and has not been reported as ended. */
bool work_has_lease(const struct work *self, uint64_t lease_id);

/* The next sample of the open step that nobody has begun; false when there is none. */
bool work_begin(struct work *self, struct work_item *out);

/* The sample is in the accumulator. The item came from work_begin. */
void work_done(struct work *self, const struct work_item *item, double loss_sum);

/* The next lease with progress that was not reported (with ended_only: that has ended); false
 * when there is none. Ended leases leave their place here. */
bool work_report(struct work *self, bool ended_only, struct work_report *out);

/* Gives back all of the lease but its first `keep` samples, as far as they are not begun.
 * Returns how many samples the lease has now; false when there is no such lease. */
bool work_yield(struct work *self, uint64_t lease_id, uint32_t keep, uint32_t *out_kept);

/* All that is held or lent and not given back, as sorted, merged ranges; returns how many. */
size_t work_owned(const struct work *self, struct work_range out[WORK_RANGES_MAX]);

/* Puts a range into sorted ranges that do not touch, `*count` of at most WORK_RANGES_MAX; it may
 * overlap them. False: there is no room, and nothing changed. */
bool work_merge_range(struct work_range *ranges, size_t *count, struct work_range range);

/* Samples lent and not yet begun; and begun but not done. */
uint32_t work_waiting(const struct work *self);
uint32_t work_running(const struct work *self);

/* Of those that wait, the ones that can be begun without a hand-in before. */
uint32_t work_at_hand(const struct work *self);

/* Those that work_begin would give. */
uint32_t work_ready(const struct work *self);

/* Both kinds, of one step. */
uint32_t work_left(const struct work *self, uint64_t step);

/* The first step of which samples wait; WORK_STEP_NONE: none wait. */
uint64_t work_first_step(const struct work *self);

/* Something is lent or held of a step after this one. */
bool work_goes_past(const struct work *self, uint64_t step);

/* Gives back what is not begun of all leases up to this step; true: something is begun or held of
 * these steps, and to be cleared when nothing is running. */
bool work_drop(struct work *self, uint64_t last_step);

/* The held samples were handed in or thrown away: holds nothing. */
void work_clear_held(struct work *self);

/* Drops all leases up to this step, none of whose samples may be begun and not done (CHECKed), and
 * what is held, which is of these steps (CHECKed). */
void work_clear(struct work *self, uint64_t last_step);

#endif
