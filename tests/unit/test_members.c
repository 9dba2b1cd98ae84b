/* Who may take part: policies, invites, sequences, bans, and what a crash between two of them
 * leaves. */
#include "common/fault.h"
#include "coordinator/store/members.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

#include <sodium.h>
#include <sqlite3.h>
#include <sys/stat.h>

enum { NOW = 1700000000 };
#define NOW_MS ((uint64_t)NOW * 1000)

struct scene {
    struct members *members;
    enum membership policy;
    uint64_t unix_ms;
    uint8_t token[LINK_TOKEN_BYTES]; /* of invite 1 */
};

static void reopen(struct scene *s)
{
    members_close(s->members);
    CU_ASSERT_EQUAL_FATAL(members_open(scratch_folder, &s->members), STATUS_OK);
}

static uint64_t invite(struct scene *s, uint8_t mark, uint64_t uses, uint64_t expires_ms)
{
    uint64_t number = 0;
    memset(s->token, mark, sizeof s->token);
    const struct invite fresh = {.hash = digest_of(s->token, sizeof s->token),
                                 .label = "for a test",
                                 .uses = uses,
                                 .created_ms = s->unix_ms,
                                 .expires_ms = expires_ms};
    CU_ASSERT_EQUAL_FATAL(members_invite(s->members, &fresh, &number), STATUS_OK);
    return number;
}

static void begin(struct scene *s, enum membership policy)
{
    *s = (struct scene){.policy = policy, .unix_ms = NOW_MS};
    scratch_begin();
    reopen(s);
}

static void end(struct scene *s)
{
    members_close(s->members);
    scratch_end();
}

/* The key of peer `i`, an Ed25519 one. */
static const uint8_t *key_of(uint8_t i)
{
    static uint8_t keys[256][IDENTITY_KEY_BYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    uint8_t seed[crypto_sign_SEEDBYTES] = {i, 1};
    CU_ASSERT_EQUAL(crypto_sign_seed_keypair(keys[i], secret, seed), 0);
    return keys[i];
}

static enum members_verdict hello(struct scene *s, uint8_t peer, uint64_t sequence)
{
    enum members_verdict verdict = MEMBERS_WELCOME;
    char name[16];
    (void)snprintf(name, sizeof name, "peer-%u", peer);
    const struct members_hello message = {.policy = s->policy,
                                          .key = key_of(peer),
                                          .token = s->token,
                                          .name = name,
                                          .sequence = sequence,
                                          .unix_ms = s->unix_ms};
    CU_ASSERT_EQUAL_FATAL(members_judge(s->members, &message, &verdict), STATUS_OK);
    return verdict;
}

static struct member member_of(struct scene *s, uint8_t peer)
{
    struct member member = {.name = "nobody"};
    size_t count = 0;
    CU_ASSERT_EQUAL(members_list(s->members, key_of(peer), false, &member, 1, &count), STATUS_OK);
    bool found = count == 1 && memcmp(member.key, key_of(peer), IDENTITY_KEY_BYTES) == 0;
    return found ? member : (struct member){.name = "nobody"};
}

static struct invite invite_of(struct scene *s, uint64_t number)
{
    struct invite out = {.number = 0};
    size_t count = 0;
    CU_ASSERT_EQUAL(members_invites(s->members, number, &out, 1, &count), STATUS_OK);
    CU_ASSERT_EQUAL(out.number, number);
    return out;
}

static void hello_with_an_invite_makes_a_member_once(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    CU_ASSERT_EQUAL(hello(&s, 1, 5), MEMBERS_TOKEN_UNKNOWN);
    CU_ASSERT_EQUAL(invite(&s, 7, 0, 0), 1);
    CU_ASSERT_EQUAL(hello(&s, 1, 5), MEMBERS_WELCOME);
    s.unix_ms += 1000;
    memset(s.token, 0, sizeof s.token); /* a member needs none */
    CU_ASSERT_EQUAL(hello(&s, 1, 6), MEMBERS_WELCOME);
    struct member member = member_of(&s, 1);
    CU_ASSERT_STRING_EQUAL(member.name, "peer-1");
    CU_ASSERT_EQUAL(member.invite, 1);
    CU_ASSERT_EQUAL(member.state, MEMBER_ACTIVE);
    CU_ASSERT_EQUAL(member.first_ms, NOW_MS);
    CU_ASSERT_EQUAL(member.last_ms, NOW_MS + 1000);
    CU_ASSERT_EQUAL(member.sequence, 6);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 1);
    CU_ASSERT_STRING_EQUAL(invite_of(&s, 1).label, "for a test");
    reopen(&s);
    CU_ASSERT_EQUAL(hello(&s, 1, 7), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 1);
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_TOKEN_UNKNOWN);
    end(&s);
}

