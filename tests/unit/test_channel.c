#include "common/fault.h"
#include "proto/blob_receiver.h"
#include "proto/channel/channel_server.h"
#include "tests/unit/channel_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void echo_of_the_largest_message_is_the_same(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    uint8_t *head = need(WIRE_HEAD_MAX);
    uint8_t *body = need(WIRE_BODY_MAX);
    for (size_t i = 0; i < WIRE_BODY_MAX; i++) {
        body[i] = (uint8_t)(i * 7 + i / 251);
        head[i % WIRE_HEAD_MAX] = body[i];
    }
    CU_ASSERT_TRUE_FATAL(says_and_is_admitted(&fixture, client, &fixture.anna));
    CU_ASSERT_EQUAL(channel_client_send(client, head, WIRE_HEAD_MAX, body, WIRE_BODY_MAX),
                    STATUS_OK);
    struct channel_message message;
    CU_ASSERT_TRUE_FATAL(server_gets(&fixture, &message, PATIENCE_MS));
    CU_ASSERT_EQUAL(memcmp(message.curve_key, fixture.anna.curve_public, 32), 0);
    CU_ASSERT_EQUAL(channel_server_send(fixture.server, message.connection, message.head,
                                        message.head_size_bytes, message.body,
                                        message.body_size_bytes),
                    STATUS_OK);
    channel_message_close(&message);
    CU_ASSERT_TRUE_FATAL(client_gets(&fixture, client, &message, PATIENCE_MS));
    CU_ASSERT_EQUAL_FATAL(message.head_size_bytes, WIRE_HEAD_MAX);
    CU_ASSERT_EQUAL_FATAL(message.body_size_bytes, WIRE_BODY_MAX);
    CU_ASSERT_EQUAL(memcmp(message.head, head, WIRE_HEAD_MAX), 0);
    CU_ASSERT_EQUAL(memcmp(message.body, body, WIRE_BODY_MAX), 0);
    channel_message_close(&message);
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_FINE);
    /* The last confirmation of all may take its time. */
    uint64_t up = channel_client_delivered_bytes(client);
    uint64_t down = channel_server_delivered_bytes(fixture.server, fixture.connection);
    CU_ASSERT_TRUE(up > WIRE_BODY_MAX && up < 2 * WIRE_BODY_MAX);
    CU_ASSERT_TRUE(down > WIRE_BODY_MAX / 2 && down < 2 * WIRE_BODY_MAX);
    CU_ASSERT_EQUAL(channel_server_delivered_bytes(fixture.server, fixture.connection + 1), 0);
    uint64_t came = channel_server_received_bytes(fixture.server, fixture.connection);
    CU_ASSERT_TRUE(came > WIRE_BODY_MAX && came < 2 * WIRE_BODY_MAX);
    CU_ASSERT_EQUAL(channel_server_received_bytes(fixture.server, fixture.connection + 1), 0);
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
    uint64_t of_anna = fixture.connection;
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, bert, &fixture.bert, "b"));
    uint64_t of_bert = fixture.connection;
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "c"));
    CU_ASSERT_EQUAL(fixture.connection, of_anna);
    CU_ASSERT_TRUE(of_anna > 0 && of_bert > 0 && of_anna != of_bert);
    struct channel_message message;
    CU_ASSERT_EQUAL(tell(&fixture, of_bert, "for bert"), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(client_gets(&fixture, bert, &message, PATIENCE_MS));
    CU_ASSERT_TRUE(head_is(&message, "for bert"));
    channel_message_close(&message);
    CU_ASSERT_FALSE(client_gets(&fixture, anna, &message, 2 * TICK_MS));
    channel_client_free(anna);
    channel_client_free(bert);
    end(&fixture);
}

