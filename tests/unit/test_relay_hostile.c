/* Gateways that die, lie, flood or do not listen, and a core that goes on. */
#include "tests/unit/relay_fixture.h"

static void death_is_followed_by_another_gateway(void)
{
    struct gateway_frame frame;
    begin();
    fake_heard(1, 1);
    uint64_t before = receive();
    CU_ASSERT_EQUAL(send_body(before, 0), STATUS_OK);
    fake_heard(1, 1); /* not read before the end */
    fake_die();
    turn();
    CU_ASSERT_EQUAL(send_body(before, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(receive(), 0);
    turn();
    CU_ASSERT_EQUAL_FATAL(fake.starts, 2);
    CU_ASSERT_TRUE(fake_hears(GATEWAY_START, &frame));
    turn();
    fake_heard(1, 1);
    turn();
    uint64_t after = receive();
    CU_ASSERT(after != 0 && after != before);
    CU_ASSERT_EQUAL(send_body(before, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(send_body(after, 0), STATUS_OK);
    end();
}

/* The second comes at once, those after it later and later. */
static void deaths_in_a_row_are_followed_more_slowly(void)
{
    uint64_t began_ms = clock_now_ms();
    begin();
    while (fake.starts < 4) {
        if (fake.link != NULL) {
            fake_die();
        }
        channel_set_wait(core.set, -1, 1000);
        CU_ASSERT_FATAL(clock_now_ms() - began_ms < 5000);
    }
    CU_ASSERT(clock_now_ms() - began_ms >= 300); /* 0, 100, 200 ms */
    end();
}

static void a_new_gateway_is_told_what_counts(void)
{
    struct gateway_frame frame;
    struct channel_client *client = NULL;
    uint8_t barred[IDENTITY_KEY_BYTES] = {77};
    uint8_t other[IDENTITY_KEY_BYTES] = {78};
    uint8_t head[GATEWAY_LINE_BYTES];
    struct gateway_line line = {.trouble = CHANNEL_FINE, .connections = 2};
    begin();
    CU_ASSERT_EQUAL(channel_server_bar(core.server, barred, true), STATUS_OK);
    CU_ASSERT_EQUAL(channel_server_bar(core.server, other, true), STATUS_OK);
    CU_ASSERT_EQUAL(channel_server_bar(core.server, other, false), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_client_new(core.set, CHANNEL_BULK, "127.0.0.1:7000",
                                             core.identity.public_key, &core.identity, &client),
                          STATUS_OK);
    gateway_line_write(&line, head);
    fake_say(GATEWAY_LINE, 1, head, sizeof head);
    turn();
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_FINE);
    fake_die();
    turn();
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_CONNECTING);
    turn();
    CU_ASSERT_EQUAL_FATAL(fake.starts, 2);
    CU_ASSERT_FATAL(fake_hears(GATEWAY_BAR, &frame));
    CU_ASSERT_EQUAL(frame.head[0], 77);
    CU_ASSERT_EQUAL_FATAL(gateway_link_read(fake.link, &frame), STATUS_OK);
    CU_ASSERT_EQUAL(frame.type, GATEWAY_DIAL);
    line.connections = 1;
    gateway_line_write(&line, head);
    fake_say(GATEWAY_LINE, frame.number, head, sizeof head);
    turn();
    CU_ASSERT_EQUAL(channel_client_connections(client), 3);
    channel_client_free(client);
    end();
}

/* Says `type` to a core that has heard connection 1, key 1; whether the gateway was ended for it.
 */
static bool ends_for(enum gateway_frame_type type, uint64_t number, const uint8_t *head,
                     size_t head_size_bytes)
{
    begin();
    fake_heard(1, 1);
    CU_ASSERT(receive() != 0);
    fake_say(type, number, head, head_size_bytes);
    turn();
    bool ended = fake.ends == 1;
    end();
    return ended;
}

static void lies_end_the_gateway(void)
{
    uint8_t sender[GATEWAY_SENDER_BYTES + 1] = {2};
    uint8_t taken[GATEWAY_TAKEN_BYTES] = {1};
    uint8_t line[GATEWAY_LINE_BYTES] = {0};
    uint8_t incident[GATEWAY_INCIDENT_BYTES] = {0};
    uint8_t ready[GATEWAY_READY_BYTES_MIN] = {0};
    CU_ASSERT_TRUE(ends_for(GATEWAY_HEARD, 1, sender, sizeof sender)); /* another key */
    CU_ASSERT_FALSE(ends_for(GATEWAY_HEARD, 2, sender, sizeof sender));
    CU_ASSERT_TRUE(ends_for(GATEWAY_TAKEN, 1, taken, sizeof taken)); /* nothing was sent */
    CU_ASSERT_FALSE(ends_for(GATEWAY_TAKEN, 9, taken, sizeof taken));
    CU_ASSERT_TRUE(ends_for(GATEWAY_LINE, 1, line, sizeof line)); /* nobody was dialled */
    CU_ASSERT_TRUE(ends_for(GATEWAY_INCIDENT, 1, incident, sizeof incident));
    CU_ASSERT_TRUE(ends_for(GATEWAY_PONG, 9, NULL, 0)); /* nobody asked */
    CU_ASSERT_TRUE(ends_for(GATEWAY_READY, 0, ready, sizeof ready));
    CU_ASSERT_FALSE(ends_for(GATEWAY_GONE, 99, NULL, 0));
}

static void garbage_ends_the_gateway(void)
{
    uint8_t garbage[4096];
    begin();
    randombytes_buf(garbage, sizeof garbage);
    garbage[0] = 0xff;
    CU_ASSERT_EQUAL(send(gateway_link_fd(fake.link), garbage, sizeof garbage, MSG_NOSIGNAL),
                    (ssize_t)sizeof garbage);
    turn();
    CU_ASSERT_EQUAL(fake.ends, 1);
    turn();
    CU_ASSERT_EQUAL(fake.starts, 2);
    end();
}

/* A gateway that talks without end: the core holds so much, and no more. */
static void a_flood_of_messages_is_bounded(void)
{
    static uint8_t body[BODY_BYTES];
    begin();
    while (gateway_link_queued_bytes(fake.link) < QUEUE_BYTES_MAX / 2) {
        fake_heard_body(1, 1, body, sizeof body);
    }
    for (int i = 0; i < 1000; i++) {
        turn();
        (void)gateway_link_flush(fake.link);
    }
    /* What the core took lies in its inbox, its reader and the socket. */
    size_t left_bytes = gateway_link_queued_bytes(fake.link);
    CU_ASSERT(core.server->inbox.bytes <= RELAY_INBOX_BYTES_MAX + GATEWAY_FRAME_MAX);
    CU_ASSERT(left_bytes > QUEUE_BYTES_MAX / 2 - 2 * RELAY_INBOX_BYTES_MAX);
    size_t received = 0;
    while (gateway_link_queued_bytes(fake.link) > 0 || receive() != 0) {
        received += receive() != 0 ? 1 : 0;
        (void)gateway_link_flush(fake.link);
    }
    CU_ASSERT(received > 100);
    CU_ASSERT_EQUAL(fake.starts, 1);
    end();
}

static void a_flood_of_incidents_is_bounded(void)
{
    struct channel_incident incident = {.reason = CHANNEL_CROWDED, .count = 1, .host = "1.2.3.4"};
    uint8_t head[GATEWAY_INCIDENT_BYTES];
    size_t told = 0;
    begin();
    gateway_incident_write(&incident, head);
    for (int i = 0; i < 20 * RELAY_INCIDENTS_MAX; i++) {
        fake_say(GATEWAY_INCIDENT, 0, head, sizeof head);
        if (i % 100 == 0) {
            turn();
        }
        while (channel_server_incident(core.server, &incident)) {
            CU_ASSERT_EQUAL(incident.reason, CHANNEL_CROWDED);
            CU_ASSERT_STRING_EQUAL(incident.host, "1.2.3.4");
            told++;
        }
    }
    CU_ASSERT(told >= RELAY_INCIDENTS_MAX && told <= 2 * RELAY_INCIDENTS_MAX);
    end();
}

/* Once the table has forgotten a connection, its number may come with another key: what the first
 * one had said is dropped. */
static void a_number_that_comes_again_speaks_for_its_new_key_alone(void)
{
    struct channel_message message;
    unsigned heard = 0;
    uint8_t last = 0;
    begin();
    turn();
    fake_heard(1, 1);
    for (unsigned i = 1; i <= RELAY_WAYS; i++) {
        fake_heard(1 + (uint64_t)i * RELAY_SETS, (uint8_t)(1 + i));
    }
    fake_heard(1, 99);
    while (channel_server_receive(core.server, &message) == STATUS_OK) {
        CU_ASSERT(message.curve_key[0] != 1);
        last = message.curve_key[0];
        heard++;
        channel_message_close(&message);
    }
    CU_ASSERT_EQUAL(last, 99);
    CU_ASSERT_EQUAL(heard, RELAY_WAYS); /* one more had to go for the number that came again */
    end();
}

/* A gateway that names ever new connections: a member stays known. */
static void a_flood_of_connections_leaves_members(void)
{
    begin();
    fake_heard(1, 1);
    uint64_t member = receive();
    channel_server_admit(core.server, member);
    for (uint64_t i = 2; i < 3 * RELAY_CONNECTIONS_MAX; i++) {
        fake_heard(i, (uint8_t)(2 + i % 200));
        CU_ASSERT_FATAL(receive() != 0);
    }
    CU_ASSERT_EQUAL(send_body(member, 0), STATUS_OK);
    end();
}

int main(void)
{
    const struct suite_test tests[] = {
        SUITE_TEST(death_is_followed_by_another_gateway),
        SUITE_TEST(deaths_in_a_row_are_followed_more_slowly),
        SUITE_TEST(a_new_gateway_is_told_what_counts),
        SUITE_TEST(lies_end_the_gateway),
        SUITE_TEST(garbage_ends_the_gateway),
        SUITE_TEST(a_flood_of_messages_is_bounded),
        SUITE_TEST(a_flood_of_incidents_is_bounded),
        SUITE_TEST(a_flood_of_connections_leaves_members),
        SUITE_TEST(a_number_that_comes_again_speaks_for_its_new_key_alone),
    };
    log_set_level(LOG_ERROR);
    return sodium_init() < 0 ? 1
                             : suite_run("relay_hostile", tests, sizeof tests / sizeof tests[0]);
}
