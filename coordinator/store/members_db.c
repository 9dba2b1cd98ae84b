#include "coordinator/store/members_db.h"

#include "common/disk.h"
#include "common/fault.h"
#include "coordinator/store/members_import.h"
#include "coordinator/store/members_schema.h"
#include "coordinator/store/sql_query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FORGOTTEN_AT_ONCE = 4096 };

enum statement {
    BEGIN,
    COMMIT,
    READ_MEMBER,
    READ_INVITE,
    LIST_MEMBERS,
    LIST_BANNED,
    LIST_INVITES,
    LIST_INCIDENTS,
    COUNT_MEMBERS,
    COUNT_INVITES,
    LAST_INCIDENT,
    WRITE_MEMBER,
    WRITE_INVITE,
    ADD_INCIDENT,
    REPEAT_INCIDENT,
    FORGET_MEMBERS,
    FORGET_INCIDENTS,
    STATEMENT_COUNT
};

#define MEMBER_COLUMNS                                                                             \
    "key, name, invite, allowed, state, reason, first_ms, last_ms, changed_ms, sequence"
#define INVITE_COLUMNS "number, hash, label, uses, used, created_ms, expires_ms, revoked"

static const char *const statements[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [READ_MEMBER] = "SELECT " MEMBER_COLUMNS " FROM members WHERE key = ?1",
    [READ_INVITE] = "SELECT " INVITE_COLUMNS " FROM invites WHERE hash = ?1",
    [LIST_MEMBERS] = "SELECT " MEMBER_COLUMNS " FROM members WHERE key >= ?1 ORDER BY key LIMIT ?2",
    [LIST_BANNED] = "SELECT " MEMBER_COLUMNS " FROM members WHERE key >= ?1 AND state = 'banned'"
                    " ORDER BY key LIMIT ?2",
    [LIST_INVITES] =
        "SELECT " INVITE_COLUMNS " FROM invites WHERE number >= ?1 ORDER BY number LIMIT ?2",
    [LIST_INCIDENTS] = "SELECT number, first_ms, last_ms, count, key IS NOT NULL, key, host, kind,"
                       " text FROM incidents WHERE number < ?1 ORDER BY number DESC LIMIT ?2",
    [COUNT_MEMBERS] = "SELECT count(*) FROM members",
    [COUNT_INVITES] = "SELECT count(*), max(number) FROM invites",
    [LAST_INCIDENT] = "SELECT max(number) FROM incidents",
    [WRITE_MEMBER] = "INSERT OR REPLACE INTO members (" MEMBER_COLUMNS ")"
                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [WRITE_INVITE] = "INSERT INTO invites (" INVITE_COLUMNS ")"
                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
                     " ON CONFLICT (number) DO UPDATE SET used = excluded.used,"
                     " revoked = excluded.revoked",
    [ADD_INCIDENT] = "INSERT INTO incidents (number, first_ms, last_ms, count, key, host, kind,"
                     " text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [REPEAT_INCIDENT] = "UPDATE incidents SET last_ms = ?2, count = ?3 WHERE number = ?1",
    [FORGET_MEMBERS] = "DELETE FROM members WHERE key IN (SELECT key FROM members"
                       " WHERE invite = 0 AND allowed = 0 AND state = 'active'"
                       " ORDER BY last_ms LIMIT ?1)",
    [FORGET_INCIDENTS] = "DELETE FROM incidents WHERE number <= ?1",
};

struct members_db {
    struct sql_file file;
    struct sql_statements statements;
    uint64_t member_count; /* at most this many */
    uint64_t last_incident;
    char path[FILES_PATH_MAX];
};

static struct sql_query begin(struct members_db *self, enum statement which)
{
    return sql_query_begin(&self->statements, which);
}

static enum status run(struct members_db *self, enum statement which)
{
    struct sql_query query = begin(self, which);
    return sql_query_run(&query);
}

static enum status read_number(struct members_db *self, enum statement which, uint64_t *out)
{
    struct sql_query query = begin(self, which);
    *out = sql_query_next(&query) ? sql_take_integer(&query) : 0;
    return sql_query_end(&query);
}

/* It holds addresses of peers: nobody else shall read it. SQLite gives what belongs to it the same
 * mode. */
static enum status make_private(const char *path)
{
    if (disk_kind_of(path) != DISK_MISSING) {
        return STATUS_OK;
    }
    int fd = disk_open(path, DISK_CREATE, 0600);
    if (fd < 0) {
        return fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", path, strerror(errno));
    }
    (void)disk_close(fd);
    return STATUS_OK;
}

static enum status open_file(struct members_db *self)
{
    enum status status = make_private(self->path);
    if (status != STATUS_OK) {
        return status;
    }
    status = sql_file_open(self->path, members_schema_current(), &self->file);
    if (status == STATUS_OK) {
        status = sql_statements_init(&self->statements, &self->file, statements, STATEMENT_COUNT);
    }
    if (status == STATUS_OK) {
        status = read_number(self, COUNT_MEMBERS, &self->member_count);
    }
    return status == STATUS_OK ? read_number(self, LAST_INCIDENT, &self->last_incident) : status;
}

