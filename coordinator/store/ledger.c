#include "coordinator/store/ledger.h"

#include "common/check.h"
#include "common/disk.h"
#include "common/fault.h"
#include "coordinator/store/ledger_schema.h"
#include "coordinator/store/ledger_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status read_position(struct ledger *self, struct digest *out_hash)
{
    uint64_t halves = 0;
    struct sql_query query = sql_query_begin(&self->statements, LEDGER_READ_POSITION);
    if (sql_query_next(&query)) {
        self->next_sequence = sql_take_integer(&query);
        sql_take_blob(&query, out_hash->bytes, sizeof out_hash->bytes);
        halves = sql_take_integer(&query);
    }
    enum status status = sql_query_end(&query);
    if (status == STATUS_OK && halves != 0 && halves != 2) {
        status = fault(STATUS_CORRUPT, "%s is damaged (it has half a position); %s", self->path,
                       LEDGER_REMEDY);
    }
    return status;
}

/* A ledger without connection; NULL on error, which *out_status holds. */
static struct ledger *make(const char *run_path, enum status *out_status)
{
    struct ledger *self = calloc(1, sizeof *self);
    if (self == NULL) {
        *out_status = fault(STATUS_NO_MEMORY, "no memory to open the ledger of %s", run_path);
        return NULL;
    }
    *out_status = files_join(run_path, "ledger.db", self->path);
    if (*out_status != STATUS_OK) {
        free(self);
        return NULL;
    }
    return self;
}

enum status ledger_open(const char *run_path, const char *run_name, struct ledger **out,
                        uint64_t *out_sequence, struct digest *out_hash)
{
    *out_sequence = 0;
    *out_hash = (struct digest){{0}};
    *out = NULL;
    enum status status = STATUS_OK;
    struct ledger *self = make(run_path, &status);
    if (self == NULL) {
        return status;
    }
    (void)snprintf(self->run_name, sizeof self->run_name, "%s", run_name);
    status = sql_file_open(self->path, ledger_schema_current(), &self->file);
    if (status == STATUS_OK) {
        status = sql_statements_init(&self->statements, &self->file, LEDGER_STATEMENTS,
                                     LEDGER_STATEMENT_COUNT);
    }
    if (status == STATUS_OK) {
        status = read_position(self, out_hash);
    }
    if (status != STATUS_OK) {
        ledger_close(self);
        return status;
    }
    *out = self;
    *out_sequence = self->next_sequence;
    return STATUS_OK;
}