static void token_is_stored_as_its_hash_alone(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    (void)invite(&s, 0xa7, 0, 0);
    members_close(s.members);
    s.members = NULL;
    size_t size_bytes = 0;
    struct stat facts;
    struct digest hash = digest_of(s.token, sizeof s.token);
    CU_ASSERT_EQUAL(stat(scratch_path("members.db"), &facts), 0);
    CU_ASSERT_EQUAL(facts.st_mode & 07777U, 0600);
    uint8_t *data = scratch_read("members.db", &size_bytes);
    CU_ASSERT_PTR_NOT_NULL(memmem(data, size_bytes, hash.bytes, sizeof hash.bytes));
    CU_ASSERT_PTR_NULL(memmem(data, size_bytes, s.token, sizeof s.token));
    free(data);
    end(&s);
}

static void invite_with_uses_lets_so_many_in(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    (void)invite(&s, 1, 2, 0);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_WELCOME); /* the same one again */
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 3, 1), MEMBERS_TOKEN_USED_UP); /* before anything is durable */
    CU_ASSERT_EQUAL(members_flush(s.members), STATUS_OK);
    CU_ASSERT_EQUAL(hello(&s, 3, 2), MEMBERS_TOKEN_USED_UP);
    reopen(&s);
    CU_ASSERT_EQUAL(hello(&s, 3, 3), MEMBERS_TOKEN_USED_UP);
    CU_ASSERT_EQUAL(hello(&s, 2, 2), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 2);
    CU_ASSERT_STRING_EQUAL(member_of(&s, 3).name, "nobody");
    end(&s);
}

static void invite_ends_at_its_time(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    (void)invite(&s, 1, 0, NOW_MS + 1000);
    s.unix_ms = NOW_MS + 999;
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    s.unix_ms = NOW_MS + 1000;
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_TOKEN_EXPIRED);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_WELCOME); /* who is a member stays one */
    end(&s);
}

static void revoked_invite_lets_nobody_in(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    (void)invite(&s, 1, 0, 0);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(members_revoke_invite(s.members, 2), STATUS_NO_INPUT);
    CU_ASSERT_EQUAL(members_revoke_invite(s.members, 1), STATUS_OK);
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_TOKEN_REVOKED);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_WELCOME);
    reopen(&s);
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_TOKEN_REVOKED);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 1); /* what was pending was not lost by the revocation */
    end(&s);
}

/* As when a copy of the key's folder is at work, or an older copy was put back. */
static void hello_with_a_sequence_that_was_there_is_refused(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    (void)invite(&s, 1, 0, 0);
    CU_ASSERT_EQUAL(hello(&s, 1, 10), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 1, 10), MEMBERS_SEQUENCE);
    CU_ASSERT_EQUAL(hello(&s, 1, 9), MEMBERS_SEQUENCE);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_SEQUENCE);
    CU_ASSERT_EQUAL(member_of(&s, 1).sequence, 10);
    reopen(&s);
    CU_ASSERT_EQUAL(hello(&s, 1, 10), MEMBERS_SEQUENCE);
    CU_ASSERT_EQUAL(hello(&s, 1, 12), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 1, 11), MEMBERS_SEQUENCE);
    CU_ASSERT_EQUAL(hello(&s, 2, 3), MEMBERS_WELCOME); /* each key has its own */
    CU_ASSERT_EQUAL(members_allow(s.members, key_of(1), s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_WELCOME); /* the owner knows of it */
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_SEQUENCE);
    end(&s);
}

