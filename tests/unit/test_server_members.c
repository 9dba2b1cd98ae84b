/* Who may take part, at the server: proofs, sequences, bans, and that what is refused leaves the
 * session alone that is there. */
#include "common/fault.h"
#include "coordinator/server/server_members.h"
#include "coordinator/server/server_state.h"
#include "proto/attest.h"
#include "tests/unit/fake_channel.h"
#include "tests/unit/members_fixture.h"
#include "tests/unit/run_fixture.h"

#include <sodium.h>

enum { PEERS = 4, TICK_MS = 100 };

struct scene {
    struct run_dir run;
    struct server *server;
    uint8_t token[LINK_TOKEN_BYTES];
    uint64_t now_ms;
    struct wire_message message; /* the latest that a peer was sent */
};

static void open_server(struct scene *s)
{
    const struct server_options options = {.listen = "tcp://127.0.0.1:0", .thread_count = 1};
    CU_ASSERT_EQUAL_FATAL(server_new(&s->run, &options, &s->server), STATUS_OK);
}

static void close_server(struct scene *s)
{
    server_free(s->server);
    s->server = NULL;
    for (int i = 0; i < PEERS; i++) {
        letters_clear(&fake.to_peer[i]);
        fake.connections[i] = 0;
        fake.barred[i] = false; /* what a process barred ends with it */
    }
    letters_clear(&fake.to_server);
}

/* A new process. */
static void restart(struct scene *s)
{
    enum membership policy = s->run.config.membership;
    close_server(s);
    run_dir_close(&s->run);
    CU_ASSERT_EQUAL_FATAL(run_dir_open(scratch_path("run"), &s->run), STATUS_OK);
    s->run.config.membership = policy;
    open_server(s);
}

static void begin(struct scene *s, enum membership policy)
{
    memset(s, 0, sizeof *s);
    memset(&fake, 0, sizeof fake);
    s->now_ms = 50000;
    run_fixture_open(&s->run, "fp32", NULL, NULL);
    s->run.config.membership = policy;
    members_fixture_invite(s->run.path, 7, 0, s->token);
    for (int i = 0; i < PEERS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "key%d", i);
        CU_ASSERT_EQUAL_FATAL(identity_open(scratch_path(name), &fake.identities[i]), STATUS_OK);
    }
    open_server(s);
}

static void end(struct scene *s)
{
    close_server(s);
    run_fixture_close(&s->run);
}

static void turn(struct scene *s)
{
    bool over = false;
    s->now_ms += TICK_MS;
    CU_ASSERT_EQUAL_FATAL(server_turn(s->server, s->now_ms, &over), STATUS_OK);
}

static struct wire_message make_hello(const struct scene *s, int i, uint64_t sequence)
{
    struct wire_message message = {.type = WIRE_HELLO};
    struct wire_hello *hello = &message.as.hello;
    hello->protocol_version = WIRE_PROTOCOL_VERSION;
    memcpy(hello->public_key, fake.identities[i].public_key, IDENTITY_KEY_BYTES);
    memcpy(hello->token, s->token, sizeof hello->token);
    (void)snprintf(hello->name, sizeof hello->name, "peer-%d", i);
    hello->thread_count = 1;
    hello->version_held = WIRE_VERSION_NONE;
    hello->computes = true;
    hello->sequence = sequence;
    attest_hello_sign(&fake.identities[i], s->run.identity.public_key, hello);
    return message;
}

/* Over the peer's connection, whoever's key is in the message. */
static void say(struct scene *s, int i, const struct wire_message *message)
{
    static uint8_t head[WIRE_HEAD_MAX];
    size_t head_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(wire_encode(message, head, sizeof head, &head_bytes), STATUS_OK);
    letters_put(&fake.to_server, fake.identities[i].curve_public, head, head_bytes, NULL, 0);
    fake.to_server.last->connection = fake.connections[i];
    turn(s);
}

/* The first of what the peer was sent since; the rest is thrown away. 0: nothing. */
static enum wire_type hears(struct scene *s, int i)
{
    struct letter *letter = letters_take(&fake.to_peer[i]);
    if (letter == NULL) {
        return (enum wire_type)0;
    }
    CU_ASSERT_EQUAL_FATAL(wire_decode(letter->data, letter->head_bytes, &s->message), STATUS_OK);
    free(letter);
    letters_clear(&fake.to_peer[i]);
    return s->message.type;
}

