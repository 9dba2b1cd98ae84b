/* ledger - who did what for a run, in SQLite (run/ledger.db), for people and programs that ask.
 *
 * A projection of the journal: everything in it can be made again (ledger_rebuild), so losing it
 * costs nothing but time. Tables: runs, peers, contributions, credit (validated tokens of each
 * peer), steps, events, and meta (schema version, journal position). One writer: the coordinator.
 * Settings as in docs/durability.md: WAL, synchronous FULL, foreign keys, no trusted schema, no
 * mmap.
 *
 * SQL stays in ledger*.c. One owner; not thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_LEDGER_H
#define DUGNAD_COORDINATOR_STORE_LEDGER_H

#include "coordinator/store/journal.h"

struct ledger;

/* Opens or makes run_path/ledger.db and brings its schema up to date. *out_sequence is the first
 * record of the journal that it does not hold yet (0: none); *out_hash the hash of the one before
 * it (zeros: none). Errors: CORRUPT (no ledger, damaged, or of a later release: ledger_remove and
 * open again), IO, NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status ledger_open(const char *run_path, const char *run_name, struct ledger **out,
                                   uint64_t *out_sequence, struct digest *out_hash);
void ledger_close(struct ledger *self); /* NULL is allowed. */

/* Opens the ledger for reading alone, also while a coordinator writes it. Only ledger_totals,
 * ledger_credit and ledger_peers may follow. Errors: NO_INPUT (there is none yet), CORRUPT
 * (damaged, or of another release), IO, NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status ledger_open_to_read(const char *run_path, struct ledger **out);

/* Takes the file and what belongs to it away. Errors: IO. */
MUST_CHECK enum status ledger_remove(const char *run_path);

/* Adds one record of the journal; a lease only counts, and costs no write. Records come in order,
 * each once (another sequence number than the next: STALE). Between ledger_begin and ledger_end
 * they are one transaction, alone each is one. On error nothing of the record is kept; where SQLite
 * had to give the whole transaction up, what follows is IO until ledger_end, which is IO too, and
 * the next record is the one of ledger_begin. ledger_close without ledger_end forgets the
 * transaction. Errors: IO, STALE, NO_MEMORY; CORRUPT (the ledger is damaged or not of this journal:
 * ledger_remove); OUT_OF_RANGE (a number that SQLite does not have: no ledger can hold the record).
 */
MUST_CHECK enum status ledger_add(struct ledger *self, const struct journal_record *record);
MUST_CHECK enum status ledger_begin(struct ledger *self);
MUST_CHECK enum status ledger_end(struct ledger *self);

/* A peer's name as it gave it, for people; not in the journal, so a rebuilt ledger learns it anew.
 * One that is known already costs no write. Errors: IO, CORRUPT, NO_MEMORY. */
MUST_CHECK enum status ledger_name_peer(struct ledger *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                        const char *name);

struct ledger_totals {
    uint64_t steps;
    uint64_t samples;
    uint64_t tokens;        /* of all steps */
    uint64_t credit_tokens; /* of all peers */
    uint64_t peers;         /* with credit */
};
/* Errors: IO, CORRUPT. */
MUST_CHECK enum status ledger_totals(struct ledger *self, struct ledger_totals *out);

/* Credit of one peer, validated tokens; 0 when it has none. Errors: IO, CORRUPT. */
MUST_CHECK enum status ledger_credit(struct ledger *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                     uint64_t *out_tokens);

struct ledger_peer {
    uint8_t key[IDENTITY_KEY_BYTES];
    char name[WIRE_NAME_MAX]; /* "" when it never gave one */
    uint64_t tokens;
    uint64_t samples;
    uint64_t contributions;
    uint64_t first_ms; /* since 1970, of the first step that it has a part in */
    uint64_t last_ms;
};

/* All peers with credit, most tokens first, into *out (free()); *out is NULL when there are none.
 * Errors: IO, CORRUPT, NO_MEMORY. */
MUST_CHECK enum status ledger_peers(struct ledger *self, struct ledger_peer **out,
                                    size_t *out_count);

#endif
