#include "tests/unit/sim_network_fixture.h"

enum { CHUNK_BYTES = 34000 };

static const uint8_t LETTERS = 20;

static struct channel_client *connect_to(struct machine *machines, uint32_t from,
                                         const char *address, uint32_t key_of)
{
    struct channel_client *client = NULL;
    run_on(from);
    CU_ASSERT_EQUAL_FATAL(channel_client_new(machines[from].set, CHANNEL_BULK, address,
                                             machines[key_of].identity.public_key,
                                             &machines[from].identity, &client),
                          STATUS_OK);
    return client;
}

static struct channel_client *dial(struct machine *machines, uint32_t from, uint32_t to)
{
    return connect_to(machines, from, machines[to].address, to);
}

static enum status say(struct channel_client *client, uint8_t number, size_t body_bytes)
{
    static const uint8_t body[CHUNK_BYTES];
    return channel_client_send(client, &number, 1, body_bytes > 0 ? body : NULL, body_bytes);
}

static uint64_t heard_over; /* the connection of the latest message */

/* Takes all there is, and admits who sent it; the numbers must be *next, *next + 1 and so on.
 * Returns how many came. */
static unsigned hear(struct machine *machines, uint32_t at, uint8_t *next)
{
    struct channel_message message;
    unsigned count = 0;
    run_on(at);
    while (channel_server_receive(machines[at].server, &message) == STATUS_OK) {
        channel_server_admit(machines[at].server, message.connection);
        heard_over = message.connection;
        CU_ASSERT_EQUAL(message.head[0], *next);
        (*next)++;
        count++;
        channel_message_close(&message);
    }
    return count;
}

static void two_peers_exchange_messages_through_a_peers_server(void)
{
    struct machine machines[MACHINES];
    struct channel_message message;
    begin(machines, 1);
    serve(machines, 0);
    struct channel_client *client = dial(machines, 1, 0);
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_CONNECTING);
    for (uint8_t i = 0; i < LETTERS; i++) { /* said before it is connected */
        CU_ASSERT_EQUAL(say(client, i, i), STATUS_OK);
    }
    pass(SECOND);
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_FINE);
    CU_ASSERT_EQUAL(channel_client_connections(client), 1);
    uint8_t next = 0;
    char host[CHANNEL_HOST_MAX];
    sim_network_host(1, host);
    run_on(0);
    CU_ASSERT_EQUAL_FATAL(channel_server_receive(machines[0].server, &message), STATUS_OK);
    CU_ASSERT_EQUAL(message.head[0], next++);
    CU_ASSERT_STRING_EQUAL(message.host, host);
    CU_ASSERT_EQUAL(memcmp(message.curve_key, machines[1].identity.curve_public, 32), 0);
    channel_server_admit(machines[0].server, message.connection);
    CU_ASSERT_EQUAL(channel_server_send(machines[0].server, message.connection,
                                        (const uint8_t *)"!", 1, (const uint8_t *)"body", 4),
                    STATUS_OK);
    channel_message_close(&message);
    CU_ASSERT_EQUAL(hear(machines, 0, &next), LETTERS - 1);
    pass(SECOND);
    run_on(1);
    CU_ASSERT_EQUAL_FATAL(channel_client_receive(client, &message), STATUS_OK);
    CU_ASSERT_EQUAL(message.body_size_bytes, 4);
    CU_ASSERT_EQUAL(memcmp(message.body, "body", 4), 0);
    channel_message_close(&message);
    CU_ASSERT_TRUE(sim_process(0)->turn_at_us < sim->now_us); /* letters wake their receivers */
    CU_ASSERT_TRUE(sim_process(1)->turn_at_us < sim->now_us);
    CU_ASSERT_EQUAL(sim_process(2)->turn_at_us, UINT64_MAX);
    run_on(1);
    channel_client_free(client);
    (void)end(machines);
}

static void wrong_key_or_address_does_not_connect(void)
{
    struct machine machines[MACHINES];
    begin(machines, 2);
    serve(machines, 0);
    struct channel_client *wrong_key = connect_to(machines, 1, machines[0].address, 2);
    struct channel_client *wrong_port = connect_to(machines, 1, "10.0.0.10:1", 0);
    struct channel_client *nowhere = connect_to(machines, 1, "192.0.2.1:7800", 0);
    struct channel_client *named = NULL;
    CU_ASSERT_EQUAL(channel_client_new(machines[1].set, CHANNEL_BULK, "coordinator:7700",
                                       machines[0].identity.public_key, &machines[1].identity,
                                       &named),
                    STATUS_USAGE);
    pass(3 * SECOND);
    CU_ASSERT_EQUAL(channel_client_trouble(wrong_key), CHANNEL_WRONG_KEY);
    CU_ASSERT_EQUAL(channel_client_trouble(wrong_port), CHANNEL_CONNECTING);
    CU_ASSERT_EQUAL(channel_client_trouble(nowhere), CHANNEL_CONNECTING);
    run_on(1);
    channel_client_free(wrong_key);
    channel_client_free(wrong_port);
    channel_client_free(nowhere);
    (void)end(machines);
}

