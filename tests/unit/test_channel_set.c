#include "proto/channel/channel_connections.h"
#include "proto/channel/channel_socket.h"
#include "tests/unit/channel_fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY = 20 };

static struct channel_server *serve(struct channel_set *set, enum channel_use use,
                                    const char *listen, const struct identity *identity)
{
    struct channel_server *server = NULL;
    CU_ASSERT_EQUAL_FATAL(channel_server_new(set, use, listen, identity, &server), STATUS_OK);
    return server;
}

static struct channel_client *dial(struct channel_set *set, enum channel_use use, const char *host,
                                   const struct channel_server *server,
                                   const struct identity *of_server,
                                   const struct identity *identity)
{
    struct channel_client *client = NULL;
    char address[LINK_ADDRESS_MAX];
    (void)snprintf(address, sizeof address, "%s:%u", host, (unsigned)channel_server_port(server));
    CU_ASSERT_EQUAL_FATAL(
        channel_client_new(set, use, address, of_server->public_key, identity, &client), STATUS_OK);
    return client;
}

/* One message at this server while its set waits; false: none came. */
static bool hears(struct channel_set *set, struct channel_server *server,
                  struct channel_message *out)
{
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (clock_now_ms() < deadline_ms) {
        if (channel_server_receive(server, out) == STATUS_OK) {
            return true;
        }
        channel_set_wait(set, -1, TICK_MS);
    }
    return false;
}

static void two_servers_of_one_set_serve_their_own_clients(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_server *bulk =
        serve(fixture.server_set, CHANNEL_BULK, "tcp://127.0.0.1:*", &fixture.bert);
    CU_ASSERT_NOT_EQUAL(channel_server_port(bulk), channel_server_port(fixture.server));
    struct channel_client *control = connect_as(&fixture, &fixture.anna);
    struct channel_client *second =
        dial(fixture.client_set, CHANNEL_BULK, "127.0.0.1", bulk, &fixture.bert, &fixture.anna);
    struct channel_message message;
    CU_ASSERT_EQUAL(say(second, "to bert"), STATUS_OK);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, control, &fixture.anna, "to the server"));
    CU_ASSERT_TRUE_FATAL(hears(fixture.server_set, bulk, &message));
    CU_ASSERT_TRUE(head_is(&message, "to bert"));
    CU_ASSERT_EQUAL(
        channel_server_send(bulk, message.connection, (const uint8_t *)"from bert", 9, NULL, 0),
        STATUS_OK);
    channel_message_close(&message);
    CU_ASSERT_TRUE_FATAL(client_gets(&fixture, second, &message, PATIENCE_MS));
    CU_ASSERT_TRUE(head_is(&message, "from bert"));
    channel_message_close(&message);
    CU_ASSERT_FALSE(client_gets(&fixture, control, &message, TICK_MS));
    channel_server_free(bulk); /* the other one goes on, and keys are still checked */
    struct channel_client *later = connect_as(&fixture, &fixture.bert);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, later, &fixture.bert, "later"));
    channel_client_free(later);
    channel_client_free(control);
    channel_client_free(second);
    end(&fixture);
}

static void twenty_clients_are_answered_on_one_wait(void)
{
    struct fixture fixture;
    struct channel_server *servers[MANY];
    struct channel_client *clients[MANY];
    begin(&fixture);
    for (size_t i = 0; i < MANY; i++) {
        servers[i] = serve(fixture.server_set, CHANNEL_BULK, "tcp://127.0.0.1:*", &fixture.bert);
        clients[i] = dial(fixture.client_set, CHANNEL_BULK, "127.0.0.1", servers[i], &fixture.bert,
                          &fixture.anna);
        char text[16];
        (void)snprintf(text, sizeof text, "client %zu", i);
        CU_ASSERT_EQUAL(say(clients[i], text), STATUS_OK);
    }
    struct channel_message message;
    for (size_t i = 0; i < MANY; i++) {
        CU_ASSERT_TRUE_FATAL(hears(fixture.server_set, servers[i], &message));
        CU_ASSERT_EQUAL(channel_server_send(servers[i], message.connection, message.head,
                                            message.head_size_bytes, NULL, 0),
                        STATUS_OK);
        channel_message_close(&message);
    }
    unsigned answered = 0;
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (answered < MANY && clock_now_ms() < deadline_ms) {
        channel_set_wait(fixture.client_set, -1, PATIENCE_MS);
        for (size_t i = 0; i < MANY; i++) {
            char text[16];
            (void)snprintf(text, sizeof text, "client %zu", i);
            if (channel_client_receive(clients[i], &message) == STATUS_OK) {
                CU_ASSERT_TRUE(head_is(&message, text));
                channel_message_close(&message);
                answered++;
            }
        }
    }
    CU_ASSERT_EQUAL(answered, MANY);
    for (size_t i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL(channel_client_trouble(clients[i]), CHANNEL_FINE);
        channel_client_free(clients[i]);
        channel_server_free(servers[i]);
    }
    end(&fixture);
}

