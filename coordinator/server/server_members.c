#include "coordinator/server/server_members.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "coordinator/server/server_incident.h"
#include "coordinator/server/server_state.h"
#include "proto/attest.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { BANNED_AT_ONCE = 256 };

enum status server_members_open(struct server *self)
{
    crypto_shorthash_keygen(self->hello_salt);
    return members_open(self->run->path, &self->members);
}

/* What could not be written stays in memory, and is tried again. */
static void flush(struct server *self)
{
    bool failed = members_flush(self->members) != STATUS_OK;
    if (failed && !self->members_failing) {
        log_error("server", "members_not_written", "reason=\"%s\"", fault_text());
    }
    self->members_failing = failed;
}

void server_members_close(struct server *self)
{
    if (self->members != NULL) {
        flush(self);
    }
    members_close(self->members);
    self->members = NULL;
    bar_names_deinit(&self->bar_names);
}

/* A key that is no point of the curve, from a file that was changed, reaches nobody. False: more
 * keys are banned than handshakes can be refused of; the hello of this one is. */
static bool bar(struct server *self, const uint8_t *public_key, bool barred)
{
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    if (identity_curve_of(public_key, curve_key) != STATUS_OK) {
        return true;
    }
    if (barred) {
        bar_names_put(&self->bar_names, curve_key, public_key);
    }
    return channel_server_bar(self->channel, curve_key, barred) == STATUS_OK;
}

enum status server_members_bar(struct server *self)
{
    static struct member found[BANNED_AT_ONCE];
    uint8_t from[IDENTITY_KEY_BYTES] = {0};
    size_t count = BANNED_AT_ONCE;
    bool room = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && count == BANNED_AT_ONCE && room) {
        status = members_list(self->members, from, true, found, BANNED_AT_ONCE, &count);
        for (size_t i = 0; i < count && status == STATUS_OK && room; i++) {
            room = bar(self, found[i].key, true);
        }
        if (count == BANNED_AT_ONCE) {
            memcpy(from, found[count - 1].key, sizeof from);
            if (!members_next_key(from)) {
                count = 0;
            }
        }
    }
    return status;
}

/* What each verdict is for the volunteer, and for the owner ("": nothing to note). */
static const struct {
    enum wire_refusal refusal;
    const char *text;
    const char *kind;
} verdicts[] = {
    [MEMBERS_WELCOME] = {0, "", ""},
    [MEMBERS_BANNED] = {WIRE_REFUSED_BANNED,
                        "the owner of this run has banned this key; ask the owner if that is a "
                        "mistake",
                        "banned_key"},
    [MEMBERS_SEQUENCE] = {WIRE_REFUSED_SEQUENCE,
                          "a later hello of this key came before: a copy of its state folder is in "
                          "use, or an older copy was put back; stop the other peer, or send the "
                          "owner what 'dugnad-peer key' prints, for 'dugnad-coordinator allow'",
                          "cloned_or_rolled_back"},
    [MEMBERS_NOT_ALLOWED] = {WIRE_REFUSED_NOT_ALLOWED,
                             "this run takes the keys that its owner names; send the owner yours, "
                             "which 'dugnad-peer key' prints",
                             "not_allowed"},
    [MEMBERS_REVOKED] = {WIRE_REFUSED_TOKEN,
                         "the owner has ended the membership of this key; ask for a new link",
                         "revoked_key"},
    [MEMBERS_TOKEN_UNKNOWN] = {WIRE_REFUSED_TOKEN,
                               "the invite in this link is not known here; ask for a new link",
                               "unknown_invite"},
    [MEMBERS_TOKEN_REVOKED] = {WIRE_REFUSED_TOKEN,
                               "the invite in this link was withdrawn; ask for a new link",
                               "void_invite"},
    [MEMBERS_TOKEN_EXPIRED] = {WIRE_REFUSED_TOKEN,
                               "the invite in this link has expired; ask for a new link",
                               "void_invite"},
    [MEMBERS_TOKEN_USED_UP] = {WIRE_REFUSED_TOKEN,
                               "as many peers have joined by the invite in this link as it was "
                               "made for; ask for a new link",
                               "void_invite"},
};