/* What is sent goes to the connection that it is for, and not to the key's latest. */
static void two_connections_of_a_key_are_told_apart(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *first = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, first, &fixture.anna, "one"));
    uint64_t of_first = fixture.connection;
    struct channel_client *second = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, second, &fixture.anna, "two"));
    uint64_t of_second = fixture.connection;
    CU_ASSERT_NOT_EQUAL(of_first, of_second);
    struct channel_message message;
    CU_ASSERT_EQUAL(tell(&fixture, of_first, "for the first"), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(client_gets(&fixture, first, &message, PATIENCE_MS));
    CU_ASSERT_TRUE(head_is(&message, "for the first"));
    channel_message_close(&message);
    CU_ASSERT_FALSE(client_gets(&fixture, second, &message, 2 * TICK_MS));
    CU_ASSERT_EQUAL(tell(&fixture, of_second, "for the second"), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(client_gets(&fixture, second, &message, PATIENCE_MS));
    CU_ASSERT_TRUE(head_is(&message, "for the second"));
    channel_message_close(&message);
    channel_client_free(first);
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
    CU_ASSERT_TRUE(trouble_becomes(&fixture, client, CHANNEL_WRONG_KEY, PATIENCE_MS));
    (void)printf("[wrong key after %llu ms] ", (unsigned long long)(clock_now_ms() - begun_ms));
    channel_client_free(client);
    end(&fixture);
}

/* It would else try for ever, and its user never know. */
static void barred_key_is_cut_and_told(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE_FATAL(trouble_becomes(&fixture, client, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_EQUAL(channel_server_bar(fixture.server, fixture.anna.curve_public, true), STATUS_OK);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, client, CHANNEL_SHUT_OUT, PATIENCE_MS));
    channel_client_free(client);
    client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, client, CHANNEL_SHUT_OUT, PATIENCE_MS));
    CU_ASSERT_EQUAL(channel_client_connections(client), 0);
    channel_client_free(client);
    CU_ASSERT_EQUAL(channel_server_bar(fixture.server, fixture.anna.curve_public, false),
                    STATUS_OK);
    client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, client, CHANNEL_FINE, PATIENCE_MS));
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
    stop_server(&fixture);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_FALSE(trouble_becomes(&fixture, client, CHANNEL_WRONG_KEY, 600));
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_CONNECTING);
    start_server(&fixture, listen);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, client, CHANNEL_FINE, PATIENCE_MS));
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
    stop_server(&fixture);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, client, CHANNEL_CONNECTING, PATIENCE_MS));
    start_server(&fixture, listen);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, client, CHANNEL_FINE, PATIENCE_MS));
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
    CU_ASSERT_EQUAL(
        channel_server_new(fixture.server_set, CHANNEL_CONTROL, listen, &fixture.bert, &second),
        STATUS_UNAVAILABLE);
    CU_ASSERT_PTR_NULL(second);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "choose another port"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), listen));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "--listen tcp://ADDRESS:PORT"));
    CU_ASSERT_EQUAL(
        channel_server_new(fixture.server_set, CHANNEL_BULK, listen, &fixture.bert, &second),
        STATUS_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "--aggregate [HOST:]PORT"));
    CU_ASSERT_EQUAL(channel_server_new(fixture.server_set, CHANNEL_CONTROL, "tcp://192.0.2.1:0",
                                       &fixture.bert, &second),
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
        enum status status =
            channel_server_new(fixture.server_set, CHANNEL_CONTROL, bad[i], &fixture.bert, &server);
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
    static const char *const pairs[][3] = {
        {"tcp://0.0.0.0:0", "127.0.0.1", "127.0.0.1"},
        {"tcp://*:*", "localhost", "127.0.0.1"},
        {"tcp://[::1]:0", "[::1]", "[::1]"},
    };
    char host[CHANNEL_HOST_MAX];
    struct fixture fixture;
    begin(&fixture);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (strstr(pairs[i][0], "::1") != NULL && access("/proc/net/if_inet6", R_OK) != 0) {
            continue;
        }
        stop_server(&fixture);
        start_server(&fixture, pairs[i][0]);
        (void)snprintf(fixture.link.address, sizeof fixture.link.address, "%s:%u", pairs[i][1],
                       (unsigned)channel_server_port(fixture.server));
        struct channel_client *client = connect_as(&fixture, &fixture.anna);
        CU_ASSERT_TRUE(says_and_is_heard(&fixture, client, &fixture.anna, "hello"));
        channel_client_host(client, host);
        CU_ASSERT_STRING_EQUAL(host, pairs[i][2]);
        channel_client_free(client);
    }
    end(&fixture);
}

static void send_to_unknown_or_gone_connection_is_stale(void)
{
    struct fixture fixture;
    begin(&fixture);
    CU_ASSERT_EQUAL(tell(&fixture, 0, "x"), STATUS_STALE);
    CU_ASSERT_EQUAL(tell(&fixture, UINT64_MAX, "x"), STATUS_STALE);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, client, &fixture.anna, "hello"));
    CU_ASSERT_EQUAL(tell(&fixture, fixture.connection, "x"), STATUS_OK);
    channel_client_free(client);
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    enum status status = STATUS_OK;
    while (status != STATUS_STALE && clock_now_ms() < deadline_ms) {
        channel_set_wait(fixture.server_set, -1, TICK_MS);
        status = tell(&fixture, fixture.connection, "x");
    }
    CU_ASSERT_EQUAL(status, STATUS_STALE);
    CU_ASSERT_EQUAL(channel_server_delivered_bytes(fixture.server, fixture.connection), 0);
    CU_ASSERT_EQUAL(channel_server_received_bytes(fixture.server, fixture.connection), 0);
    channel_server_admit(fixture.server, fixture.connection); /* fine when it is gone */
    channel_server_cut(fixture.server, fixture.connection);
    channel_server_admit(fixture.server, UINT64_MAX);
    channel_server_cut(fixture.server, UINT64_MAX);
    end(&fixture);
}

