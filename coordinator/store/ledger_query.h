/* ledger_query - every statement that the ledger makes on its tables, and the values in and out of
 * it.
 *
 * A query is one use of a statement: put its values in order, run it or go through its rows, take
 * their columns in order. Trouble is kept and told at the end, so that no call between needs a
 * check.
 *
 *     struct ledger_query query = ledger_query_begin(&statements, LEDGER_ADD_EVENT);
 *     ledger_put_integer(&query, sequence);
 *     status = ledger_query_run(&query);
 *
 * Internal to ledger*.c. Not thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_LEDGER_QUERY_H
#define DUGNAD_COORDINATOR_STORE_LEDGER_QUERY_H

#include "common/status.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ledger_statement {
    LEDGER_BEGIN,
    LEDGER_COMMIT,
    LEDGER_ROLLBACK,
    LEDGER_BEGIN_RECORD, /* within a transaction */
    LEDGER_COMMIT_RECORD,
    LEDGER_ROLLBACK_RECORD,
    LEDGER_READ_POSITION,
    LEDGER_WRITE_POSITION,
    LEDGER_ADD_RUN,
    LEDGER_COUNT_SERVE,
    LEDGER_SET_PAUSED,
    LEDGER_SET_SETTINGS,
    LEDGER_ADD_EVENT,
    LEDGER_ADD_STEP,
    LEDGER_COUNT_STEP,
    LEDGER_SEE_PEER,
    LEDGER_NAME_PEER,
    LEDGER_ADD_CONTRIBUTION,
    LEDGER_ADD_RANGE,
    LEDGER_ADD_CREDIT,
    LEDGER_READ_TOTALS,
    LEDGER_READ_CREDIT,
    LEDGER_READ_PEERS,
    LEDGER_STATEMENT_COUNT
};

struct ledger_statements {
    sqlite3 *db;
    const char *path; /* borrowed, for sentences */
    sqlite3_stmt *prepared[LEDGER_STATEMENT_COUNT];
};

/* Prepares all; `db` and `path` are borrowed. End it with ledger_statements_deinit also after an
 * error. Errors: CORRUPT (a table or column is missing), IO, NO_MEMORY. */
MUST_CHECK enum status ledger_statements_init(struct ledger_statements *self, sqlite3 *db,
                                              const char *path);
void ledger_statements_deinit(struct ledger_statements *self);

struct ledger_query {
    struct ledger_statements *statements;
    sqlite3_stmt *statement;
    int place;          /* of the next value or column */
    enum status status; /* the first trouble, with its sentence */
};

struct ledger_query ledger_query_begin(struct ledger_statements *statements,
                                       enum ledger_statement which);

/* Values, which must live until the query ends. A number past INT64_MAX, which SQLite does not
 * have, or one that is not finite is OUT_OF_RANGE at the end. */
void ledger_put_integer(struct ledger_query *self, uint64_t value);
void ledger_put_real(struct ledger_query *self, double value);
void ledger_put_blob(struct ledger_query *self, const void *data, size_t size_bytes);
void ledger_put_text(struct ledger_query *self, const char *text); /* NULL: no value */

/* Runs a statement to its end, whatever rows it has. Errors: as ledger_sql_fault, OUT_OF_RANGE. */
MUST_CHECK enum status ledger_query_run(struct ledger_query *self);

/* Goes to the next row; false: there is none, or trouble. */
bool ledger_query_next(struct ledger_query *self);

/* Columns. One of another type or size, or a negative number, is CORRUPT at the end; `out` gets
 * zeros. No value is 0 or "". Text is cut to size_bytes - 1. */
uint64_t ledger_take_integer(struct ledger_query *self);
void ledger_take_blob(struct ledger_query *self, void *out, size_t size_bytes);
void ledger_take_text(struct ledger_query *self, char *out, size_t size_bytes);

/* Ends the query, in whatever state it is. Errors: the first one that it met. */
MUST_CHECK enum status ledger_query_end(struct ledger_query *self);

#endif
