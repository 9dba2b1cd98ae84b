#include "proto/channel_table.h"
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
    (void)zmq_setsockopt(self->socket, ZMQ_CURVE_SECRETKEY, identity->curve_secret, 32);
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

/* Receives until the server has dropped `count` messages; nothing good may come through. */
static bool drops(struct fixture *fixture, uint64_t count)
{
    struct channel_message message;
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (channel_server_dropped(fixture->server) < count && clock_now_ms() < deadline_ms) {
        if (server_gets(fixture, &message, TICK_MS)) {
            channel_message_close(&message);
            return false;
        }
    }
    return channel_server_dropped(fixture->server) >= count;
}

static void malformed_messages_are_dropped_and_counted(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "before"));
    uint8_t *large = need(WIRE_HEAD_MAX + 1);
    struct stranger stranger;
    static const unsigned frame_counts[] = {1, 3, 4, 10000};
    uint64_t dropped = 0;
    for (size_t i = 0; i < sizeof frame_counts / sizeof frame_counts[0]; i++) {
        stranger_begin(&stranger, &fixture, &fixture.bert, NULL);
        stranger_sends(&stranger, frame_counts[i], "x", 1);
        CU_ASSERT_TRUE(drops(&fixture, ++dropped));
        stranger_end(&stranger);
        CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "still"));
    }
    stranger_begin(&stranger, &fixture, &fixture.bert, NULL); /* an empty head */
    stranger_sends(&stranger, 2, "", 0);
    CU_ASSERT_TRUE(drops(&fixture, ++dropped));
    stranger_end(&stranger);
    stranger_begin(&stranger, &fixture, &fixture.bert, NULL); /* a head that is too large */
    stranger_sends(&stranger, 2, large, WIRE_HEAD_MAX + 1);
    CU_ASSERT_TRUE(drops(&fixture, ++dropped));
    stranger_end(&stranger);
    stranger_begin(&stranger, &fixture, &fixture.bert, "a name of my own");
    stranger_sends(&stranger, 2, "x", 1);
    CU_ASSERT_TRUE(drops(&fixture, ++dropped));
    stranger_end(&stranger);
    free(large);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "after"));
    CU_ASSERT_EQUAL(channel_server_dropped(fixture.server), dropped);
    CU_ASSERT_EQUAL(channel_server_send(fixture.server, fixture.bert.curve_public,
                                        (const uint8_t *)"x", 1, NULL, 0),
                    STATUS_STALE);
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
    CU_ASSERT_TRUE(drops(&fixture, 1));
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

static void table_keeps_who_spoke_last_and_stays_bounded(void)
{
    struct channel_table *table = NULL;
    CU_ASSERT_EQUAL_FATAL(channel_table_new(&table), STATUS_OK);
    uint8_t honest[IDENTITY_KEY_BYTES] = {9};
    uint8_t key[IDENTITY_KEY_BYTES] = {0};
    CU_ASSERT_PTR_NULL(channel_table_find(table, honest));
    struct channel_connection *entry = channel_table_touch(table, honest);
    CU_ASSERT_EQUAL(entry->fd, -1);
    CU_ASSERT_PTR_EQUAL(channel_table_find(table, honest), entry);
    unsigned kept = 0;
    for (uint32_t i = 0; i < 3 * CHANNEL_TABLE_MAX; i++) { /* a flood of made-up keys */
        memcpy(key + 1, &i, sizeof i);
        entry = channel_table_touch(table, key);
        CU_ASSERT_EQUAL_FATAL(memcmp(entry->curve_key, key, sizeof key), 0);
        if (i % 1000 == 0) { /* who keeps talking keeps the place */
            kept += channel_table_find(table, honest) != NULL;
            (void)channel_table_touch(table, honest);
        }
    }
    CU_ASSERT_EQUAL(kept, 1 + 3 * CHANNEL_TABLE_MAX / 1000);
    uint32_t first = 0;
    memcpy(key + 1, &first, sizeof first);
    CU_ASSERT_PTR_NULL(channel_table_find(table, key)); /* the silent one made room */
    channel_table_free(table);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(malformed_messages_are_dropped_and_counted),
        SUITE_TEST(malformed_message_costs_the_connection),
        SUITE_TEST(oversize_frame_never_arrives_and_the_server_lives),
        SUITE_TEST(unproven_clients_do_not_get_in),
        SUITE_TEST(table_keeps_who_spoke_last_and_stays_bounded),
    };
    return suite_run("channel_hostile", tests, sizeof tests / sizeof tests[0]);
}
