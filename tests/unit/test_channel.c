#include "common/clock.h"
#include "common/fault.h"
#include "common/files.h"
#include "proto/channel.h"
#include "proto/channel_table.h"
#include "proto/wire.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

enum { PATIENCE_MS = 3000, TICK_MS = 20 };

/* A server with its key, and keys for two clients. */
struct fixture {
    struct identity server_identity;
    struct identity anna;
    struct identity bert;
    struct channel_server *server;
    struct join_link link;
};

static void make_identity(struct identity *out)
{
    char folder[] = "/tmp/dugnad-test-XXXXXX";
    char path[FILES_PATH_MAX];
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    CU_ASSERT_EQUAL_FATAL(files_join(folder, "identity", path), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(identity_open(path, out), STATUS_OK);
    CU_ASSERT_EQUAL(files_remove_folder(folder), STATUS_OK);
}

static void start_server(struct fixture *self, const char *listen)
{
    CU_ASSERT_EQUAL_FATAL(channel_server_new(listen, &self->server_identity, &self->server),
                          STATUS_OK);
    (void)snprintf(self->link.address, sizeof self->link.address, "127.0.0.1:%u",
                   (unsigned)channel_server_port(self->server));
}

static void begin(struct fixture *self)
{
    memset(self, 0, sizeof *self);
    make_identity(&self->server_identity);
    make_identity(&self->anna);
    make_identity(&self->bert);
    memcpy(self->link.coordinator_key, self->server_identity.public_key, IDENTITY_KEY_BYTES);
    start_server(self, "tcp://127.0.0.1:*");
}

static void end(struct fixture *self)
{
    channel_server_free(self->server);
}

static struct channel_client *connect_as(const struct fixture *fixture,
                                         const struct identity *identity)
{
    struct channel_client *client = NULL;
    CU_ASSERT_EQUAL_FATAL(channel_client_new(&fixture->link, identity, &client), STATUS_OK);
    return client;
}

static bool server_gets(struct channel_server *server, struct channel_message *out, int patience_ms)
{
    uint64_t deadline_ms = clock_now_ms() + (uint64_t)patience_ms;
    do {
        if (channel_server_receive(server, out) == STATUS_OK) {
            return true;
        }
        channel_server_wait(server, -1, TICK_MS);
    } while (clock_now_ms() < deadline_ms);
    return false;
}

static bool client_gets(struct channel_client *client, struct channel_message *out, int patience_ms)
{
    uint64_t deadline_ms = clock_now_ms() + (uint64_t)patience_ms;
    do {
        if (channel_client_receive(client, out) == STATUS_OK) {
            return true;
        }
        channel_client_wait(client, -1, TICK_MS);
    } while (clock_now_ms() < deadline_ms);
    return false;
}

static bool trouble_becomes(struct channel_client *client, enum channel_trouble trouble,
                            int patience_ms)
{
    uint64_t deadline_ms = clock_now_ms() + (uint64_t)patience_ms;
    do {
        if (channel_client_trouble(client) == trouble) {
            return true;
        }
        channel_client_wait(client, -1, TICK_MS);
    } while (clock_now_ms() < deadline_ms);
    return false;
}

static enum status say(struct channel_client *client, const char *text)
{
    return channel_client_send(client, (const uint8_t *)text, strlen(text), NULL, 0);
}

static bool head_is(const struct channel_message *message, const char *text)
{
    return message->head_size_bytes == strlen(text) &&
           memcmp(message->head, text, strlen(text)) == 0;
}

/* Sends `text` and waits for it at the server, whose message is closed. */
static bool says_and_is_heard(struct fixture *fixture, struct channel_client *client,
                              const struct identity *identity, const char *text)
{
    struct channel_message message;
    if (say(client, text) != STATUS_OK || !server_gets(fixture->server, &message, PATIENCE_MS)) {
        return false;
    }
    bool good = head_is(&message, text) && message.body_size_bytes == 0 &&
                memcmp(message.curve_key, identity->curve_public, IDENTITY_KEY_BYTES) == 0;
    channel_message_close(&message);
    return good;
}

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
        if (server_gets(fixture->server, &message, TICK_MS)) {
            channel_message_close(&message);
            return false;
        }
    }
    return channel_server_dropped(fixture->server) >= count;
}