static void message_says_which_address_it_comes_from(void)
{
    static const char *const cases[][3] = {
        {"tcp://127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
        {"tcp://*:*", "127.0.0.1", "127.0.0.1"}, /* IPv4 at a socket for both */
        {"tcp://[::1]:0", "[::1]", "[::1]"},
    };
    struct fixture fixture;
    begin(&fixture);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (strstr(cases[i][0], "::1") != NULL && access("/proc/net/if_inet6", R_OK) != 0) {
            continue;
        }
        struct channel_message message;
        struct channel_server *server =
            serve(fixture.server_set, CHANNEL_BULK, cases[i][0], &fixture.bert);
        struct channel_client *client = dial(fixture.client_set, CHANNEL_BULK, cases[i][1], server,
                                             &fixture.bert, &fixture.anna);
        CU_ASSERT_EQUAL(say(client, "x"), STATUS_OK);
        CU_ASSERT_TRUE_FATAL(hears(fixture.server_set, server, &message));
        CU_ASSERT_STRING_EQUAL(message.host, cases[i][2]);
        channel_message_close(&message);
        channel_client_free(client);
        channel_server_free(server);
    }
    end(&fixture);
}

static void client_for_chunks_takes_nothing_that_must_be_looked_up(void)
{
    static const char *const bad[] = {
        "",         "127.0.0.1",     ":7700",    "localhost:7700", "owner.example.org:7700",
        "[::1:770", "300.1.1.1:770", "[zz]:770", "[]:7700",        "1.2.3.4.5:7700",
        "127.1:77", "[127.0.0.1]:7", "::1:7700",
    };
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *client = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int use = CHANNEL_BULK; use <= CHANNEL_CHUNKS; use++) {
            CU_ASSERT_EQUAL(channel_client_new(fixture.client_set, (enum channel_use)use, bad[i],
                                               fixture.bert.public_key, &fixture.anna, &client),
                            STATUS_USAGE);
            CU_ASSERT_PTR_NULL(client);
        }
    }
    static const uint8_t no_key[IDENTITY_KEY_BYTES];
    CU_ASSERT_EQUAL(channel_client_new(fixture.client_set, CHANNEL_BULK, "127.0.0.1:7700", no_key,
                                       &fixture.anna, &client),
                    STATUS_USAGE);
    end(&fixture);
}

static void body_past_the_limit_of_a_bulk_port_never_arrives(void)
{
    struct fixture fixture;
    struct channel_message message;
    begin(&fixture);
    uint8_t *body = need(WIRE_BODY_MAX);
    const uint8_t *head = (const uint8_t *)"x";
    struct channel_server *bulk =
        serve(fixture.server_set, CHANNEL_BULK, "tcp://127.0.0.1:*", &fixture.bert);
    struct channel_client *fair = dial(fixture.client_set, CHANNEL_BULK, "127.0.0.1", bulk,
                                       &fixture.bert, &fixture.server_identity);
    struct channel_client *rude =
        dial(fixture.client_set, CHANNEL_CONTROL, "127.0.0.1", bulk, &fixture.bert, &fixture.anna);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, rude, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_EQUAL(channel_client_send(rude, head, 1, body, CHANNEL_BULK_BODY_MAX + 1024),
                    STATUS_OK);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, rude, CHANNEL_CONNECTING, PATIENCE_MS));
    CU_ASSERT_EQUAL(channel_client_send(fair, head, 1, body, CHANNEL_BULK_BODY_MAX), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(hears(fixture.server_set, bulk, &message));
    CU_ASSERT_EQUAL(message.body_size_bytes, CHANNEL_BULK_BODY_MAX);
    CU_ASSERT_EQUAL(memcmp(message.curve_key, fixture.server_identity.curve_public, 32), 0);
    channel_message_close(&message);
    free(body);
    channel_client_free(fair);
    channel_client_free(rude);
    channel_server_free(bulk);
    end(&fixture);
}

static void stranger_at_a_bulk_port_can_be_cut(void)
{
    struct fixture fixture;
    struct channel_message message = {.connection = 0};
    begin(&fixture);
    struct channel_server *bulk =
        serve(fixture.server_set, CHANNEL_BULK, "tcp://127.0.0.1:*", &fixture.bert);
    struct channel_client *client =
        dial(fixture.client_set, CHANNEL_BULK, "127.0.0.1", bulk, &fixture.bert, &fixture.anna);
    CU_ASSERT_EQUAL(say(client, "no ticket"), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(hears(fixture.server_set, bulk, &message));
    CU_ASSERT_TRUE(trouble_becomes(&fixture, client, CHANNEL_FINE, PATIENCE_MS));
    uint64_t connection = message.connection;
    channel_server_cut(bulk, connection);
    channel_message_close(&message);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, client, CHANNEL_CONNECTING, PATIENCE_MS));
    CU_ASSERT_EQUAL(channel_server_send(bulk, connection, (const uint8_t *)"x", 1, NULL, 0),
                    STATUS_STALE);
    channel_client_free(client);
    channel_server_free(bulk);
    end(&fixture);
}