static void owner_that_dies_is_found_again_when_it_serves(void)
{
    struct machine machines[MACHINES];
    begin(machines, 3);
    serve(machines, 0);
    struct channel_client *client = dial(machines, 1, 0);
    pass(SECOND);
    CU_ASSERT_EQUAL(say(client, 77, 0), STATUS_OK); /* is lost with the process */
    kill_process(machines, 0);
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_CONNECTING);
    pass(SECOND);
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_CONNECTING);
    start(machines, 0);
    serve(machines, 0);
    CU_ASSERT_EQUAL(say(client, 0, 0), STATUS_OK);
    pass(SECOND);
    uint8_t next = 0;
    CU_ASSERT_EQUAL(hear(machines, 0, &next), 1);
    CU_ASSERT_EQUAL(channel_client_connections(client), 2);
    run_on(1);
    channel_client_free(client);
    (void)end(machines);
}

static void cut_and_barred_connections_are_gone_and_others_stay(void)
{
    struct machine machines[MACHINES];
    begin(machines, 4);
    serve(machines, 0);
    struct channel_server *server = machines[0].server;
    struct channel_client *stranger = dial(machines, 1, 0);
    struct channel_client *friend = dial(machines, 2, 0);
    uint8_t next = 0;
    CU_ASSERT_EQUAL(say(stranger, 0, 0), STATUS_OK);
    pass(SECOND);
    CU_ASSERT_EQUAL(hear(machines, 0, &next), 1);
    uint64_t of_stranger = heard_over;
    CU_ASSERT_EQUAL(say(friend, 1, 0), STATUS_OK);
    pass(SECOND);
    CU_ASSERT_EQUAL(hear(machines, 0, &next), 1);
    uint64_t of_friend = heard_over;
    channel_server_cut(server, of_stranger);
    CU_ASSERT_EQUAL(channel_client_trouble(stranger), CHANNEL_CONNECTING);
    CU_ASSERT_EQUAL(channel_client_trouble(friend), CHANNEL_FINE);
    CU_ASSERT_EQUAL(channel_server_send(server, of_stranger, (const uint8_t *)"x", 1, NULL, 0),
                    STATUS_STALE);
    CU_ASSERT_EQUAL(channel_server_send(server, of_friend, (const uint8_t *)"x", 1, NULL, 0),
                    STATUS_OK);
    pass(SECOND);
    CU_ASSERT_EQUAL(channel_client_trouble(stranger), CHANNEL_FINE); /* it came back */
    CU_ASSERT_EQUAL(channel_server_bar(server, machines[1].identity.curve_public, true), STATUS_OK);
    pass(3 * SECOND);
    CU_ASSERT_EQUAL(channel_client_trouble(stranger), CHANNEL_SHUT_OUT);
    CU_ASSERT_EQUAL(channel_client_connections(friend), 1);
    CU_ASSERT_EQUAL(channel_server_bar(server, machines[1].identity.curve_public, false),
                    STATUS_OK);
    pass(SECOND);
    CU_ASSERT_EQUAL(channel_client_trouble(stranger), CHANNEL_FINE);
    run_on(1);
    channel_client_free(stranger);
    run_on(2);
    channel_client_free(friend);
    (void)end(machines);
}

static void strangers_that_say_too_much_are_cut(void)
{
    struct machine machines[MACHINES];
    begin(machines, 5);
    serve(machines, 0);
    struct channel_client *client = dial(machines, 1, 0);
    pass(SECOND);
    for (unsigned i = 0; i <= CHANNEL_STRANGER_MESSAGES_MAX; i++) {
        CU_ASSERT_EQUAL(say(client, (uint8_t)i, 0), STATUS_OK);
    }
    pass(SECOND);
    struct channel_message message;
    struct channel_incident incident;
    unsigned heard = 0;
    run_on(0);
    while (channel_server_receive(machines[0].server, &message) == STATUS_OK) {
        channel_message_close(&message);
        heard++;
    }
    CU_ASSERT_EQUAL(heard, CHANNEL_STRANGER_MESSAGES_MAX);
    CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_CONNECTING);
    CU_ASSERT_TRUE_FATAL(channel_server_incident(machines[0].server, &incident));
    CU_ASSERT_EQUAL(incident.reason, CHANNEL_NOT_ADMITTED);
    run_on(1);
    channel_client_free(client);
    (void)end(machines);
}