enum status members_db_open(const char *run_path, struct members_db **out)
{
    *out = NULL;
    struct members_db *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to open the members of %s", run_path);
    }
    enum status status = files_join(run_path, "members.db", self->path);
    if (status == STATUS_OK) {
        status = open_file(self);
    }
    if (status == STATUS_OK) {
        status = members_import(run_path, self);
    }
    if (status != STATUS_OK) {
        members_db_close(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void members_db_close(struct members_db *self)
{
    if (self != NULL) {
        sql_statements_deinit(&self->statements);
        sql_file_close(&self->file);
        free(self);
    }
}

static enum member_state find_state(const char *name)
{
    enum member_state state = MEMBER_ACTIVE;
    while (state < MEMBER_BANNED && strcmp(name, member_state_name(state)) != 0) {
        state++;
    }
    return state; /* the table's own check lets no other name in: a ban is the safe reading */
}

static void take_member(struct sql_query *query, struct member *out)
{
    char state[16];
    sql_take_blob(query, out->key, sizeof out->key);
    sql_take_text(query, out->name, sizeof out->name);
    out->invite = sql_take_integer(query);
    out->allowed = sql_take_integer(query) != 0;
    sql_take_text(query, state, sizeof state);
    sql_take_text(query, out->reason, sizeof out->reason);
    out->first_ms = sql_take_integer(query);
    out->last_ms = sql_take_integer(query);
    out->changed_ms = sql_take_integer(query);
    out->sequence = sql_take_integer(query);
    out->state = find_state(state);
}

static void take_invite(struct sql_query *query, struct invite *out)
{
    out->number = sql_take_integer(query);
    sql_take_blob(query, out->hash.bytes, sizeof out->hash.bytes);
    sql_take_text(query, out->label, sizeof out->label);
    out->uses = sql_take_integer(query);
    out->used = sql_take_integer(query);
    out->created_ms = sql_take_integer(query);
    out->expires_ms = sql_take_integer(query);
    out->revoked = sql_take_integer(query) != 0;
}

static void take_incident(struct sql_query *query, struct incident *out)
{
    out->number = sql_take_integer(query);
    out->first_ms = sql_take_integer(query);
    out->last_ms = sql_take_integer(query);
    out->count = sql_take_integer(query);
    out->has_key = sql_take_integer(query) != 0;
    sql_take_blob(query, out->key, sizeof out->key);
    sql_take_text(query, out->host, sizeof out->host);
    sql_take_text(query, out->kind, sizeof out->kind);
    sql_take_text(query, out->text, sizeof out->text);
}

enum status members_db_member(struct members_db *self, const uint8_t key[IDENTITY_KEY_BYTES],
                              struct member *out, bool *out_found)
{
    struct sql_query query = begin(self, READ_MEMBER);
    sql_put_blob(&query, key, IDENTITY_KEY_BYTES);
    *out_found = sql_query_next(&query);
    if (*out_found) {
        take_member(&query, out);
    }
    return sql_query_end(&query);
}

enum status members_db_invite(struct members_db *self, const struct digest *hash,
                              struct invite *out, bool *out_found)
{
    struct sql_query query = begin(self, READ_INVITE);
    sql_put_blob(&query, hash->bytes, sizeof hash->bytes);
    *out_found = sql_query_next(&query);
    if (*out_found) {
        take_invite(&query, out);
    }
    return sql_query_end(&query);
}

enum status members_db_list(struct members_db *self, const uint8_t from[IDENTITY_KEY_BYTES],
                            bool banned_only, struct member *out, size_t count_max,
                            size_t *out_count)
{
    struct sql_query query = begin(self, banned_only ? LIST_BANNED : LIST_MEMBERS);
    sql_put_blob(&query, from, IDENTITY_KEY_BYTES);
    sql_put_integer(&query, count_max);
    for (*out_count = 0; *out_count < count_max && sql_query_next(&query); (*out_count)++) {
        take_member(&query, &out[*out_count]);
    }
    return sql_query_end(&query);
}

enum status members_db_invites(struct members_db *self, uint64_t from, struct invite *out,
                               size_t count_max, size_t *out_count)
{
    struct sql_query query = begin(self, LIST_INVITES);
    sql_put_integer(&query, from);
    sql_put_integer(&query, count_max);
    for (*out_count = 0; *out_count < count_max && sql_query_next(&query); (*out_count)++) {
        take_invite(&query, &out[*out_count]);
    }
    return sql_query_end(&query);
}

enum status members_db_incidents(struct members_db *self, uint64_t before, struct incident *out,
                                 size_t count_max, size_t *out_count)
{
    struct sql_query query = begin(self, LIST_INCIDENTS);
    sql_put_integer(&query, before < INT64_MAX ? before : INT64_MAX);
    sql_put_integer(&query, count_max);
    for (*out_count = 0; *out_count < count_max && sql_query_next(&query); (*out_count)++) {
        take_incident(&query, &out[*out_count]);
    }
    return sql_query_end(&query);
}

enum status members_db_invite_count(struct members_db *self, uint64_t *out_count,
                                    uint64_t *out_number)
{
    struct sql_query query = begin(self, COUNT_INVITES);
    bool any = sql_query_next(&query);
    *out_count = any ? sql_take_integer(&query) : 0;
    *out_number = any ? sql_take_integer(&query) : 0;
    return sql_query_end(&query);
}

static enum status write_member(struct members_db *self, const struct member *member)
{
    struct sql_query query = begin(self, WRITE_MEMBER);
    sql_put_blob(&query, member->key, sizeof member->key);
    sql_put_text(&query, member->name);
    sql_put_integer(&query, member->invite);
    sql_put_integer(&query, member->allowed ? 1 : 0);
    sql_put_text(&query, member_state_name(member->state));
    sql_put_text(&query, member->reason);
    sql_put_integer(&query, member->first_ms);
    sql_put_integer(&query, member->last_ms);
    sql_put_integer(&query, member->changed_ms);
    sql_put_integer(&query, member->sequence);
    return sql_query_run(&query);
}

static enum status write_invite(struct members_db *self, const struct invite *invite)
{
    struct sql_query query = begin(self, WRITE_INVITE);
    sql_put_integer(&query, invite->number);
    sql_put_blob(&query, invite->hash.bytes, sizeof invite->hash.bytes);
    sql_put_text(&query, invite->label);
    sql_put_integer(&query, invite->uses);
    sql_put_integer(&query, invite->used);
    sql_put_integer(&query, invite->created_ms);
    sql_put_integer(&query, invite->expires_ms);
    sql_put_integer(&query, invite->revoked ? 1 : 0);
    return sql_query_run(&query);
}

/* `number`: of a new one. */
static enum status write_incident(struct members_db *self, const struct incident *incident,
                                  uint64_t number)
{
    bool is_new = incident->number == 0;
    struct sql_query query = begin(self, is_new ? ADD_INCIDENT : REPEAT_INCIDENT);
    sql_put_integer(&query, is_new ? number : incident->number);
    if (is_new) {
        sql_put_integer(&query, incident->first_ms);
    }
    sql_put_integer(&query, incident->last_ms);
    sql_put_integer(&query, incident->count);
    if (is_new) {
        sql_put_blob(&query, incident->has_key ? incident->key : NULL, sizeof incident->key);
        sql_put_text(&query, incident->host);
        sql_put_text(&query, incident->kind);
        sql_put_text(&query, incident->text);
    }
    return sql_query_run(&query);
}

static enum status forget(struct members_db *self, enum statement which, uint64_t argument)
{
    struct sql_query query = begin(self, which);
    sql_put_integer(&query, argument);
    return sql_query_run(&query);
}

/* Numbers of new incidents are *next and what follows. */
static enum status write_rows(struct members_db *self, const struct members_batch *batch,
                              uint64_t *next)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < batch->invite_count && status == STATUS_OK; i++) {
        status = write_invite(self, &batch->invites[i]);
    }
    for (size_t i = 0; i < batch->member_count && status == STATUS_OK; i++) {
        status = write_member(self, &batch->members[i]);
    }
    for (size_t i = 0; i < batch->incident_count && status == STATUS_OK; i++) {
        status = write_incident(self, batch->incidents[i], *next);
        *next += batch->incidents[i]->number == 0 ? 1 : 0;
    }
    if (status == STATUS_OK && self->member_count + batch->member_count > MEMBERS_MAX) {
        status = read_number(self, COUNT_MEMBERS, &self->member_count);
        if (status == STATUS_OK && self->member_count > MEMBERS_MAX) {
            status = forget(self, FORGET_MEMBERS, FORGOTTEN_AT_ONCE);
        }
    }
    if (status == STATUS_OK && *next > (uint64_t)MEMBERS_INCIDENTS_MAX + 1) {
        status = forget(self, FORGET_INCIDENTS, *next - 1 - MEMBERS_INCIDENTS_MAX);
    }
    return status;
}

enum status members_db_write(struct members_db *self, const struct members_batch *batch)
{
    uint64_t next = self->last_incident + 1;
    enum status status = run(self, BEGIN);
    if (status == STATUS_OK) {
        status = write_rows(self, batch, &next);
    }
    if (status == STATUS_OK) {
        status = run(self, COMMIT);
    }
    if (status != STATUS_OK) {
        if (sqlite3_get_autocommit(self->file.db) == 0) {
            /* The sentence of what went wrong stays. */
            (void)sqlite3_exec(self->file.db, "ROLLBACK", NULL, NULL, NULL);
        }
        return status;
    }
    for (size_t i = 0; i < batch->incident_count; i++) {
        if (batch->incidents[i]->number == 0) {
            batch->incidents[i]->number = ++self->last_incident;
        }
    }
    self->member_count += batch->member_count;
    return STATUS_OK;
}