/* The key is the connection's own, and said this hello to this coordinator. */
static bool is_proven(struct server *self, const struct wire_hello *hello,
                      const struct channel_message *incoming)
{
    uint8_t bound[IDENTITY_KEY_BYTES];
    if (identity_curve_of(hello->public_key, bound) != STATUS_OK ||
        memcmp(bound, incoming->curve_key, sizeof bound) != 0) {
        server_incident(self, NULL, incoming->host, "wrong_identity",
                        "a hello with the key of somebody else");
        return false;
    }
    if (!attest_hello_is_good(hello, self->run->identity.public_key)) {
        server_incident_by(self, hello->public_key, incoming->host, "bad_hello_signature",
                           "a hello that its key did not sign for this run");
        return false;
    }
    return true;
}

static void note_verdict(struct server *self, const struct wire_hello *hello, const char *host,
                         enum members_verdict verdict)
{
    char text[MEMBERS_TEXT_MAX];
    (void)snprintf(text, sizeof text, "hello number %" PRIu64 " of '%s'", hello->sequence,
                   hello->name);
    server_incident_by(self, hello->public_key, host, verdicts[verdict].kind, text);
}

static struct hello_mark *mark_of(struct server *self, const uint8_t *curve_key)
{
    uint64_t place = 0;
    uint8_t hash[crypto_shorthash_BYTES];
    (void)crypto_shorthash(hash, curve_key, IDENTITY_KEY_BYTES, self->hello_salt);
    memcpy(&place, hash, sizeof place);
    return &self->hellos[place % HELLOS_KEPT];
}

/* What was under way on the connection of the hello that was accepted, or on an earlier one of the
 * same key, is no sign of a second copy of it. Keys share places among the marks: a session knows
 * by itself. */
static bool is_echo(struct server *self, const struct channel_message *incoming)
{
    const struct session *session = sessions_find(self->sessions, incoming->curve_key);
    const struct hello_mark *mark = mark_of(self, incoming->curve_key);
    bool marked = memcmp(mark->curve_key, incoming->curve_key, sizeof mark->curve_key) == 0;
    return (session != NULL && incoming->connection <= session->connection) ||
           (marked && incoming->connection <= mark->connection);
}

const uint8_t *server_members_name(struct server *self, const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    const struct session *session = sessions_find(self->sessions, curve_key);
    const struct hello_mark *mark = mark_of(self, curve_key);
    if (session != NULL) {
        return session->public_key;
    }
    if (mark->connection > 0 && memcmp(mark->curve_key, curve_key, IDENTITY_KEY_BYTES) == 0) {
        return mark->public_key;
    }
    return bar_names_find(&self->bar_names, curve_key);
}

static enum status judge(struct server *self, const struct wire_hello *hello,
                         enum members_verdict *out)
{
    const struct members_hello judged = {.policy = self->run->config.membership,
                                         .key = hello->public_key,
                                         .token = hello->token,
                                         .name = hello->name,
                                         .sequence = hello->sequence,
                                         .unix_ms = clock_unix_ms()};
    return members_judge(self->members, &judged, out);
}