enum status ledger_open_to_read(const char *run_path, struct ledger **out)
{
    *out = NULL;
    enum status status = STATUS_OK;
    struct ledger *self = make(run_path, &status);
    if (self == NULL) {
        return status;
    }
    self->read_only = true;
    if (disk_kind_of(self->path) == DISK_MISSING) {
        status = fault(STATUS_NO_INPUT,
                       "%s is missing: nobody has served this run yet, or it is to be made again "
                       "with 'dugnad-coordinator rebuild-ledger'",
                       self->path);
    } else {
        status = sql_file_open_to_read(self->path, ledger_schema_current(), &self->file);
    }
    if (status == STATUS_OK) {
        status = sql_statements_init(&self->statements, &self->file, LEDGER_STATEMENTS,
                                     LEDGER_STATEMENT_COUNT);
    }
    if (status != STATUS_OK) {
        ledger_close(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void ledger_close(struct ledger *self)
{
    if (self == NULL) {
        return;
    }
    sql_statements_deinit(&self->statements);
    sql_file_close(&self->file);
    free(self);
}

static enum status remove_file(const char *path)
{
    if (disk_kind_of(path) != DISK_MISSING && !disk_unlink(path)) {
        return fault(STATUS_IO, "cannot remove %s: %s; remove it by hand", path, strerror(errno));
    }
    return STATUS_OK;
}

static enum status sync_folder(const char *path)
{
    if (!disk_sync_folder(path)) {
        return fault(STATUS_IO, "cannot sync the folder %s: %s", path, strerror(errno));
    }
    return STATUS_OK;
}

/* The file goes first, and durably: without its log it could be read as an older, broken state,
 * while a log without its file is thrown away by SQLite. */
enum status ledger_remove(const char *run_path)
{
    static const char *const rest[] = {"ledger.db-wal", "ledger.db-shm", "ledger.db-journal"};
    char path[FILES_PATH_MAX];
    enum status status = files_join(run_path, "ledger.db", path);
    if (status == STATUS_OK) {
        status = remove_file(path);
    }
    if (status == STATUS_OK) {
        status = sync_folder(run_path);
    }
    for (size_t i = 0; i < sizeof rest / sizeof rest[0] && status == STATUS_OK; i++) {
        status = files_join(run_path, rest[i], path);
        if (status == STATUS_OK) {
            status = remove_file(path);
        }
    }
    return status == STATUS_OK ? sync_folder(run_path) : status;
}

enum status ledger_begin(struct ledger *self)
{
    CHECK(!self->read_only && !self->in_batch);
    struct sql_query query = sql_query_begin(&self->statements, LEDGER_BEGIN);
    enum status status = sql_query_run(&query);
    self->in_batch = status == STATUS_OK;
    self->batch_lost = false;
    self->batch_sequence = self->next_sequence;
    return status;
}

enum status ledger_end(struct ledger *self)
{
    CHECK(self->in_batch);
    self->in_batch = false;
    if (self->batch_lost) {
        return fault(STATUS_IO, "%s gave a transaction up after an error", self->path);
    }
    struct sql_query query = sql_query_begin(&self->statements, LEDGER_COMMIT);
    enum status status = sql_query_run(&query);
    if (status != STATUS_OK) {
        self->next_sequence = self->batch_sequence;
        if (sqlite3_get_autocommit(self->file.db) == 0) {
            query = sql_query_begin(&self->statements, LEDGER_ROLLBACK);
            enum status undone = sql_query_run(&query);
            status = undone == STATUS_OK ? status : undone;
        }
    }
    return status;
}

enum status ledger_name_peer(struct ledger *self, const uint8_t key[IDENTITY_KEY_BYTES],
                             const char *name)
{
    CHECK(!self->read_only);
    char kept[WIRE_NAME_MAX];
    (void)snprintf(kept, sizeof kept, "%s", name);
    struct sql_query query = sql_query_begin(&self->statements, LEDGER_NAME_PEER);
    sql_put_blob(&query, key, IDENTITY_KEY_BYTES);
    sql_put_text(&query, kept);
    return sql_query_run(&query);
}

enum status ledger_totals(struct ledger *self, struct ledger_totals *out)
{
    *out = (struct ledger_totals){0};
    struct sql_query query = sql_query_begin(&self->statements, LEDGER_READ_TOTALS);
    if (sql_query_next(&query)) {
        out->steps = sql_take_integer(&query);
        out->samples = sql_take_integer(&query);
        out->tokens = sql_take_integer(&query);
        out->credit_tokens = sql_take_integer(&query);
        out->peers = sql_take_integer(&query);
    }
    return sql_query_end(&query);
}

enum status ledger_credit(struct ledger *self, const uint8_t key[IDENTITY_KEY_BYTES],
                          uint64_t *out_tokens)
{
    *out_tokens = 0;
    struct sql_query query = sql_query_begin(&self->statements, LEDGER_READ_CREDIT);
    sql_put_blob(&query, key, IDENTITY_KEY_BYTES);
    if (sql_query_next(&query)) {
        *out_tokens = sql_take_integer(&query);
    }
    return sql_query_end(&query);
}

static struct ledger_peer take_peer(struct sql_query *query)
{
    struct ledger_peer peer;
    sql_take_blob(query, peer.key, sizeof peer.key);
    sql_take_text(query, peer.name, sizeof peer.name);
    peer.tokens = sql_take_integer(query);
    peer.samples = sql_take_integer(query);
    peer.contributions = sql_take_integer(query);
    peer.first_ms = sql_take_integer(query);
    peer.last_ms = sql_take_integer(query);
    return peer;
}

enum status ledger_peers(struct ledger *self, struct ledger_peer **out, size_t *out_count)
{
    struct ledger_peer *peers = NULL;
    size_t count = 0;
    size_t capacity = 0;
    enum status status = STATUS_OK;
    struct sql_query query = sql_query_begin(&self->statements, LEDGER_READ_PEERS);
    while (status == STATUS_OK && sql_query_next(&query)) {
        if (count == capacity) {
            capacity = capacity == 0 ? 64 : 2 * capacity;
            struct ledger_peer *grown = realloc(peers, capacity * sizeof *peers);
            if (grown == NULL) {
                status = fault(STATUS_NO_MEMORY, "no memory for the peers of %s", self->path);
                break;
            }
            peers = grown;
        }
        peers[count++] = take_peer(&query);
    }
    enum status ended = sql_query_end(&query);
    status = status == STATUS_OK ? ended : status;
    if (status != STATUS_OK) {
        free(peers);
        peers = NULL;
        count = 0;
    }
    *out = peers;
    *out_count = count;
    return status;
}
