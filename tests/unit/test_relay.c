/* The core's side of the gateway: what crosses, who is known, and what does not fit. */
#include "proto/channel_listen.h"
#include "tests/unit/relay_fixture.h"

#include <pthread.h>

static void start_tells_the_curve_keys_alone(void)
{
    struct gateway_frame frame;
    begin();
    CU_ASSERT(channel_server_port(core.server) != 0);
    CU_ASSERT_EQUAL_FATAL(gateway_link_read(fake.link, &frame), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(frame.type, GATEWAY_START);
    CU_ASSERT_EQUAL(memcmp(frame.head, core.identity.curve_public, IDENTITY_KEY_BYTES), 0);
    CU_ASSERT_EQUAL(
        memcmp(frame.head + IDENTITY_KEY_BYTES, core.identity.secrets->curve, IDENTITY_KEY_BYTES),
        0);
    CU_ASSERT_EQUAL(frame.head_size_bytes, 2 * IDENTITY_KEY_BYTES);
    end();
}

static void start_that_fails_says_why(void)
{
    struct identity identity;
    struct channel_set *set = NULL;
    struct channel_server *server = NULL;
    uint8_t seed[IDENTITY_SEED_BYTES] = {3};
    memset(&fake, 0, sizeof fake);
    fake.says_failed = true;
    CU_ASSERT_EQUAL_FATAL(identity_of_seed(seed, &identity), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &set), STATUS_OK);
    CU_ASSERT_EQUAL(channel_server_new_both(set, "tcp://*:*", "tcp://*:*", &identity, &server),
                    STATUS_OS);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "no ?more? files"));
    CU_ASSERT_PTR_NULL(server);
    channel_set_free(set);
    identity_wipe(&identity);
}

static void listen_at_a_bad_address_says_what_to_do(void)
{
    static const char *const bad[] = {"7700",
                                      "tcp://",
                                      "tcp://:1",
                                      "tcp://1.2.3.4",
                                      "tcp://127.0.0.1:65536",
                                      "ipc://127.0.0.1:7700"};
    char listen[64];
    struct channel_set *set = NULL;
    struct channel_server *server = NULL;
    begin();
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &set), STATUS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_EQUAL(channel_server_new_both(set, bad[i], "tcp://*:*", &core.identity, &server),
                        STATUS_USAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "tcp://0.0.0.0:7700"));
    }
    (void)snprintf(listen, sizeof listen, "tcp://127.0.0.1:%u",
                   (unsigned)channel_server_port(core.server));
    CU_ASSERT_EQUAL(channel_server_new_both(set, listen, "tcp://*:*", &core.identity, &server),
                    STATUS_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "taken by another program"));
    CU_ASSERT_EQUAL(
        channel_server_new_both(set, "tcp://192.0.2.1:0", "tcp://*:*", &core.identity, &server),
        STATUS_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "no address of this machine"));
    CU_ASSERT_EQUAL(channel_server_new_both(set, "tcp://*:*", listen, &core.identity, &server),
                    STATUS_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "--listen-bulk tcp://ADDRESS:PORT"));
    int fd = -1;
    uint16_t port = 0; /* that is free */
    CU_ASSERT_EQUAL_FATAL(channel_listen_at("tcp://127.0.0.1:0", "", &fd, &port), STATUS_OK);
    (void)close(fd);
    (void)snprintf(listen, sizeof listen, "tcp://127.0.0.1:%u", (unsigned)port);
    CU_ASSERT_EQUAL(channel_server_new_both(set, listen, listen, &core.identity, &server),
                    STATUS_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "name the same port"));
    CU_ASSERT_EQUAL(fake.starts, 1);
    channel_set_free(set);
    end();
}

static void receive_of_a_heard_gives_the_message(void)
{
    struct channel_message message;
    struct gateway_frame frame;
    begin();
    fake_heard(5, 42);
    turn();
    CU_ASSERT_EQUAL_FATAL(channel_server_receive(core.server, &message), STATUS_OK);
    CU_ASSERT_EQUAL(message.curve_key[0], 42);
    CU_ASSERT_STRING_EQUAL(message.host, "127.0.0.1");
    CU_ASSERT_EQUAL(message.head_size_bytes, 3);
    CU_ASSERT_EQUAL(memcmp(message.head, "abc", 3), 0);
    CU_ASSERT_EQUAL(message.body_size_bytes, 4);
    CU_ASSERT_EQUAL(memcmp(message.body, "body", 4), 0);
    CU_ASSERT_EQUAL(send_body(message.connection, 2), STATUS_OK);
    channel_message_close(&message);
    CU_ASSERT_EQUAL(receive(), 0);
    CU_ASSERT_FATAL(fake_hears(GATEWAY_SEND, &frame));
    CU_ASSERT_EQUAL(frame.number, 5);
    CU_ASSERT_EQUAL(frame.body_size_bytes, 2);
    end();
}

