#include "tests/unit/door_fixture.h"

enum { LARGE = 1024 * 1024, CROWD = 12 };

static bool is_cut(struct fixture *fixture, struct line *line, enum channel_reason reason)
{
    struct door_incident incident;
    bool told = tells(fixture, reason, &incident);
    bool ended = hears_the_end(line->tcp, PATIENCE_MS);
    bool right = told && (incident.serial == line->serial || line->serial == 0) &&
                 strcmp(incident.host, "127.0.0.1") == 0;
    hang_up(line);
    return right && ended && slots_become(fixture, 0);
}

static void slow_handshake_is_cut_at_every_point_of_it(void)
{
    struct fixture fixture;
    struct door_limits limits = control_limits();
    limits.handshake_ms_max = 200;
    begin(&fixture, &limits);
    for (unsigned point = 0; point < 4; point++) {
        uint64_t began_ms = clock_now_ms();
        struct line line = {.tcp = dial(&fixture), .inner = -1};
        if (point == 1) {
            CU_ASSERT_TRUE(says(line.tcp, door_greeting, 20));
        }
        if (point >= 2) {
            CU_ASSERT_TRUE(client_opens(line.tcp));
            line.inner = inner_accepts(&fixture, PATIENCE_MS);
        }
        if (point == 3) {
            CU_ASSERT_TRUE(inner_welcomes(line.inner));
            CU_ASSERT_TRUE(client_initiates(line.tcp)); /* and its key is never checked */
        }
        CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_NO_KEY));
        CU_ASSERT_TRUE(clock_now_ms() - began_ms >= 200);
    }
    end(&fixture);
}

static void handshake_that_drips_is_cut_all_the_same(void)
{
    struct fixture fixture;
    struct door_limits limits = control_limits();
    limits.handshake_ms_max = 300;
    begin(&fixture, &limits);
    struct line line = {.tcp = dial(&fixture), .inner = -1};
    uint64_t began_ms = clock_now_ms();
    uint8_t greeting[DOOR_GREETING_BYTES];
    memcpy(greeting, door_greeting, sizeof greeting);
    greeting[32] = 0;
    size_t at = 0;
    while (at < sizeof greeting && says(line.tcp, greeting + at, 1)) {
        at++;
        clock_sleep_ms(10);
    }
    CU_ASSERT_TRUE(at < sizeof greeting);
    CU_ASSERT_TRUE(clock_now_ms() - began_ms < PATIENCE_MS);
    CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_NO_KEY));
    end(&fixture);
}

static void nonsense_never_reaches_libzmq(void)
{
    struct fixture fixture;
    struct door_limits limits = control_limits();
    uint8_t bytes[DOOR_OPENING_BYTES] = "GET / HTTP/1.1\r\n\r\n";
    begin(&fixture, &limits);
    struct line line = {.tcp = dial(&fixture), .inner = -1};
    CU_ASSERT_TRUE(says(line.tcp, bytes, sizeof bytes));
    CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_MALFORMED));
    CU_ASSERT_EQUAL(inner_accepts(&fixture, 50), -1);
    end(&fixture);
}

static void client_that_speaks_before_it_is_answered_is_cut(void)
{
    struct fixture fixture;
    struct door_limits limits = control_limits();
    uint8_t frame[INITIATE_BYTES];
    begin(&fixture, &limits);
    struct line line = {.tcp = dial(&fixture), .inner = -1};
    CU_ASSERT_TRUE(client_opens(line.tcp));
    line.inner = inner_accepts(&fixture, PATIENCE_MS);
    CU_ASSERT_TRUE(line.inner >= 0);
    CU_ASSERT_TRUE(says(line.tcp, frame, put_frame(frame, 6, "\x08INITIATE", 300)));
    CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_MALFORMED));
    line = (struct line){.tcp = dial(&fixture), .inner = -1};
    CU_ASSERT_TRUE(client_opens(line.tcp));
    line.inner = inner_accepts(&fixture, PATIENCE_MS);
    CU_ASSERT_TRUE(inner_welcomes(line.inner) && client_initiates(line.tcp));
    CU_ASSERT_TRUE(hears(line.inner, NULL, INITIATE_BYTES));
    CU_ASSERT_TRUE(says(line.tcp, frame, put_message(frame, 10, 0)));
    CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_MALFORMED));
    line = (struct line){.tcp = dial(&fixture), .inner = -1};
    CU_ASSERT_TRUE(client_opens(line.tcp));
    line.inner = inner_accepts(&fixture, PATIENCE_MS);
    CU_ASSERT_TRUE(inner_welcomes(line.inner) && hears(line.tcp, NULL, DOOR_WELCOME_BYTES));
    uint8_t both[INITIATE_BYTES + 256]; /* in one go */
    size_t size = put_frame(both, 6, "\x08INITIATE", 300);
    size += put_message(both + size, 10, 0);
    CU_ASSERT_TRUE(says(line.tcp, both, size));
    CU_ASSERT_FALSE(hears(line.inner, NULL, INITIATE_BYTES));
    CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_MALFORMED));
    end(&fixture);
}