static void assert_refused(struct scene *s, int i, enum wire_refusal code, const char *words)
{
    CU_ASSERT_EQUAL(hears(s, i), WIRE_REFUSED);
    CU_ASSERT_EQUAL(s->message.as.refused.code, code);
    CU_ASSERT_PTR_NOT_NULL(strstr(s->message.as.refused.text, words));
}

static void greet(struct scene *s, int i, uint64_t sequence)
{
    const struct wire_message message = make_hello(s, i, sequence);
    say(s, i, &message);
}

static void join(struct scene *s, int i, uint64_t sequence)
{
    fake_connect(i);
    greet(s, i, sequence);
    CU_ASSERT_EQUAL(hears(s, i), WIRE_WELCOME);
}

static struct session *session_of(const struct scene *s, int i)
{
    return sessions_find(s->server->sessions, fake.identities[i].curve_public);
}

/* How often the kind was told, of this key or (NULL) of nobody. */
static uint64_t told(const struct scene *s, const char *kind, const uint8_t *key)
{
    static struct incident found[64];
    size_t count = 0;
    uint64_t times = 0;
    CU_ASSERT_EQUAL(members_incidents(s->server->members, UINT64_MAX, found, 64, &count),
                    STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        bool same = key == NULL ? !found[i].has_key
                                : found[i].has_key && memcmp(found[i].key, key, 32) == 0;
        times += same && strcmp(found[i].kind, kind) == 0 ? found[i].count : 0;
    }
    return times;
}

static enum status ask(struct scene *s, enum members_wish wish, int i, char *reply)
{
    struct control_request request = {.command = CONTROL_MEMBERS, .members = {.wish = wish}};
    (void)sodium_bin2hex(request.members.who, sizeof request.members.who,
                         fake.identities[i].public_key, IDENTITY_KEY_BYTES);
    return server_control(s->server, &request, s->now_ms, reply);
}

static void hello_that_nobody_signed_is_refused_and_noted(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_OPEN);
    fake_connect(0);
    struct wire_message message = make_hello(&s, 0, 1);
    message.as.hello.sequence = 2;
    say(&s, 0, &message);
    assert_refused(&s, 0, WIRE_REFUSED_IDENTITY, "identity");
    CU_ASSERT_EQUAL(told(&s, "bad_hello_signature", fake.identities[0].public_key), 1);
    message = make_hello(&s, 1, 1); /* another's, whole, over this connection */
    say(&s, 0, &message);
    assert_refused(&s, 0, WIRE_REFUSED_IDENTITY, "identity");
    CU_ASSERT_EQUAL(told(&s, "wrong_identity", NULL), 1);
    CU_ASSERT_PTR_NULL(session_of(&s, 0));
    CU_ASSERT_PTR_NULL(session_of(&s, 1));
    join(&s, 1, 1); /* what was forged in its name cost it nothing */
    end(&s);
}

/* A run's coordinator cannot use what was said to it at another run. */
static void hello_to_another_run_is_refused(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_OPEN);
    struct identity other = fake.identities[3];
    fake_connect(0);
    struct wire_message message = make_hello(&s, 0, 1);
    attest_hello_sign(&fake.identities[0], other.public_key, &message.as.hello);
    say(&s, 0, &message);
    assert_refused(&s, 0, WIRE_REFUSED_IDENTITY, "identity");
    end(&s);
}

static void peer_of_another_release_is_told_so(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_OPEN);
    fake_connect(0);
    struct wire_message message = make_hello(&s, 0, 1);
    message.as.hello.protocol_version = WIRE_PROTOCOL_VERSION - 1;
    say(&s, 0, &message);
    assert_refused(&s, 0, WIRE_REFUSED_PROTOCOL, "same release");
    end(&s);
}

