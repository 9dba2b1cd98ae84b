#include "coordinator/server/members_command.h"

#include "common/fault.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row takes less than 700 bytes, whatever is in it. */
enum { ROWS_MAX = 80, NUMBER_DIGITS_MAX = 9 };

static const char *const wish_names[MEMBERS_WISH_COUNT] = {
    [MEMBERS_INVITE] = "invite", [MEMBERS_INVITES] = "invites",
    [MEMBERS_PEERS] = "peers",   [MEMBERS_ALLOW] = "allow",
    [MEMBERS_BAN] = "ban",       [MEMBERS_UNBAN] = "unban",
    [MEMBERS_REVOKE] = "revoke", [MEMBERS_INCIDENTS] = "incidents"};

const char *members_wish_name(enum members_wish wish)
{
    return wish_names[wish];
}

enum members_wish members_wish_find(const char *name)
{
    size_t i = 0;
    while (i < MEMBERS_WISH_COUNT && strcmp(name, wish_names[i]) != 0) {
        i++;
    }
    return (enum members_wish)i;
}

static enum status no_memory(void)
{
    return fault(STATUS_NO_MEMORY, "no memory for the members");
}

static bool put(json_t *json, const char *key, json_t *value)
{
    return json_object_set_new(json, key, value) == 0;
}

enum status members_request_write(const struct members_request *request, json_t *json)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(&request->hash, hex);
    bool fine = put(json, "who", json_string(request->who)) &&
                put(json, "from", json_string(request->from));
    if (fine && request->wish == MEMBERS_BAN) {
        fine = put(json, "reason", json_string(request->reason));
    }
    if (fine && request->wish == MEMBERS_INVITE) {
        fine = put(json, "hash", json_string(hex)) &&
               put(json, "label", json_string(request->label)) &&
               put(json, "uses", json_integer((json_int_t)request->uses)) &&
               put(json, "expires_ms", json_integer((json_int_t)request->expires_ms));
    }
    return fine ? STATUS_OK : no_memory();
}

/* A text that fits, or none. */
static bool take_text(const json_t *json, const char *key, char *out, size_t size_max)
{
    const json_t *value = json_object_get(json, key);
    const char *text = json_string_value(value);
    out[0] = '\0';
    if (value == NULL) {
        return true;
    }
    if (text == NULL || strlen(text) >= size_max) {
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool take_number(const json_t *json, const char *key, uint64_t *out)
{
    const json_t *value = json_object_get(json, key);
    json_int_t number = json_integer_value(value);
    *out = number > 0 ? (uint64_t)number : 0;
    return value == NULL || (json_is_integer(value) && number >= 0);
}

enum status members_request_read(const json_t *json, struct members_request *out)
{
    const char *name = json_string_value(json_object_get(json, "command"));
    const char *hex = json_string_value(json_object_get(json, "hash"));
    enum members_wish wish = members_wish_find(name != NULL ? name : "");
    *out = (struct members_request){.wish = wish};
    bool fine = wish < MEMBERS_WISH_COUNT && take_text(json, "who", out->who, sizeof out->who) &&
                take_text(json, "from", out->from, sizeof out->from) &&
                take_text(json, "reason", out->reason, sizeof out->reason) &&
                take_text(json, "label", out->label, sizeof out->label) &&
                take_number(json, "uses", &out->uses) &&
                take_number(json, "expires_ms", &out->expires_ms);
    if (fine && wish == MEMBERS_INVITE) {
        fine = hex != NULL && digest_from_hex(hex, &out->hash) == STATUS_OK;
    }
    return fine ? STATUS_OK
                : fault(STATUS_BAD_DATA, "that is not how members are asked about; use a "
                                         "dugnad-coordinator of the same release");
}

static json_t *key_json(const uint8_t *key)
{
    struct digest bytes;
    char hex[DIGEST_HEX_BYTES];
    memcpy(bytes.bytes, key, sizeof bytes.bytes);
    digest_to_hex(&bytes, hex);
    return json_string(hex);
}

static json_t *member_json(const struct member *member, const struct members_view *view)
{
    json_t *here =
        view == NULL ? json_null() : json_boolean(view->is_here(view->context, member->key));
    return json_pack("{s:o, s:s, s:s, s:o, s:I, s:b, s:s, s:I, s:I, s:I}", "key",
                     key_json(member->key), "name", member->name, "state",
                     member_state_name(member->state), "here", here, "invite",
                     (json_int_t)member->invite, "allowed", member->allowed, "reason",
                     member->reason, "first_ms", (json_int_t)member->first_ms, "last_ms",
                     (json_int_t)member->last_ms, "sequence", (json_int_t)member->sequence);
}

static json_t *invite_json(const struct invite *invite)
{
    return json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:b}", "invite", (json_int_t)invite->number,
                     "label", invite->label, "uses", (json_int_t)invite->uses, "used",
                     (json_int_t)invite->used, "created_ms", (json_int_t)invite->created_ms,
                     "expires_ms", (json_int_t)invite->expires_ms, "revoked", invite->revoked);
}