static void initiate_that_is_too_large_is_cut_before_its_body(void)
{
    struct fixture fixture;
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    struct line line = {.tcp = dial(&fixture), .inner = -1};
    CU_ASSERT_TRUE(client_opens(line.tcp));
    line.inner = inner_accepts(&fixture, PATIENCE_MS);
    CU_ASSERT_TRUE(inner_welcomes(line.inner) && hears(line.tcp, NULL, DOOR_WELCOME_BYTES));
    static const uint8_t header[9] = {6, 0, 0, 0, 0, 0, 0, 0x10, 0};
    CU_ASSERT_TRUE(says(line.tcp, header, sizeof header));
    CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_OVERSIZE));
    end(&fixture);
}

static void giant_frame_costs_its_sender_the_connection_and_us_nothing(void)
{
    static const uint8_t headers[][9] = {
        {2, 0, 0, 0, 0, 0, 0x20, 0, 0},                      /* 2 MiB */
        {2, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, /* a member's */
        {2, 0, 0, 0, 0, 0, 0, 0x40, 0},                      /* 16 KiB of a stranger */
    };
    struct fixture fixture;
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct line line;
        CU_ASSERT_TRUE_FATAL(i < 2 ? connects_as_member(&fixture, &line)
                                   : connects(&fixture, &line));
        CU_ASSERT_TRUE(says(line.tcp, headers[i], sizeof headers[i]));
        CU_ASSERT_TRUE(hears_the_end(line.inner, PATIENCE_MS)); /* and not a byte before it */
        CU_ASSERT_EQUAL(figures(&fixture).flight_bytes, 0);
        CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_OVERSIZE));
    }
    end(&fixture);
}

static void inner_reads_all(int inner, uint64_t *bytes)
{
    static uint8_t spare[LARGE];
    ssize_t have = 0;
    while ((have = recv(inner, spare, sizeof spare, MSG_DONTWAIT)) > 0) {
        *bytes += (uint64_t)have;
    }
}

/* Frames without end, of which libzmq makes no message: how many bytes of them it was given. */
static uint64_t says_endlessly(struct fixture *fixture, struct line *line, bool program_is_busy)
{
    uint8_t frame[64];
    size_t size = put_frame(frame, 0, "\7MESSAGE", 33);
    uint8_t *many = need(size * 1000);
    for (size_t i = 0; i < 1000; i++) {
        memcpy(many + i * size, frame, size);
    }
    uint64_t bytes = 0;
    size_t at = 0;
    uint64_t deadline_ms = clock_now_ms() + (program_is_busy ? 600 : PATIENCE_MS);
    while (clock_now_ms() < deadline_ms) {
        ssize_t n = send(line->tcp, many + at, size * 1000 - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            break;
        }
        at = n > 0 ? (at + (size_t)n) % (size * 1000) : at;
        inner_reads_all(line->inner, &bytes);
        if (!program_is_busy) {
            door_idle(fixture->door);
        }
    }
    free(many);
    return bytes;
}

static void endless_message_is_cut_with_little_kept(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    limits.unfinished_ms_max = 200;
    begin(&fixture, &limits);
    for (unsigned member = 0; member < 2; member++) {
        CU_ASSERT_TRUE_FATAL(member != 0 ? connects_as_member(&fixture, &line)
                                         : connects(&fixture, &line));
        uint64_t began_ms = clock_now_ms();
        uint64_t bytes = says_endlessly(&fixture, &line, false);
        CU_ASSERT_TRUE(bytes > 0);
        CU_ASSERT_TRUE(bytes <=
                       (member != 0 ? limits.member_flight_max : limits.stranger_flight_max));
        CU_ASSERT_TRUE(clock_now_ms() - began_ms < 2000);
        CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_UNFINISHED));
    }
    end(&fixture);
}

/* What heartbeats are forgiven makes a little room each second, for a little of a large frame. */
static void endless_message_is_cut_although_the_window_leaks(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    limits.unfinished_ms_max = 1500;
    uint8_t *bytes = need(2 * limits.frame_body_max);
    uint64_t taken = 0;
    size_t at = 0;
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    size_t size = put_frame(bytes, 2, "\7MESSAGE", limits.frame_body_max);
    size +=
        put_frame(bytes + size, 2, "\7MESSAGE", limits.frame_body_max - DOOR_FRAME_HEADER_MAX * 2);
    uint64_t end_ms = clock_now_ms() + 2500;
    bool stands = true;
    while (stands && clock_now_ms() < end_ms) {
        ssize_t n = send(line.tcp, bytes + at, size - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        stands = n >= 0 || errno == EAGAIN;
        at += n > 0 ? (size_t)n : 0;
        inner_reads_all(line.inner, &taken);
        door_idle(fixture.door);
        clock_sleep_ms(5);
        stands = stands && figures(&fixture).connections == 1;
    }
    CU_ASSERT_FALSE(stands);
    CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_UNFINISHED));
    free(bytes);
    end(&fixture);
}