static void open_run_takes_anybody_but_who_is_banned_or_revoked(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_OPEN);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_SEQUENCE);
    CU_ASSERT_EQUAL(members_ban(s.members, key_of(1), "swindler", s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(members_ban(s.members, key_of(1), "", s.unix_ms), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(member_of(&s, 1).reason, "swindler"); /* it was told already */
    CU_ASSERT_EQUAL(members_ban(s.members, key_of(9), "", s.unix_ms), STATUS_OK); /* never came */
    CU_ASSERT_EQUAL(members_revoke(s.members, key_of(2), s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_BANNED);
    CU_ASSERT_EQUAL(hello(&s, 9, 2), MEMBERS_BANNED);
    CU_ASSERT_EQUAL(hello(&s, 2, 2), MEMBERS_REVOKED);
    reopen(&s);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_BANNED);
    CU_ASSERT_EQUAL(hello(&s, 2, 2), MEMBERS_REVOKED);
    CU_ASSERT_STRING_EQUAL(member_of(&s, 1).reason, "swindler");
    CU_ASSERT_EQUAL(members_unban(s.members, key_of(1), s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(members_unban(s.members, key_of(1), s.unix_ms), STATUS_NO_INPUT);
    CU_ASSERT_EQUAL(members_unban(s.members, key_of(9), s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(members_allow(s.members, key_of(2), s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 9, 2), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 2, 2), MEMBERS_WELCOME);
    end(&s);
}

static void allowlist_takes_whom_the_owner_named(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_ALLOWLIST);
    (void)invite(&s, 1, 0, 0);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_NOT_ALLOWED); /* with a good token */
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 0);
    CU_ASSERT_EQUAL(members_allow(s.members, key_of(1), s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_NOT_ALLOWED);
    CU_ASSERT_EQUAL(members_revoke(s.members, key_of(1), s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(members_revoke(s.members, key_of(1), s.unix_ms), STATUS_NO_INPUT);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_NOT_ALLOWED);
    CU_ASSERT_EQUAL(members_ban(s.members, key_of(1), "", s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(members_allow(s.members, key_of(1), s.unix_ms), STATUS_REFUSED);
    CU_ASSERT_EQUAL(hello(&s, 1, 3), MEMBERS_BANNED);
    s.policy = MEMBERSHIP_INVITE; /* who is allowed needs no token */
    CU_ASSERT_EQUAL(members_allow(s.members, key_of(3), s.unix_ms), STATUS_OK);
    memset(s.token, 0, sizeof s.token);
    CU_ASSERT_EQUAL(hello(&s, 3, 1), MEMBERS_WELCOME);
    end(&s);
}

static void member_of_another_policy_must_enrol(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_OPEN);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    s.policy = MEMBERSHIP_INVITE;
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_TOKEN_UNKNOWN);
    (void)invite(&s, 1, 1, 0);
    CU_ASSERT_EQUAL(hello(&s, 1, 3), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 1);
    s.policy = MEMBERSHIP_ALLOWLIST;
    CU_ASSERT_EQUAL(hello(&s, 1, 4), MEMBERS_NOT_ALLOWED);
    end(&s);
}

static void revoked_member_needs_an_invite_made_later(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    (void)invite(&s, 1, 0, 0);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    s.unix_ms += 10;
    CU_ASSERT_EQUAL(members_revoke(s.members, key_of(1), s.unix_ms), STATUS_OK);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_REVOKED);
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_WELCOME); /* it is good for others */
    s.unix_ms += 1;
    CU_ASSERT_EQUAL(invite(&s, 2, 0, 0), 2);
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(member_of(&s, 1).invite, 2);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 2);
    reopen(&s); /* and what agrees in the file still does */
    CU_ASSERT_EQUAL(hello(&s, 1, 3), MEMBERS_WELCOME);
    end(&s);
}

/* What was not flushed is lost as a whole. */
static void crash_before_the_flush_takes_back_use_and_member(void)
{
    struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    (void)invite(&s, 1, 1, 0);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    reopen(&s);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 0);
    CU_ASSERT_STRING_EQUAL(member_of(&s, 1).name, "nobody");
    CU_ASSERT_EQUAL(hello(&s, 1, 2), MEMBERS_WELCOME); /* it enrols again */
    CU_ASSERT_EQUAL(members_flush(s.members), STATUS_OK);
    reopen(&s);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 1);
    CU_ASSERT_EQUAL(hello(&s, 1, 3), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(hello(&s, 2, 1), MEMBERS_TOKEN_USED_UP);
    end(&s);
}

static uint64_t commits;

static int count_commit(void *context)
{
    (void)context;
    commits++;
    return 0;
}

/* Each connection that is opened counts what it commits. */
static int watch_commits(sqlite3 *db, const char **out_error, const void *api)
{
    (void)out_error;
    (void)api;
    (void)sqlite3_commit_hook(db, count_commit, NULL);
    return SQLITE_OK;
}