static void send_to_who_is_not_there_is_stale(void)
{
    struct gateway_frame frame;
    begin();
    CU_ASSERT_EQUAL(send_body(1, 0), STATUS_STALE);
    fake_heard(1, 1);
    fake_heard(2, 2);
    uint64_t one = receive();
    uint64_t two = receive();
    CU_ASSERT_EQUAL(send_body(one + 2, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(send_body(0, 0), STATUS_STALE);
    fake_say(GATEWAY_GONE, 1, NULL, 0);
    turn();
    CU_ASSERT_EQUAL(send_body(one, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(send_body(two, 0), STATUS_OK);
    channel_server_cut(core.server, two);
    CU_ASSERT_EQUAL(send_body(two, 0), STATUS_STALE);
    CU_ASSERT_FATAL(fake_hears(GATEWAY_CUT, &frame));
    CU_ASSERT_EQUAL(frame.number, 2);
    fake_heard(2, 2); /* was on its way */
    turn();
    CU_ASSERT_EQUAL(receive(), 0);
    channel_server_cut(core.server, 12345);
    channel_server_admit(core.server, 12345);
    end();
}

/* A peer that leaves is gone by the time that its word is read. */
static void last_words_of_who_is_gone_are_heard(void)
{
    begin();
    fake_heard(1, 1);
    uint64_t one = receive();
    fake_heard(1, 1);
    fake_say(GATEWAY_GONE, 1, NULL, 0);
    fake_heard(1, 1); /* it was told when something could not be sent: before all was read */
    turn();
    CU_ASSERT_EQUAL(receive(), one);
    CU_ASSERT_EQUAL(receive(), one);
    CU_ASSERT_EQUAL(receive(), 0);
    CU_ASSERT_EQUAL(send_body(one, 0), STATUS_STALE);
    end();
}

static void send_beyond_a_window_is_told_again(void)
{
    begin();
    fake_heard(2, 1);
    uint64_t one = receive();
    uint32_t chunks = 0;
    while (send_chunk(one) == STATUS_OK) {
        CU_ASSERT_FATAL(++chunks <= RELAY_CHUNKS_BYTES_MAX / BODY_BYTES);
    }
    CU_ASSERT(chunks >= RELAY_CHUNKS_BYTES_MAX / BODY_BYTES - 1);
    /* Whoever misses a lease would be cut: it finds room beside chunks. */
    CU_ASSERT_EQUAL(send_body(one, WIRE_BODY_MAX), STATUS_OK);
    fake_taken(GATEWAY_TAKEN, 2, chunks, (uint64_t)chunks * (BODY_BYTES + BLOB_HEADER_BYTES));
    turn();
    CU_ASSERT_EQUAL(send_chunk(one), STATUS_AGAIN);
    fake_taken(GATEWAY_TAKEN, 2, 1, 1 + WIRE_BODY_MAX);
    turn();
    CU_ASSERT_EQUAL(send_chunk(one), STATUS_OK);
    uint32_t heads = 0;
    while (send_body(one, 0) == STATUS_OK) {
        CU_ASSERT_FATAL(++heads <= RELAY_MESSAGES_MAX);
    }
    CU_ASSERT_EQUAL(heads, RELAY_MESSAGES_MAX - 1);
    CU_ASSERT_EQUAL(fake.starts, 1);
    end();
}

/* Readers who take nothing have a share, and leave something to everybody else. */
static void send_to_many_slow_readers_leaves_room(void)
{
    size_t sent_bytes = 0;
    begin();
    for (uint8_t i = 1; i <= 150; i++) {
        fake_heard(i, i);
        uint64_t connection = receive();
        CU_ASSERT_EQUAL_FATAL(send_chunk(connection), STATUS_OK);
        sent_bytes += BODY_BYTES;
        while (send_chunk(connection) == STATUS_OK) {
            sent_bytes += BODY_BYTES;
        }
        CU_ASSERT_EQUAL(send_body(connection, 1000), STATUS_OK);
    }
    CU_ASSERT(sent_bytes <= RELAY_ALL_BYTES_MAX);
    CU_ASSERT(sent_bytes > RELAY_ALL_BYTES_MAX / 2);
    CU_ASSERT_EQUAL(fake.starts, 1);
    end();
}

static void admit_cuts_other_connections_of_the_key(void)
{
    begin();
    fake_heard(2, 1);
    fake_heard(4, 1);
    fake_heard(6, 2);
    fake_heard(7, 1); /* at the port for chunks */
    uint64_t old = receive();
    uint64_t new = receive();
    uint64_t other = receive();
    uint64_t bulk = receive();
    channel_server_admit(core.server, new);
    CU_ASSERT_EQUAL(send_body(old, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(send_body(new, 0), STATUS_OK);
    CU_ASSERT_EQUAL(send_body(other, 0), STATUS_OK);
    CU_ASSERT_EQUAL(send_body(bulk, 0), STATUS_OK);
    fake_heard(9, 1);
    uint64_t bulk_again = receive();
    channel_server_admit(core.server, bulk_again);
    CU_ASSERT_EQUAL(send_body(bulk, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(send_body(bulk_again, 0), STATUS_OK);
    CU_ASSERT_EQUAL(send_body(new, 0), STATUS_OK);
    end();
}

static void message_says_at_which_port_it_came(void)
{
    struct channel_message message;
    begin();
    CU_ASSERT(channel_server_port(core.server) != channel_server_bulk_port(core.server));
    for (uint64_t number = 2; number < 6; number++) {
        fake_heard(number, (uint8_t)number);
        CU_ASSERT_EQUAL_FATAL(channel_server_receive(core.server, &message), STATUS_OK);
        CU_ASSERT_EQUAL(message.bulk, number % 2 == 1);
        channel_message_close(&message);
    }
    end();
}

static void listen_beside_takes_the_next_port(void)
{
    static const struct {
        const char *listen;
        const char *beside; /* NULL: there is none */
    } cases[] = {{"tcp://0.0.0.0:7700", "tcp://0.0.0.0:7701"},
                 {"tcp://[::1]:9", "tcp://[::1]:10"},
                 {"tcp://127.0.0.1:0", "tcp://127.0.0.1:0"},
                 {"tcp://*:*", "tcp://*:0"},
                 {"tcp://*:65534", "tcp://*:65535"},
                 {"tcp://*:65535", NULL},
                 {"7700", NULL}};
    char beside[CHANNEL_LISTEN_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum status status = channel_listen_beside(cases[i].listen, beside);
        CU_ASSERT_EQUAL(status, cases[i].beside != NULL ? STATUS_OK : STATUS_USAGE);
        if (cases[i].beside != NULL) {
            CU_ASSERT_STRING_EQUAL(beside, cases[i].beside);
        }
    }
}

static void listen_for_chunks_at_a_taken_port_names_its_option(void)
{
    char listen[64];
    struct channel_set *set = NULL;
    struct channel_server *server = NULL;
    begin();
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &set), STATUS_OK);
    (void)snprintf(listen, sizeof listen, "tcp://127.0.0.1:%u",
                   (unsigned)channel_server_port(core.server));
    CU_ASSERT_EQUAL(
        channel_server_new_both(set, "tcp://127.0.0.1:0", listen, &core.identity, &server),
        STATUS_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "with --listen-bulk tcp://ADDRESS:PORT"));
    CU_ASSERT_PTR_NULL(server);
    channel_set_free(set);
    end();
}

static void a_barred_key_is_not_heard(void)
{
    uint8_t key[IDENTITY_KEY_BYTES] = {1};
    struct gateway_frame frame;
    begin();
    fake_heard(1, 1);
    uint64_t one = receive();
    fake_heard(1, 1);
    fake_heard(2, 2);
    turn();
    CU_ASSERT_EQUAL(channel_server_bar(core.server, key, true), STATUS_OK);
    CU_ASSERT_EQUAL(send_body(one, 0), STATUS_STALE);
    uint64_t two = receive();
    CU_ASSERT_EQUAL(two, one + 1);
    fake_heard(3, 1); /* of a gateway that does not bar it */
    turn();
    CU_ASSERT_EQUAL(receive(), 0);
    CU_ASSERT_FATAL(fake_hears(GATEWAY_BAR, &frame));
    CU_ASSERT_EQUAL(frame.head[IDENTITY_KEY_BYTES], 1);
    CU_ASSERT_EQUAL(channel_server_bar(core.server, key, false), STATUS_OK);
    fake_heard(4, 1);
    turn();
    CU_ASSERT(receive() != 0);
    end();
}

/* What came to the gateway while the core was busy: it arrives late, and before its pong. */
static void *answer_late(void *unused)
{
    struct gateway_frame frame;
    (void)unused;
    clock_sleep_ms(100);
    fake_heard(1, 1);
    while (fake_hears(GATEWAY_PING, &frame)) {
        fake_say(GATEWAY_PONG, frame.number, NULL, 0);
    }
    return NULL;
}

static void receive_after_a_stall_waits_for_what_was_said(void)
{
    pthread_t thread;
    begin();
    turn();
    CU_ASSERT_EQUAL(receive(), 0);
    clock_sleep_ms(RELAY_STALL_MS + 50);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, answer_late, NULL), 0);
    CU_ASSERT(receive() != 0);
    uint64_t began_ms = clock_now_ms();
    CU_ASSERT_EQUAL(receive(), 0);
    CU_ASSERT(clock_now_ms() - began_ms < RELAY_FENCE_MS_MAX / 2);
    (void)pthread_join(thread, NULL);
    end();
}

static void clients_are_relayed(void)
{
    struct gateway_frame frame;
    struct channel_client *client = NULL;
    struct channel_message message;
    static uint8_t body[BODY_BYTES];
    begin();
    CU_ASSERT_EQUAL(channel_client_new(core.set, CHANNEL_BULK, "example.org:7000",
                                       core.identity.public_key, &core.identity, &client),
                    STATUS_USAGE);
    CU_ASSERT_EQUAL_FATAL(channel_client_new(core.set, CHANNEL_BULK, "127.0.0.1:7000",
                                             core.identity.public_key, &core.identity, &client),
                          STATUS_OK);
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_CONNECTING);
    CU_ASSERT_FATAL(fake_hears(GATEWAY_DIAL, &frame));
    uint64_t number = frame.number;
    uint32_t sent = 0;
    while (channel_client_send(client, (const uint8_t *)"p", 1, body, sizeof body) == STATUS_OK) {
        CU_ASSERT_FATAL(++sent <= RELAY_BYTES_MAX / BODY_BYTES);
    }
    CU_ASSERT_FATAL(fake_hears(GATEWAY_TELL, &frame));
    CU_ASSERT_EQUAL(frame.number, number);
    fake_taken(GATEWAY_TOLD, number, 1, BODY_BYTES + 1);
    fake_say(GATEWAY_ANSWERED, number, (const uint8_t *)"answer", 6);
    turn();
    CU_ASSERT_EQUAL(channel_client_send(client, (const uint8_t *)"p", 1, body, sizeof body),
                    STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_client_receive(client, &message), STATUS_OK);
    CU_ASSERT_EQUAL(message.head_size_bytes, 6);
    channel_message_close(&message);
    /* More than anybody asked for is dropped, and nobody else waits for it. */
    for (int i = 0; i < 4 * RELAY_CLIENT_INBOX_MESSAGES_MAX; i++) {
        fake_say(GATEWAY_ANSWERED, number, (const uint8_t *)"answer", 6);
    }
    fake_heard(1, 1);
    turn();
    CU_ASSERT(receive() != 0);
    channel_client_drop(client);
    while (!fake_hears(GATEWAY_HANG_UP, &frame)) {
        turn(); /* behind all that the socket had no room for */
    }
    fake_say(GATEWAY_ANSWERED, number, (const uint8_t *)"answer", 6); /* was on its way */
    turn();
    CU_ASSERT_EQUAL(fake.starts, 1);
    end();
}

int main(void)
{
    const struct suite_test tests[] = {
        SUITE_TEST(start_tells_the_curve_keys_alone),
        SUITE_TEST(start_that_fails_says_why),
        SUITE_TEST(listen_at_a_bad_address_says_what_to_do),
        SUITE_TEST(receive_of_a_heard_gives_the_message),
        SUITE_TEST(send_to_who_is_not_there_is_stale),
        SUITE_TEST(last_words_of_who_is_gone_are_heard),
        SUITE_TEST(send_beyond_a_window_is_told_again),
        SUITE_TEST(send_to_many_slow_readers_leaves_room),
        SUITE_TEST(admit_cuts_other_connections_of_the_key),
        SUITE_TEST(message_says_at_which_port_it_came),
        SUITE_TEST(listen_beside_takes_the_next_port),
        SUITE_TEST(listen_for_chunks_at_a_taken_port_names_its_option),
        SUITE_TEST(a_barred_key_is_not_heard),
        SUITE_TEST(receive_after_a_stall_waits_for_what_was_said),
        SUITE_TEST(clients_are_relayed),
    };
    log_set_level(LOG_ERROR);
    return sodium_init() < 0 ? 1 : suite_run("relay", tests, sizeof tests / sizeof tests[0]);
}