static void full_window_of_a_busy_program_is_nobodys_fault(void)
{
    struct fixture fixture;
    struct line line;
    struct door_incident incident;
    struct door_limits limits = control_limits();
    limits.unfinished_ms_max = 100;
    limits.member_flight_max = 64 * 1024;
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    door_idle(fixture.door);
    (void)says_endlessly(&fixture, &line, true);
    CU_ASSERT_FALSE(door_incident(fixture.door, &incident));
    CU_ASSERT_EQUAL(figures(&fixture).connections, 1);
    hang_up(&line);
    end(&fixture);
}

static void heartbeats_alone_never_fill_the_window(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    limits.leak_bytes_per_s = 1000;
    limits.stranger_flight_max = 1500;
    limits.unfinished_ms_max = 100;
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects(&fixture, &line));
    uint8_t frame[64];
    size_t size = put_frame(frame, 0, "\7MESSAGE", 40);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < 30; i++) { /* 106 bytes of flight each */
        CU_ASSERT_TRUE(says(line.tcp, frame, size));
        clock_sleep_ms(110);
        inner_reads_all(line.inner, &bytes);
        door_idle(fixture.door);
    }
    CU_ASSERT_EQUAL(bytes, 30 * size);
    CU_ASSERT_EQUAL(figures(&fixture).connections, 1);
    hang_up(&line);
    end(&fixture);
}

static void ceiling_over_all_holds_and_honest_messages_still_pass(void)
{
    struct fixture fixture;
    struct line greedy[CROWD];
    struct line honest;
    struct door_limits limits = control_limits();
    limits.member_flight_max = 256 * 1024;
    limits.total_flight_max = LARGE;
    limits.unfinished_ms_max = 300;
    uint8_t *bytes = need(256 * 1024);
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &honest));
    size_t size = put_frame(bytes, 2, "\7MESSAGE", 200 * 1024);
    uint64_t inner_bytes = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &greedy[i]));
        CU_ASSERT_TRUE(send(greedy[i].tcp, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
    }
    uint64_t deadline_ms = clock_now_ms() + 200;
    uint64_t most = 0;
    while (clock_now_ms() < deadline_ms) {
        for (unsigned i = 0; i < CROWD; i++) {
            inner_reads_all(greedy[i].inner, &inner_bytes);
        }
        uint64_t now = figures(&fixture).flight_bytes;
        most = now > most ? now : most;
    }
    CU_ASSERT_TRUE(most > LARGE / 2);
    CU_ASSERT_TRUE(most <= LARGE + CROWD * DOOR_FRAME_COST);
    uint8_t message[256];
    size = put_message(message, 10, 0);
    CU_ASSERT_TRUE(says(honest.tcp, message, size));
    CU_ASSERT_TRUE(hears(honest.inner, NULL, size));
    CU_ASSERT_TRUE(door_taken(fixture.door, honest.ref, 10, 0));
    for (unsigned i = 0; i < CROWD; i++) {
        hang_up(&greedy[i]);
    }
    CU_ASSERT_TRUE(slots_become(&fixture, 1));
    CU_ASSERT_EQUAL(figures(&fixture).flight_bytes, 0);
    hang_up(&honest);
    free(bytes);
    end(&fixture);
}

static void stranger_that_nobody_admits_is_cut(void)
{
    struct fixture fixture;
    struct line line;
    struct line member;
    struct door_limits limits = control_limits();
    limits.stranger_ms_max = 200;
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &member));
    CU_ASSERT_TRUE_FATAL(connects(&fixture, &line));
    uint64_t deadline_ms = clock_now_ms() + 500;
    while (clock_now_ms() < deadline_ms) {
        door_idle(fixture.door);
        clock_sleep_ms(TICK_MS);
    }
    struct door_incident incident;
    CU_ASSERT_TRUE(tells(&fixture, CHANNEL_NOT_ADMITTED, &incident));
    CU_ASSERT_EQUAL(incident.serial, line.serial);
    CU_ASSERT_TRUE(hears_the_end(line.tcp, PATIENCE_MS));
    CU_ASSERT_FALSE(hears_the_end(member.tcp, 100));
    hang_up(&line);
    hang_up(&member);
    end(&fixture);
}

