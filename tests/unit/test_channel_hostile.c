#include "tests/unit/channel_fixture.h"

#include <zmq.h>

enum { OVERSIZE = 2 * WIRE_BODY_MAX };

/* A DEALER with CURVE that obeys none of our rules. */
struct stranger {
    void *context;
    void *socket;
};

static void stranger_begin(struct stranger *self, const struct fixture *fixture,
                           const struct identity *identity, const char *routing_id)
{
    char endpoint[LINK_ADDRESS_MAX + 8];
    int linger_ms = 0;
    self->context = zmq_ctx_new();
    self->socket = zmq_socket(self->context, ZMQ_DEALER);
    CU_ASSERT_PTR_NOT_NULL_FATAL(self->socket);
    (void)zmq_setsockopt(self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    (void)zmq_setsockopt(self->socket, ZMQ_CURVE_PUBLICKEY, identity->curve_public, 32);
    (void)zmq_setsockopt(self->socket, ZMQ_CURVE_SECRETKEY, identity->secrets->curve, 32);
    (void)zmq_setsockopt(self->socket, ZMQ_CURVE_SERVERKEY, fixture->server_identity.curve_public,
                         32);
    if (routing_id != NULL) {
        (void)zmq_setsockopt(self->socket, ZMQ_ROUTING_ID, routing_id, strlen(routing_id));
    }
    (void)snprintf(endpoint, sizeof endpoint, "tcp://%s", fixture->link.address);
    CU_ASSERT_EQUAL_FATAL(zmq_connect(self->socket, endpoint), 0);
}

static void stranger_end(struct stranger *self)
{
    (void)zmq_close(self->socket);
    (void)zmq_ctx_term(self->context);
}

static void stranger_sends(struct stranger *self, unsigned frame_count, const void *data,
                           size_t size_bytes)
{
    for (unsigned i = 0; i < frame_count; i++) {
        int flags = i + 1 < frame_count ? ZMQ_SNDMORE : 0;
        CU_ASSERT_TRUE_FATAL(zmq_send(self->socket, data, size_bytes, flags) >= 0);
    }
}

/* The server cuts a connection for the reason; nothing good may come through until then. */
static bool is_cut_for(struct fixture *fixture, enum channel_reason reason)
{
    struct channel_message message;
    struct channel_incident incident;
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (clock_now_ms() < deadline_ms) {
        if (server_gets(fixture, &message, TICK_MS)) {
            channel_message_close(&message);
            return false;
        }
        if (channel_server_incident(fixture->server, &incident)) {
            CU_ASSERT_EQUAL(incident.count, 1);
            CU_ASSERT_STRING_EQUAL(incident.host, "127.0.0.1");
            return incident.reason == reason;
        }
    }
    return false;
}

/* After each abuse an honest client is still served. */
static void malformed_messages_are_dropped_and_told(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    uint8_t *large = need(WIRE_HEAD_MAX + 1);
    const struct {
        const char *routing_id;
        size_t frame_bytes;
        unsigned frame_count;
        enum channel_reason reason;
    } cases[] = {{NULL, 1, 1, CHANNEL_MALFORMED},
                 {NULL, 1, 3, CHANNEL_MALFORMED},
                 {NULL, 1, 4, CHANNEL_MALFORMED},
                 {NULL, 1, 10000, CHANNEL_UNFINISHED},
                 {NULL, 0, 2, CHANNEL_MALFORMED},
                 {NULL, WIRE_HEAD_MAX + 1, 2, CHANNEL_OVERSIZE},
                 {"a name of my own", 1, 2, CHANNEL_MALFORMED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stranger stranger;
        struct identity identity; /* each key tells one incident a second */
        make_identity(&identity);
        stranger_begin(&stranger, &fixture, &identity, cases[i].routing_id);
        stranger_sends(&stranger, cases[i].frame_count, large, cases[i].frame_bytes);
        CU_ASSERT_TRUE(is_cut_for(&fixture, cases[i].reason));
        stranger_sends(&stranger, 2, "x", 1); /* over a connection of its own */
        stranger_end(&stranger);
        struct channel_message message;
        while (server_gets(&fixture, &message, TICK_MS)) {
            channel_message_close(&message);
        }
        CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "still"));
    }
    free(large);
    channel_client_free(anna);
    end(&fixture);
}

static void malformed_message_costs_the_connection(void)
{
    struct fixture fixture;
    struct stranger stranger;
    begin(&fixture);
    stranger_begin(&stranger, &fixture, &fixture.bert, NULL);
    CU_ASSERT_EQUAL_FATAL(
        zmq_socket_monitor(stranger.socket, "inproc://events", ZMQ_EVENT_DISCONNECTED), 0);
    void *monitor = zmq_socket(stranger.context, ZMQ_PAIR);
    int patience_ms = PATIENCE_MS;
    CU_ASSERT_EQUAL_FATAL(zmq_connect(monitor, "inproc://events"), 0);
    (void)zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
    stranger_sends(&stranger, 3, "x", 1);
    CU_ASSERT_TRUE(is_cut_for(&fixture, CHANNEL_MALFORMED));
    uint8_t event[6];
    CU_ASSERT_EQUAL(zmq_recv(monitor, event, sizeof event, 0), (int)sizeof event);
    (void)zmq_close(monitor);
    stranger_end(&stranger);
    end(&fixture);
}

static void oversize_frame_never_arrives_and_the_server_lives(void)
{
    struct fixture fixture;
    struct stranger stranger;
    struct channel_message message;
    begin(&fixture);
    uint8_t *large = need(OVERSIZE);
    stranger_begin(&stranger, &fixture, &fixture.bert, NULL);
    stranger_sends(&stranger, 2, large, OVERSIZE);
    CU_ASSERT_FALSE(server_gets(&fixture, &message, 300));
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "alive"));
    channel_client_free(anna);
    stranger_end(&stranger);
    free(large);
    end(&fixture);
}

/* Without CURVE, or with a broken key pair, nothing comes in. */
static void unproven_clients_do_not_get_in(void)
{
    struct fixture fixture;
    struct channel_message message;
    begin(&fixture);
    char endpoint[LINK_ADDRESS_MAX + 8];
    int linger_ms = 0;
    (void)snprintf(endpoint, sizeof endpoint, "tcp://%s", fixture.link.address);
    void *context = zmq_ctx_new();
    void *plain = zmq_socket(context, ZMQ_DEALER);
    (void)zmq_setsockopt(plain, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    CU_ASSERT_EQUAL(zmq_connect(plain, endpoint), 0);
    CU_ASSERT_TRUE(zmq_send(plain, "x", 1, ZMQ_SNDMORE) >= 0);
    CU_ASSERT_TRUE(zmq_send(plain, "x", 1, 0) >= 0);
    struct identity thief = fixture.bert; /* Anna's public key, but not her secret one */
    memcpy(thief.curve_public, fixture.anna.curve_public, IDENTITY_KEY_BYTES);
    struct stranger stranger;
    stranger_begin(&stranger, &fixture, &thief, NULL);
    stranger_sends(&stranger, 2, "x", 1);
    CU_ASSERT_FALSE(server_gets(&fixture, &message, 500));
    stranger_end(&stranger);
    (void)zmq_close(plain);
    (void)zmq_ctx_term(context);
    end(&fixture);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(malformed_messages_are_dropped_and_told),
        SUITE_TEST(malformed_message_costs_the_connection),
        SUITE_TEST(oversize_frame_never_arrives_and_the_server_lives),
        SUITE_TEST(unproven_clients_do_not_get_in),
    };
    return suite_run("channel_hostile", tests, sizeof tests / sizeof tests[0]);
}
