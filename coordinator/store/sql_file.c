#include "coordinator/store/sql_file.h"

#include "common/check.h"
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

enum status sql_file_fault(const struct sql_file *self, int code)
{
    enum status status = status_of(code);
    const char *message = self->db != NULL ? sqlite3_errmsg(self->db) : sqlite3_errstr(code);
    if (status == STATUS_NO_MEMORY) {
        return fault(status, "no memory to use %s", self->path);
    }
    if (status == STATUS_CORRUPT) {
        return fault(status, "%s is damaged (%s); %s", self->path, message, self->schema->remedy);
    }
    return fault(status, "cannot use %s: %s; %s", self->path, message, advice_for(self->db, code));
}

enum status sql_file_run(const struct sql_file *self, const char *sql)
{
    int code = sqlite3_exec(self->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : sql_file_fault(self, code);
}

enum status sql_file_integer(const struct sql_file *self, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    *out = 0;
    int code = sqlite3_prepare_v2(self->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    if (code == SQLITE_ROW) {
        *out = sqlite3_column_int64(statement, 0);
        code = SQLITE_OK;
    }
    enum status status = code == SQLITE_OK ? STATUS_OK : sql_file_fault(self, code);
    (void)sqlite3_finalize(statement); /* says again what step said */
    return status;
}

/* The first column of the first row must be `wanted`. */
static enum status require_text(const struct sql_file *self, const char *sql, const char *wanted)
{
    sqlite3_stmt *statement = NULL;
    enum status status = STATUS_OK;
    int code = sqlite3_prepare_v2(self->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    if (code == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (text == NULL || strcmp(text, wanted) != 0) {
            status = fault(STATUS_CORRUPT, "%s is damaged (%.200s); %s", self->path,
                           text != NULL ? text : "no answer", self->schema->remedy);
        }
    } else {
        status = sql_file_fault(self, code);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* What a file from outside could make SQLite do is switched off: only tables and indices are left.
 */
static enum status harden(const struct sql_file *self)
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
        int code = sqlite3_db_config(self->db, switches[i].option, switches[i].value, NULL);
        if (code != SQLITE_OK) {
            return sql_file_fault(self, code);
        }
    }
    (void)sqlite3_limit(self->db, SQLITE_LIMIT_LENGTH, SQL_VALUE_BYTES_MAX);
    (void)sqlite3_limit(self->db, SQLITE_LIMIT_ATTACHED, 0);
    (void)sqlite3_busy_timeout(self->db, SQL_BUSY_MS);
    return sql_file_run(self, "PRAGMA trusted_schema = OFF;"
                              "PRAGMA cell_size_check = ON;"
                              "PRAGMA mmap_size = 0;"
                              "PRAGMA foreign_keys = ON");
}

/* Beyond SQLite's own check of pages and indices: figures that are there twice must agree. */
static enum status check_whole(const struct sql_file *self)
{
    const struct sql_schema *schema = self->schema;
    enum status status = require_text(self, "PRAGMA integrity_check(1)", "ok");
    for (size_t i = 0; i < schema->check_count && status == STATUS_OK; i++) {
        int64_t differences = 0;
        status = sql_file_integer(self, schema->checks[i], &differences);
        if (status == STATUS_OK && differences != 0) {
            status = fault(STATUS_CORRUPT, "%s is damaged (its sums do not agree); %s", self->path,
                           schema->remedy);
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

static enum status check_where_due(const struct sql_file *self, bool had_log)
{
    int64_t size_bytes = 0;
    enum status status = sql_file_integer(self,
                                          "SELECT page_count * page_size FROM pragma_page_count(),"
                                          " pragma_page_size()",
                                          &size_bytes);
    if (status == STATUS_OK && (had_log || size_bytes <= SQL_CHECKED_BYTES_MAX)) {
        status = check_whole(self);
    }
    return status;
}

/* The default file system of SQLite. */
static enum status connect(const char *path, const struct sql_schema *schema, int flags,
                           struct sql_file *out)
{
    *out = (struct sql_file){.path = path, .schema = schema};
    if (disk_kind_of(path) != DISK_FILE && disk_kind_of(path) != DISK_MISSING) {
        return fault(STATUS_CORRUPT, "%s is no plain file; %s", path, schema->remedy);
    }
    int code =
        sqlite3_open_v2(path, &out->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    return code == SQLITE_OK ? harden(out) : sql_file_fault(out, code);
}

enum status sql_file_open(const char *path, const struct sql_schema *schema, struct sql_file *out)
{
    bool had_log = has_log(path);
    enum status status = connect(path, schema, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, out);
    if (status == STATUS_OK) {
        status = sql_schema_know(out);
    }
    if (status == STATUS_OK) {
        status = require_text(out, "PRAGMA journal_mode = WAL", "wal");
    }
    if (status == STATUS_OK) {
        char limit[64];
        (void)snprintf(limit, sizeof limit, "PRAGMA journal_size_limit = %d", SQL_WAL_BYTES_KEPT);
        status = sql_file_run(out, limit);
    }
    if (status == STATUS_OK) {
        status = sql_file_run(out, "PRAGMA synchronous = FULL");
    }
    if (status == STATUS_OK) {
        status = sql_schema_apply(out);
    }
    return status == STATUS_OK ? check_where_due(out, had_log) : status;
}

enum status sql_file_open_to_read(const char *path, const struct sql_schema *schema,
                                  struct sql_file *out)
{
    enum status status = connect(path, schema, SQLITE_OPEN_READONLY, out);
    return status == STATUS_OK ? sql_schema_require(out) : status;
}

void sql_file_close(struct sql_file *self)
{
    int code = sqlite3_close(self->db);
    CHECK(code != SQLITE_BUSY);
    self->db = NULL;
}
