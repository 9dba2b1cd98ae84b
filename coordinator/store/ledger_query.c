#include "coordinator/store/ledger_query.h"

#include "common/fault.h"
#include "coordinator/store/ledger_sql.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const sql_of[LEDGER_STATEMENT_COUNT] = {
    [LEDGER_BEGIN] = "BEGIN IMMEDIATE",
    [LEDGER_COMMIT] = "COMMIT",
    [LEDGER_ROLLBACK] = "ROLLBACK",
    [LEDGER_BEGIN_RECORD] = "SAVEPOINT record",
    [LEDGER_COMMIT_RECORD] = "RELEASE record",
    [LEDGER_ROLLBACK_RECORD] = "ROLLBACK TO record",
    [LEDGER_READ_POSITION] = "SELECT (SELECT value FROM meta WHERE key = 'next_sequence'),"
                             " (SELECT value FROM meta WHERE key = 'last_hash'),"
                             " (SELECT count(*) FROM meta"
                             "  WHERE key IN ('next_sequence', 'last_hash'))",
    [LEDGER_WRITE_POSITION] = "INSERT INTO meta (key, value)"
                              " VALUES ('next_sequence', ?1), ('last_hash', ?2)"
                              " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    [LEDGER_ADD_RUN] = "INSERT INTO runs (run_id, name, serial, paused, settings)"
                       " SELECT ?1, ?2, ?3, ?4, ?5"
                       " WHERE NOT EXISTS (SELECT 1 FROM runs WHERE run_id <> ?1)"
                       " ON CONFLICT (run_id) DO UPDATE SET name = excluded.name,"
                       " serial = excluded.serial, paused = excluded.paused,"
                       " settings = excluded.settings",
    [LEDGER_COUNT_SERVE] = "UPDATE runs SET serial = serial + 1",
    [LEDGER_SET_PAUSED] = "UPDATE runs SET paused = ?1",
    [LEDGER_SET_SETTINGS] = "UPDATE runs SET settings = ?1",
    [LEDGER_ADD_EVENT] = "INSERT INTO events (sequence, type, version, unix_ms, text, settings)"
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [LEDGER_ADD_STEP] = "INSERT INTO steps (step, sample_first, sample_count, tokens, loss,"
                        " grad_l2, learning_rate, unix_ms, digest)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [LEDGER_COUNT_STEP] = "INSERT INTO meta (key, value)"
                          " VALUES ('steps', 1), ('samples', ?1), ('tokens', ?2)"
                          " ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
    [LEDGER_SEE_PEER] = "INSERT INTO peers (key, first_ms, last_ms) VALUES (?1, ?2, ?2)"
                        " ON CONFLICT (key) DO UPDATE SET"
                        " first_ms = min(ifnull(first_ms, excluded.first_ms), excluded.first_ms),"
                        " last_ms = max(ifnull(last_ms, excluded.last_ms), excluded.last_ms)"
                        " RETURNING id",
    [LEDGER_NAME_PEER] = "INSERT INTO peers (key, name) VALUES (?1, ?2)"
                         " ON CONFLICT (key) DO UPDATE SET name = excluded.name"
                         " WHERE name <> excluded.name",
    [LEDGER_ADD_CONTRIBUTION] = "INSERT INTO contributions"
                                " (step, number, peer, tokens, samples, loss_sum)"
                                " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [LEDGER_ADD_RANGE] = "INSERT INTO sample_ranges (sample_first, sample_count, step, number)"
                         " VALUES (?1, ?2, ?3, ?4)",
    [LEDGER_ADD_CREDIT] = "INSERT INTO credit (peer, tokens, samples, contributions)"
                          " VALUES (?1, ?2, ?3, 1)"
                          " ON CONFLICT (peer) DO UPDATE SET tokens = tokens + excluded.tokens,"
                          " samples = samples + excluded.samples,"
                          " contributions = contributions + 1",
    [LEDGER_READ_TOTALS] = "SELECT count(*), sum(sample_count), sum(tokens),"
                           " (SELECT sum(tokens) FROM credit), (SELECT count(*) FROM credit)"
                           " FROM steps",
    [LEDGER_READ_CREDIT] = "SELECT tokens FROM credit JOIN peers ON peer = id WHERE key = ?1",
    [LEDGER_READ_PEERS] = "SELECT key, name, tokens, samples, contributions, first_ms, last_ms"
                          " FROM credit JOIN peers ON peer = id ORDER BY tokens DESC, key",
};