/* A coordinator that restarts must not wait for the disk once a peer. */
static void many_hellos_are_one_transaction(void)
{
    struct scene s;
    CU_ASSERT_EQUAL_FATAL(sqlite3_auto_extension((void (*)(void))watch_commits), SQLITE_OK);
    begin(&s, MEMBERSHIP_INVITE);
    (void)invite(&s, 1, 0, 0);
    commits = 0;
    for (unsigned i = 0; i < 250; i++) {
        CU_ASSERT_EQUAL(hello(&s, (uint8_t)i, 1), MEMBERS_WELCOME);
    }
    for (unsigned i = 0; i < 250; i++) {
        CU_ASSERT_EQUAL(hello(&s, (uint8_t)i, 2), MEMBERS_WELCOME);
    }
    CU_ASSERT_EQUAL(commits, 0);
    CU_ASSERT_EQUAL(members_flush(s.members), STATUS_OK);
    CU_ASSERT_EQUAL(commits, 1);
    CU_ASSERT_EQUAL(members_flush(s.members), STATUS_OK);
    CU_ASSERT_EQUAL(commits, 1);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 250);
    reopen(&s);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 250);
    CU_ASSERT_EQUAL(hello(&s, 249, 2), MEMBERS_SEQUENCE);
    end(&s);
    (void)sqlite3_cancel_auto_extension((void (*)(void))watch_commits);
}

/* More than are kept in memory. */
static void hellos_beyond_what_is_pending_are_written(void)
{
    struct scene s;
    uint8_t key[IDENTITY_KEY_BYTES] = {0};
    struct member member;
    size_t count = 0;
    begin(&s, MEMBERSHIP_OPEN);
    for (uint32_t i = 0; i < MEMBERS_PENDING_MAX + 10; i++) {
        enum members_verdict verdict = MEMBERS_BANNED;
        memcpy(key, &i, sizeof i);
        const struct members_hello message = {.policy = MEMBERSHIP_OPEN,
                                              .key = key,
                                              .token = s.token,
                                              .name = "",
                                              .sequence = 1,
                                              .unix_ms = NOW_MS};
        CU_ASSERT_EQUAL(members_judge(s.members, &message, &verdict), STATUS_OK);
        CU_ASSERT_EQUAL(verdict, MEMBERS_WELCOME);
    }
    reopen(&s); /* without a flush: the first ones were written when room ran out */
    memset(key, 0, sizeof key);
    CU_ASSERT_EQUAL(members_list(s.members, key, false, &member, 1, &count), STATUS_OK);
    CU_ASSERT_EQUAL(count, 1);
    CU_ASSERT_EQUAL(member.sequence, 1);
    end(&s);
}

static void pages_follow_each_other(void)
{
    struct scene s;
    struct member members[3];
    uint8_t from[IDENTITY_KEY_BYTES] = {0};
    size_t count = 0;
    begin(&s, MEMBERSHIP_OPEN);
    for (uint8_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(hello(&s, i, 1), MEMBERS_WELCOME);
    }
    CU_ASSERT_EQUAL(members_ban(s.members, key_of(3), "", NOW_MS), STATUS_OK);
    CU_ASSERT_EQUAL(members_list(s.members, from, false, members, 3, &count), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(count, 3);
    CU_ASSERT_TRUE(memcmp(members[0].key, members[1].key, IDENTITY_KEY_BYTES) < 0);
    CU_ASSERT_TRUE(memcmp(members[1].key, members[2].key, IDENTITY_KEY_BYTES) < 0);
    memcpy(from, members[2].key, sizeof from);
    CU_ASSERT_EQUAL(members_list(s.members, from, false, members, 3, &count), STATUS_OK);
    CU_ASSERT_EQUAL(count, 3); /* with the one it begins at */
    memset(from, 0, sizeof from);
    CU_ASSERT_EQUAL(members_list(s.members, from, true, members, 3, &count), STATUS_OK);
    CU_ASSERT_EQUAL(count, 1);
    CU_ASSERT_EQUAL(memcmp(members[0].key, key_of(3), sizeof from), 0);
    end(&s);
}

static void key_is_found_by_its_short_name(void)
{
    struct scene s;
    uint8_t key[IDENTITY_KEY_BYTES];
    uint8_t other[IDENTITY_KEY_BYTES];
    char name[IDENTITY_NAME_BYTES];
    char hex[2 * IDENTITY_KEY_BYTES + 1];
    begin(&s, MEMBERSHIP_OPEN);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    identity_name(key_of(1), name);
    CU_ASSERT_EQUAL(members_find(s.members, name, key), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(key, key_of(1), sizeof key), 0);
    (void)sodium_bin2hex(hex, sizeof hex, key_of(2), IDENTITY_KEY_BYTES);
    CU_ASSERT_EQUAL(members_find(s.members, hex, key), STATUS_OK); /* who is no member, too */
    CU_ASSERT_EQUAL(memcmp(key, key_of(2), sizeof key), 0);
    identity_name(key_of(2), name);
    CU_ASSERT_EQUAL(members_find(s.members, name, key), STATUS_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "no member's key"));
    memcpy(other, key_of(1), sizeof other);
    other[31] ^= 1;
    CU_ASSERT_EQUAL(members_ban(s.members, other, "", NOW_MS), STATUS_OK);
    identity_name(key_of(1), name);
    CU_ASSERT_EQUAL(members_find(s.members, name, key), STATUS_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "more than one"));
    static const char *const wrong[] = {"", "7", "abcdefabcde", "abcdefabcdefa", "zbcdefabcdef"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CU_ASSERT_EQUAL(members_find(s.members, wrong[i], key), STATUS_USAGE);
    }
    memset(hex, '0', sizeof hex - 1); /* no point of the curve */
    CU_ASSERT_EQUAL(members_find(s.members, hex, key), STATUS_USAGE);
    end(&s);
}