static void wait_after_a_full_queue_is_short_once(void)
{
    struct fixture fixture;
    begin(&fixture);
    stop_server(&fixture);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    while (say(client, "x") == STATUS_OK) {
    }
    uint64_t begun_ms = clock_now_ms();
    channel_set_wait(fixture.client_set, -1, 20000);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms < 10000);
    begun_ms = clock_now_ms();
    channel_set_wait(fixture.client_set, -1, 400);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms >= 390);
    channel_client_drop(client);
    end(&fixture);
}

/* A client says something while no server is there, and is then ended; whether a server that starts
 * at once hears it. */
static bool hears_one_that_ends(struct fixture *fixture, const char *listen,
                                void (*end_client)(struct channel_client *), int wait_ms)
{
    struct channel_message message;
    struct channel_client *old = connect_as(fixture, &fixture->anna);
    CU_ASSERT_EQUAL(say(old, "old"), STATUS_OK);
    end_client(old);
    start_server(fixture, listen);
    bool heard = server_gets(fixture, &message, wait_ms);
    if (heard) {
        channel_message_close(&message);
    }
    stop_server(fixture);
    return heard;
}

/* What a client that was freed still has to say comes after what the next one says. On a busy
 * machine its two seconds may pass before it is connected. */
static void dropped_client_says_nothing_more(void)
{
    struct fixture fixture;
    char listen[64];
    begin(&fixture);
    (void)snprintf(listen, sizeof listen, "tcp://127.0.0.1:%u",
                   (unsigned)channel_server_port(fixture.server));
    stop_server(&fixture);
    bool heard = false;
    for (int tries = 0; tries < 5 && !heard; tries++) {
        heard = hears_one_that_ends(&fixture, listen, channel_client_free, PATIENCE_MS);
    }
    CU_ASSERT_TRUE(heard);
    CU_ASSERT_FALSE(hears_one_that_ends(&fixture, listen, channel_client_drop, 600));
    start_server(&fixture, listen);
    end(&fixture);
}

static void what_was_sent_arrives_though_the_set_ends(void)
{
    struct fixture fixture;
    begin(&fixture);
    for (int round = 0; round < 20; round++) {
        struct channel_set *set = NULL;
        struct channel_message message;
        CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &set), STATUS_OK);
        struct channel_client *client =
            dial(set, CHANNEL_CONTROL, "127.0.0.1", fixture.server, &fixture.server_identity,
                 round % 2 == 0 ? &fixture.anna : &fixture.bert);
        if (round >= 10) { /* the connection stands, or does not yet */
            CU_ASSERT_EQUAL(say(client, "hello"), STATUS_OK);
            CU_ASSERT_TRUE_FATAL(server_gets(&fixture, &message, PATIENCE_MS));
            channel_message_close(&message);
        }
        CU_ASSERT_EQUAL(say(client, "leaving"), STATUS_OK);
        channel_client_free(client);
        channel_set_free(set);
        bool came = server_gets(&fixture, &message, PATIENCE_MS);
        CU_ASSERT_TRUE(came && head_is(&message, "leaving"));
        if (came) {
            channel_message_close(&message);
        }
    }
    end(&fixture);
}

static void set_that_is_full_says_so(void)
{
    struct fixture fixture;
    struct channel_client *clients[CHANNEL_ENDPOINTS_MAX];
    begin(&fixture);
    for (size_t i = 0; i < CHANNEL_ENDPOINTS_MAX; i++) {
        clients[i] = dial(fixture.client_set, CHANNEL_BULK, "127.0.0.1", fixture.server,
                          &fixture.server_identity, &fixture.anna);
    }
    struct channel_client *more = NULL;
    CU_ASSERT_EQUAL(channel_client_new(fixture.client_set, CHANNEL_BULK, fixture.link.address,
                                       fixture.server_identity.public_key, &fixture.anna, &more),
                    STATUS_FULL);
    CU_ASSERT_PTR_NULL(more);
    channel_client_free(clients[0]);
    clients[0] = dial(fixture.client_set, CHANNEL_BULK, "127.0.0.1", fixture.server,
                      &fixture.server_identity, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, clients[0], &fixture.anna, "here"));
    for (size_t i = 0; i < CHANNEL_ENDPOINTS_MAX; i++) {
        channel_client_drop(clients[i]);
    }
    end(&fixture);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(two_servers_of_one_set_serve_their_own_clients),
        SUITE_TEST(twenty_clients_are_answered_on_one_wait),
        SUITE_TEST(message_says_which_address_it_comes_from),
        SUITE_TEST(client_for_chunks_takes_nothing_that_must_be_looked_up),
        SUITE_TEST(body_past_the_limit_of_a_bulk_port_never_arrives),
        SUITE_TEST(stranger_at_a_bulk_port_can_be_cut),
        SUITE_TEST(wait_after_a_full_queue_is_short_once),
        SUITE_TEST(dropped_client_says_nothing_more),
        SUITE_TEST(what_was_sent_arrives_though_the_set_ends),
        SUITE_TEST(set_that_is_full_says_so),
    };
    return suite_run("channel_set", tests, sizeof tests / sizeof tests[0]);
}