/* A fault of the wire between machines 0 and 1. */
static void fault_between(enum sim_fault kind)
{
    struct sim_event event = {.type = SIM_NETWORK, .index = 0, .worker = kind, .serial = 1 + 1};
    sim_network_fault(&event);
}

static void partition_of_two_machines_leaves_others_connected(void)
{
    unsigned unheard = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct machine machines[MACHINES];
        begin(machines, seed);
        serve(machines, 0);
        serve(machines, 1);
        struct channel_client *cut = dial(machines, 1, 0);
        struct channel_client *back = dial(machines, 0, 1);
        struct channel_client *other = dial(machines, 2, 0);
        pass(SECOND);
        fault_between(SIM_PARTITION);
        CU_ASSERT_EQUAL(say(other, 0, 0), STATUS_OK);
        pass(10 * MS);
        uint8_t next = 0;
        CU_ASSERT_EQUAL(hear(machines, 0, &next), 1);
        CU_ASSERT_EQUAL(say(cut, 1, 0), STATUS_OK);
        pass(10 * MS);
        unheard += hear(machines, 0, &next) == 0; /* or the other direction alone is cut */
        pass(30 * SECOND);
        CU_ASSERT_EQUAL(channel_client_connections(cut), 2);
        CU_ASSERT_EQUAL(channel_client_connections(back), 2);
        CU_ASSERT_EQUAL(channel_client_connections(other), 1);
        run_on(0);
        channel_client_free(back);
        run_on(1);
        channel_client_free(cut);
        run_on(2);
        channel_client_free(other);
        (void)end(machines);
    }
    CU_ASSERT_TRUE(unheard > 5 && unheard < 20);
}

static void clog_between_two_machines_delays_no_others(void)
{
    unsigned late = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct machine machines[MACHINES];
        begin(machines, seed);
        serve(machines, 0);
        struct channel_client *clogged = dial(machines, 1, 0);
        struct channel_client *other = dial(machines, 2, 0);
        pass(SECOND);
        fault_between(SIM_CLOG);
        CU_ASSERT_EQUAL(say(other, 0, 0), STATUS_OK);
        pass(10 * MS);
        uint8_t next = 0;
        CU_ASSERT_EQUAL(hear(machines, 0, &next), 1);
        CU_ASSERT_EQUAL(say(clogged, 1, 0), STATUS_OK);
        pass(10 * MS);
        unsigned heard = hear(machines, 0, &next);
        late += heard == 0;
        pass(30 * SECOND);
        CU_ASSERT_EQUAL(heard + hear(machines, 0, &next), 1); /* late, and not lost */
        CU_ASSERT_EQUAL(channel_client_connections(clogged), 1);
        run_on(1);
        channel_client_free(clogged);
        run_on(2);
        channel_client_free(other);
        (void)end(machines);
    }
    CU_ASSERT_TRUE(late > 5 && late < 20);
}