static void send_to_a_client_that_does_not_read_is_again(void)
{
    struct fixture fixture;
    begin(&fixture);
    enum { BODY_BYTES = 128 * 1024 }; /* of a float32 chunk */
    uint8_t *body = need(BODY_BYTES);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, client, &fixture.anna, "hello"));
    enum status status = STATUS_OK;
    unsigned sent = 0;
    while (status == STATUS_OK && sent < 2000) {
        status = channel_server_send(fixture.server, fixture.connection, (const uint8_t *)"x", 1,
                                     body, BODY_BYTES);
        sent += status == STATUS_OK;
    }
    CU_ASSERT_EQUAL(status, STATUS_AGAIN);
    CU_ASSERT_TRUE(sent >= 8);                                           /* bodies of 1 MiB */
    CU_ASSERT_EQUAL(tell(&fixture, fixture.connection, "x"), STATUS_OK); /* a head still goes */
    sent++;
    unsigned received = 0;
    struct channel_message message;
    while (received < sent && client_gets(&fixture, client, &message, PATIENCE_MS)) {
        received++;
        CU_ASSERT_EQUAL(message.body_size_bytes, received < sent ? BODY_BYTES : 0);
        channel_message_close(&message);
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
    stop_server(&fixture);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    unsigned sent = 0;
    while (sent < 1000 && say(client, "x") == STATUS_OK) {
        sent++;
    }
    CU_ASSERT_EQUAL(sent, 2 * BLOB_WINDOW_MAX);
    uint64_t begun_ms = clock_now_ms();
    channel_client_free(client);
    channel_set_free(fixture.client_set);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms < 2500); /* bounded linger */
    fixture.client_set = NULL;
    end(&fixture);
}

static void wait_ends_by_the_eventfd_and_by_the_timeout(void)
{
    struct fixture fixture;
    begin(&fixture);
    int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CU_ASSERT_TRUE_FATAL(wake_fd >= 0);
    uint64_t begun_ms = clock_now_ms();
    channel_set_wait(fixture.server_set, wake_fd, 100);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms >= 90);
    uint64_t one = 1;
    CU_ASSERT_EQUAL(write(wake_fd, &one, sizeof one), (ssize_t)sizeof one);
    begun_ms = clock_now_ms();
    channel_set_wait(fixture.server_set, wake_fd, PATIENCE_MS);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms < PATIENCE_MS / 2);
    (void)close(wake_fd);
    end(&fixture);
}

static int listen_somewhere(void)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&local, sizeof local), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 16), 0);
    return fd;
}

static void server_takes_over_a_socket_that_listens(void)
{
    struct fixture fixture;
    struct sockaddr_in local;
    socklen_t size_bytes = sizeof local;
    begin(&fixture);
    stop_server(&fixture);
    int fd = listen_somewhere();
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&local, &size_bytes), 0);
    struct channel_set *set = NULL;
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &set), STATUS_OK);
    fixture.server_set = set;
    CU_ASSERT_EQUAL(
        channel_server_new_at(set, CHANNEL_CONTROL, -1, &fixture.server_identity, &fixture.server),
        STATUS_OS);
    CU_ASSERT_PTR_NULL(fixture.server);
    CU_ASSERT_EQUAL_FATAL(
        channel_server_new_at(set, CHANNEL_CONTROL, fd, &fixture.server_identity, &fixture.server),
        STATUS_OK);
    CU_ASSERT_EQUAL(channel_server_port(fixture.server), ntohs(local.sin_port));
    (void)snprintf(fixture.link.address, sizeof fixture.link.address, "127.0.0.1:%u",
                   (unsigned)ntohs(local.sin_port));
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, client, &fixture.anna, "hello"));
    channel_client_free(client);
    end(&fixture);
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), -1); /* it was closed with the server */
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(echo_of_the_largest_message_is_the_same),
        SUITE_TEST(two_clients_are_known_by_their_proven_keys),
        SUITE_TEST(two_connections_of_a_key_are_told_apart),
        SUITE_TEST(wrong_server_key_is_told_within_three_seconds),
        SUITE_TEST(barred_key_is_cut_and_told),
        SUITE_TEST(nobody_listening_is_connecting_until_somebody_does),
        SUITE_TEST(server_restart_is_survived_by_the_client),
        SUITE_TEST(taken_port_is_unavailable_with_advice),
        SUITE_TEST(bad_listen_addresses_are_usage),
        SUITE_TEST(all_addresses_and_ipv6_can_be_listened_on),
        SUITE_TEST(send_to_unknown_or_gone_connection_is_stale),
        SUITE_TEST(send_to_a_client_that_does_not_read_is_again),
        SUITE_TEST(client_queue_without_a_server_ends_in_again),
        SUITE_TEST(server_takes_over_a_socket_that_listens),
        SUITE_TEST(wait_ends_by_the_eventfd_and_by_the_timeout),
    };
    return suite_run("channel", tests, sizeof tests / sizeof tests[0]);
}
