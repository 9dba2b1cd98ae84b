/* ledger - who did what for a run, in SQLite (run/ledger.db), for people and programs that ask.
 *
 * A projection of the journal: everything in it can be made again (ledger_rebuild), so losing it costs
 * nothing but time. Tables: runs, peers, contributions, credit (validated tokens of each peer), steps,
 * events, and meta (schema version, journal position). One writer: the coordinator. Settings as in
 * docs/durability.md: WAL, synchronous FULL, foreign keys, no trusted schema, no mmap.
 *
 * SQL stays in ledger*.c. One owner; not thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_LEDGER_H
#define DUGNAD_COORDINATOR_STORE_LEDGER_H

#include "coordinator/store/journal.h"

struct ledger;

/* Opens or makes run_path/ledger.db and brings its schema up to date. *out_sequence is the first record
 * of the journal that it does not hold yet (0: none); *out_hash the hash of the one before it (zeros:
 * none). Errors: CORRUPT (no ledger, damaged, or of a later release: ledger_remove and open again),
 * IO, NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status ledger_open(const char *run_path, const char *run_name,
                                   struct ledger **out, uint64_t *out_sequence,
                                   struct digest *out_hash);
void ledger_close(struct ledger *self); /* NULL is allowed. */

/* Takes the file and what belongs to it away. Errors: IO. */
MUST_CHECK enum status ledger_remove(const char *run_path);

/* Adds one record of the journal; leases are passed over. Records come in order, each once (another
 * sequence number than the next: STALE, nothing is changed). Between ledger_begin and ledger_end they
 * are one transaction, alone each is one. Errors: IO (with a sentence), STALE. */
MUST_CHECK enum status ledger_add(struct ledger *self, const struct journal_record *record);
MUST_CHECK enum status ledger_begin(struct ledger *self);
MUST_CHECK enum status ledger_end(struct ledger *self);

/* A peer's name as it gave it, for people; not in the journal. Errors: IO. */
MUST_CHECK enum status ledger_name_peer(struct ledger *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                        const char *name);

struct ledger_totals {
    uint64_t steps;
    uint64_t samples;
    uint64_t tokens;        /* of all steps */
    uint64_t credit_tokens; /* of all peers */
    uint64_t peers;
};
MUST_CHECK enum status ledger_totals(struct ledger *self, struct ledger_totals *out);

/* Credit of one peer, validated tokens; 0 when it has none. Errors: IO. */
MUST_CHECK enum status ledger_credit(struct ledger *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                     uint64_t *out_tokens);

#endif
