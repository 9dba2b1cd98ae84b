#include "proto/channel_incidents.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <string.h>

static struct channel_incidents incidents;

static void add(enum channel_reason reason, unsigned key, uint64_t connection, uint64_t now_ms)
{
    struct channel_incident incident = {
        .reason = reason, .has_key = key > 0, .connection = connection};
    memcpy(incident.curve_key, &key, sizeof key);
    (void)snprintf(incident.host, sizeof incident.host, "192.0.2.%u", key % 200);
    channel_incidents_add(&incidents, &incident, now_ms);
}

/* Whether exactly this is told next; key 0: without one. */
static bool tells(enum channel_reason reason, unsigned key, uint64_t count, uint64_t now_ms)
{
    struct channel_incident told;
    uint8_t expected[IDENTITY_KEY_BYTES] = {0};
    memcpy(expected, &key, sizeof key);
    return channel_incidents_next(&incidents, now_ms, &told) && told.reason == reason &&
           told.has_key == (key > 0) && told.count == count &&
           memcmp(told.curve_key, expected, sizeof expected) == 0;
}

static bool is_quiet(uint64_t now_ms)
{
    struct channel_incident told;
    return !channel_incidents_next(&incidents, now_ms, &told);
}

static void key_tells_one_incident_a_second(void)
{
    memset(&incidents, 0, sizeof incidents);
    CU_ASSERT_TRUE(is_quiet(5000));
    add(CHANNEL_MALFORMED, 1, 11, 5000);
    add(CHANNEL_MALFORMED, 2, 12, 5000);
    CU_ASSERT_TRUE(tells(CHANNEL_MALFORMED, 1, 1, 5000));
    CU_ASSERT_TRUE(tells(CHANNEL_MALFORMED, 2, 1, 5000));
    CU_ASSERT_TRUE(is_quiet(5000));
    add(CHANNEL_MALFORMED, 1, 13, 5001);
    add(CHANNEL_MALFORMED, 1, 13, 5002);
    add(CHANNEL_OVERSIZE, 1, 14, 5003);
    CU_ASSERT_TRUE(is_quiet(5999));
    CU_ASSERT_TRUE(tells(CHANNEL_MALFORMED, 1, 2, 6000));
    CU_ASSERT_TRUE(is_quiet(6999)); /* the other reason is the same key's */
    CU_ASSERT_TRUE(tells(CHANNEL_OVERSIZE, 1, 1, 7000));
    CU_ASSERT_TRUE(is_quiet(100000));
}

static void incident_names_its_connection_unless_there_are_several(void)
{
    struct channel_incident told;
    memset(&incidents, 0, sizeof incidents);
    add(CHANNEL_TOO_FAST, 7, 70, 1000);
    add(CHANNEL_TOO_FAST, 7, 70, 1000);
    CU_ASSERT_TRUE_FATAL(channel_incidents_next(&incidents, 1000, &told));
    CU_ASSERT_EQUAL(told.connection, 70);
    CU_ASSERT_EQUAL(told.count, 2);
    CU_ASSERT_STRING_EQUAL(told.host, "192.0.2.7");
    add(CHANNEL_TOO_FAST, 7, 70, 1001);
    add(CHANNEL_TOO_FAST, 7, 71, 1002);
    CU_ASSERT_TRUE_FATAL(channel_incidents_next(&incidents, 2000, &told));
    CU_ASSERT_EQUAL(told.connection, 0);
    CU_ASSERT_EQUAL(told.count, 2);
}

static void incidents_without_keys_are_counted_together(void)
{
    memset(&incidents, 0, sizeof incidents);
    for (unsigned i = 0; i < 20000; i++) {
        add(CHANNEL_NO_KEY, 0, i, 1000);
        add(CHANNEL_CROWDED, 0, i, 1000);
    }
    CU_ASSERT_TRUE(tells(CHANNEL_NO_KEY, 0, 20000, 1000));
    CU_ASSERT_TRUE(tells(CHANNEL_CROWDED, 0, 20000, 1000));
    add(CHANNEL_NO_KEY, 0, 1, 1500);
    CU_ASSERT_TRUE(is_quiet(1999));
    CU_ASSERT_TRUE(tells(CHANNEL_NO_KEY, 0, 1, 2000));
    CU_ASSERT_TRUE(is_quiet(2000));
}

static void flood_of_keys_is_bounded_and_counted(void)
{
    struct channel_incident told;
    uint64_t count = 0;
    unsigned lines = 0;
    memset(&incidents, 0, sizeof incidents);
    for (unsigned i = 1; i <= 10 * CHANNEL_INCIDENTS_MAX; i++) {
        add(CHANNEL_MALFORMED, i, i, 1000);
    }
    while (channel_incidents_next(&incidents, 1000, &told)) {
        lines++;
        count += told.count;
    }
    CU_ASSERT_EQUAL(lines, CHANNEL_INCIDENTS_MAX + 1);
    CU_ASSERT_EQUAL(count, 10 * CHANNEL_INCIDENTS_MAX);
    add(CHANNEL_MALFORMED, 5000, 1, 1500); /* no room within the second */
    CU_ASSERT_TRUE(tells(CHANNEL_MALFORMED, 0, 1, 2000));
    add(CHANNEL_MALFORMED, 5000, 1, 2000);
    CU_ASSERT_TRUE(tells(CHANNEL_MALFORMED, 5000, 1, 2000));
}

static void reasons_have_names_and_others_are_not_told(void)
{
    memset(&incidents, 0, sizeof incidents);
    add(0, 1, 1, 1000);
    add(CHANNEL_REASON_END, 1, 1, 1000);
    CU_ASSERT_TRUE(is_quiet(1000));
    for (int i = CHANNEL_MALFORMED; i < CHANNEL_REASON_END; i++) {
        CU_ASSERT_STRING_NOT_EQUAL(channel_reason_name((enum channel_reason)i), "unknown");
        for (int j = CHANNEL_MALFORMED; j < i; j++) {
            CU_ASSERT_STRING_NOT_EQUAL(channel_reason_name((enum channel_reason)i),
                                       channel_reason_name((enum channel_reason)j));
        }
    }
    CU_ASSERT_STRING_EQUAL(channel_reason_name(CHANNEL_REASON_END), "unknown");
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(key_tells_one_incident_a_second),
        SUITE_TEST(incident_names_its_connection_unless_there_are_several),
        SUITE_TEST(incidents_without_keys_are_counted_together),
        SUITE_TEST(flood_of_keys_is_bounded_and_counted),
        SUITE_TEST(reasons_have_names_and_others_are_not_told),
    };
    return suite_run("channel_incidents", tests, sizeof tests / sizeof tests[0]);
}
