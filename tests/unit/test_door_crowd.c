/* A door that too many come to. */
#include "tests/unit/door_fixture.h"

#include <sys/resource.h>
#include <time.h>

enum { CROWD = 12, FILES_MAX = 64 };

static void crowd_of_one_address_is_turned_away_and_members_go_on(void)
{
    struct fixture fixture;
    struct line member;
    struct door_incident incident;
    int crowd[CROWD];
    struct door_limits limits = control_limits();
    limits.loopback_times = 1;
    limits.address_unproven_max = 5;
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &member));
    unsigned ended = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = dial(&fixture);
        CU_ASSERT_TRUE_FATAL(crowd[i] >= 0);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        ended += !hears(crowd[i], NULL, DOOR_GREETING_BYTES);
        (void)close(crowd[i]);
    }
    CU_ASSERT_EQUAL(ended, CROWD - 5);
    CU_ASSERT_EQUAL(figures(&fixture).refused, CROWD - 5);
    CU_ASSERT_TRUE(tells(&fixture, CHANNEL_CROWDED, &incident));
    CU_ASSERT_TRUE(slots_become(&fixture, 1));
    uint8_t message[256];
    size_t size = put_message(message, 10, 0);
    CU_ASSERT_TRUE(says(member.tcp, message, size));
    CU_ASSERT_TRUE(hears(member.inner, NULL, size));
    hang_up(&member);
    end(&fixture);
}

static void crowd_of_many_loses_the_oldest_unproven_and_lets_newcomers_in(void)
{
    struct fixture fixture;
    struct line honest;
    int crowd[CROWD];
    struct door_limits limits = control_limits();
    limits.unproven_max = 4;
    begin(&fixture, &limits);
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = dial(&fixture);
    }
    CU_ASSERT_TRUE(connects(&fixture, &honest));
    CU_ASSERT_TRUE(figures(&fixture).connections <= 5);
    CU_ASSERT_TRUE(hears_the_end(crowd[0], PATIENCE_MS));
    CU_ASSERT_TRUE(hears(crowd[CROWD - 1], NULL, DOOR_GREETING_BYTES));
    for (unsigned i = 0; i < CROWD; i++) {
        (void)close(crowd[i]);
    }
    hang_up(&honest);
    CU_ASSERT_TRUE(slots_become(&fixture, 0));
    end(&fixture);
}

static void newcomers_that_come_too_often_are_turned_away(void)
{
    struct fixture fixture;
    struct door_limits limits = control_limits();
    limits.loopback_times = 1;
    limits.newcomers_per_s = 1;
    limits.newcomers_burst = 3;
    begin(&fixture, &limits);
    unsigned greeted = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        int tcp = dial(&fixture);
        greeted += hears(tcp, NULL, DOOR_GREETING_BYTES);
        (void)close(tcp);
    }
    CU_ASSERT_TRUE(greeted >= 3 && greeted <= 5);
    end(&fixture);
}

static void files_that_run_out_cost_newcomers_only(void)
{
    struct fixture fixture;
    struct line honest;
    struct rlimit before;
    struct rlimit few = {0};
    int held[FILES_MAX];
    struct door_limits limits = control_limits();
    begin(&fixture, &limits);
    CU_ASSERT_TRUE_FATAL(connects_as_member(&fixture, &honest));
    int tcp = dial(&fixture);
    CU_ASSERT_TRUE(hears(tcp, NULL, DOOR_GREETING_BYTES)); /* the spare one is made by now */
    int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = FILES_MAX;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    size_t count = 0;
    while (count < FILES_MAX && (held[count] = dup(tcp)) >= 0) {
        count++;
    }
    struct timespec cpu_before;
    struct timespec cpu_after;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_before);
    CU_ASSERT_TRUE(is_taken(&fixture, waiting));
    CU_ASSERT_TRUE(hears_the_end(waiting, 1000)); /* taken and closed; others have more time */
    uint8_t message[256];
    size_t size = put_message(message, 10, 0);
    for (unsigned i = 0; i < 50; i++) {
        CU_ASSERT_TRUE(says(honest.tcp, message, size));
        CU_ASSERT_TRUE(hears(honest.inner, NULL, size));
        CU_ASSERT_TRUE(door_taken(fixture.door, honest.ref, 10, 0));
        clock_sleep_ms(10);
    }
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_after);
    CU_ASSERT_TRUE(cpu_after.tv_sec * 1000 + cpu_after.tv_nsec / 1000000 -
                       cpu_before.tv_sec * 1000 - cpu_before.tv_nsec / 1000000 <
                   250); /* of half a second: nothing spins */
    while (count > 0) {
        (void)close(held[--count]);
    }
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void)close(waiting);
    (void)close(tcp);
    clock_sleep_ms(200); /* the pause */
    struct line later;
    CU_ASSERT_TRUE(connects(&fixture, &later));
    hang_up(&later);
    hang_up(&honest);
    end(&fixture);
}

static void limits_follow_the_limit_of_open_files(void)
{
    struct rlimit before;
    struct door_limits limits;
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit few = before;
    few.rlim_cur = 256;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    door_limits_default(CHANNEL_CONTROL, &limits);
    CU_ASSERT_EQUAL(limits.connections_max, (256 - 64) / (2 * 3)); /* two doors, three files each */
    few.rlim_cur = 16;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    door_limits_default(CHANNEL_CONTROL, &limits);
    CU_ASSERT_EQUAL(limits.connections_max, 1);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    door_limits_default(CHANNEL_BULK, &limits);
    CU_ASSERT_TRUE(limits.connections_max <= 1024);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(crowd_of_one_address_is_turned_away_and_members_go_on),
        SUITE_TEST(crowd_of_many_loses_the_oldest_unproven_and_lets_newcomers_in),
        SUITE_TEST(newcomers_that_come_too_often_are_turned_away),
        SUITE_TEST(files_that_run_out_cost_newcomers_only),
        SUITE_TEST(limits_follow_the_limit_of_open_files),
    };
    return suite_run("door_crowd", tests, sizeof tests / sizeof tests[0]);
}
