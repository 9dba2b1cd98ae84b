#include "coordinator/store/ledger_sql.h"

#include "common/disk.h"
#include "common/fault.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static enum status status_of(int code)
{
    switch (code) { /* the extended codes that mean something else than their group */
    case SQLITE_IOERR_CORRUPTFS:
    case SQLITE_IOERR_DATA:
    case SQLITE_IOERR_SHORT_READ:
        return STATUS_CORRUPT;
    case SQLITE_IOERR_NOMEM:
        return STATUS_NO_MEMORY;
    default:
        break;
    }
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return STATUS_NO_MEMORY;
    case SQLITE_ERROR: /* the statements are right, so tables or values are not what they were */
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
    case SQLITE_TOOBIG:
        return STATUS_CORRUPT;
    default:
        return STATUS_IO;
    }
}

static const char *advice_for(sqlite3 *db, int code)
{
    if ((code & 0xff) == SQLITE_FULL || (db != NULL && sqlite3_system_errno(db) == ENOSPC)) {
        return "free some space on its disk and start again";
    }
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "another program holds it: close that one and start again";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "check who may write the file and its folder";
    default:
        return "check its disk and start again";
    }
}

enum status ledger_sql_fault(sqlite3 *db, int code, const char *path)
{
    enum status status = status_of(code);
    const char *message = db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(code);
    if (status == STATUS_NO_MEMORY) {
        return fault(status, "no memory to use %s", path);
    }
    if (status == STATUS_CORRUPT) {
        return fault(status, "%s is damaged (%s); %s", path, message, LEDGER_SQL_REMEDY);
    }
    return fault(status, "cannot use %s: %s; %s", path, message, advice_for(db, code));
}

enum status ledger_sql_run(sqlite3 *db, const char *path, const char *sql)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : ledger_sql_fault(db, code, path);
}

enum status ledger_sql_integer(sqlite3 *db, const char *path, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    *out = 0;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    if (code == SQLITE_ROW) {
        *out = sqlite3_column_int64(statement, 0);
        code = SQLITE_OK;
    }
    enum status status = code == SQLITE_OK ? STATUS_OK : ledger_sql_fault(db, code, path);
    (void)sqlite3_finalize(statement); /* says again what step said */
    return status;
}

/* The first column of the first row must be `wanted`. */
static enum status require_text(sqlite3 *db, const char *path, const char *sql, const char *wanted)
{
    sqlite3_stmt *statement = NULL;
    enum status status = STATUS_OK;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    if (code == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (text == NULL || strcmp(text, wanted) != 0) {
            status = fault(STATUS_CORRUPT, "%s is damaged (%.200s); %s", path,
                           text != NULL ? text : "no answer", LEDGER_SQL_REMEDY);
        }
    } else {
        status = ledger_sql_fault(db, code, path);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* What a file from outside could make SQLite do is switched off: only tables and indices are left.
 */
static enum status harden(sqlite3 *db, const char *path)
{
    static const struct {
        int option;
        int value;
    } switches[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
    };
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        int code = sqlite3_db_config(db, switches[i].option, switches[i].value, NULL);
        if (code != SQLITE_OK) {
            return ledger_sql_fault(db, code, path);
        }
    }
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, LEDGER_VALUE_BYTES_MAX);
    (void)sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    (void)sqlite3_busy_timeout(db, LEDGER_BUSY_MS);
    return ledger_sql_run(db, path,
                          "PRAGMA trusted_schema = OFF;"
                          "PRAGMA cell_size_check = ON;"
                          "PRAGMA mmap_size = 0;"
                          "PRAGMA foreign_keys = ON");
}

