#include "tests/unit/door_fixture.h"

#include <fcntl.h>

enum { ROUNDS = 200, ANSWERS_MAX = 8, LARGE = 1024 * 1024, MESSAGE_MAX = LARGE + 1024 };

static void connect_client_is_heard_and_answered(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects(&fixture, &line));
    CU_ASSERT_EQUAL(figures(&fixture).connections, 1);
    CU_ASSERT_EQUAL(figures(&fixture).unproven, 0);
    uint8_t message[256];
    uint8_t heard[256];
    size_t size = put_message(message, 10, 0);
    CU_ASSERT_TRUE(says(line.tcp, message, size));
    CU_ASSERT_TRUE(hears(line.inner, heard, size));
    CU_ASSERT_EQUAL(memcmp(heard, message, size), 0);
    CU_ASSERT_EQUAL(figures(&fixture).flight_bytes, size + 2 * DOOR_FRAME_COST);
    CU_ASSERT_TRUE(door_taken(fixture.door, line.ref, 10, 0));
    CU_ASSERT_EQUAL(figures(&fixture).flight_bytes, 0);
    CU_ASSERT_EQUAL(door_reserve(fixture.door, line.ref, 10, 0), STATUS_OK);
    CU_ASSERT_EQUAL(figures(&fixture).queued_bytes, size);
    CU_ASSERT_TRUE(says(line.inner, message, size));
    CU_ASSERT_TRUE(hears(line.tcp, heard, size));
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (figures(&fixture).queued_bytes != 0 && clock_now_ms() < deadline_ms) {
        clock_sleep_ms(TICK_MS);
    }
    CU_ASSERT_EQUAL(figures(&fixture).queued_bytes, 0);
    CU_ASSERT_TRUE(door_delivered_bytes(fixture.door, line.ref) >= size);
    hang_up(&line);
    end(&fixture);
}

static void connect_without_a_hello_costs_nothing_behind_the_door(void)
{
    struct fixture fixture;
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    int tcp = dial(&fixture);
    uint8_t greeting[DOOR_GREETING_BYTES];
    CU_ASSERT_TRUE(hears(tcp, greeting, sizeof greeting));
    CU_ASSERT_EQUAL(memcmp(greeting, door_greeting, sizeof greeting), 0);
    greeting[32] = 0;
    CU_ASSERT_TRUE(says(tcp, greeting, sizeof greeting));
    CU_ASSERT_EQUAL(inner_accepts(&fixture, 100), -1);
    (void)close(tcp);
    CU_ASSERT_TRUE(slots_become(&fixture, 0));
    end(&fixture);
}