enum status ledger_statements_init(struct ledger_statements *self, sqlite3 *db, const char *path)
{
    *self = (struct ledger_statements){.db = db, .path = path};
    for (size_t i = 0; i < LEDGER_STATEMENT_COUNT; i++) {
        int code = sqlite3_prepare_v3(db, sql_of[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &self->prepared[i], NULL);
        if (code != SQLITE_OK) {
            return ledger_sql_fault(db, code, path);
        }
    }
    return STATUS_OK;
}

void ledger_statements_deinit(struct ledger_statements *self)
{
    for (size_t i = 0; i < LEDGER_STATEMENT_COUNT; i++) {
        (void)sqlite3_finalize(self->prepared[i]); /* says again what its last use said */
        self->prepared[i] = NULL;
    }
}

struct ledger_query ledger_query_begin(struct ledger_statements *statements,
                                       enum ledger_statement which)
{
    return (struct ledger_query){.statements = statements,
                                 .statement = statements->prepared[which]};
}

static void note_code(struct ledger_query *self, int code)
{
    if (code != SQLITE_OK && self->status == STATUS_OK) {
        self->status = ledger_sql_fault(self->statements->db, code, self->statements->path);
    }
}

void ledger_put_integer(struct ledger_query *self, uint64_t value)
{
    if (value > INT64_MAX) {
        if (self->status == STATUS_OK) {
            self->status = fault(STATUS_OUT_OF_RANGE,
                                 "%s cannot hold the number %" PRIu64 ", which is past 2^63 - 1",
                                 self->statements->path, value);
        }
        return;
    }
    note_code(self, sqlite3_bind_int64(self->statement, ++self->place, (sqlite3_int64)value));
}

void ledger_put_real(struct ledger_query *self, double value)
{
    if (!isfinite(value)) {
        if (self->status == STATUS_OK) {
            self->status = fault(STATUS_OUT_OF_RANGE, "%s cannot hold a number that is not finite",
                                 self->statements->path);
        }
        return;
    }
    note_code(self, sqlite3_bind_double(self->statement, ++self->place, value));
}

void ledger_put_blob(struct ledger_query *self, const void *data, size_t size_bytes)
{
    note_code(self,
              sqlite3_bind_blob64(self->statement, ++self->place, data, size_bytes, SQLITE_STATIC));
}

void ledger_put_text(struct ledger_query *self, const char *text)
{
    note_code(self, sqlite3_bind_text(self->statement, ++self->place, text, -1, SQLITE_STATIC));
}

bool ledger_query_next(struct ledger_query *self)
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

static void note_wrong_column(struct ledger_query *self, int column)
{
    if (self->status == STATUS_OK) {
        self->status =
            fault(STATUS_CORRUPT, "%s is damaged (an impossible %s); %s", self->statements->path,
                  sqlite3_column_name(self->statement, column), LEDGER_SQL_REMEDY);
    }
}

uint64_t ledger_take_integer(struct ledger_query *self)
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

void ledger_take_blob(struct ledger_query *self, void *out, size_t size_bytes)
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

void ledger_take_text(struct ledger_query *self, char *out, size_t size_bytes)
{
    const unsigned char *text = sqlite3_column_text(self->statement, self->place++);
    (void)snprintf(out, size_bytes, "%s", text != NULL ? (const char *)text : "");
}

enum status ledger_query_end(struct ledger_query *self)
{
    (void)sqlite3_reset(self->statement); /* says again what the last step said */
    (void)sqlite3_clear_bindings(self->statement);
    return self->status;
}

enum status ledger_query_run(struct ledger_query *self)
{
    while (ledger_query_next(self)) {
    }
    return ledger_query_end(self);
}
