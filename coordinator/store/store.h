/* store - the durable state of one run: journal, checkpoints and ledger as one thing.
 *
 * What store_commit returned OK for is never lost: the step's record is on disk before its update
 * is published. store_open brings a master back to exactly the state after the last committed step:
 * the newest checkpoint that is whole, and the journal replayed from there, the digest compared at
 * every step. Nothing is loaded unchecked; what was wrong is told through `on_note`, one sentence
 * each.
 *
 * One owner; not thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_STORE_H
#define DUGNAD_COORDINATOR_STORE_STORE_H

#include "common/slices.h"
#include "coordinator/store/checkpoint.h"
#include "coordinator/store/journal.h"
#include "coordinator/store/ledger.h"

struct store;

/* Recovers `master` (made for the run, any content) and opens everything for going on; appends a
 * JOURNAL_SERVED event with the next serial. `slices` (borrowed until store_close) cut the master's
 * vector at MASTER_SLICE_ALIGN. `run` is borrowed. A run of an earlier release without a journal
 * gets one. Errors: NO_INPUT (no whole checkpoint, or the journal is gone), CORRUPT (a step replays
 * to another digest, whichever checkpoint it begins at), BAD_CONFIG, IO, NO_MEMORY; all with a
 * sentence. */
MUST_CHECK enum status store_open(const struct run_dir *run, struct master *master,
                                  struct slices *slices, void (*on_note)(const char *sentence),
                                  struct store **out);
void store_close(struct store *self); /* NULL is allowed. */

/* Where the run stands; valid until store_close. */
const struct journal_state *store_state(const struct store *self);

/* Leases of the step in progress and the next one, as far as their facts survived: in the order
 * they were given; a later one takes its samples over from an earlier one. Valid until the next
 * call. */
const struct journal_lease *store_leases(const struct store *self, size_t *out_count);

/* Digest of P at an earlier version, as the journal or the first checkpoint has it; *out_found
 * false: they do not tell. Errors: IO, NO_MEMORY. */
MUST_CHECK enum status store_digest(const struct store *self, uint64_t version, struct digest *out,
                                    bool *out_found);

/* Notes a lease; not synced. Errors: IO (the process must end), NO_MEMORY. */
MUST_CHECK enum status store_lease(struct store *self, const struct journal_lease *lease);

/* Commits the step that the master has just made: journal and fsync, then ledger. The record's
 * step, samples, contributions, tokens, loss and figures are the caller's; the payload is the
 * master's encoded mean. Errors: IO (the process must end), NO_MEMORY. */
MUST_CHECK enum status store_commit(struct store *self, struct journal_step *step);

/* Appends and syncs an event; settings and pauses change store_state. */
MUST_CHECK enum status store_event(struct store *self, const struct journal_event *event);

/* Writes the checkpoint of the master's version unless it is there, begins a new segment, removes
 * the oldest checkpoints and condenses the journal behind the oldest kept. `out_path` as
 * checkpoint_write. Errors: IO and CANNOT_CREATE (the process must end), NO_MEMORY. */
MUST_CHECK enum status store_checkpoint(struct store *self, char *out_path);

uint64_t store_checkpoint_version(const struct store *self); /* the newest there is */

/* Bytes that one more step and one more checkpoint will take, about. */
uint64_t store_step_bytes(const struct store *self);
uint64_t store_checkpoint_bytes(const struct store *self);

/* A peer's name, for the ledger. What goes wrong is told through on_note alone. */
void store_name_peer(struct store *self, const uint8_t key[IDENTITY_KEY_BYTES], const char *name);

/* What `dugnad-coordinator verify` prints. */
struct store_report {
    uint64_t steps;
    struct digest digest; /* of P after the last step */
    uint64_t samples_applied;
    uint64_t samples_duplicated;
    uint64_t samples_missing;
    uint64_t credit_tokens;  /* of all contributions */
    uint64_t trained_tokens; /* of all steps */
    uint64_t replayed;       /* steps whose arithmetic was done again */
    bool ok;
    char fault[FILES_PATH_MAX + JOURNAL_TEXT_MAX]; /* the first one, in words; "" when ok */
};

/* Checks everything of a run that nobody serves: the chain from the first record, each sample
 * exactly once, credit, every kept checkpoint's hashes, and the arithmetic from the oldest kept
 * checkpoint on; that the ledger knows of no later step. Changes nothing of the run (SQLite may
 * leave its ledger.db-shm). Errors: those that keep it from looking (NO_INPUT,
 * NO_MEMORY, IO); a fault of the run is in the report. */
MUST_CHECK enum status store_verify(const struct run_dir *run, size_t thread_count,
                                    struct store_report *out);

/* Brings `master` to `version` (at most the last committed one): nearest checkpoint before it,
 * replay. *out_state is that of the run then. Changes nothing on disk. Errors: as store_open, and
 * OUT_OF_RANGE (no kept checkpoint is that old, or the run is not there yet). */
MUST_CHECK enum status store_replay_to(const struct run_dir *run, struct master *master,
                                       struct slices *slices, uint64_t version,
                                       struct journal_state *out_state);

/* Makes the ledger again from the journal. Errors: IO, NO_INPUT, NO_MEMORY. */
MUST_CHECK enum status store_rebuild_ledger(const struct run_dir *run, uint64_t *out_records);

#endif