static void large_messages_pass_in_both_directions(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    uint8_t *message = need(MESSAGE_MAX);
    uint8_t *heard = need(MESSAGE_MAX);
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    (void)fcntl(line.tcp, F_SETFL, O_NONBLOCK);
    size_t size = put_message(message, 64, LARGE);
    for (size_t i = 200; i < size; i++) {
        message[i] = (uint8_t)(i * 2654435761U >> 13U);
    }
    for (unsigned round = 0; round < 4; round++) {
        size_t sent = 0;
        size_t got = 0;
        uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
        int from = round % 2 == 0 ? line.tcp : line.inner;
        int to = round % 2 == 0 ? line.inner : line.tcp;
        while (got < size && clock_now_ms() < deadline_ms) {
            ssize_t n = send(from, message + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
            n = recv(to, heard + got, size - got, MSG_DONTWAIT);
            got += n > 0 ? (size_t)n : 0;
        }
        CU_ASSERT_EQUAL_FATAL(got, size);
        CU_ASSERT_EQUAL(memcmp(heard, message, size), 0);
        if (round % 2 == 0) {
            CU_ASSERT_TRUE(door_taken(fixture.door, line.ref, 64, LARGE));
        }
    }
    hang_up(&line);
    end(&fixture);
    free(message);
    free(heard);
}

static void client_that_leaves_is_gone_behind_the_door_after_its_last_words(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    uint8_t message[256];
    size_t size = put_message(message, 10, 0);
    CU_ASSERT_TRUE(says(line.tcp, message, size));
    (void)close(line.tcp);
    line.tcp = -1;
    CU_ASSERT_TRUE(hears(line.inner, NULL, size));
    CU_ASSERT_TRUE(hears_the_end(line.inner, PATIENCE_MS));
    CU_ASSERT_EQUAL(figures(&fixture).slots, 1); /* libzmq has not closed its end */
    CU_ASSERT_EQUAL(figures(&fixture).flight_bytes, size + 2 * DOOR_FRAME_COST);
    hang_up(&line);
    clock_sleep_ms(300);
    CU_ASSERT_EQUAL(figures(&fixture).flight_bytes,
                    size + 2 * DOOR_FRAME_COST); /* to be read yet */
    CU_ASSERT_TRUE(slots_become(&fixture, 0));
    CU_ASSERT_EQUAL(figures(&fixture).flight_bytes, 0);
    CU_ASSERT_EQUAL(door_reserve(fixture.door, line.ref, 10, 0), STATUS_STALE);
    end(&fixture);
}

/* It has not read everything, so that its end resets the connection; and something is being sent
 * to it. Which of the two the door sees first differs from round to round. */
static void last_words_are_heard_though_nothing_can_be_sent_any_more(void)
{
    struct fixture fixture;
    struct door_limits limits = control_limits();
    uint8_t message[256];
    size_t size = put_message(message, 10, 0);
    unsigned heard = 0;
    begin(&fixture, &limits);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct line line;
        CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
        CU_ASSERT_TRUE(says(line.inner, message, size));
        for (unsigned j = 0; j < i % ANSWERS_MAX; j++) {
            (void)says(line.inner, message, size);
        }
        CU_ASSERT_TRUE(says(line.tcp, message, size));
        (void)close(line.tcp);
        line.tcp = -1;
        (void)says(line.inner, message, size);
        heard += hears(line.inner, NULL, size);
        CU_ASSERT_TRUE(door_taken(fixture.door, line.ref, 10, 0));
        hang_up(&line);
    }
    CU_ASSERT_EQUAL(heard, ROUNDS);
    end(&fixture);
}