static void reader_that_does_not_read_is_cut_with_little_kept(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    limits.slow_member_ms_max = 300;
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    uint8_t *bytes = need(LARGE);
    size_t size = put_message(bytes, 64, 32 * 1024);
    uint64_t given = 0;
    uint64_t kept = 0;
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    size_t left = 0;
    while (clock_now_ms() < deadline_ms) {
        if (left == 0) {
            enum status status = door_reserve(fixture.door, line.ref, 64, 32 * 1024);
            if (status == STATUS_STALE) {
                break;
            }
            left = status == STATUS_OK ? size : 0;
        }
        ssize_t n =
            left > 0 ? send(line.inner, bytes + size - left, left, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        left -= n > 0 ? (size_t)n : 0;
        given += n > 0 ? (uint64_t)n : 0;
        uint64_t queued = figures(&fixture).queued_bytes;
        kept = queued > kept ? queued : kept;
    }
    CU_ASSERT_TRUE(given > 0);
    CU_ASSERT_TRUE(kept > 0 && kept <= limits.queued_body_max + size);
    struct door_incident incident;
    CU_ASSERT_TRUE(tells(&fixture, CHANNEL_SLOW_READER, &incident));
    CU_ASSERT_EQUAL(incident.serial, line.serial);
    free(bytes);
    hang_up(&line);
    CU_ASSERT_TRUE(slots_become(&fixture, 0));
    CU_ASSERT_EQUAL(figures(&fixture).queued_bytes, 0);
    end(&fixture);
}

static void queue_has_room_for_heads_when_it_has_none_for_bodies(void)
{
    struct fixture fixture;
    struct line line;
    struct line other;
    struct door_limits limits = control_limits();
    limits.queued_body_max = 10000;
    limits.queued_head_max = 20000;
    limits.total_queued_max = 40000;
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &other));
    CU_ASSERT_EQUAL(door_reserve(fixture.door, line.ref, 64, 12000), STATUS_OK);
    CU_ASSERT_EQUAL(door_reserve(fixture.door, line.ref, 64, 100), STATUS_AGAIN);
    CU_ASSERT_EQUAL(door_reserve(fixture.door, line.ref, 8000, 0), STATUS_OK);
    CU_ASSERT_EQUAL(door_reserve(fixture.door, line.ref, 64, 0), STATUS_AGAIN);
    CU_ASSERT_EQUAL(door_reserve(fixture.door, other.ref, 64, 100), STATUS_OK);
    door_release(fixture.door, line.ref, 8000, 0);
    CU_ASSERT_EQUAL(door_reserve(fixture.door, line.ref, 64, 0), STATUS_OK);
    hang_up(&line);
    hang_up(&other);
    end(&fixture);
}

static void many_small_messages_are_too_fast_and_large_ones_are_not(void)
{
    struct fixture fixture;
    struct line line;
    struct door_limits limits = control_limits();
    limits.small_messages_per_s = 1;
    limits.small_messages_burst = 10;
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &line));
    for (unsigned i = 0; i < 100; i++) {
        CU_ASSERT_TRUE(door_taken(fixture.door, line.ref, 64, 32 * 1024));
    }
    unsigned fine = 0;
    while (fine < 100 && door_taken(fixture.door, line.ref, 64, 0)) {
        fine++;
    }
    CU_ASSERT_TRUE(fine >= 10 && fine <= 13);
    CU_ASSERT_TRUE(is_cut(&fixture, &line, CHANNEL_TOO_FAST));
    end(&fixture);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(slow_handshake_is_cut_at_every_point_of_it),
        SUITE_TEST(handshake_that_drips_is_cut_all_the_same),
        SUITE_TEST(nonsense_never_reaches_libzmq),
        SUITE_TEST(client_that_speaks_before_it_is_answered_is_cut),
        SUITE_TEST(initiate_that_is_too_large_is_cut_before_its_body),
        SUITE_TEST(giant_frame_costs_its_sender_the_connection_and_us_nothing),
        SUITE_TEST(endless_message_is_cut_with_little_kept),
        SUITE_TEST(endless_message_is_cut_although_the_window_leaks),
        SUITE_TEST(full_window_of_a_busy_program_is_nobodys_fault),
        SUITE_TEST(heartbeats_alone_never_fill_the_window),
        SUITE_TEST(ceiling_over_all_holds_and_honest_messages_still_pass),
        SUITE_TEST(stranger_that_nobody_admits_is_cut),
        SUITE_TEST(reader_that_does_not_read_is_cut_with_little_kept),
        SUITE_TEST(queue_has_room_for_heads_when_it_has_none_for_bodies),
        SUITE_TEST(many_small_messages_are_too_fast_and_large_ones_are_not),
    };
    return suite_run("door_hostile", tests, sizeof tests / sizeof tests[0]);
}