static bool note(struct scene *s, const uint8_t *key, const char *kind, const char *text,
                 uint64_t unix_ms)
{
    struct incident incident = {
        .first_ms = unix_ms, .count = 1, .has_key = key != NULL, .host = "192.0.2.1"};
    if (key != NULL) {
        memcpy(incident.key, key, sizeof incident.key);
    }
    (void)snprintf(incident.kind, sizeof incident.kind, "%s", kind);
    (void)snprintf(incident.text, sizeof incident.text, "%s", text);
    return members_note(s->members, &incident);
}

static void incidents_alike_are_counted_together(void)
{
    struct scene s;
    struct incident incidents[8];
    size_t count = 0;
    begin(&s, MEMBERSHIP_OPEN);
    for (int i = 0; i < 100; i++) {
        (void)note(&s, key_of(1), "bad_signature", "first\n\"\033[2J", NOW_MS + (uint64_t)i);
        CU_ASSERT_TRUE(i % 10 != 0 || members_flush(s.members) == STATUS_OK);
    }
    CU_ASSERT_TRUE(note(&s, key_of(2), "bad_signature", "", NOW_MS));
    CU_ASSERT_FALSE(note(&s, key_of(2), "bad_signature", "", NOW_MS));
    (void)note(&s, NULL, "bad_signature", "", NOW_MS);
    CU_ASSERT_TRUE(note(&s, key_of(1), "bad_signature", "", NOW_MS + 60000));
    CU_ASSERT_EQUAL(members_flush(s.members), STATUS_OK);
    reopen(&s);
    CU_ASSERT_EQUAL(members_incidents(s.members, UINT64_MAX, incidents, 8, &count), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(count, 4);
    CU_ASSERT_EQUAL(incidents[0].count, 1); /* the newest first */
    CU_ASSERT_EQUAL(incidents[0].first_ms, NOW_MS + 60000);
    CU_ASSERT_FALSE(incidents[1].has_key);
    CU_ASSERT_EQUAL(incidents[3].count, 100);
    CU_ASSERT_EQUAL(incidents[3].first_ms, NOW_MS);
    CU_ASSERT_EQUAL(incidents[3].last_ms, NOW_MS + 99);
    CU_ASSERT_EQUAL(memcmp(incidents[3].key, key_of(1), IDENTITY_KEY_BYTES), 0);
    CU_ASSERT_STRING_EQUAL(incidents[3].host, "192.0.2.1");
    CU_ASSERT_STRING_EQUAL(incidents[3].kind, "bad_signature");
    CU_ASSERT_STRING_EQUAL(incidents[3].text, "first???[2J");
    CU_ASSERT_EQUAL(members_incidents(s.members, incidents[1].number, incidents, 8, &count),
                    STATUS_OK);
    CU_ASSERT_EQUAL(count, 2);
    end(&s);
}

static void incidents_of_a_flood_are_bounded(void)
{
    struct scene s;
    static struct incident incidents[200];
    size_t count = 0;
    uint64_t told = 0;
    begin(&s, MEMBERSHIP_OPEN);
    for (uint32_t i = 0; i < 5000; i++) {
        uint8_t key[IDENTITY_KEY_BYTES] = {1};
        memcpy(key + 1, &i, sizeof i);
        (void)note(&s, key, "flood", "", NOW_MS + i / 2500 * 1000);
        CU_ASSERT_TRUE(i % 100 != 0 || members_flush(s.members) == STATUS_OK);
    }
    CU_ASSERT_EQUAL(members_incidents(s.members, UINT64_MAX, incidents, 200, &count), STATUS_OK);
    CU_ASSERT_TRUE(count > 32 && count <= 66); /* two seconds */
    for (size_t i = 0; i < count; i++) {
        told += incidents[i].count;
    }
    CU_ASSERT_EQUAL(told, 5000);
    end(&s);
}

static void old_invites_are_read_in_once(void)
{
    struct scene s;
    char text[256];
    char hex[DIGEST_HEX_BYTES];
    begin(&s, MEMBERSHIP_INVITE);
    members_close(s.members);
    s.members = NULL;
    memset(s.token, 9, sizeof s.token);
    struct digest hash = digest_of(s.token, sizeof s.token);
    digest_to_hex(&hash, hex);
    (void)snprintf(text, sizeof text, "[{\"blake2b\": \"%s\", \"created_ms\": 5}]", hex);
    scratch_write_text("invites.json", text);
    reopen(&s);
    CU_ASSERT_FALSE(files_exists(scratch_path("invites.json")));
    CU_ASSERT_EQUAL(invite_of(&s, 1).created_ms, 5);
    CU_ASSERT_EQUAL(invite_of(&s, 1).uses, 0);
    CU_ASSERT_EQUAL(hello(&s, 1, 1), MEMBERS_WELCOME);
    CU_ASSERT_EQUAL(members_flush(s.members), STATUS_OK);
    scratch_write_text("invites.json", text); /* as if the rename had been lost */
    reopen(&s);
    CU_ASSERT_EQUAL(invite_of(&s, 1).used, 1);
    struct invite second;
    size_t count = 0;
    CU_ASSERT_EQUAL(members_invites(s.members, 2, &second, 1, &count), STATUS_OK);
    CU_ASSERT_EQUAL(count, 0);
    static const char *const damaged[] = {"", "{}", "[{}]", "[{\"blake2b\": \"12\"}]", "[5]"};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        scratch_write_text("invites.json", damaged[i]);
        members_close(s.members);
        CU_ASSERT_EQUAL(members_open(scratch_folder, &s.members), STATUS_BAD_DATA);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "invites.json is damaged"));
    }
    end(&s);
}

