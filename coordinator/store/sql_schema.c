#include "coordinator/store/sql_file.h"

#include "common/fault.h"

#include <inttypes.h>
#include <stdio.h>

/* The file's version, 0 when it is empty. */
static enum status read_version(const struct sql_file *file, size_t *out)
{
    const struct sql_schema *schema = file->schema;
    int64_t application = 0;
    int64_t version = 0;
    int64_t objects = 0;
    *out = 0;
    enum status status = sql_file_integer(file, "PRAGMA application_id", &application);
    if (status == STATUS_OK) {
        status = sql_file_integer(file, "PRAGMA user_version", &version);
    }
    if (status == STATUS_OK) {
        status = sql_file_integer(file, "SELECT count(*) FROM sqlite_schema", &objects);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (application == 0 && version == 0 && objects == 0) {
        return STATUS_OK;
    }
    if (application != schema->application_id || version < 1 || objects == 0) {
        return fault(STATUS_CORRUPT, "%s is not %s of dugnad, or is damaged; %s", file->path,
                     schema->kind, schema->remedy);
    }
    if ((uint64_t)version > schema->version) {
        return fault(STATUS_CORRUPT,
                     "%s was written by a later release of dugnad (tables of version %" PRId64
                     ", this one knows %zu); install that release%s",
                     file->path, version, schema->version, schema->later);
    }
    *out = (size_t)version;
    return STATUS_OK;
}

enum status sql_schema_know(const struct sql_file *file)
{
    size_t version = 0;
    return read_version(file, &version);
}

enum status sql_schema_require(const struct sql_file *file)
{
    size_t version = 0;
    enum status status = read_version(file, &version);
    if (status == STATUS_OK && version != file->schema->version) {
        status = fault(STATUS_CORRUPT,
                       "%s was written by an earlier release of dugnad, or not finished; "
                       "'dugnad-coordinator serve' brings it up to date",
                       file->path);
    }
    return status;
}

enum status sql_schema_apply(const struct sql_file *file)
{
    const struct sql_schema *schema = file->schema;
    char mark[96];
    size_t version = 0;
    enum status status = read_version(file, &version);
    if (status != STATUS_OK || version == schema->version) {
        return status;
    }
    status = sql_file_run(file, "BEGIN IMMEDIATE");
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = version; i < schema->version && status == STATUS_OK; i++) {
        status = sql_file_run(file, schema->steps[i]);
    }
    if (status == STATUS_OK) {
        /* A PRAGMA takes no bound values; both are numbers of ours. */
        (void)snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %zu",
                       schema->application_id, schema->version);
        status = sql_file_run(file, mark);
    }
    if (status == STATUS_OK) {
        status = sql_file_run(file, "COMMIT");
    }
    if (status != STATUS_OK && sqlite3_get_autocommit(file->db) == 0) {
        /* The sentence of what went wrong stays; a rollback that fails ends with the connection. */
        (void)sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}