/* A copy of the state folder says what the original said before. */
static void clone_that_comes_second_is_detected(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 5);
    struct session *session = session_of(&s, 0);
    uint64_t connection = session->connection;
    uint64_t original = fake.connections[0];
    fake_connect(0); /* the copy's connection, with the number that the original used */
    greet(&s, 0, 5);
    assert_refused(&s, 0, WIRE_REFUSED_SEQUENCE, "copy of its state folder");
    CU_ASSERT_PTR_NOT_NULL(strstr(s.message.as.refused.text, "dugnad-peer key"));
    CU_ASSERT_EQUAL(told(&s, "cloned_or_rolled_back", fake.identities[0].public_key), 1);
    CU_ASSERT_PTR_EQUAL(session_of(&s, 0), session); /* the original goes on */
    CU_ASSERT_EQUAL(session->connection, connection);
    CU_ASSERT_EQUAL(original, connection);
    fake.connections[0] = original;
    struct wire_message alive = {.type = WIRE_ALIVE};
    say(&s, 0, &alive);
    CU_ASSERT_EQUAL(hears(&s, 0), WIRE_ALIVE);
    end(&s);
}

static void original_that_comes_after_its_clone_is_detected(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 5);
    join(&s, 0, 9); /* the copy, which was started more often */
    fake_connect(0);
    greet(&s, 0, 6);
    assert_refused(&s, 0, WIRE_REFUSED_SEQUENCE, "copy of its state folder");
    CU_ASSERT_EQUAL(told(&s, "cloned_or_rolled_back", fake.identities[0].public_key), 1);
    end(&s);
}

/* A connection before the present one, which has not ended. */
static void keep_standing(uint64_t connection)
{
    fake.bulk[0] = connection;
    fake.bulk_received_bytes[0] = 1000;
}

static void copy_that_comes_while_the_original_speaks_is_noted(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 5);
    keep_standing(fake.connections[0]);
    join(&s, 0, 6); /* it has the session now: nobody knows which of them is the copy */
    CU_ASSERT_EQUAL(told(&s, "second_connection", fake.identities[0].public_key), 1);
    CU_ASSERT_EQUAL(told(&s, "cloned_or_rolled_back", fake.identities[0].public_key), 0);
    CU_ASSERT_EQUAL(session_of(&s, 0)->connection, fake.connections[0]);
    fake_connect(0);
    greet(&s, 0, 6);
    assert_refused(&s, 0, WIRE_REFUSED_SEQUENCE, "copy of its state folder");
    CU_ASSERT_EQUAL(told(&s, "cloned_or_rolled_back", fake.identities[0].public_key), 1);
    end(&s);
}

static void peer_whose_line_broke_is_no_second_connection(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 5);
    join(&s, 0, 6); /* the earlier one ended */
    greet(&s, 0, 7);
    CU_ASSERT_EQUAL(hears(&s, 0), WIRE_WELCOME); /* over the same one */
    keep_standing(fake.connections[0]);
    for (int i = 0; i < 20; i++) {
        turn(&s); /* and nothing is heard of it */
    }
    join(&s, 0, 8);
    CU_ASSERT_EQUAL(told(&s, "second_connection", fake.identities[0].public_key), 0);
    end(&s);
}

/* Also after the coordinator restarted; until its owner says that it is well. */
static void folder_from_a_backup_is_refused(void)
{
    static struct scene s;
    static char reply[CONTROL_REPLY_BYTES_MAX];
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 20);
    restart(&s);
    fake_connect(0);
    greet(&s, 0, 12);
    assert_refused(&s, 0, WIRE_REFUSED_SEQUENCE, "older copy was put back");
    CU_ASSERT_EQUAL(ask(&s, MEMBERS_ALLOW, 0, reply), STATUS_OK);
    join(&s, 0, 13);
    end(&s);
}

/* A connection brings nothing twice, but what was under way on an earlier one may come late. */
static void echo_of_a_hello_is_ignored(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    fake_connect(0);
    uint64_t first = fake.connections[0];
    join(&s, 0, 5);
    uint64_t second = fake.connections[0];
    greet(&s, 0, 5);
    CU_ASSERT_EQUAL(hears(&s, 0), 0);
    fake.connections[0] = first;
    greet(&s, 0, 4);
    CU_ASSERT_EQUAL(hears(&s, 0), 0);
    memset(s.server->hellos, 7, sizeof s.server->hellos); /* other keys have taken its place */
    greet(&s, 0, 4);
    CU_ASSERT_EQUAL(hears(&s, 0), 0);
    CU_ASSERT_EQUAL(told(&s, "cloned_or_rolled_back", fake.identities[0].public_key), 0);
    CU_ASSERT_EQUAL(session_of(&s, 0)->connection, second);
    fake.connections[0] = second;
    greet(&s, 0, 6); /* it repeats it, since no answer came */
    CU_ASSERT_EQUAL(hears(&s, 0), WIRE_WELCOME);
    end(&s);
}