static void number_that_is_taken_is_not_given_again(void)
{
    struct scene s;
    uint64_t number = 0;
    begin(&s, MEMBERSHIP_INVITE);
    CU_ASSERT_EQUAL(invite(&s, 1, 0, 0), 1);
    CU_ASSERT_EQUAL(invite(&s, 2, 0, 0), 2);
    const struct invite again = {.hash = digest_of(s.token, sizeof s.token)};
    CU_ASSERT_EQUAL(members_invite(s.members, &again, &number), STATUS_BAD_DATA);
    reopen(&s);
    CU_ASSERT_EQUAL(invite(&s, 3, 0, 0), 3);
    end(&s);
}

int main(void)
{
    if (sodium_init() < 0) {
        return 1;
    }
    static const struct suite_test tests[] = {
        SUITE_TEST(hello_with_an_invite_makes_a_member_once),
        SUITE_TEST(token_is_stored_as_its_hash_alone),
        SUITE_TEST(invite_with_uses_lets_so_many_in),
        SUITE_TEST(invite_ends_at_its_time),
        SUITE_TEST(revoked_invite_lets_nobody_in),
        SUITE_TEST(hello_with_a_sequence_that_was_there_is_refused),
        SUITE_TEST(open_run_takes_anybody_but_who_is_banned_or_revoked),
        SUITE_TEST(allowlist_takes_whom_the_owner_named),
        SUITE_TEST(member_of_another_policy_must_enrol),
        SUITE_TEST(revoked_member_needs_an_invite_made_later),
        SUITE_TEST(crash_before_the_flush_takes_back_use_and_member),
        SUITE_TEST(many_hellos_are_one_transaction),
        SUITE_TEST(hellos_beyond_what_is_pending_are_written),
        SUITE_TEST(pages_follow_each_other),
        SUITE_TEST(key_is_found_by_its_short_name),
        SUITE_TEST(incidents_alike_are_counted_together),
        SUITE_TEST(incidents_of_a_flood_are_bounded),
        SUITE_TEST(old_invites_are_read_in_once),
        SUITE_TEST(number_that_is_taken_is_not_given_again),
    };
    return suite_run("members", tests, sizeof tests / sizeof tests[0]);
}