static void last_words_of_libzmq_reach_the_client(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    uint8_t *bytes = need(LARGE);
    int small = 4096;
    (void)setsockopt(line.tcp, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    size_t sent = 0;
    uint64_t deadline_ms = clock_now_ms() + 300;
    while (clock_now_ms() < deadline_ms && sent < LARGE) { /* the client does not read */
        ssize_t n = send(line.inner, bytes, LARGE - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
    }
    CU_ASSERT_TRUE(sent > 0);
    door_retire(fixture.door); /* libzmq ends because the program does */
    (void)close(line.inner);
    line.inner = -1;
    CU_ASSERT_TRUE(hears(line.tcp, NULL, sent));
    CU_ASSERT_TRUE(hears_the_end(line.tcp, PATIENCE_MS));
    free(bytes);
    hang_up(&line);
    end(&fixture);
}

static void cut_ends_both_sides_at_once(void)
{
    struct fixture fixture;
    struct line line;
    struct door_incident incident;
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    door_cut(fixture.door, line.ref);
    CU_ASSERT_TRUE(hears_the_end(line.tcp, 500));
    CU_ASSERT_TRUE(hears_the_end(line.inner, 500));
    CU_ASSERT_EQUAL(door_reserve(fixture.door, line.ref, 1, 0), STATUS_STALE);
    CU_ASSERT_FALSE(door_incident(fixture.door, &incident)); /* who cut knows why */
    hang_up(&line);
    CU_ASSERT_TRUE(slots_become(&fixture, 0));
    door_cut(fixture.door, line.ref); /* fine when it is gone */
    struct line next;
    CU_ASSERT_TRUE_FATAL(connects(&fixture, &next)); /* in the same slot */
    CU_ASSERT_EQUAL(next.ref.slot, line.ref.slot);
    door_cut(fixture.door, line.ref);
    CU_ASSERT_FALSE(hears_the_end(next.tcp, 200));
    hang_up(&next);
    end(&fixture);
}

static void match_takes_only_the_connection_whose_key_it_was(void)
{
    struct fixture fixture;
    struct line line;
    struct door_ref ref;
    char host[CHANNEL_HOST_MAX];
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects(&fixture, &line));
    CU_ASSERT_FALSE(door_match(fixture.door, line.inner, line.serial, &ref, host)); /* once */
    CU_ASSERT_FALSE(door_match(fixture.door, line.tcp, line.serial, &ref, host));
    CU_ASSERT_FALSE(door_match(fixture.door, -1, line.serial, &ref, host));
    CU_ASSERT_FALSE(door_match(fixture.door, fixture.inner_listen, line.serial, &ref, host));
    hang_up(&line);
    struct line late = {.tcp = dial(&fixture), .inner = -1};
    CU_ASSERT_TRUE(client_opens(late.tcp));
    late.inner = inner_accepts(&fixture, PATIENCE_MS);
    uint64_t before = atomic_fetch_add(&fixture.counter, 1) + 1; /* of a key checked before */
    CU_ASSERT_TRUE(inner_welcomes(late.inner) && client_initiates(late.tcp));
    CU_ASSERT_TRUE(inner_is_ready(late.inner) && hears(late.tcp, NULL, READY_BYTES));
    CU_ASSERT_FALSE(door_match(fixture.door, late.inner, before, &ref, host));
    CU_ASSERT_TRUE(door_match(fixture.door, late.inner, before + 1, &ref, host));
    hang_up(&late);
    end(&fixture);
}

static void retire_frees_the_port_and_keeps_who_is_there(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    door_retire(fixture.door);
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    int tcp = dial(&fixture);
    while (tcp >= 0 && clock_now_ms() < deadline_ms) {
        (void)close(tcp);
        tcp = dial(&fixture);
    }
    CU_ASSERT_EQUAL(tcp, -1);
    uint8_t message[256];
    size_t size = put_message(message, 10, 0);
    CU_ASSERT_TRUE(says(line.inner, message, size));
    CU_ASSERT_TRUE(hears(line.tcp, NULL, size));
    hang_up(&line);
    end(&fixture);
}

static void free_waits_for_what_was_said_but_not_for_ever(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    int idle = dial(&fixture);
    uint8_t message[256];
    size_t size = put_message(message, 10, 0);
    CU_ASSERT_TRUE(says(line.inner, message, size));
    uint64_t began_ms = clock_now_ms();
    end(&fixture); /* libzmq's end stays open */
    CU_ASSERT_TRUE(clock_now_ms() - began_ms < 2 * DOOR_END_MS_MAX);
    CU_ASSERT_TRUE(hears(line.tcp, NULL, size));
    CU_ASSERT_TRUE(hears_the_end(line.tcp, PATIENCE_MS));
    (void)close(idle);
    hang_up(&line);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(connect_client_is_heard_and_answered),
        SUITE_TEST(connect_without_a_hello_costs_nothing_behind_the_door),
        SUITE_TEST(large_messages_pass_in_both_directions),
        SUITE_TEST(client_that_leaves_is_gone_behind_the_door_after_its_last_words),
        SUITE_TEST(last_words_are_heard_though_nothing_can_be_sent_any_more),
        SUITE_TEST(last_words_of_libzmq_reach_the_client),
        SUITE_TEST(cut_ends_both_sides_at_once),
        SUITE_TEST(match_takes_only_the_connection_whose_key_it_was),
        SUITE_TEST(retire_frees_the_port_and_keeps_who_is_there),
        SUITE_TEST(free_waits_for_what_was_said_but_not_for_ever),
    };
    return suite_run("door", tests, sizeof tests / sizeof tests[0]);
}
