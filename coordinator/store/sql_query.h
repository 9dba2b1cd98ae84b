/* sql_query - statements on the tables of a file, and the values in and out of them.
 *
 * A query is one use of a statement: put its values in order, run it or go through its rows, take
 * their columns in order. Trouble is kept and told at the end, so that no call between needs a
 * check.
 *
 *     struct sql_query query = sql_query_begin(&statements, LEDGER_ADD_EVENT);
 *     sql_put_integer(&query, sequence);
 *     status = sql_query_run(&query);
 *
 * Internal to ledger*.c and members*.c. Not thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_SQL_QUERY_H
#define DUGNAD_COORDINATOR_STORE_SQL_QUERY_H

#include "coordinator/store/sql_file.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SQL_STATEMENTS_MAX = 40 };

struct sql_statements {
    const struct sql_file *file; /* borrowed */
    sqlite3_stmt *prepared[SQL_STATEMENTS_MAX];
};

/* Prepares texts(count). End it with sql_statements_deinit also after an error, before the file is
 * closed. Errors: CORRUPT (a table or column is missing), IO, NO_MEMORY. */
MUST_CHECK enum status sql_statements_init(struct sql_statements *self, const struct sql_file *file,
                                           const char *const *texts, size_t count);
void sql_statements_deinit(struct sql_statements *self); /* A zeroed one is allowed. */

struct sql_query {
    struct sql_statements *statements;
    sqlite3_stmt *statement;
    int place;          /* of the next value or column */
    enum status status; /* the first trouble, with its sentence */
};

struct sql_query sql_query_begin(struct sql_statements *statements, unsigned which);

/* Values, which must live until the query ends. A number past INT64_MAX, which SQLite does not
 * have, or one that is not finite is OUT_OF_RANGE at the end. */
void sql_put_integer(struct sql_query *self, uint64_t value);
void sql_put_real(struct sql_query *self, double value);
void sql_put_blob(struct sql_query *self, const void *data, size_t size_bytes);
void sql_put_text(struct sql_query *self, const char *text); /* NULL: no value */

/* Runs a statement to its end, whatever rows it has. Errors: as sql_file_fault, OUT_OF_RANGE. */
MUST_CHECK enum status sql_query_run(struct sql_query *self);

/* Goes to the next row; false: there is none, or trouble. */
bool sql_query_next(struct sql_query *self);

/* Columns. One of another type or size, or a negative number, is CORRUPT at the end; `out` gets
 * zeros. No value is 0 or "". Text is cut to size_bytes - 1. */
uint64_t sql_take_integer(struct sql_query *self);
void sql_take_blob(struct sql_query *self, void *out, size_t size_bytes);
void sql_take_text(struct sql_query *self, char *out, size_t size_bytes);

/* Ends the query, in whatever state it is. Errors: the first one that it met. */
MUST_CHECK enum status sql_query_end(struct sql_query *self);

#endif
