/* run_dir - one folder per run: everything a coordinator needs to go on.
 *
 *   run.yaml           the run as it was understood, every value written out
 *   model.json         the model's config.json
 *   identity.key       the coordinator's secret key (0600)
 *   members.db         invites, members, bans, incidents (members.h)
 *   trusted            keys of peers whose sums are believed (trusted.h)
 *   journal/           what happened, in order: every committed step (journal.h)
 *   checkpoints/       step-NNNNNN folders (checkpoint.h)
 *   ledger.db          who did what, made from the journal (ledger.h)
 *   status.json        where the run stands (status_file.h)
 *   lock               held by the one process that serves the run
 */
#ifndef DUGNAD_COORDINATOR_STORE_RUN_DIR_H
#define DUGNAD_COORDINATOR_STORE_RUN_DIR_H

#include "common/digest.h"
#include "proto/identity.h"
#include "trainer/layout/layout.h"
#include "trainer/optimizer/master.h"
#include "trainer/run/run_config.h"

struct run_dir {
    char path[FILES_PATH_MAX];
    struct run_config config;
    struct layout *layout;
    struct identity identity;
    struct digest run_id; /* of the key and of run_file_hash: what makes the run */
    int lock_fd;          /* -1 when run_dir_lock did not take the lock */
};

/* Makes the folder of a new run from a YAML file, with its first checkpoint (version 0). All that a
 * user can get wrong is refused before anything is written, and run.yaml comes last: what a crash
 * or a full disk leaves is not yet a run, and can be tried again. Errors: CANNOT_CREATE (there is a
 * run already), NO_MEMORY with the figure, and those of run_config_read and of the data. */
MUST_CHECK enum status run_dir_create(const char *config_path, const char *path);

/* Makes what every run's folder begins with: the folders and its key. Errors: CANNOT_CREATE, IO. */
MUST_CHECK enum status run_dir_prepare(const char *path);

/* A master for the run, all zero. `self` is borrowed until master_free. Errors: NO_MEMORY. */
MUST_CHECK enum status run_dir_master_new(const struct run_dir *self, struct master **out);

/* Opens an existing run; end it with run_dir_close(). Errors: NO_INPUT (says how to make one),
 * BAD_CONFIG, BAD_DATA. */
MUST_CHECK enum status run_dir_open(const char *path, struct run_dir *out);
void run_dir_close(struct run_dir *self);

/* Takes the run's lock until run_dir_close or the process's end. Errors: UNAVAILABLE (it is taken,
 * here or by another process), CANNOT_CREATE. */
MUST_CHECK enum status run_dir_lock(struct run_dir *self);

#endif
