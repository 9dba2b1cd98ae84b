#include "coordinator/store/members.h"

#include "common/check.h"
#include "common/fault.h"
#include "coordinator/store/members_db.h"
#include "coordinator/store/members_notes.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct members {
    struct members_db *db;
    /* What the tables do not hold yet; it counts before what they do. */
    struct member pending[MEMBERS_PENDING_MAX];
    size_t pending_count;
    struct invite invites[MEMBERS_PENDING_MAX];
    size_t invite_count;
    struct members_notes notes;
};

const char *member_state_name(enum member_state state)
{
    static const char *const names[MEMBER_STATE_COUNT] = {
        [MEMBER_ACTIVE] = "active", [MEMBER_REVOKED] = "revoked", [MEMBER_BANNED] = "banned"};
    CHECK(state < MEMBER_STATE_COUNT);
    return names[state];
}

enum status members_open(const char *run_path, struct members **out)
{
    *out = NULL;
    struct members *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the members of %s", run_path);
    }
    enum status status = members_db_open(run_path, &self->db);
    if (status != STATUS_OK) {
        members_close(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void members_close(struct members *self)
{
    if (self != NULL) {
        members_db_close(self->db);
        free(self);
    }
}

enum status members_flush(struct members *self)
{
    struct incident *incidents[NOTES_MAX];
    const struct members_batch batch = {.members = self->pending,
                                        .member_count = self->pending_count,
                                        .invites = self->invites,
                                        .invite_count = self->invite_count,
                                        .incidents = incidents,
                                        .incident_count =
                                            members_notes_due(&self->notes, incidents)};
    if (batch.member_count == 0 && batch.invite_count == 0 && batch.incident_count == 0) {
        return STATUS_OK;
    }
    enum status status = members_db_write(self->db, &batch);
    if (status == STATUS_OK) {
        self->pending_count = 0;
        self->invite_count = 0;
        members_notes_written(&self->notes);
    }
    return status;
}

static struct member *find_pending(struct members *self, const uint8_t *key)
{
    for (size_t i = 0; i < self->pending_count; i++) {
        if (memcmp(self->pending[i].key, key, IDENTITY_KEY_BYTES) == 0) {
            return &self->pending[i];
        }
    }
    return NULL;
}

/* One who is not known gets a member of this key that nothing is known of. */
static enum status get_member(struct members *self, const uint8_t *key, struct member *out,
                              bool *out_found)
{
    const struct member *pending = find_pending(self, key);
    *out_found = pending != NULL;
    if (pending != NULL) {
        *out = *pending;
        return STATUS_OK;
    }
    enum status status = members_db_member(self->db, key, out, out_found);
    if (status == STATUS_OK && !*out_found) {
        *out = (struct member){.state = MEMBER_ACTIVE};
        memcpy(out->key, key, sizeof out->key);
    }
    return status;
}

static enum status get_invite(struct members *self, const uint8_t *token, struct invite *out,
                              bool *out_found)
{
    struct digest hash = digest_of(token, LINK_TOKEN_BYTES);
    for (size_t i = 0; i < self->invite_count; i++) {
        if (digest_equal(&self->invites[i].hash, &hash)) {
            *out = self->invites[i];
            *out_found = true;
            return STATUS_OK;
        }
    }
    return members_db_invite(self->db, &hash, out, out_found);
}

/* There is room for one of each before anything is judged. */
static enum status make_room(struct members *self)
{
    bool full =
        self->pending_count == MEMBERS_PENDING_MAX || self->invite_count == MEMBERS_PENDING_MAX;
    return full ? members_flush(self) : STATUS_OK;
}

static void put_member(struct members *self, const struct member *member)
{
    struct member *pending = find_pending(self, member->key);
    if (pending == NULL) {
        CHECK(self->pending_count < MEMBERS_PENDING_MAX);
        pending = &self->pending[self->pending_count++];
    }
    *pending = *member;
}

static void put_invite(struct members *self, const struct invite *invite)
{
    size_t i = 0;
    while (i < self->invite_count && self->invites[i].number != invite->number) {
        i++;
    }
    CHECK(i < MEMBERS_PENDING_MAX);
    self->invites[i] = *invite;
    self->invite_count += i == self->invite_count ? 1 : 0;
}

/* It has been let in before, in a way that counts under this policy. */
static bool is_in(const struct member *member, bool found, enum membership policy)
{
    return found && member->state == MEMBER_ACTIVE &&
           (member->allowed || (policy == MEMBERSHIP_OPEN && member->first_ms > 0) ||
            (policy == MEMBERSHIP_INVITE && member->invite > 0));
}

static enum members_verdict judge_invite(const struct invite *invite, const struct member *member,
                                         uint64_t unix_ms)
{
    if (invite->revoked) {
        return MEMBERS_TOKEN_REVOKED;
    }
    if (member->state == MEMBER_REVOKED && invite->created_ms <= member->changed_ms) {
        return MEMBERS_REVOKED;
    }
    if (invite->expires_ms > 0 && unix_ms >= invite->expires_ms) {
        return MEMBERS_TOKEN_EXPIRED;
    }
    return invite->uses > 0 && invite->used >= invite->uses ? MEMBERS_TOKEN_USED_UP
                                                            : MEMBERS_WELCOME;
}

/* Lets one in that is not. */
static enum status enrol(struct members *self, const struct members_hello *hello,
                         struct member *member, enum members_verdict *out)
{
    struct invite invite;
    bool found = false;
    if (hello->policy == MEMBERSHIP_ALLOWLIST) {
        *out = MEMBERS_NOT_ALLOWED;
        return STATUS_OK;
    }
    if (hello->policy == MEMBERSHIP_OPEN) {
        *out = member->state == MEMBER_REVOKED ? MEMBERS_REVOKED : MEMBERS_WELCOME;
        return STATUS_OK;
    }
    enum status status = get_invite(self, hello->token, &invite, &found);
    *out = found ? judge_invite(&invite, member, hello->unix_ms) : MEMBERS_TOKEN_UNKNOWN;
    if (status == STATUS_OK && *out == MEMBERS_WELCOME) {
        invite.used++;
        put_invite(self, &invite);
        member->invite = invite.number;
        member->state = MEMBER_ACTIVE;
    }
    return status;
}

enum status members_judge(struct members *self, const struct members_hello *hello,
                          enum members_verdict *out)
{
    struct member member;
    bool found = false;
    *out = MEMBERS_TOKEN_UNKNOWN;
    enum status status = make_room(self);
    if (status == STATUS_OK) {
        status = get_member(self, hello->key, &member, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (member.state == MEMBER_BANNED) {
        *out = MEMBERS_BANNED;
        return STATUS_OK;
    }
    if (hello->sequence <= member.sequence) {
        *out = MEMBERS_SEQUENCE;
        return STATUS_OK;
    }
    *out = MEMBERS_WELCOME;
    if (!is_in(&member, found, hello->policy)) {
        status = enrol(self, hello, &member, out);
    }
    if (status == STATUS_OK && *out == MEMBERS_WELCOME) {
        member.sequence = hello->sequence;
        member.first_ms = member.first_ms > 0 ? member.first_ms : hello->unix_ms;
        member.last_ms = hello->unix_ms;
        (void)snprintf(member.name, sizeof member.name, "%s", hello->name);
        put_member(self, &member);
    }
    return status;
}

/* No terminal is told more than letters, and no log line ends early. */
static void copy_text(char *out, size_t size_max, const char *text)
{
    size_t length = 0;
    for (; length + 1 < size_max && text[length] != '\0'; length++) {
        char byte = text[length];
        bool plain = byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
        out[length] = '?';
        if (plain) {
            out[length] = byte;
        }
    }
    out[length] = '\0';
}

bool members_note(struct members *self, const struct incident *incident)
{
    struct incident plain = *incident;
    CHECK(incident->count > 0);
    copy_text(plain.host, sizeof plain.host, incident->host);
    copy_text(plain.kind, sizeof plain.kind, incident->kind);
    copy_text(plain.text, sizeof plain.text, incident->text);
    if (!plain.has_key) {
        memset(plain.key, 0, sizeof plain.key);
    }
    return members_notes_add(&self->notes, &plain);
}

enum status members_invite(struct members *self, const struct invite *invite, uint64_t *out_number)
{
    struct invite other;
    bool found = false;
    uint64_t count = 0;
    uint64_t last = 0;
    enum status status = members_flush(self);
    if (status == STATUS_OK) {
        status = members_db_invite(self->db, &invite->hash, &other, &found);
    }
    if (status == STATUS_OK) {
        status = members_db_invite_count(self->db, &count, &last);
    }
    if (status == STATUS_OK && found) {
        return fault(STATUS_BAD_DATA, "there is an invite with this token already");
    }
    if (status == STATUS_OK && count >= MEMBERS_INVITES_MAX) {
        return fault(STATUS_FULL, "this run has %d invites, the most there can be",
                     MEMBERS_INVITES_MAX);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct invite fresh = *invite;
    fresh.number = *out_number = last + 1;
    fresh.used = 0;
    fresh.revoked = false;
    copy_text(fresh.label, sizeof fresh.label, invite->label);
    const struct members_batch batch = {.invites = &fresh, .invite_count = 1};
    return members_db_write(self->db, &batch);
}

enum status members_revoke_invite(struct members *self, uint64_t number)
{
    struct invite invite = {.number = 0};
    size_t count = 0;
    enum status status = members_flush(self);
    if (status == STATUS_OK) {
        status = members_db_invites(self->db, number, &invite, 1, &count);
    }
    if (status == STATUS_OK && (count == 0 || invite.number != number)) {
        return fault(STATUS_NO_INPUT,
                     "there is no invite of this number; 'dugnad-coordinator invites' lists them");
    }
    invite.revoked = true;
    const struct members_batch batch = {.invites = &invite, .invite_count = 1};
    return status == STATUS_OK ? members_db_write(self->db, &batch) : status;
}

/* The owner changed what is known of a member. */
static enum status write_now(struct members *self, struct member *member, uint64_t unix_ms)
{
    member->changed_ms = unix_ms;
    const struct members_batch batch = {.members = member, .member_count = 1};
    return members_db_write(self->db, &batch);
}

/* As get_member, with nothing pending. */
static enum status read_now(struct members *self, const uint8_t *key, struct member *out,
                            bool *out_found)
{
    enum status status = members_flush(self);
    return status == STATUS_OK ? get_member(self, key, out, out_found) : status;
}

enum status members_allow(struct members *self, const uint8_t key[IDENTITY_KEY_BYTES],
                          uint64_t unix_ms)
{
    struct member member;
    bool found = false;
    enum status status = read_now(self, key, &member, &found);
    if (status == STATUS_OK && member.state == MEMBER_BANNED) {
        return fault(STATUS_REFUSED, "this key is banned; 'dugnad-coordinator unban' comes first");
    }
    member.allowed = true;
    member.state = MEMBER_ACTIVE;
    member.sequence = 0;
    return status == STATUS_OK ? write_now(self, &member, unix_ms) : status;
}

enum status members_ban(struct members *self, const uint8_t key[IDENTITY_KEY_BYTES],
                        const char *reason, uint64_t unix_ms)
{
    struct member member;
    bool found = false;
    enum status status = read_now(self, key, &member, &found);
    if (status != STATUS_OK) {
        return status;
    }
    if (member.state != MEMBER_BANNED || reason[0] != '\0') {
        copy_text(member.reason, sizeof member.reason, reason);
    }
    member.state = MEMBER_BANNED;
    return write_now(self, &member, unix_ms);
}

enum status members_unban(struct members *self, const uint8_t key[IDENTITY_KEY_BYTES],
                          uint64_t unix_ms)
{
    struct member member;
    bool found = false;
    enum status status = read_now(self, key, &member, &found);
    if (status == STATUS_OK && member.state != MEMBER_BANNED) {
        return fault(STATUS_NO_INPUT, "this key is not banned");
    }
    member.state = MEMBER_ACTIVE;
    member.reason[0] = '\0';
    return status == STATUS_OK ? write_now(self, &member, unix_ms) : status;
}

enum status members_revoke(struct members *self, const uint8_t key[IDENTITY_KEY_BYTES],
                           uint64_t unix_ms)
{
    struct member member;
    bool found = false;
    enum status status = read_now(self, key, &member, &found);
    if (status == STATUS_OK && (!found || member.state != MEMBER_ACTIVE)) {
        return fault(STATUS_NO_INPUT,
                     found ? "this key is %s already" : "this key is no member; 'ban' keeps it out",
                     member_state_name(member.state));
    }
    member.state = MEMBER_REVOKED;
    member.allowed = false;
    return status == STATUS_OK ? write_now(self, &member, unix_ms) : status;
}

bool members_next_key(uint8_t key[IDENTITY_KEY_BYTES])
{
    size_t i = IDENTITY_KEY_BYTES;
    while (i > 0 && ++key[i - 1] == 0) {
        i--;
    }
    return i > 0;
}

enum status members_list(struct members *self, const uint8_t from[IDENTITY_KEY_BYTES],
                         bool banned_only, struct member *out, size_t count_max, size_t *out_count)
{
    *out_count = 0;
    enum status status = members_flush(self);
    return status == STATUS_OK
               ? members_db_list(self->db, from, banned_only, out, count_max, out_count)
               : status;
}

enum status members_invites(struct members *self, uint64_t from, struct invite *out,
                            size_t count_max, size_t *out_count)
{
    *out_count = 0;
    enum status status = members_flush(self);
    return status == STATUS_OK ? members_db_invites(self->db, from, out, count_max, out_count)
                               : status;
}

enum status members_incidents(struct members *self, uint64_t before, struct incident *out,
                              size_t count_max, size_t *out_count)
{
    *out_count = 0;
    enum status status = members_flush(self);
    return status == STATUS_OK ? members_db_incidents(self->db, before, out, count_max, out_count)
                               : status;
}

/* Bytes of `text`, which is nothing but `digits` hexadecimal digits. */
static bool read_hex(const char *text, size_t digits, uint8_t *out)
{
    size_t size_bytes = 0;
    return strlen(text) == digits &&
           sodium_hex2bin(out, digits / 2, text, digits, NULL, &size_bytes, NULL) == 0 &&
           size_bytes == digits / 2;
}

static enum status find_short(struct members *self, const char *text, uint8_t *out_key)
{
    enum { SHORT_BYTES = (IDENTITY_NAME_BYTES - 1) / 2 };
    struct member found[2];
    size_t count = 0;
    uint8_t from[IDENTITY_KEY_BYTES];
    memcpy(from, out_key, SHORT_BYTES);
    memset(from + SHORT_BYTES, 0, sizeof from - SHORT_BYTES);
    enum status status = members_list(self, from, false, found, 2, &count);
    size_t alike = 0;
    while (status == STATUS_OK && alike < count &&
           memcmp(found[alike].key, from, SHORT_BYTES) == 0) {
        alike++;
    }
    if (status == STATUS_OK && alike != 1) {
        return fault(STATUS_USAGE,
                     alike == 0 ? "no member's key begins with %s; give all 64 digits"
                                : "more than one member's key begins with %s; give all 64 digits",
                     text);
    }
    memcpy(out_key, found[0].key, IDENTITY_KEY_BYTES);
    return status;
}

enum status members_find(struct members *self, const char *text,
                         uint8_t out_key[IDENTITY_KEY_BYTES])
{
    uint8_t curve[IDENTITY_KEY_BYTES];
    if (read_hex(text, IDENTITY_NAME_BYTES - 1, out_key)) {
        return find_short(self, text, out_key);
    }
    return read_hex(text, 2 * (size_t)IDENTITY_KEY_BYTES, out_key) &&
                   identity_curve_of(out_key, curve) == STATUS_OK
               ? STATUS_OK
               : fault(STATUS_USAGE,
                       "a peer's key is 64 hexadecimal digits, or the first 12 of a member's, as "
                       "'dugnad-coordinator peers' and the logs show them; '%.80s' is none",
                       text);
}
