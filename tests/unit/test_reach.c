#include "peer/daemon/reach.h"
#include "tests/unit/suite.h"

#include <stdio.h>

struct reach_case {
    const char *coordinator;
    const char *owner;
    bool allowed;
};

static void expect(const struct reach_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool allowed = reach_allowed(cases[i].coordinator, cases[i].owner);
        if (allowed != cases[i].allowed) {
            (void)printf("%s from %s: %d\n", cases[i].owner, cases[i].coordinator, allowed);
        }
        CU_ASSERT_EQUAL(allowed, cases[i].allowed);
    }
}

static void reach_of_a_coordinator_on_the_internet_is_the_internet(void)
{
    static const struct reach_case cases[] = {
        {"203.0.113.7:7700", "198.51.100.1:9", true},
        {"203.0.113.7:7700", "[2001:db8::1]:9", true},
        {"203.0.113.7:7700", "172.32.0.1:80", true}, /* just beside a local network */
        {"203.0.113.7:7700", "172.31.255.255:80", false},
        {"203.0.113.7:7700", "192.168.1.1:80", false},
        {"203.0.113.7:7700", "10.1.2.3:80", false},
        {"203.0.113.7:7700", "100.64.0.1:80", false},
        {"203.0.113.7:7700", "169.254.169.254:80", false},
        {"203.0.113.7:7700", "[fe80::1]:80", false},
        {"203.0.113.7:7700", "[fd00::1]:80", false},
        {"203.0.113.7:7700", "[::ffff:192.168.1.1]:80", false},
        {"[2001:db8::1]:7700", "192.168.1.1:80", false},
        {"203.0.113.7:7700", "127.0.0.1:22", false},
        {"203.0.113.7:7700", "0.0.0.0:22", false},
        {"203.0.113.7:7700", "[::1]:22", false},
        {"203.0.113.7:7700", "[::]:22", false},
        {"203.0.113.7:7700", "[::ffff:127.0.0.1]:22", false},
    };
    expect(cases, sizeof cases / sizeof cases[0]);
}

static void reach_of_a_local_coordinator_is_its_network(void)
{
    static const struct reach_case cases[] = {
        {"192.168.1.2:7700", "192.168.1.3:9", true}, {"192.168.1.2:7700", "127.0.0.1:9", false},
        {"coordinator:7700", "172.18.0.4:9", true}, /* a name may mean either */
        {"coordinator:7700", "127.0.0.1:9", false},  {"127.0.0.1:7700", "127.0.0.1:9", true},
        {"127.0.0.1:7700", "192.168.1.3:9", true},   {"localhost:7700", "[::1]:9", true},
        {"[::1]:7700", "127.0.0.1:9", true},
    };
    expect(cases, sizeof cases / sizeof cases[0]);
}

static void reach_of_what_is_no_single_machine_is_refused(void)
{
    static const struct reach_case cases[] = {
        {"127.0.0.1:7700", "224.0.0.1:9", false},
        {"127.0.0.1:7700", "255.255.255.255:9", false},
        {"127.0.0.1:7700", "[ff02::1]:9", false},
        {"127.0.0.1:7700", "example.org:9", false},
        {"127.0.0.1:7700", ":9", false},
        {"127.0.0.1:7700", "", false},
        {"", "127.0.0.1:9", false},
    };
    expect(cases, sizeof cases / sizeof cases[0]);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(reach_of_a_coordinator_on_the_internet_is_the_internet),
        SUITE_TEST(reach_of_a_local_coordinator_is_its_network),
        SUITE_TEST(reach_of_what_is_no_single_machine_is_refused),
    };
    return suite_run("reach", tests, sizeof tests / sizeof tests[0]);
}
