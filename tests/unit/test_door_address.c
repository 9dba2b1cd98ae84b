#include "proto/channel/door_address.h"
#include "proto/channel/door_incidents.h"
#include "tests/unit/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { NOW_MS = 1000000 };

static const struct door_limits limits = {
    .address_connections_max = 4,
    .address_unproven_max = 2,
    .newcomers_per_s = 10,
    .newcomers_burst = 6,
    .loopback_times = 3,
};

static struct sockaddr_storage from(const char *text)
{
    struct sockaddr_storage out;
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)(void *)&out;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)(void *)&out;
    memset(&out, 0, sizeof out);
    if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1) {
        out.ss_family = AF_INET;
    } else {
        CU_ASSERT_EQUAL_FATAL(inet_pton(AF_INET6, text, &ipv6->sin6_addr), 1);
        out.ss_family = AF_INET6;
    }
    return out;
}

static struct door_addresses *table(void)
{
    struct door_addresses *self = NULL;
    CU_ASSERT_EQUAL_FATAL(door_addresses_new(&self), STATUS_OK);
    return self;
}

static struct door_address *enter(struct door_addresses *self, const char *text, uint64_t now_ms)
{
    struct sockaddr_storage remote = from(text);
    return door_addresses_enter(self, &remote, &limits, now_ms);
}

static void enter_more_unproven_than_an_address_may_have_is_refused(void)
{
    struct door_addresses *self = table();
    struct door_address *first = enter(self, "192.0.2.1", NOW_MS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_PTR_EQUAL(enter(self, "192.0.2.1", NOW_MS), first);
    CU_ASSERT_PTR_NULL(enter(self, "192.0.2.1", NOW_MS));
    CU_ASSERT_PTR_NOT_NULL(enter(self, "192.0.2.2", NOW_MS)); /* others are not hit */
    door_address_proven(first);
    CU_ASSERT_PTR_EQUAL(enter(self, "192.0.2.1", NOW_MS), first);
    CU_ASSERT_PTR_NULL(enter(self, "192.0.2.1", NOW_MS));
    door_address_leave(first, false);
    CU_ASSERT_PTR_EQUAL(enter(self, "192.0.2.1", NOW_MS), first);
    door_addresses_free(self);
}

static void enter_more_than_an_address_may_have_is_refused(void)
{
    struct door_addresses *self = table();
    struct door_address *first = NULL;
    for (unsigned i = 0; i < limits.address_connections_max; i++) {
        first = enter(self, "192.0.2.1", NOW_MS);
        CU_ASSERT_PTR_NOT_NULL_FATAL(first);
        door_address_proven(first);
    }
    CU_ASSERT_PTR_NULL(enter(self, "192.0.2.1", NOW_MS));
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    door_address_leave(first, true);
    CU_ASSERT_PTR_EQUAL(enter(self, "192.0.2.1", NOW_MS), first);
    door_addresses_free(self);
}

static void enter_too_often_is_refused_until_time_has_passed(void)
{
    struct door_addresses *self = table();
    for (unsigned i = 0; i < limits.newcomers_burst; i++) {
        struct door_address *one = enter(self, "192.0.2.1", NOW_MS);
        CU_ASSERT_PTR_NOT_NULL_FATAL(one);
        door_address_leave(one, false);
    }
    CU_ASSERT_PTR_NULL(enter(self, "192.0.2.1", NOW_MS));
    CU_ASSERT_PTR_NULL(enter(self, "192.0.2.1", NOW_MS + 99));
    struct door_address *again = enter(self, "192.0.2.1", NOW_MS + 100); /* ten a second */
    CU_ASSERT_PTR_NOT_NULL_FATAL(again);
    door_address_leave(again, false);
    CU_ASSERT_PTR_NULL(enter(self, "192.0.2.1", NOW_MS + 150));
    CU_ASSERT_PTR_NOT_NULL(enter(self, "192.0.2.1", UINT64_MAX / 2)); /* nothing overflows */
    door_addresses_free(self);
}

static void enter_addresses_of_one_owner_count_as_one(void)
{
    struct door_addresses *self = table();
    struct door_address *first = enter(self, "2001:db8:1:2::1", NOW_MS);
    CU_ASSERT_PTR_EQUAL(enter(self, "2001:db8:1:2:ffff::9", NOW_MS), first);
    CU_ASSERT_PTR_NULL(enter(self, "2001:db8:1:2::3", NOW_MS));
    CU_ASSERT_PTR_NOT_NULL(enter(self, "2001:db8:1:3::1", NOW_MS));
    struct door_address *ipv4 = enter(self, "192.0.2.1", NOW_MS);
    CU_ASSERT_PTR_EQUAL(enter(self, "::ffff:192.0.2.1", NOW_MS), ipv4);
    door_addresses_free(self);
}

static void enter_from_this_machine_may_be_more(void)
{
    static const char *const loopbacks[] = {"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.9.9.9"};
    for (size_t i = 0; i < sizeof loopbacks / sizeof loopbacks[0]; i++) {
        struct door_addresses *self = table();
        for (unsigned n = 0; n < limits.address_unproven_max * limits.loopback_times; n++) {
            CU_ASSERT_PTR_NOT_NULL(enter(self, loopbacks[i], NOW_MS));
        }
        CU_ASSERT_PTR_NULL(enter(self, loopbacks[i], NOW_MS));
        door_addresses_free(self);
    }
}

static void enter_flood_of_addresses_keeps_who_is_connected(void)
{
    struct door_addresses *self = table();
    struct door_address *honest = enter(self, "192.0.2.1", NOW_MS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(honest);
    unsigned refused = 0;
    for (uint32_t i = 0; i < 4 * DOOR_ADDRESS_SETS * DOOR_ADDRESS_WAYS; i++) {
        struct sockaddr_storage remote = from("10.0.0.0");
        struct sockaddr_in *ipv4 = (struct sockaddr_in *)(void *)&remote;
        ipv4->sin_addr.s_addr = htonl(UINT32_C(0x0a000000) + i);
        struct door_address *one = door_addresses_enter(self, &remote, &limits, NOW_MS + i);
        refused += one == NULL;
        if (one != NULL) {
            CU_ASSERT_PTR_NOT_EQUAL(one, honest);
            door_address_leave(one, false);
        }
    }
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT_EQUAL(honest->connections, 1);
    CU_ASSERT_PTR_EQUAL(enter(self, "192.0.2.1", NOW_MS), honest);
    door_addresses_free(self);
}

static void enter_when_all_places_are_taken_is_refused(void)
{
    struct door_addresses *self = table();
    size_t entered = 0;
    size_t refused = 0;
    for (uint32_t i = 0; i < 4 * DOOR_ADDRESS_SETS * DOOR_ADDRESS_WAYS; i++) {
        struct sockaddr_storage remote = from("10.0.0.0");
        struct sockaddr_in *ipv4 = (struct sockaddr_in *)(void *)&remote;
        ipv4->sin_addr.s_addr = htonl(UINT32_C(0x0a000000) + i);
        if (door_addresses_enter(self, &remote, &limits, NOW_MS) != NULL) {
            entered++;
        } else {
            refused++;
        }
    }
    CU_ASSERT_TRUE(entered <= (size_t)DOOR_ADDRESS_SETS * DOOR_ADDRESS_WAYS);
    CU_ASSERT_TRUE(entered > (size_t)DOOR_ADDRESS_SETS * DOOR_ADDRESS_WAYS * 9 / 10);
    CU_ASSERT_TRUE(refused > 0);
    door_addresses_free(self);
}

static void host_text_is_as_in_an_address(void)
{
    static const struct {
        const char *address;
        const char *host;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"2001:db8::1", "[2001:db8::1]"},
        {"::1", "[::1]"},
    };
    char host[CHANNEL_HOST_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sockaddr_storage remote = from(cases[i].address);
        door_host_text(&remote, host);
        CU_ASSERT_STRING_EQUAL(host, cases[i].host);
    }
    struct sockaddr_storage link = from("fe80::1");
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)(void *)&link;
    ipv6->sin6_scope_id = 2;
    door_host_text(&link, host);
    CU_ASSERT_STRING_EQUAL(host, "");
}

