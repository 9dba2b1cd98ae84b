/* store_state - what the store*.c files share; nobody else includes it. */
#ifndef DUGNAD_COORDINATOR_STORE_STORE_STATE_H
#define DUGNAD_COORDINATOR_STORE_STORE_STATE_H

#include "coordinator/store/store.h"
#include "coordinator/store/store_recover.h"

struct store {
    const struct run_dir *run;
    struct master *master;
    void (*on_note)(const char *sentence); /* may be NULL */
    struct journal *journal;
    struct ledger *ledger; /* NULL: given up until the next start */
    struct journal_state state;
    struct lease_list leases;
    uint64_t segment;    /* the version at which the present one begins */
    uint64_t checkpoint; /* the newest; never of a version that is not committed */
};

void store_note(const struct store *self, const char *sentence);

/* The ledger (store_ledger.c): what goes wrong is told, and the ledger made again from the journal,
 * or given up. Open: brings it up to the journal, which is synced. */
void store_ledger_open(struct store *self);
/* The record that the journal has just taken. */
void store_ledger_add(struct store *self, struct journal_record *record);

#endif
