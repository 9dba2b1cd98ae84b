/* Which connection of a key a session belongs to. */
#include "coordinator/server/server_state.h"
#include "proto/attest.h"
#include "tests/unit/fake_channel.h"
#include "tests/unit/members_fixture.h"
#include "tests/unit/run_fixture.h"

enum { NOW_MS = 50000, PEERS = 2 };

struct scene {
    struct run_dir run;
    struct server *server;
    uint8_t token[LINK_TOKEN_BYTES];
    uint64_t sequence; /* of the latest hello */
    uint64_t now_ms;
    struct wire_message message;
    uint8_t head[WIRE_HEAD_MAX];
};

static void begin(struct scene *s)
{
    const struct server_options options = {.listen = "tcp://127.0.0.1:0", .thread_count = 1};
    memset(s, 0, sizeof *s);
    memset(&fake, 0, sizeof fake);
    s->now_ms = NOW_MS;
    run_fixture_open(&s->run, "fp32", NULL, NULL);
    members_fixture_invite(s->run.path, 7, 0, s->token);
    for (int i = 0; i < PEERS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "key%d", i);
        CU_ASSERT_EQUAL_FATAL(identity_open(scratch_path(name), &fake.identities[i]), STATUS_OK);
    }
    CU_ASSERT_EQUAL_FATAL(server_new(&s->run, &options, &s->server), STATUS_OK);
}

static void end(struct scene *s)
{
    server_free(s->server);
    letters_clear(&fake.to_server);
    for (int i = 0; i < PEERS; i++) {
        letters_clear(&fake.to_peer[i]);
    }
    run_fixture_close(&s->run);
}

/* What peer `i` says over its present connection reaches the server. */
static void say(struct scene *s, int i, enum wire_type type)
{
    size_t head_bytes = 0;
    bool over = false;
    s->message.type = type;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&s->message, s->head, sizeof s->head, &head_bytes),
                          STATUS_OK);
    letters_put(&fake.to_server, fake.identities[i].curve_public, s->head, head_bytes, NULL, 0);
    s->now_ms += 10;
    CU_ASSERT_EQUAL_FATAL(server_turn(s->server, s->now_ms, &over), STATUS_OK);
}

static void say_hello(struct scene *s, int i, uint64_t sequence)
{
    struct wire_hello *hello = &s->message.as.hello;
    memset(hello, 0, sizeof *hello);
    hello->protocol_version = WIRE_PROTOCOL_VERSION;
    memcpy(hello->public_key, fake.identities[i].public_key, IDENTITY_KEY_BYTES);
    memcpy(hello->token, s->token, sizeof hello->token);
    hello->thread_count = 2;
    hello->computes = true;
    hello->sequence = sequence;
    attest_hello_sign(&fake.identities[i], s->run.identity.public_key, hello);
    say(s, i, WIRE_HELLO);
}

/* Whether the peer was sent a message of this type, since the last look; s->message is the last of
 * them. */
static bool hears(struct scene *s, int i, enum wire_type type)
{
    static struct wire_message message;
    bool heard = false;
    for (struct letter *letter; (letter = letters_take(&fake.to_peer[i])) != NULL; free(letter)) {
        CU_ASSERT_EQUAL_FATAL(wire_decode(letter->data, letter->head_bytes, &message), STATUS_OK);
        if (message.type == type) {
            s->message = message;
            heard = true;
        }
    }
    return heard;
}

static const struct session *session_of(const struct scene *s, int i)
{
    return sessions_find(s->server->sessions, fake.identities[i].curve_public);
}

static uint64_t join(struct scene *s, int i)
{
    fake_connect(i);
    say_hello(s, i, ++s->sequence);
    CU_ASSERT_TRUE(hears(s, i, WIRE_WELCOME));
    CU_ASSERT_PTR_NOT_NULL_FATAL(session_of(s, i));
    CU_ASSERT_EQUAL(session_of(s, i)->connection, fake.connections[i]);
    CU_ASSERT_EQUAL(fake.admitted, fake.connections[i]);
    return fake.connections[i];
}

static void message_over_another_connection_of_the_key_has_no_session(void)
{
    static struct scene s;
    begin(&s);
    uint64_t first = join(&s, 0);
    fake_connect(0);
    uint64_t second = fake.connections[0];
    static const enum wire_type types[] = {WIRE_LEAVE, WIRE_READY, WIRE_ALIVE};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        memset(&s.message, 0, sizeof s.message);
        say(&s, 0, types[i]);
        CU_ASSERT_TRUE(hears(&s, 0, WIRE_REFUSED));
        CU_ASSERT_EQUAL(s.message.as.refused.code, WIRE_REFUSED_UNKNOWN);
        CU_ASSERT_PTR_NOT_NULL_FATAL(session_of(&s, 0));
        CU_ASSERT_EQUAL(session_of(&s, 0)->connection, first);
    }
    letters_put(&fake.to_server, fake.identities[0].curve_public, (const uint8_t *)"?", 1, NULL, 0);
    bool over = false;
    CU_ASSERT_EQUAL(server_turn(s.server, s.now_ms, &over), STATUS_OK);
    CU_ASSERT_EQUAL(fake.cut, second); /* and not the session's */
    CU_ASSERT_PTR_NOT_NULL(session_of(&s, 0));
    fake.connections[0] = first;
    say(&s, 0, WIRE_LEAVE);
    CU_ASSERT_PTR_NULL(session_of(&s, 0));
    end(&s);
}

static void refused_hello_leaves_the_session_as_it_is(void)
{
    static struct scene s;
    begin(&s);
    uint64_t first = join(&s, 0);
    fake_connect(0);
    say_hello(&s, 0, s.sequence);
    CU_ASSERT_TRUE(hears(&s, 0, WIRE_REFUSED));
    CU_ASSERT_EQUAL(s.message.as.refused.code, WIRE_REFUSED_SEQUENCE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(session_of(&s, 0));
    CU_ASSERT_EQUAL(session_of(&s, 0)->connection, first);
    CU_ASSERT_EQUAL(fake.admitted, first);
    fake.connections[0] = first;
    say_hello(&s, 0, s.sequence); /* an echo of the one that was accepted */
    CU_ASSERT_FALSE(hears(&s, 0, WIRE_REFUSED));
    CU_ASSERT_PTR_NOT_NULL(session_of(&s, 0));
    end(&s);
}

static void accepted_hello_takes_the_session_to_its_connection(void)
{
    static struct scene s;
    begin(&s);
    uint64_t first = join(&s, 0);
    uint64_t other = join(&s, 1);
    uint64_t second = join(&s, 0);
    CU_ASSERT_TRUE(first != second && other != second);
    CU_ASSERT_EQUAL(session_of(&s, 1)->connection, other);
    fake.connections[0] = first;
    say(&s, 0, WIRE_LEAVE); /* too late: it is no longer the session's */
    CU_ASSERT_PTR_NOT_NULL(session_of(&s, 0));
    CU_ASSERT_EQUAL(s.server->sessions->count, 2);
    end(&s);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(message_over_another_connection_of_the_key_has_no_session),
        SUITE_TEST(refused_hello_leaves_the_session_as_it_is),
        SUITE_TEST(accepted_hello_takes_the_session_to_its_connection),
    };
    return suite_run("server_connections", tests, sizeof tests / sizeof tests[0]);
}