/* Everything goes wrong between three machines for a while; then nothing may. */
static struct digest storm(uint64_t seed, uint64_t *out_lost)
{
    struct machine machines[MACHINES];
    begin(machines, seed);
    sim->plan.loss = sim->plan.duplicates = sim->plan.reordered = sim->plan.damaged = 100;
    serve(machines, 0);
    serve(machines, 1);
    struct channel_client *clients[] = {dial(machines, 1, 0), dial(machines, 2, 0),
                                        dial(machines, 0, 1), dial(machines, 2, 1)};
    static const uint32_t at[] = {1, 2, 0, 2};
    for (unsigned round = 0; round < 200; round++) {
        run_on(at[round % 4]);
        (void)say(clients[round % 4], (uint8_t)round, round % 7);
        pass(20 * MS);
    }
    fault_between(SIM_CLOG);
    fault_between(SIM_RESET);
    sim->calm = true;
    sim_network_calm();
    pass(SECOND);
    for (uint32_t server = 0; server < 2; server++) {
        struct channel_message message;
        run_on(server);
        while (channel_server_receive(machines[server].server, &message) == STATUS_OK) {
            channel_server_admit(machines[server].server, message.connection);
            channel_message_close(&message);
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        uint8_t next = (uint8_t)i;
        CU_ASSERT_EQUAL(channel_client_trouble(clients[i]), CHANNEL_FINE);
        run_on(at[i]);
        CU_ASSERT_EQUAL(say(clients[i], next, 0), STATUS_OK);
        pass(SECOND);
        CU_ASSERT_EQUAL(hear(machines, i < 2 ? 0 : 1, &next), 1);
        run_on(at[i]);
        channel_client_free(clients[i]);
    }
    *out_lost = sim->figures.letters_lost;
    return end(machines);
}

static void faults_of_a_seed_are_the_same_every_time(void)
{
    uint64_t lost[3];
    struct digest first = storm(5, &lost[0]);
    struct digest again = storm(5, &lost[1]);
    struct digest other = storm(6, &lost[2]);
    CU_ASSERT_TRUE(digest_equal(&first, &again));
    CU_ASSERT_FALSE(digest_equal(&first, &other));
    CU_ASSERT_EQUAL(lost[0], lost[1]);
    CU_ASSERT_TRUE(lost[0] > 5);
}

/* Milliseconds until machine 0 and 2 have heard `count` chunks in all. */
static uint64_t heard_after(struct machine *machines, unsigned count)
{
    uint64_t begun_us = sim->now_us;
    uint8_t next[MACHINES] = {0};
    for (unsigned heard = 0; heard < count && sim->now_us < begun_us + 60 * (uint64_t)SECOND;) {
        pass(MS);
        for (uint32_t i = 0; i < MACHINES; i += 2) {
            heard += machines[i].server != NULL ? hear(machines, i, &next[i]) : 0;
        }
    }
    return (sim->now_us - begun_us) / MS;
}

static void link_of_a_sender_is_shared_by_its_lines(void)
{
    struct machine machines[MACHINES];
    begin(machines, 7);
    sim->plan.links[1].up_bytes_per_s = 1000000;
    serve(machines, 0);
    serve(machines, 2);
    struct channel_client *first = dial(machines, 1, 0);
    struct channel_client *second = dial(machines, 1, 2);
    pass(SECOND);
    run_on(1);
    for (uint8_t i = 0; i < LETTERS; i++) {
        CU_ASSERT_EQUAL(say(i % 2 == 0 ? first : second, i / 2, CHUNK_BYTES), STATUS_OK);
    }
    uint64_t took_ms = heard_after(machines, LETTERS);
    CU_ASSERT_TRUE(took_ms >= 682 && took_ms < 682 + 15); /* 20 x 34101 bytes, and the delay */
    run_on(1);
    channel_client_free(first);
    channel_client_free(second);
    (void)end(machines);
}

static void link_of_a_receiver_is_shared_by_its_senders(void)
{
    struct machine machines[MACHINES];
    begin(machines, 8);
    sim->plan.links[0].down_bytes_per_s = 2000000;
    serve(machines, 0);
    struct channel_client *clients[] = {dial(machines, 1, 0), dial(machines, 2, 0)};
    pass(SECOND);
    for (uint8_t i = 0; i < LETTERS; i++) {
        run_on(1 + i % 2U);
        CU_ASSERT_EQUAL(say(clients[i % 2], 0, CHUNK_BYTES), STATUS_OK);
    }
    uint64_t begun_us = sim->now_us;
    unsigned heard = 0;
    while (heard < LETTERS && sim->now_us < begun_us + 5 * SECOND) {
        struct channel_message message;
        pass(MS);
        run_on(0);
        while (channel_server_receive(machines[0].server, &message) == STATUS_OK) {
            channel_server_admit(machines[0].server, message.connection);
            channel_message_close(&message);
            heard++;
        }
    }
    uint64_t took_ms = (sim->now_us - begun_us) / MS;
    CU_ASSERT_EQUAL(heard, LETTERS);
    CU_ASSERT_TRUE(took_ms >= 341 && took_ms < 341 + 15);
    for (uint32_t i = 0; i < 2; i++) {
        run_on(1 + i);
        channel_client_free(clients[i]);
    }
    (void)end(machines);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(two_peers_exchange_messages_through_a_peers_server),
        SUITE_TEST(wrong_key_or_address_does_not_connect),
        SUITE_TEST(owner_that_dies_is_found_again_when_it_serves),
        SUITE_TEST(cut_and_barred_connections_are_gone_and_others_stay),
        SUITE_TEST(strangers_that_say_too_much_are_cut),
        SUITE_TEST(partition_of_two_machines_leaves_others_connected),
        SUITE_TEST(clog_between_two_machines_delays_no_others),
        SUITE_TEST(faults_of_a_seed_are_the_same_every_time),
        SUITE_TEST(link_of_a_sender_is_shared_by_its_lines),
        SUITE_TEST(link_of_a_receiver_is_shared_by_its_senders),
    };
    return suite_run("sim_network", tests, sizeof tests / sizeof tests[0]);
}
