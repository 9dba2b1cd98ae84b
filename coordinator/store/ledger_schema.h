/* ledger_schema - the ledger's tables, as numbered steps from one version of them to the next.
 *
 * Step i brings a file of version i to version i + 1; the file's version is its user_version. A
 * step that was released never changes: what follows is a new one. Internal to ledger*.c and its
 * test. */
#ifndef DUGNAD_COORDINATOR_STORE_LEDGER_SCHEMA_H
#define DUGNAD_COORDINATOR_STORE_LEDGER_SCHEMA_H

#include "common/status.h"

#include <sqlite3.h>
#include <stddef.h>

struct ledger_schema {
    size_t version;           /* the newest; how many steps there are */
    const char *const *steps; /* (version), SQL */
};

/* That of this release. */
const struct ledger_schema *ledger_schema_current(void);

/* Refuses what is neither an empty file nor a ledger of a version known here; writes nothing.
 * Errors: CORRUPT (the sentence says what to do), IO, NO_MEMORY. */
MUST_CHECK enum status ledger_schema_know(const struct ledger_schema *self, sqlite3 *db,
                                          const char *path);

/* Runs the steps that the file lacks, all in one transaction: on error it is as it was.
 * Errors: as above. */
MUST_CHECK enum status ledger_schema_apply(const struct ledger_schema *self, sqlite3 *db,
                                           const char *path);

/* Refuses what is not exactly of the newest version. Errors: as above. */
MUST_CHECK enum status ledger_schema_require(const struct ledger_schema *self, sqlite3 *db,
                                             const char *path);

#endif
