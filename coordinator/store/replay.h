/* replay - does the arithmetic of committed steps again, from the journal.
 *
 * One owner; not thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_REPLAY_H
#define DUGNAD_COORDINATOR_STORE_REPLAY_H

#include "common/slices.h"
#include "coordinator/store/journal.h"
#include "coordinator/store/run_dir.h"
#include "trainer/optimizer/master.h"

struct replay {
    const struct run_dir *run; /* these three are borrowed */
    struct master *master;
    struct slices *slices; /* cut the master's vector at MASTER_SLICE_ALIGN */
    uint8_t *payload;      /* (room_bytes) */
    uint8_t *update;       /* (room_bytes) */
    size_t room_bytes;     /* of the longest encoding */
};

/* Allocates the buffers; end it with replay_deinit, also after an error. Errors: NO_MEMORY. */
MUST_CHECK enum status replay_init(struct replay *self, const struct run_dir *run,
                                   struct master *master, struct slices *slices);
void replay_deinit(struct replay *self); /* A zeroed one is allowed. */

enum replay_result {
    REPLAY_DONE,      /* the master is a step further, and has the digest of the record */
    REPLAY_CONDENSED, /* the mean gradient was dropped; the master is as before */
    REPLAY_DAMAGED,   /* the mean gradient is damaged; the master is as before */
    REPLAY_DIFFERS    /* the master is not what it was; it must be loaded again */
};

/* Does the step that `reader` has just read with `settings`. All results but REPLAY_DONE leave a
 * sentence in fault.h that names file and offset. Errors: IO, NO_MEMORY. */
MUST_CHECK enum status replay_step(struct replay *self, struct journal_reader *reader,
                                   const struct journal_record *record,
                                   const struct live_settings *settings, enum replay_result *out);

/* The segment that a record stands in, to `out` (FILES_PATH_MAX). Errors: USAGE (too long). */
MUST_CHECK enum status replay_segment_path(const struct run_dir *run,
                                           const struct journal_record *record, char *out);

/* Makes the master one of these settings. Errors: NO_MEMORY. */
MUST_CHECK enum status replay_set(struct master *master, const struct live_settings *settings);

#endif