static void incidents_of_strangers_are_told_together(void)
{
    static struct door_incidents self;
    struct door_incident incident = {.reason = CHANNEL_CROWDED, .host = "192.0.2.1"};
    struct door_incident out;
    memset(&self, 0, sizeof self);
    CU_ASSERT_FALSE(door_incidents_next(&self, &out));
    for (unsigned i = 0; i < 1000; i++) {
        door_incidents_add(&self, &incident);
    }
    CU_ASSERT_TRUE(door_incidents_next(&self, &out));
    CU_ASSERT_EQUAL(out.reason, CHANNEL_CROWDED);
    CU_ASSERT_EQUAL(out.count, 1000);
    CU_ASSERT_STRING_EQUAL(out.host, "192.0.2.1");
    door_incidents_add(&self, &incident);
    CU_ASSERT_TRUE(door_incidents_next(&self, &out));
    CU_ASSERT_EQUAL(out.count, 1);
}

static void incidents_with_a_serial_are_told_each_until_it_is_too_many(void)
{
    static struct door_incidents self;
    struct door_incident out;
    memset(&self, 0, sizeof self);
    for (unsigned i = 0; i < DOOR_INCIDENTS_MAX + 5; i++) {
        struct door_incident incident = {.reason = CHANNEL_UNFINISHED, .serial = i + 1};
        door_incidents_add(&self, &incident);
    }
    for (unsigned i = 0; i < DOOR_INCIDENTS_MAX; i++) {
        CU_ASSERT_TRUE(door_incidents_next(&self, &out));
        CU_ASSERT_EQUAL(out.serial, i + 1);
        CU_ASSERT_EQUAL(out.count, 1);
    }
    CU_ASSERT_TRUE(door_incidents_next(&self, &out));
    CU_ASSERT_EQUAL(out.count, 5);
    CU_ASSERT_FALSE(door_incidents_next(&self, &out));
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(enter_more_unproven_than_an_address_may_have_is_refused),
        SUITE_TEST(enter_more_than_an_address_may_have_is_refused),
        SUITE_TEST(enter_too_often_is_refused_until_time_has_passed),
        SUITE_TEST(enter_addresses_of_one_owner_count_as_one),
        SUITE_TEST(enter_from_this_machine_may_be_more),
        SUITE_TEST(enter_flood_of_addresses_keeps_who_is_connected),
        SUITE_TEST(enter_when_all_places_are_taken_is_refused),
        SUITE_TEST(host_text_is_as_in_an_address),
        SUITE_TEST(incidents_of_strangers_are_told_together),
        SUITE_TEST(incidents_with_a_serial_are_told_each_until_it_is_too_many),
    };
    return suite_run("door_address", tests, sizeof tests / sizeof tests[0]);
}