/* Makes peer i's key of a seed; returns its first bits, by which one may look for others. */
static size_t use_seed(int i, uint32_t seed)
{
    uint8_t bytes[IDENTITY_SEED_BYTES] = {0};
    struct identity *identity = &fake.identities[i];
    memcpy(bytes, &seed, sizeof seed);
    identity_wipe(identity);
    CU_ASSERT_EQUAL_FATAL(identity_of_seed(bytes, identity), STATUS_OK);
    return ((size_t)identity->curve_public[0] << 8U | identity->curve_public[1]) % HELLOS_KEPT;
}

/* Keys can be made until one begins as another does. */
static void key_that_begins_as_another_makes_no_clone_of_it(void)
{
    static struct scene s;
    uint8_t salt[sizeof s.server->hello_salt];
    begin(&s, MEMBERSHIP_INVITE);
    memcpy(salt, s.server->hello_salt, sizeof salt);
    restart(&s);
    CU_ASSERT_NOT_EQUAL(memcmp(salt, s.server->hello_salt, sizeof salt), 0);
    memset(s.server->hello_salt, 1, sizeof salt); /* keys and salt: the same in each run */
    size_t wanted = use_seed(0, 0);
    uint32_t seed = 1;
    while (use_seed(1, seed) != wanted) {
        seed++;
    }
    fake_connect(0);
    uint64_t first = fake.connections[0];
    join(&s, 0, 5);
    join(&s, 1, 1);
    fake.connections[0] = first;
    greet(&s, 0, 4); /* it was under way when the second connection was made */
    CU_ASSERT_EQUAL(hears(&s, 0), 0);
    CU_ASSERT_EQUAL(told(&s, "cloned_or_rolled_back", fake.identities[0].public_key), 0);
    end(&s);
}

static void refused_hello_leaves_the_session_alone(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 5);
    struct session *session = session_of(&s, 0);
    uint64_t connection = session->connection;
    fake_connect(0);
    struct wire_message message = make_hello(&s, 0, 6);
    message.as.hello.signature[0] ^= 1;
    say(&s, 0, &message);
    assert_refused(&s, 0, WIRE_REFUSED_IDENTITY, "identity");
    message = make_hello(&s, 0, 7);
    message.as.hello.protocol_version = 1;
    say(&s, 0, &message);
    assert_refused(&s, 0, WIRE_REFUSED_PROTOCOL, "release");
    CU_ASSERT_PTR_EQUAL(session_of(&s, 0), session);
    CU_ASSERT_EQUAL(session->connection, connection);
    end(&s);
}

static void ban_throws_out_at_once_and_for_good(void)
{
    static struct scene s;
    static char reply[CONTROL_REPLY_BYTES_MAX];
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 1);
    join(&s, 1, 1);
    uint64_t began_ms = s.now_ms;
    CU_ASSERT_EQUAL(ask(&s, MEMBERS_BAN, 0, reply), STATUS_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply, "is banned"));
    CU_ASSERT_PTR_NULL(session_of(&s, 0)); /* before anything else happens */
    assert_refused(&s, 0, WIRE_REFUSED_BANNED, "banned");
    while (!fake.barred[0] && s.now_ms - began_ms < 5000) {
        turn(&s);
    }
    CU_ASSERT_TRUE(fake.barred[0]);
    CU_ASSERT_TRUE(s.now_ms - began_ms <= 1000);
    CU_ASSERT_FALSE(fake.barred[1]);
    CU_ASSERT_PTR_NOT_NULL(session_of(&s, 1));
    restart(&s); /* barred before the first message */
    CU_ASSERT_TRUE(fake.barred[0]);
    CU_ASSERT_FALSE(fake.barred[1]);
    fake_connect(0); /* as if it had been let through */
    greet(&s, 0, 2);
    assert_refused(&s, 0, WIRE_REFUSED_BANNED, "banned");
    CU_ASSERT_EQUAL(told(&s, "banned_key", fake.identities[0].public_key), 1);
    CU_ASSERT_EQUAL(ask(&s, MEMBERS_UNBAN, 0, reply), STATUS_OK);
    CU_ASSERT_FALSE(fake.barred[0]);
    join(&s, 0, 3);
    CU_ASSERT_EQUAL(ask(&s, MEMBERS_BAN, 0, reply), STATUS_OK);
    CU_ASSERT_EQUAL(ask(&s, MEMBERS_UNBAN, 0, reply), STATUS_OK); /* in the same tick */
    turn(&s);
    CU_ASSERT_FALSE(fake.barred[0]);
    end(&s);
}