static json_t *incident_json(const struct incident *incident)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:s, s:s, s:s}", "number",
                     (json_int_t)incident->number, "first_ms", (json_int_t)incident->first_ms,
                     "last_ms", (json_int_t)incident->last_ms, "count", (json_int_t)incident->count,
                     "key", incident->has_key ? key_json(incident->key) : json_null(), "host",
                     incident->host, "kind", incident->kind, "text", incident->text);
}

/* Takes rows and next. */
static enum status reply_with(json_t *rows, json_t *next, char *reply)
{
    json_t *json = json_pack("{s:o, s:o}", "rows", rows, "next", next);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    bool fits = text != NULL && strlen(text) < MEMBERS_REPLY_BYTES_MAX;
    if (fits) {
        memcpy(reply, text, strlen(text) + 1);
    }
    free(text);
    json_decref(json);
    return fits ? STATUS_OK : no_memory();
}

static enum status list_peers(struct members *members, const struct members_request *request,
                              const struct members_view *view, char *reply)
{
    struct digest from = {{0}};
    size_t count = 0;
    if (request->from[0] != '\0' && digest_from_hex(request->from, &from) != STATUS_OK) {
        return fault(STATUS_BAD_DATA, "a list goes on at a key of 64 hexadecimal digits");
    }
    struct member *found = calloc(ROWS_MAX, sizeof *found);
    enum status status = found != NULL
                             ? members_list(members, from.bytes, false, found, ROWS_MAX, &count)
                             : no_memory();
    json_t *rows = json_array();
    json_t *next = NULL;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        (void)json_array_append_new(rows, member_json(&found[i], view));
        if (i == ROWS_MAX - 1 && members_next_key(found[i].key)) {
            next = key_json(found[i].key);
        }
    }
    free(found);
    if (status != STATUS_OK) {
        json_decref(rows);
        return status;
    }
    return reply_with(rows, next != NULL ? next : json_null(), reply);
}

/* A positive number; 0: it is none. */
static uint64_t read_number(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length <= NUMBER_DIGITS_MAX && strspn(text, "0123456789") == length
               ? strtoull(text, NULL, 10)
               : 0;
}

static json_t *number_text(uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    return json_string(text);
}

static enum status list_invites(struct members *members, const struct members_request *request,
                                char *reply)
{
    size_t count = 0;
    struct invite *found = calloc(ROWS_MAX, sizeof *found);
    enum status status = found != NULL ? members_invites(members, read_number(request->from), found,
                                                         ROWS_MAX, &count)
                                       : no_memory();
    json_t *rows = json_array();
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        (void)json_array_append_new(rows, invite_json(&found[i]));
    }
    json_t *next = count == ROWS_MAX ? number_text(found[count - 1].number + 1) : json_null();
    free(found);
    if (status != STATUS_OK) {
        json_decref(rows);
        json_decref(next);
        return status;
    }
    return reply_with(rows, next, reply);
}