static void echo_of_the_largest_message_is_the_same(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    uint8_t *head = malloc(WIRE_HEAD_MAX);
    uint8_t *body = malloc(WIRE_BODY_MAX);
    CU_ASSERT_TRUE_FATAL(head != NULL && body != NULL);
    for (size_t i = 0; i < WIRE_BODY_MAX; i++) {
        body[i] = (uint8_t)(i * 7 + i / 251);
        head[i % WIRE_HEAD_MAX] = body[i];
    }
    CU_ASSERT_EQUAL(channel_client_send(client, head, WIRE_HEAD_MAX, body, WIRE_BODY_MAX),
                    STATUS_OK);
    struct channel_message message;
    CU_ASSERT_TRUE_FATAL(server_gets(fixture.server, &message, PATIENCE_MS));
    CU_ASSERT_EQUAL(memcmp(message.curve_key, fixture.anna.curve_public, 32), 0);
    CU_ASSERT_EQUAL(channel_server_send(fixture.server, message.curve_key, message.head,
                                        message.head_size_bytes, message.body,
                                        message.body_size_bytes),
                    STATUS_OK);
    channel_message_close(&message);
    CU_ASSERT_TRUE_FATAL(client_gets(client, &message, PATIENCE_MS));
    CU_ASSERT_EQUAL_FATAL(message.head_size_bytes, WIRE_HEAD_MAX);
    CU_ASSERT_EQUAL_FATAL(message.body_size_bytes, WIRE_BODY_MAX);
    CU_ASSERT_EQUAL(memcmp(message.head, head, WIRE_HEAD_MAX), 0);
    CU_ASSERT_EQUAL(memcmp(message.body, body, WIRE_BODY_MAX), 0);
    channel_message_close(&message);
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_FINE);
    free(head);
    free(body);
    channel_client_free(client);
    end(&fixture);
}

static void two_clients_are_known_by_their_proven_keys(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    struct channel_client *bert = connect_as(&fixture, &fixture.bert);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "a"));
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, bert, &fixture.bert, "b"));
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "c"));
    struct channel_message message;
    CU_ASSERT_EQUAL(channel_server_send(fixture.server, fixture.bert.curve_public,
                                        (const uint8_t *)"for bert", 8, NULL, 0),
                    STATUS_OK);
    CU_ASSERT_TRUE_FATAL(client_gets(bert, &message, PATIENCE_MS));
    CU_ASSERT_TRUE(head_is(&message, "for bert"));
    channel_message_close(&message);
    CU_ASSERT_FALSE(client_gets(anna, &message, 2 * TICK_MS));
    channel_client_free(anna);
    channel_client_free(bert);
    end(&fixture);
}

static void same_key_over_a_new_connection_gets_the_answers(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *first = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, first, &fixture.anna, "one"));
    struct channel_client *second = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, second, &fixture.anna, "two"));
    channel_client_free(first);
    struct channel_message message;
    CU_ASSERT_EQUAL(channel_server_send(fixture.server, fixture.anna.curve_public,
                                        (const uint8_t *)"answer", 6, NULL, 0),
                    STATUS_OK);
    CU_ASSERT_TRUE_FATAL(client_gets(second, &message, PATIENCE_MS));
    CU_ASSERT_TRUE(head_is(&message, "answer"));
    channel_message_close(&message);
    channel_client_free(second);
    end(&fixture);
}

static void wrong_server_key_is_told_within_three_seconds(void)
{
    struct fixture fixture;
    begin(&fixture);
    memcpy(fixture.link.coordinator_key, fixture.bert.public_key, IDENTITY_KEY_BYTES);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_CONNECTING);
    uint64_t begun_ms = clock_now_ms();
    CU_ASSERT_TRUE(trouble_becomes(client, CHANNEL_WRONG_KEY, PATIENCE_MS));
    (void)printf("[wrong key after %llu ms] ", (unsigned long long)(clock_now_ms() - begun_ms));
    channel_client_free(client);
    end(&fixture);
}

static void nobody_listening_is_connecting_until_somebody_does(void)
{
    struct fixture fixture;
    begin(&fixture);
    char listen[64];
    (void)snprintf(listen, sizeof listen, "tcp://127.0.0.1:%u",
                   (unsigned)channel_server_port(fixture.server));
    channel_server_free(fixture.server);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_FALSE(trouble_becomes(client, CHANNEL_WRONG_KEY, 600));
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_CONNECTING);
    start_server(&fixture, listen);
    CU_ASSERT_TRUE(trouble_becomes(client, CHANNEL_FINE, PATIENCE_MS));
    channel_client_free(client);
    end(&fixture);
}

static void server_restart_is_survived_by_the_client(void)
{
    struct fixture fixture;
    begin(&fixture);
    char listen[64];
    (void)snprintf(listen, sizeof listen, "tcp://127.0.0.1:%u",
                   (unsigned)channel_server_port(fixture.server));
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, client, &fixture.anna, "before"));
    channel_server_free(fixture.server);
    CU_ASSERT_TRUE(trouble_becomes(client, CHANNEL_CONNECTING, PATIENCE_MS));
    start_server(&fixture, listen);
    CU_ASSERT_TRUE(trouble_becomes(client, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, client, &fixture.anna, "after"));
    channel_client_free(client);
    end(&fixture);
}

