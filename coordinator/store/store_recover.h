/* store_recover - brings a master back to where its run stands; what store_*.c share.
 *
 * Changes nothing on disk: what has to be changed before the run can go on is told in the result.
 */
#ifndef DUGNAD_COORDINATOR_STORE_STORE_RECOVER_H
#define DUGNAD_COORDINATOR_STORE_STORE_RECOVER_H

#include "common/fault.h"
#include "coordinator/store/checkpoint.h"
#include "coordinator/store/replay.h"

struct lease_list {
    struct journal_lease *items; /* (count), owned */
    size_t count;
    size_t room;
};

/* Errors: NO_MEMORY. */
MUST_CHECK enum status lease_list_add(struct lease_list *self, const struct journal_lease *lease);

/* Forgets those of steps below `version`, which are committed; the others keep their order. */
void lease_list_advance(struct lease_list *self, uint64_t version);

struct recovery {
    struct journal_state state;
    struct lease_list leases;   /* of the step in progress and the next one */
    uint64_t checkpoint;        /* the version that it began at */
    bool has_journal;           /* false: one has to be made with `state` */
    struct journal_record last; /* the journal goes on behind it; what it points to is gone */
    bool keep_rest;             /* what stands behind `last` is damage, and not a torn tail */
    bool behind;                /* the journal ends before `state`: a segment has to begin there */
    uint64_t *damaged; /* (damaged_count) versions of checkpoints that did not serve, owned */
    size_t damaged_count;
    char note[FAULT_TEXT_MAX]; /* what was lost, in a sentence; "" when nothing was */
    uint64_t replayed;         /* steps */
};

/* Recovers `master` to `until` (UINT64_MAX: the last committed step). Every fault that is met goes
 * to `on_note` (NULL is allowed). Errors: as store_open, and OUT_OF_RANGE (`until` is not reached).
 * End it with recovery_deinit, also after an error. */
MUST_CHECK enum status recovery_run(struct recovery *self, const struct run_dir *run,
                                    struct master *master, struct slices *slices, uint64_t until,
                                    void (*on_note)(const char *sentence));
void recovery_deinit(struct recovery *self);

#endif