static void revoked_member_is_cut_and_may_come_by_a_new_invite(void)
{
    static struct scene s;
    static char reply[CONTROL_REPLY_BYTES_MAX];
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 1);
    CU_ASSERT_EQUAL(ask(&s, MEMBERS_REVOKE, 0, reply), STATUS_OK);
    CU_ASSERT_PTR_NULL(session_of(&s, 0));
    assert_refused(&s, 0, WIRE_REFUSED_TOKEN, "ended the membership");
    turn(&s);
    CU_ASSERT_EQUAL(fake.connections[0], 0); /* cut */
    CU_ASSERT_FALSE(fake.barred[0]);
    fake_connect(0);
    greet(&s, 0, 2);
    assert_refused(&s, 0, WIRE_REFUSED_TOKEN, "ended the membership");
    end(&s);
}

/* The channel tells of peer i, by the key that it knows. */
static void tell_of(struct scene *s, int i, enum channel_reason reason, uint64_t count)
{
    fake.incident = (struct channel_incident){.reason = reason, .has_key = true, .count = count};
    memcpy(fake.incident.curve_key, fake.identities[i].curve_public, IDENTITY_KEY_BYTES);
    turn(s);
}

static void banned_key_that_knocks_is_noted_by_its_key(void)
{
    static struct scene s;
    static char reply[CONTROL_REPLY_BYTES_MAX];
    begin(&s, MEMBERSHIP_INVITE);
    for (int i = 0; i < PEERS; i++) { /* of them all, only peer 0 was ever here */
        if (i == 0) {
            join(&s, i, 1);
        }
        CU_ASSERT_EQUAL(ask(&s, MEMBERS_BAN, i, reply), STATUS_OK);
    }
    restart(&s);
    for (int i = 0; i < PEERS; i++) {
        tell_of(&s, i, CHANNEL_BARRED_CAME, 100);
        tell_of(&s, i, CHANNEL_BARRED_CAME, 7);
        CU_ASSERT_EQUAL(told(&s, "barred_key", fake.identities[i].public_key), 107);
    }
    end(&s);
}

static void connection_that_is_cut_is_noted_by_its_key(void)
{
    static struct scene s;
    static char reply[CONTROL_REPLY_BYTES_MAX];
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 1);
    CU_ASSERT_EQUAL(ask(&s, MEMBERS_REVOKE, 0, reply), STATUS_OK);
    turn(&s);
    tell_of(&s, 0, CHANNEL_BARRED, 1);
    CU_ASSERT_EQUAL(told(&s, "barred", fake.identities[0].public_key), 1);
    tell_of(&s, 1, CHANNEL_MALFORMED, 1); /* never said who it is */
    CU_ASSERT_EQUAL(told(&s, "malformed", NULL), 1);
    end(&s);
}

static void allowlist_tells_strangers_what_to_do(void)
{
    static struct scene s;
    static char reply[CONTROL_REPLY_BYTES_MAX];
    begin(&s, MEMBERSHIP_ALLOWLIST);
    fake_connect(0);
    greet(&s, 0, 1);
    assert_refused(&s, 0, WIRE_REFUSED_NOT_ALLOWED, "dugnad-peer key");
    CU_ASSERT_EQUAL(ask(&s, MEMBERS_ALLOW, 0, reply), STATUS_OK);
    join(&s, 0, 2);
    end(&s);
}

