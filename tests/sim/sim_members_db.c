/* sim_members_db - the functions of coordinator/store/members_db.h: SQLite has no place here, so
 * the tables are one small file on the simulated disk, put in place whole at each write. */
#include "coordinator/store/members_db.h"
#include "tests/sim/sim.h"

#include "common/fault.h"

#include <stdlib.h>
#include <string.h>

enum { MEMBERS = 2 * SIM_PEERS_MAX, INVITES = 4 };

struct tables {
    struct member members[MEMBERS];
    size_t member_count;
    struct invite invites[INVITES];
    size_t invite_count;
    uint64_t incident_count;
};

struct members_db {
    char path[FILES_PATH_MAX];
    struct tables tables;
};

static enum status read_tables(struct members_db *self)
{
    uint8_t *data = NULL;
    size_t size_bytes = 0;
    if (!files_exists(self->path)) {
        return STATUS_OK;
    }
    enum status status = files_read(self->path, sizeof self->tables, &data, &size_bytes);
    if (status == STATUS_OK && size_bytes != sizeof self->tables) {
        sim_fail("the file of members is torn");
        status = fault(STATUS_CORRUPT, "%s is damaged", self->path);
    }
    if (status == STATUS_OK) {
        memcpy(&self->tables, data, sizeof self->tables);
    }
    free(data);
    return status;
}

enum status members_db_open(const char *run_path, struct members_db **out)
{
    *out = NULL;
    struct members_db *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the members");
    }
    enum status status = files_join(run_path, "members.sim", self->path);
    if (status == STATUS_OK) {
        status = read_tables(self);
    }
    if (status != STATUS_OK) {
        free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void members_db_close(struct members_db *self)
{
    free(self);
}

enum status members_db_member(struct members_db *self, const uint8_t key[IDENTITY_KEY_BYTES],
                              struct member *out, bool *out_found)
{
    *out_found = false;
    for (size_t i = 0; i < self->tables.member_count && !*out_found; i++) {
        *out_found = memcmp(self->tables.members[i].key, key, IDENTITY_KEY_BYTES) == 0;
        *out = self->tables.members[i];
    }
    return STATUS_OK;
}

enum status members_db_invite(struct members_db *self, const struct digest *hash,
                              struct invite *out, bool *out_found)
{
    *out_found = false;
    for (size_t i = 0; i < self->tables.invite_count && !*out_found; i++) {
        *out_found = digest_equal(&self->tables.invites[i].hash, hash);
        *out = self->tables.invites[i];
    }
    return STATUS_OK;
}

/* Nobody asks for lists here but the server for who is banned, which nobody is. */
enum status members_db_list(struct members_db *self, const uint8_t from[IDENTITY_KEY_BYTES],
                            bool banned_only, struct member *out, size_t count_max,
                            size_t *out_count)
{
    (void)from;
    *out_count = 0;
    for (size_t i = 0; i < self->tables.member_count && *out_count < count_max; i++) {
        if (!banned_only || self->tables.members[i].state == MEMBER_BANNED) {
            out[(*out_count)++] = self->tables.members[i];
        }
    }
    return STATUS_OK;
}

enum status members_db_invites(struct members_db *self, uint64_t from, struct invite *out,
                               size_t count_max, size_t *out_count)
{
    *out_count = 0;
    for (size_t i = 0; i < self->tables.invite_count && *out_count < count_max; i++) {
        if (self->tables.invites[i].number >= from) {
            out[(*out_count)++] = self->tables.invites[i];
        }
    }
    return STATUS_OK;
}

enum status members_db_incidents(struct members_db *self, uint64_t before, struct incident *out,
                                 size_t count_max, size_t *out_count)
{
    (void)self;
    (void)before;
    (void)out;
    (void)count_max;
    *out_count = 0;
    return STATUS_OK;
}

enum status members_db_invite_count(struct members_db *self, uint64_t *out_count,
                                    uint64_t *out_number)
{
    *out_count = *out_number = self->tables.invite_count;
    return STATUS_OK;
}

static bool put_member(struct tables *self, const struct member *member)
{
    size_t i = 0;
    while (i < self->member_count &&
           memcmp(self->members[i].key, member->key, IDENTITY_KEY_BYTES) != 0) {
        i++;
    }
    if (i == MEMBERS) {
        return false;
    }
    if (i < self->member_count && member->sequence <= self->members[i].sequence) {
        sim_fail("the stored sequence of a key went from %llu to %llu",
                 (unsigned long long)self->members[i].sequence,
                 (unsigned long long)member->sequence);
    }
    self->members[i] = *member;
    self->member_count += i == self->member_count ? 1 : 0;
    return true;
}

static bool put_invite(struct tables *self, const struct invite *invite)
{
    if (invite->number == 0 || invite->number > INVITES) {
        return false;
    }
    self->invites[invite->number - 1] = *invite;
    self->invite_count = invite->number > self->invite_count ? invite->number : self->invite_count;
    return true;
}

/* Each member used one use of its invite, and nobody else did. */
static void check_uses(const struct tables *self)
{
    for (size_t i = 0; i < self->invite_count; i++) {
        uint64_t came = 0;
        for (size_t j = 0; j < self->member_count; j++) {
            came += self->members[j].invite == self->invites[i].number ? 1 : 0;
        }
        if (came != self->invites[i].used) {
            sim_fail("%llu members came by an invite that was used %llu times",
                     (unsigned long long)came, (unsigned long long)self->invites[i].used);
        }
    }
}

enum status members_db_write(struct members_db *self, const struct members_batch *batch)
{
    struct tables next = self->tables;
    bool fits = true;
    for (size_t i = 0; i < batch->member_count; i++) {
        fits = fits && put_member(&next, &batch->members[i]);
    }
    for (size_t i = 0; i < batch->invite_count; i++) {
        fits = fits && put_invite(&next, &batch->invites[i]);
    }
    if (!fits) {
        sim_fail("there are more members than processes");
    }
    check_uses(&next);
    enum status status = files_write_atomic(self->path, &next, sizeof next, 0600);
    if (status != STATUS_OK) {
        return status;
    }
    self->tables = next;
    for (size_t i = 0; i < batch->incident_count; i++) {
        if (batch->incidents[i]->number == 0) {
            batch->incidents[i]->number = ++self->tables.incident_count;
        }
    }
    return STATUS_OK;
}