/* Beyond SQLite's own check of pages and indices: figures that are there twice must agree. */
static enum status check_whole(sqlite3 *db, const char *path)
{
    static const char credit_differs[] =
        "WITH due AS (SELECT peer, sum(tokens), sum(samples), count(*)"
        "  FROM contributions GROUP BY peer),"
        " held AS (SELECT peer, tokens, samples, contributions FROM credit)"
        " SELECT (SELECT count(*) FROM (SELECT * FROM held EXCEPT SELECT * FROM due))"
        "  + abs((SELECT count(*) FROM due) - (SELECT count(*) FROM held))";
    static const char samples_differ[] = "SELECT (SELECT sum(samples) FROM contributions) IS NOT"
                                         " (SELECT sum(sample_count) FROM sample_ranges)";
    static const char steps_differ[] =
        "SELECT count(*) FROM (SELECT count(*) AS times, sum(sample_count) AS samples,"
        " sum(tokens) AS tokens FROM steps) AS held"
        " WHERE held.times <> ifnull((SELECT value FROM meta WHERE key = 'steps'), 0)"
        "  OR held.samples IS NOT (SELECT value FROM meta WHERE key = 'samples')"
        "  OR held.tokens IS NOT (SELECT value FROM meta WHERE key = 'tokens')";
    static const char *const questions[] = {credit_differs, samples_differ, steps_differ};
    enum status status = require_text(db, path, "PRAGMA integrity_check(1)", "ok");
    for (size_t i = 0; i < sizeof questions / sizeof questions[0] && status == STATUS_OK; i++) {
        int64_t differences = 0;
        status = ledger_sql_integer(db, path, questions[i], &differences);
        if (status == STATUS_OK && differences != 0) {
            status = fault(STATUS_CORRUPT, "%s is damaged (its sums do not agree); %s", path,
                           LEDGER_SQL_REMEDY);
        }
    }
    return status;
}

/* A file that was closed in order leaves no write-ahead log, or an empty one when a reader had it.
 */
static bool has_log(const char *path)
{
    char log_path[FILES_PATH_MAX + sizeof "-wal"];
    (void)snprintf(log_path, sizeof log_path, "%s-wal", path);
    int fd = disk_kind_of(log_path) == DISK_FILE ? disk_open(log_path, DISK_READ, 0) : -1;
    if (fd < 0) {
        return false;
    }
    bool used = disk_size(fd) > 0;
    (void)disk_close(fd);
    return used;
}

static enum status check_where_due(sqlite3 *db, const char *path, bool had_log)
{
    int64_t size_bytes = 0;
    enum status status =
        ledger_sql_integer(db, path,
                           "SELECT page_count * page_size FROM pragma_page_count(),"
                           " pragma_page_size()",
                           &size_bytes);
    if (status == STATUS_OK && (had_log || size_bytes <= LEDGER_CHECKED_BYTES_MAX)) {
        status = check_whole(db, path);
    }
    return status;
}

/* The default file system of SQLite, which the simulator replaces by its own. */
static enum status connect(const char *path, int flags, sqlite3 **out)
{
    *out = NULL;
    if (disk_kind_of(path) != DISK_FILE && disk_kind_of(path) != DISK_MISSING) {
        return fault(STATUS_CORRUPT, "%s is no plain file; %s", path, LEDGER_SQL_REMEDY);
    }
    int code =
        sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    return code == SQLITE_OK ? harden(*out, path) : ledger_sql_fault(*out, code, path);
}

enum status ledger_sql_open(const char *path, const struct ledger_schema *schema, sqlite3 **out)
{
    bool had_log = has_log(path);
    enum status status = connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, out);
    if (status == STATUS_OK) {
        status = ledger_schema_know(schema, *out, path);
    }
    if (status == STATUS_OK) {
        status = require_text(*out, path, "PRAGMA journal_mode = WAL", "wal");
    }
    if (status == STATUS_OK) {
        char limit[64];
        (void)snprintf(limit, sizeof limit, "PRAGMA journal_size_limit = %d",
                       LEDGER_WAL_BYTES_KEPT);
        status = ledger_sql_run(*out, path, limit);
    }
    if (status == STATUS_OK) {
        status = ledger_sql_run(*out, path, "PRAGMA synchronous = FULL");
    }
    if (status == STATUS_OK) {
        status = ledger_schema_apply(schema, *out, path);
    }
    if (status == STATUS_OK) {
        status = check_where_due(*out, path, had_log);
    }
    if (status != STATUS_OK) {
        (void)sqlite3_close(*out);
        *out = NULL;
    }
    return status;
}

enum status ledger_sql_open_to_read(const char *path, const struct ledger_schema *schema,
                                    sqlite3 **out)
{
    *out = NULL;
    if (disk_kind_of(path) == DISK_MISSING) {
        return fault(STATUS_NO_INPUT,
                     "%s is missing: nobody has served this run yet, or it is to be made again "
                     "with 'dugnad-coordinator rebuild-ledger'",
                     path);
    }
    enum status status = connect(path, SQLITE_OPEN_READONLY, out);
    if (status == STATUS_OK) {
        status = ledger_schema_require(schema, *out, path);
    }
    if (status != STATUS_OK) {
        (void)sqlite3_close(*out);
        *out = NULL;
    }
    return status;
}