static void list_of_peers_says_who_is_here(void)
{
    static struct scene s;
    static char reply[CONTROL_REPLY_BYTES_MAX];
    char key[2 * IDENTITY_KEY_BYTES + 1];
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 1);
    join(&s, 1, 1);
    say(&s, 1, &(struct wire_message){.type = WIRE_LEAVE});
    CU_ASSERT_EQUAL(ask(&s, MEMBERS_PEERS, 0, reply), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        (void)sodium_bin2hex(key, sizeof key, fake.identities[i].public_key, IDENTITY_KEY_BYTES);
        const char *row = strstr(reply, key);
        CU_ASSERT_PTR_NOT_NULL_FATAL(row);
        const char *here = strstr(row, "\"here\":");
        CU_ASSERT_PTR_NOT_NULL_FATAL(here);
        CU_ASSERT_EQUAL(strncmp(here + 7, i == 0 ? "true" : "fals", 4), 0);
    }
    end(&s);
}

/* Its loss of the session costs the forger no more than its own samples. */
static void contribution_that_its_key_did_not_sign_is_dropped(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 1);
    struct wire_message message = {.type = WIRE_CONTRIBUTION};
    struct wire_contribution *offer = &message.as.contribution;
    offer->range_count = 1;
    offer->ranges[0] = (struct sample_range){0, 1};
    offer->tokens = s.run.config.context;
    offer->codec = CODEC_FP32;
    offer->blob = (struct blob_ref){BLOB_CONTRIBUTION, 1, 100, 100, digest_of("x", 1)};
    attest_contribution_sign(&fake.identities[1], &s.run.run_id, offer);
    say(&s, 0, &message);
    CU_ASSERT_PTR_NULL(session_of(&s, 0));
    CU_ASSERT_EQUAL(told(&s, "bad_contribution_signature", fake.identities[0].public_key), 1);
    CU_ASSERT_EQUAL(told(&s, "forbidden", fake.identities[0].public_key), 1);
    s.now_ms += CONDUCT_OUT_MS_MIN;
    join(&s, 0, 2);
    attest_contribution_sign(&fake.identities[0], &s.run.run_id, offer);
    say(&s, 0, &message); /* judged by the core: it was lent nothing */
    CU_ASSERT_EQUAL(told(&s, "bad_contribution_signature", fake.identities[0].public_key), 1);
    end(&s);
}

/* One sync for all who come back at once. */
static void hellos_are_durable_after_the_next_tick(void)
{
    static struct scene s;
    begin(&s, MEMBERSHIP_INVITE);
    join(&s, 0, 5);
    turn(&s);
    members_close(s.server->members); /* as in a crash: nothing more is written */
    s.server->members = NULL;
    restart(&s);
    fake_connect(0);
    greet(&s, 0, 5);
    assert_refused(&s, 0, WIRE_REFUSED_SEQUENCE, "later hello");
    end(&s);
}

int main(void)
{
    if (sodium_init() < 0) {
        return 1;
    }
    static const struct suite_test tests[] = {
        SUITE_TEST(hello_that_nobody_signed_is_refused_and_noted),
        SUITE_TEST(hello_to_another_run_is_refused),
        SUITE_TEST(peer_of_another_release_is_told_so),
        SUITE_TEST(clone_that_comes_second_is_detected),
        SUITE_TEST(original_that_comes_after_its_clone_is_detected),
        SUITE_TEST(copy_that_comes_while_the_original_speaks_is_noted),
        SUITE_TEST(peer_whose_line_broke_is_no_second_connection),
        SUITE_TEST(folder_from_a_backup_is_refused),
        SUITE_TEST(echo_of_a_hello_is_ignored),
        SUITE_TEST(key_that_begins_as_another_makes_no_clone_of_it),
        SUITE_TEST(refused_hello_leaves_the_session_alone),
        SUITE_TEST(ban_throws_out_at_once_and_for_good),
        SUITE_TEST(revoked_member_is_cut_and_may_come_by_a_new_invite),
        SUITE_TEST(banned_key_that_knocks_is_noted_by_its_key),
        SUITE_TEST(connection_that_is_cut_is_noted_by_its_key),
        SUITE_TEST(allowlist_tells_strangers_what_to_do),
        SUITE_TEST(list_of_peers_says_who_is_here),
        SUITE_TEST(contribution_that_its_key_did_not_sign_is_dropped),
        SUITE_TEST(hellos_are_durable_after_the_next_tick),
    };
    return suite_run("server_members", tests, sizeof tests / sizeof tests[0]);
}