static void taken_port_is_unavailable_with_advice(void)
{
    struct fixture fixture;
    struct channel_server *second = NULL;
    char listen[64];
    begin(&fixture);
    (void)snprintf(listen, sizeof listen, "tcp://127.0.0.1:%u",
                   (unsigned)channel_server_port(fixture.server));
    CU_ASSERT_EQUAL(channel_server_new(listen, &fixture.bert, &second), STATUS_UNAVAILABLE);
    CU_ASSERT_PTR_NULL(second);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "choose another port"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), listen));
    CU_ASSERT_EQUAL(channel_server_new("tcp://192.0.2.1:0", &fixture.bert, &second),
                    STATUS_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "no address of this machine"));
    end(&fixture);
}

static void bad_listen_addresses_are_usage(void)
{
    static const char *const bad[] = {
        "",
        "tcp://",
        "7700",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://:x",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:7700x",
        "udp://127.0.0.1:7700",
        "ipc:///tmp/x:1",
        "tcp://127.0.0.1:-1",
    };
    struct fixture fixture;
    begin(&fixture);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct channel_server *server = NULL;
        enum status status = channel_server_new(bad[i], &fixture.bert, &server);
        if (status != STATUS_USAGE) {
            (void)printf("[%s: %s] ", bad[i], status_text(status));
        }
        CU_ASSERT_EQUAL(status, STATUS_USAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "tcp://"));
    }
    end(&fixture);
}

static void all_addresses_and_ipv6_can_be_listened_on(void)
{
    static const char *const pairs[][2] = {
        {"tcp://0.0.0.0:0", "127.0.0.1"},
        {"tcp://*:*", "localhost"},
        {"tcp://[::1]:0", "[::1]"},
    };
    struct fixture fixture;
    begin(&fixture);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (strstr(pairs[i][0], "::1") != NULL && access("/proc/net/if_inet6", R_OK) != 0) {
            continue;
        }
        channel_server_free(fixture.server);
        start_server(&fixture, pairs[i][0]);
        (void)snprintf(fixture.link.address, sizeof fixture.link.address, "%s:%u", pairs[i][1],
                       (unsigned)channel_server_port(fixture.server));
        struct channel_client *client = connect_as(&fixture, &fixture.anna);
        CU_ASSERT_TRUE(says_and_is_heard(&fixture, client, &fixture.anna, "hello"));
        channel_client_free(client);
    }
    end(&fixture);
}

/* After each abuse an honest client is still served. */
static void malformed_messages_are_dropped_and_counted(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "before"));
    uint8_t *large = calloc(1, WIRE_HEAD_MAX + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
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
    uint8_t *large = calloc(1, 2 * WIRE_BODY_MAX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    stranger_begin(&stranger, &fixture, &fixture.bert, NULL);
    stranger_sends(&stranger, 2, large, 2 * WIRE_BODY_MAX);
    CU_ASSERT_FALSE(server_gets(fixture.server, &message, 300));
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
    CU_ASSERT_FALSE(server_gets(fixture.server, &message, 500));
    stranger_end(&stranger);
    (void)zmq_close(plain);
    (void)zmq_ctx_term(context);
    end(&fixture);
}

static void send_to_unknown_or_gone_key_is_stale(void)
{
    struct fixture fixture;
    begin(&fixture);
    const uint8_t *key = fixture.anna.curve_public;
    const uint8_t *head = (const uint8_t *)"x";
    CU_ASSERT_EQUAL(channel_server_send(fixture.server, key, head, 1, NULL, 0), STATUS_STALE);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, client, &fixture.anna, "hello"));
    CU_ASSERT_EQUAL(channel_server_send(fixture.server, key, head, 1, NULL, 0), STATUS_OK);
    channel_client_free(client);
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    enum status status = STATUS_OK;
    while (status != STATUS_STALE && clock_now_ms() < deadline_ms) {
        channel_server_wait(fixture.server, -1, TICK_MS);
        status = channel_server_send(fixture.server, key, head, 1, NULL, 0);
    }
    CU_ASSERT_EQUAL(status, STATUS_STALE);
    end(&fixture);
}

