/* ledger_sql - the ledger's connection to SQLite: how it is opened, checked, and what its errors
 * mean.
 *
 * Internal to ledger*.c. Every error leaves a sentence with the path. Not thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_LEDGER_SQL_H
#define DUGNAD_COORDINATOR_STORE_LEDGER_SQL_H

#include "common/files.h"
#include "coordinator/store/ledger_schema.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    LEDGER_APPLICATION_ID = 0x44676e64, /* "Dgnd", in the file's header */
    LEDGER_BUSY_MS = 5000,
    LEDGER_VALUE_BYTES_MAX = 1 << 20, /* of any text, blob or statement */
    LEDGER_WAL_BYTES_KEPT = 16 << 20, /* a longer write-ahead log is cut when it is reset */
    LEDGER_CHECKED_BYTES_MAX = 64 << 20
};

/* Opens path and brings it to the newest of the schema's versions; what is not a ledger is not
 * written to. A file that was not closed in order is checked whole, and so is any of at most
 * LEDGER_CHECKED_BYTES_MAX. Errors: CORRUPT, IO, NO_MEMORY. The caller owns *out: sqlite3_close().
 */
MUST_CHECK enum status ledger_sql_open(const char *path, const struct ledger_schema *schema,
                                       sqlite3 **out);

/* Opens for reading a ledger that another process may be writing. Errors: NO_INPUT (there is none),
 * CORRUPT (damaged, or of another release), IO, NO_MEMORY. */
MUST_CHECK enum status ledger_sql_open_to_read(const char *path, const struct ledger_schema *schema,
                                               sqlite3 **out);

/* The status and the sentence for an error code that the connection's last call returned. */
enum status ledger_sql_fault(sqlite3 *db, int code, const char *path);

/* What the sentence of a damaged file ends with. */
#define LEDGER_SQL_REMEDY                                                                          \
    "nothing is lost: 'dugnad-coordinator rebuild-ledger' makes it again from the journal"

/* Runs statements without values and without results. */
MUST_CHECK enum status ledger_sql_run(sqlite3 *db, const char *path, const char *sql);

/* The first column of the first row, as an integer. */
MUST_CHECK enum status ledger_sql_integer(sqlite3 *db, const char *path, const char *sql,
                                          int64_t *out);

#endif