static enum status list_incidents(struct members *members, const struct members_request *request,
                                  char *reply)
{
    size_t count = 0;
    uint64_t before = read_number(request->from);
    struct incident *found = calloc(ROWS_MAX, sizeof *found);
    enum status status =
        found != NULL
            ? members_incidents(members, before > 0 ? before : UINT64_MAX, found, ROWS_MAX, &count)
            : no_memory();
    json_t *rows = json_array();
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        (void)json_array_append_new(rows, incident_json(&found[i]));
    }
    bool more = count == ROWS_MAX && found[count - 1].number > 1;
    json_t *next = more ? number_text(found[count - 1].number) : json_null();
    free(found);
    if (status != STATUS_OK) {
        json_decref(rows);
        json_decref(next);
        return status;
    }
    return reply_with(rows, next, reply);
}

static enum status make_invite(struct members *members, const struct members_request *request,
                               uint64_t unix_ms, char *reply)
{
    uint64_t number = 0;
    struct invite invite = {.hash = request->hash,
                            .uses = request->uses,
                            .created_ms = unix_ms,
                            .expires_ms = request->expires_ms};
    memcpy(invite.label, request->label, sizeof invite.label);
    enum status status = members_invite(members, &invite, &number);
    (void)snprintf(reply, MEMBERS_REPLY_BYTES_MAX, "%" PRIu64, number);
    return status;
}

static enum status change_member(struct members *members, const struct members_request *request,
                                 uint64_t unix_ms, struct members_outcome *out, char *reply)
{
    static const char *const done[MEMBERS_WISH_COUNT] = {
        [MEMBERS_ALLOW] = "is allowed: it may join with any link of this run",
        [MEMBERS_BAN] = "is banned",
        [MEMBERS_UNBAN] = "is banned no longer",
        [MEMBERS_REVOKE] = "is a member no longer; a new invite lets it in again"};
    enum status status = members_find(members, request->who, out->key);
    out->has_key = status == STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    if (request->wish == MEMBERS_ALLOW) {
        status = members_allow(members, out->key, unix_ms);
    } else if (request->wish == MEMBERS_BAN) {
        status = members_ban(members, out->key, request->reason, unix_ms);
    } else if (request->wish == MEMBERS_UNBAN) {
        status = members_unban(members, out->key, unix_ms);
    } else {
        status = members_revoke(members, out->key, unix_ms);
    }
    (void)snprintf(reply, MEMBERS_REPLY_BYTES_MAX, "%s %s", request->who, done[request->wish]);
    return status;
}

static enum status revoke_invite(struct members *members, const struct members_request *request,
                                 char *reply)
{
    (void)snprintf(reply, MEMBERS_REPLY_BYTES_MAX,
                   "invite %s lets nobody in any more; who came by it stays", request->who);
    return members_revoke_invite(members, read_number(request->who));
}

enum status members_command(struct members *members, const struct members_request *request,
                            const struct members_view *view, uint64_t unix_ms,
                            struct members_outcome *out, char reply[MEMBERS_REPLY_BYTES_MAX])
{
    *out = (struct members_outcome){.has_key = false};
    reply[0] = '\0';
    switch (request->wish) {
    case MEMBERS_INVITE:
        return make_invite(members, request, unix_ms, reply);
    case MEMBERS_INVITES:
        return list_invites(members, request, reply);
    case MEMBERS_PEERS:
        return list_peers(members, request, view, reply);
    case MEMBERS_INCIDENTS:
        return list_incidents(members, request, reply);
    case MEMBERS_REVOKE:
        if (read_number(request->who) > 0) {
            return revoke_invite(members, request, reply);
        }
        return change_member(members, request, unix_ms, out, reply);
    case MEMBERS_ALLOW:
    case MEMBERS_BAN:
    case MEMBERS_UNBAN:
        return change_member(members, request, unix_ms, out, reply);
    case MEMBERS_WISH_COUNT:
    default:
        return fault(STATUS_BAD_DATA, "there is no such command");
    }
}