static void send_to_a_client_that_does_not_read_is_again(void)
{
    struct fixture fixture;
    begin(&fixture);
    uint8_t *body = calloc(1, WIRE_BODY_MAX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(body);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, client, &fixture.anna, "hello"));
    enum status status = STATUS_OK;
    unsigned sent = 0;
    while (status == STATUS_OK && sent < 400) {
        status = channel_server_send(fixture.server, fixture.anna.curve_public,
                                     (const uint8_t *)"x", 1, body, WIRE_BODY_MAX);
        sent += status == STATUS_OK;
    }
    CU_ASSERT_EQUAL(status, STATUS_AGAIN);
    CU_ASSERT_TRUE(sent >= 64); /* a whole window fits */
    unsigned received = 0;
    struct channel_message message;
    while (received < sent && client_gets(client, &message, PATIENCE_MS)) {
        CU_ASSERT_EQUAL(message.body_size_bytes, WIRE_BODY_MAX);
        channel_message_close(&message);
        received++;
    }
    CU_ASSERT_EQUAL(received, sent);
    free(body);
    channel_client_free(client);
    end(&fixture);
}

static void client_queue_without_a_server_ends_in_again(void)
{
    struct fixture fixture;
    begin(&fixture);
    channel_server_free(fixture.server);
    fixture.server = NULL;
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    unsigned sent = 0;
    while (sent < 1000 && say(client, "x") == STATUS_OK) {
        sent++;
    }
    CU_ASSERT_EQUAL(sent, 64);
    uint64_t begun_ms = clock_now_ms();
    channel_client_free(client);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms < 2500); /* bounded linger */
    end(&fixture);
}

static void disconnect_cuts_that_client_only(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    struct channel_client *bert = connect_as(&fixture, &fixture.bert);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "a"));
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, bert, &fixture.bert, "b"));
    CU_ASSERT_TRUE(trouble_becomes(anna, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_TRUE(trouble_becomes(bert, CHANNEL_FINE, PATIENCE_MS));
    channel_server_disconnect(fixture.server, fixture.anna.curve_public);
    channel_server_disconnect(fixture.server, fixture.anna.curve_public);
    CU_ASSERT_EQUAL(channel_server_send(fixture.server, fixture.anna.curve_public,
                                        (const uint8_t *)"x", 1, NULL, 0),
                    STATUS_STALE);
    CU_ASSERT_TRUE(trouble_becomes(anna, CHANNEL_CONNECTING, PATIENCE_MS));
    CU_ASSERT_EQUAL(channel_client_trouble(bert), CHANNEL_FINE);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, bert, &fixture.bert, "b"));
    channel_client_free(anna);
    channel_client_free(bert);
    end(&fixture);
}

static void wait_ends_by_the_eventfd_and_by_the_timeout(void)
{
    struct fixture fixture;
    begin(&fixture);
    int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CU_ASSERT_TRUE_FATAL(wake_fd >= 0);
    uint64_t begun_ms = clock_now_ms();
    channel_server_wait(fixture.server, wake_fd, 100);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms >= 90);
    uint64_t one = 1;
    CU_ASSERT_EQUAL(write(wake_fd, &one, sizeof one), (ssize_t)sizeof one);
    begun_ms = clock_now_ms();
    channel_server_wait(fixture.server, wake_fd, PATIENCE_MS);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms < PATIENCE_MS / 2);
    (void)close(wake_fd);
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
        SUITE_TEST(echo_of_the_largest_message_is_the_same),
        SUITE_TEST(two_clients_are_known_by_their_proven_keys),
        SUITE_TEST(same_key_over_a_new_connection_gets_the_answers),
        SUITE_TEST(wrong_server_key_is_told_within_three_seconds),
        SUITE_TEST(nobody_listening_is_connecting_until_somebody_does),
        SUITE_TEST(server_restart_is_survived_by_the_client),
        SUITE_TEST(taken_port_is_unavailable_with_advice),
        SUITE_TEST(bad_listen_addresses_are_usage),
        SUITE_TEST(all_addresses_and_ipv6_can_be_listened_on),
        SUITE_TEST(malformed_messages_are_dropped_and_counted),
        SUITE_TEST(malformed_message_costs_the_connection),
        SUITE_TEST(oversize_frame_never_arrives_and_the_server_lives),
        SUITE_TEST(unproven_clients_do_not_get_in),
        SUITE_TEST(send_to_unknown_or_gone_key_is_stale),
        SUITE_TEST(send_to_a_client_that_does_not_read_is_again),
        SUITE_TEST(client_queue_without_a_server_ends_in_again),
        SUITE_TEST(disconnect_cuts_that_client_only),
        SUITE_TEST(wait_ends_by_the_eventfd_and_by_the_timeout),
        SUITE_TEST(table_keeps_who_spoke_last_and_stays_bounded),
    };
    return suite_run("channel", tests, sizeof tests / sizeof tests[0]);
}
