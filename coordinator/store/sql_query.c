#include "coordinator/store/sql_query.h"

#include "common/check.h"
#include "common/fault.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum status sql_statements_init(struct sql_statements *self, const struct sql_file *file,
                                const char *const *texts, size_t count)
{
    CHECK(count <= SQL_STATEMENTS_MAX);
    *self = (struct sql_statements){.file = file};
    for (size_t i = 0; i < count; i++) {
        int code = sqlite3_prepare_v3(file->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &self->prepared[i], NULL);
        if (code != SQLITE_OK) {
            return sql_file_fault(file, code);
        }
    }
    return STATUS_OK;
}

void sql_statements_deinit(struct sql_statements *self)
{
    for (size_t i = 0; i < SQL_STATEMENTS_MAX; i++) {
        (void)sqlite3_finalize(self->prepared[i]); /* says again what its last use said */
        self->prepared[i] = NULL;
    }
}

struct sql_query sql_query_begin(struct sql_statements *statements, unsigned which)
{
    return (struct sql_query){.statements = statements, .statement = statements->prepared[which]};
}

static void note_code(struct sql_query *self, int code)
{
    if (code != SQLITE_OK && self->status == STATUS_OK) {
        self->status = sql_file_fault(self->statements->file, code);
    }
}

void sql_put_integer(struct sql_query *self, uint64_t value)
{
    if (value > INT64_MAX) {
        if (self->status == STATUS_OK) {
            self->status = fault(STATUS_OUT_OF_RANGE,
                                 "%s cannot hold the number %" PRIu64 ", which is past 2^63 - 1",
                                 self->statements->file->path, value);
        }
        return;
    }
    note_code(self, sqlite3_bind_int64(self->statement, ++self->place, (sqlite3_int64)value));
}

void sql_put_real(struct sql_query *self, double value)
{
    if (!isfinite(value)) {
        if (self->status == STATUS_OK) {
            self->status = fault(STATUS_OUT_OF_RANGE, "%s cannot hold a number that is not finite",
                                 self->statements->file->path);
        }
        return;
    }
    note_code(self, sqlite3_bind_double(self->statement, ++self->place, value));
}

void sql_put_blob(struct sql_query *self, const void *data, size_t size_bytes)
{
    note_code(self,
              sqlite3_bind_blob64(self->statement, ++self->place, data, size_bytes, SQLITE_STATIC));
}

void sql_put_text(struct sql_query *self, const char *text)
{
    note_code(self, sqlite3_bind_text(self->statement, ++self->place, text, -1, SQLITE_STATIC));
}

bool sql_query_next(struct sql_query *self)
{
    if (self->status != STATUS_OK) {
        return false;
    }
    int code = sqlite3_step(self->statement);
    self->place = 0;
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        note_code(self, code);
    }
    return code == SQLITE_ROW;
}

static void note_wrong_column(struct sql_query *self, int column)
{
    if (self->status == STATUS_OK) {
        self->status = fault(
            STATUS_CORRUPT, "%s is damaged (an impossible %s); %s", self->statements->file->path,
            sqlite3_column_name(self->statement, column), self->statements->file->schema->remedy);
    }
}

uint64_t sql_take_integer(struct sql_query *self)
{
    int column = self->place++;
    int type = sqlite3_column_type(self->statement, column);
    sqlite3_int64 value = sqlite3_column_int64(self->statement, column);
    if (type == SQLITE_NULL) {
        return 0;
    }
    if (type != SQLITE_INTEGER || value < 0) {
        note_wrong_column(self, column);
        return 0;
    }
    return (uint64_t)value;
}

void sql_take_blob(struct sql_query *self, void *out, size_t size_bytes)
{
    int column = self->place++;
    memset(out, 0, size_bytes);
    if (sqlite3_column_type(self->statement, column) == SQLITE_NULL) {
        return;
    }
    const void *data = sqlite3_column_blob(self->statement, column);
    if (sqlite3_column_type(self->statement, column) != SQLITE_BLOB || data == NULL ||
        (size_t)sqlite3_column_bytes(self->statement, column) != size_bytes) {
        note_wrong_column(self, column);
        return;
    }
    memcpy(out, data, size_bytes);
}

void sql_take_text(struct sql_query *self, char *out, size_t size_bytes)
{
    const unsigned char *text = sqlite3_column_text(self->statement, self->place++);
    (void)snprintf(out, size_bytes, "%s", text != NULL ? (const char *)text : "");
}

enum status sql_query_end(struct sql_query *self)
{
    (void)sqlite3_reset(self->statement); /* says again what the last step said */
    (void)sqlite3_clear_bindings(self->statement);
    return self->status;
}

enum status sql_query_run(struct sql_query *self)
{
    while (sql_query_next(self)) {
    }
    return sql_query_end(self);
}
