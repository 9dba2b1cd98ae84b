#include "coordinator/store/ledger_schema.h"

#include "common/fault.h"
#include "coordinator/store/ledger_sql.h"

#include <inttypes.h>
#include <stdio.h>

/* meta holds the place in the journal, and totals that must agree with the steps. Settings are
 * JSON. Keys of 32 bytes are Ed25519, run_id and digest BLAKE2b-256; times are milliseconds since
 * 1970. A contribution has a number and not only a peer: who hands in and is given more hands in
 * twice in a step. Sample ranges are rows, not a blob, so that "who computed sample n" is one
 * look-up and a range that is counted a second time meets the first one's key. */
static const char version_1[] =
    "CREATE TABLE meta ("
    " key TEXT PRIMARY KEY,"
    " value ANY NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE runs ("
    " run_id BLOB PRIMARY KEY CHECK (length(run_id) = 32),"
    " name TEXT NOT NULL,"
    " serial INTEGER NOT NULL CHECK (serial >= 0),"
    " paused INTEGER NOT NULL CHECK (paused IN (0, 1)),"
    " settings TEXT NOT NULL"
    ") STRICT;"

    "CREATE TABLE peers ("
    " id INTEGER PRIMARY KEY,"
    " key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),"
    " name TEXT NOT NULL DEFAULT '' CHECK (length(name) < 64),"
    " first_ms INTEGER CHECK (first_ms >= 0),"
    " last_ms INTEGER CHECK (last_ms >= first_ms)"
    ") STRICT;"

    "CREATE TABLE steps ("
    " step INTEGER PRIMARY KEY CHECK (step >= 0),"
    " sample_first INTEGER NOT NULL UNIQUE CHECK (sample_first >= 0),"
    " sample_count INTEGER NOT NULL CHECK (sample_count > 0),"
    " tokens INTEGER NOT NULL CHECK (tokens > 0),"
    " loss REAL NOT NULL,"
    " grad_l2 REAL NOT NULL,"
    " learning_rate REAL NOT NULL,"
    " unix_ms INTEGER NOT NULL CHECK (unix_ms >= 0),"
    " digest BLOB NOT NULL CHECK (length(digest) = 32)"
    ") STRICT;"

    "CREATE TABLE contributions ("
    " step INTEGER NOT NULL REFERENCES steps (step),"
    " number INTEGER NOT NULL CHECK (number >= 0),"
    " peer INTEGER NOT NULL REFERENCES peers (id),"
    " tokens INTEGER NOT NULL CHECK (tokens > 0),"
    " samples INTEGER NOT NULL CHECK (samples > 0),"
    " loss_sum REAL NOT NULL,"
    " PRIMARY KEY (step, number)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE sample_ranges ("
    " sample_first INTEGER PRIMARY KEY CHECK (sample_first >= 0),"
    " sample_count INTEGER NOT NULL CHECK (sample_count > 0),"
    " step INTEGER NOT NULL,"
    " number INTEGER NOT NULL,"
    " FOREIGN KEY (step, number) REFERENCES contributions (step, number)"
    ") STRICT;"

    "CREATE TABLE credit ("
    " peer INTEGER PRIMARY KEY REFERENCES peers (id),"
    " tokens INTEGER NOT NULL CHECK (tokens >= 0),"
    " samples INTEGER NOT NULL CHECK (samples >= 0),"
    " contributions INTEGER NOT NULL CHECK (contributions > 0)"
    ") STRICT;"

    "CREATE TABLE events ("
    " sequence INTEGER PRIMARY KEY CHECK (sequence >= 0),"
    " type TEXT NOT NULL"
    "  CHECK (type IN ('served', 'settings', 'paused', 'resumed', 'note')),"
    " version INTEGER NOT NULL CHECK (version >= 0),"
    " unix_ms INTEGER NOT NULL CHECK (unix_ms >= 0),"
    " text TEXT NOT NULL,"
    " settings TEXT"
    ") STRICT;";

const struct ledger_schema *ledger_schema_current(void)
{
    static const char *const steps[] = {version_1};
    static const struct ledger_schema schema = {.version = sizeof steps / sizeof steps[0],
                                                .steps = steps};
    return &schema;
}

/* The file's version, 0 when it is empty. */
static enum status read_version(const struct ledger_schema *self, sqlite3 *db, const char *path,
                                size_t *out)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t objects = 0;
    *out = 0;
    enum status status = ledger_sql_integer(db, path, "PRAGMA application_id", &application);
    if (status == STATUS_OK) {
        status = ledger_sql_integer(db, path, "PRAGMA user_version", &version);
    }
    if (status == STATUS_OK) {
        status = ledger_sql_integer(db, path, "SELECT count(*) FROM sqlite_schema", &objects);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (application == 0 && version == 0 && objects == 0) {
        return STATUS_OK;
    }
    if (application != LEDGER_APPLICATION_ID || version < 1 || objects == 0) {
        return fault(STATUS_CORRUPT, "%s is not a ledger of dugnad, or is damaged; %s", path,
                     LEDGER_SQL_REMEDY);
    }
    if ((uint64_t)version > self->version) {
        return fault(STATUS_CORRUPT,
                     "%s was written by a later release of dugnad (tables of version %" PRId64
                     ", this one knows %zu); install that release, or have the ledger made again "
                     "by this one: 'dugnad-coordinator rebuild-ledger'",
                     path, version, self->version);
    }
    *out = (size_t)version;
    return STATUS_OK;
}

enum status ledger_schema_know(const struct ledger_schema *self, sqlite3 *db, const char *path)
{
    size_t version = 0;
    return read_version(self, db, path, &version);
}

enum status ledger_schema_require(const struct ledger_schema *self, sqlite3 *db, const char *path)
{
    size_t version = 0;
    enum status status = read_version(self, db, path, &version);
    if (status == STATUS_OK && version != self->version) {
        status = fault(STATUS_CORRUPT,
                       "%s was written by an earlier release of dugnad, or not finished; "
                       "'dugnad-coordinator serve' brings it up to date",
                       path);
    }
    return status;
}

enum status ledger_schema_apply(const struct ledger_schema *self, sqlite3 *db, const char *path)
{
    char mark[96];
    size_t version = 0;
    enum status status = read_version(self, db, path, &version);
    if (status != STATUS_OK || version == self->version) {
        return status;
    }
    status = ledger_sql_run(db, path, "BEGIN IMMEDIATE");
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = version; i < self->version && status == STATUS_OK; i++) {
        status = ledger_sql_run(db, path, self->steps[i]);
    }
    if (status == STATUS_OK) {
        /* A PRAGMA takes no bound values; both are numbers of ours. */
        (void)snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %zu",
                       LEDGER_APPLICATION_ID, self->version);
        status = ledger_sql_run(db, path, mark);
    }
    if (status == STATUS_OK) {
        status = ledger_sql_run(db, path, "COMMIT");
    }
    if (status != STATUS_OK && sqlite3_get_autocommit(db) == 0) {
        /* The sentence of what went wrong stays; a rollback that fails ends with the connection. */
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}