struct hello_answer server_members_judge(struct server *self, const struct wire_hello *hello,
                                         const struct channel_message *incoming)
{
    enum members_verdict verdict = MEMBERS_TOKEN_UNKNOWN;
    if (hello->protocol_version != WIRE_PROTOCOL_VERSION) {
        return (struct hello_answer){
            .refusal = WIRE_REFUSED_PROTOCOL,
            .text = "this coordinator speaks another protocol version; install the same release"};
    }
    if (!is_proven(self, hello, incoming)) {
        return (struct hello_answer){
            .refusal = WIRE_REFUSED_IDENTITY,
            .text = "the identity does not belong to the key of this connection"};
    }
    if (judge(self, hello, &verdict) != STATUS_OK) {
        flush(self); /* says why */
        return (struct hello_answer){
            .refusal = WIRE_REFUSED_FULL,
            .text = "the coordinator cannot write down who is a member; trying again later"};
    }
    if (verdict == MEMBERS_SEQUENCE && is_echo(self, incoming)) {
        return (struct hello_answer){.ignored = true};
    }
    if (verdict != MEMBERS_WELCOME) {
        note_verdict(self, hello, incoming->host, verdict);
    } else {
        struct hello_mark *mark = mark_of(self, incoming->curve_key);
        memcpy(mark->curve_key, incoming->curve_key, sizeof mark->curve_key);
        memcpy(mark->public_key, hello->public_key, sizeof mark->public_key);
        mark->connection = incoming->connection;
    }
    return (struct hello_answer){.refusal = verdicts[verdict].refusal,
                                 .text = verdicts[verdict].text};
}

static void cut_due(struct server *self)
{
    for (size_t i = 0; i < self->bar_count; i++) {
        (void)bar(self, self->bars[i].key, true);
        if (!self->bars[i].stays) {
            (void)bar(self, self->bars[i].key, false);
        }
    }
    self->bar_count = 0;
}

void server_members_tick(struct server *self)
{
    flush(self);
    cut_due(self);
}

static struct session *find_session(struct server *self, const uint8_t *public_key)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        if (session->used && memcmp(session->public_key, public_key, IDENTITY_KEY_BYTES) == 0) {
            return session;
        }
    }
    return NULL;
}

static bool is_here(const void *context, const uint8_t key[IDENTITY_KEY_BYTES])
{
    const struct sessions *sessions = context;
    for (uint32_t i = 0; i < sessions->end; i++) {
        const struct session *session = &sessions->items[i];
        if (session->used && !session->away &&
            memcmp(session->public_key, key, IDENTITY_KEY_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* Out at once, with a word why; its connections are cut within a tick, so that the word may get
 * through. Who is banned does not come again. */
static void throw_out(struct server *self, const uint8_t *public_key, enum members_verdict verdict)
{
    struct session *session = find_session(self, public_key);
    if (session != NULL) {
        server_tell_refused(self, session, verdicts[verdict].refusal, verdicts[verdict].text);
        server_drop(self, session,
                    members_wish_name(verdict == MEMBERS_BANNED ? MEMBERS_BAN : MEMBERS_REVOKE));
    }
    if (self->bar_count == BARS_MAX) {
        cut_due(self);
    }
    struct due_bar *due = &self->bars[self->bar_count++];
    memcpy(due->key, public_key, sizeof due->key);
    due->stays = verdict == MEMBERS_BANNED;
}

enum status server_members_control(struct server *self, const struct control_request *request,
                                   char reply[CONTROL_REPLY_BYTES_MAX])
{
    const struct members_request *wish = &request->members;
    const struct members_view view = {.is_here = is_here, .context = self->sessions};
    struct members_outcome outcome;
    enum status status =
        members_command(self->members, wish, &view, clock_unix_ms(), &outcome, reply);
    if (!outcome.has_key) {
        return status;
    }
    /* Whom its owner does not want is out, even if the disk does not take it down. */
    if (wish->wish == MEMBERS_BAN) {
        throw_out(self, outcome.key, MEMBERS_BANNED);
    } else if (status == STATUS_OK && wish->wish == MEMBERS_REVOKE) {
        throw_out(self, outcome.key, MEMBERS_REVOKED);
    } else if (status == STATUS_OK && wish->wish == MEMBERS_UNBAN) {
        cut_due(self); /* it may be among them */
        (void)bar(self, outcome.key, false);
        server_conduct_forgive(self, outcome.key);
    }
    if (status == STATUS_OK && wish->wish != MEMBERS_PEERS) {
        log_info("peers", "members", "wish=%s peer=%s", members_wish_name(wish->wish), wish->who);
    }
    return status;
}
