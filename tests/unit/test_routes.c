#include "coordinator/server/routes.h"
#include "tests/unit/suite.h"

#include <string.h>

enum { VALUES = 64 * CODEC_CHUNK_VALUES, PLAN_FIRST = 500, PEERS = 6 };
enum { SLOW = 300000, FAST = 1000000000 }; /* bytes a second */

static const struct aggregation_settings adaptive = {.strategy = AGGREGATION_ADAPTIVE,
                                                     .belief = AGGREGATION_CHECKED,
                                                     .check_share = 0.02,
                                                     .fraction_max = 0.5,
                                                     .owners_max = 64,
                                                     .rest = true};
/* A coordinator whose link is the narrow place. */
static const struct routes_now now = {.codec = CODEC_MX8,
                                      .target_batch = 100.0,
                                      .coordinator_up = 2e6,
                                      .coordinator_down = 2e6,
                                      .sum_bytes_per_value = 2.0};

static struct routes *begin(const struct aggregation_settings *settings)
{
    struct routes *routes = NULL;
    CU_ASSERT_EQUAL_FATAL(routes_new(VALUES, settings, false, PLAN_FIRST, &routes), STATUS_OK);
    return routes;
}

static struct wire_hello hello_of(uint32_t index, const char *address)
{
    struct wire_hello hello = {.computes = true, .aggregates = address[0] != '\0'};
    memset(hello.public_key, (int)index + 1, sizeof hello.public_key);
    (void)snprintf(hello.bulk_address, sizeof hello.bulk_address, "%s", address);
    return hello;
}

/* A peer with measured links of `rate` both ways that can own, unless it has no address. */
static struct route_peer *add(struct routes *routes, uint32_t index, const char *address,
                              uint64_t rate)
{
    const struct wire_hello hello = hello_of(index, address);
    struct route_peer *peer = routes_join(routes, index, &hello, "10.0.0.9", false);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer);
    peer->reachable = true;
    peer->said_up = rate;
    peer->said_down = rate;
    peer->samples_per_s = 10.0;
    return peer;
}

static struct routes *begin_six(const struct aggregation_settings *settings)
{
    struct routes *routes = begin(settings);
    for (uint32_t i = 0; i < PEERS; i++) {
        (void)add(routes, i, i < 4 ? ":9000" : "", 10000000);
    }
    return routes;
}

static bool make_plan_with(struct routes *routes, const struct routes_now *with)
{
    bool changed = false;
    CU_ASSERT_EQUAL(routes_plan(routes, with, &changed), STATUS_OK);
    return changed;
}

static bool make_plan(struct routes *routes)
{
    return make_plan_with(routes, &now);
}

static void plan_of_fast_peers_takes_the_load_off_the_coordinator(void)
{
    struct routes *routes = begin_six(&adaptive);
    CU_ASSERT_TRUE(make_plan(routes));
    CU_ASSERT_EQUAL(routes_plan_id(routes), PLAN_FIRST + 1);
    CU_ASSERT_EQUAL(routes_owner_count(routes), 4);
    static struct wire_route route;
    routes_fill(routes, 5, CODEC_MX8, &route);
    CU_ASSERT_EQUAL(route.plan_id, PLAN_FIRST + 1);
    CU_ASSERT_EQUAL(route.codec, CODEC_MX8);
    CU_ASSERT_TRUE(route.computes);
    CU_ASSERT_EQUAL_FATAL(route.owner_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        const struct wire_owner *owner = &route.owners[i];
        CU_ASSERT_TRUE(owner->chunk_count > 0 && owner->first_chunk + owner->chunk_count <= 64);
        CU_ASSERT_TRUE(i == 0 ||
                       owner->first_chunk >= owner[-1].first_chunk + owner[-1].chunk_count);
        CU_ASSERT_STRING_EQUAL(owner->address, "10.0.0.9:9000");
    }
    CU_ASSERT_FALSE(make_plan(routes)); /* nothing is new */
    CU_ASSERT_EQUAL(routes_plan_id(routes), PLAN_FIRST + 1);
    routes_free(routes);
}

static void predictions_learn_from_the_steps_of_the_plan(void)
{
    double bound_s = 0.0;
    struct routes *routes = begin_six(&adaptive);
    CU_ASSERT_TRUE(make_plan(routes));
    const struct plan_times *predicted = routes_predicted(routes, &bound_s);
    double first_s = predicted->step_s;
    routes_note_step(routes, 10.0 * first_s); /* begun under another plan, or none */
    routes_note_step(routes, 10.0 * first_s);
    CU_ASSERT_EQUAL(predicted->step_s, first_s);
    for (int i = 0; i < 4; i++) {
        routes_note_step(routes, 1.3 * first_s);
    }
    CU_ASSERT_DOUBLE_EQUAL(predicted->step_s, 1.3 * first_s, 1e-9 * first_s);
    routes_peer(routes, 0)->said_up *= 2;
    CU_ASSERT_FALSE(make_plan(routes)); /* the same one, with today's rates */
    CU_ASSERT_TRUE(predicted->step_s > 1.1 * first_s);
    routes_reset(routes);
    for (int i = 0; i < 4; i++) {
        routes_note_step(routes, first_s);
    }
    CU_ASSERT_EQUAL(predicted->step_s, 0.0);
    routes_free(routes);
}

static void plan_without_any_measured_link_is_not_made(void)
{
    struct routes *routes = begin(&adaptive);
    (void)add(routes, 0, ":9000", 0);
    (void)add(routes, 1, "", 0);
    CU_ASSERT_FALSE(make_plan(routes));
    CU_ASSERT_EQUAL(routes_plan_id(routes), PLAN_FIRST);
    routes_free(routes);
}

static void peer_without_measured_link_computes_and_owns_nothing(void)
{
    struct routes *routes = begin_six(&adaptive);
    (void)add(routes, 0, ":9000", 0);
    routes_peer(routes, 0)->samples_per_s = 0.0;
    CU_ASSERT_TRUE(make_plan(routes));
    CU_ASSERT_TRUE(routes_peer(routes, 0)->share.computes);
    CU_ASSERT_EQUAL(routes_peer(routes, 0)->share.chunk_count, 0);
    CU_ASSERT_EQUAL(routes_owner_count(routes), 3);
    routes_free(routes);
}

static void who_may_not_own_does_not(void)
{
    struct aggregation_settings settings = adaptive;
    struct routes *routes = begin_six(&settings);
    routes_peer(routes, 1)->reachable = false;
    CU_ASSERT_TRUE(routes_can_own(routes_peer(routes, 2)));
    routes_note_lie(routes, routes_peer(routes, 2));
    CU_ASSERT_FALSE(routes_can_own(routes_peer(routes, 2)));
    CU_ASSERT_TRUE(make_plan(routes));
    CU_ASSERT_EQUAL(routes_peer(routes, 1)->share.chunk_count, 0);
    CU_ASSERT_EQUAL(routes_peer(routes, 2)->share.chunk_count, 0);
    CU_ASSERT_EQUAL(routes_owner_count(routes), 2);
    routes_leave(routes, 2);
    (void)add(routes, 2, ":9000", 10000000); /* the same key again */
    CU_ASSERT_FALSE(routes_can_own(routes_peer(routes, 2)));
    routes_free(routes);

    settings.belief = AGGREGATION_TRUSTED;
    routes = begin_six(&settings);
    const struct wire_hello hello = hello_of(3, ":9000");
    CU_ASSERT_PTR_NOT_NULL(routes_join(routes, 3, &hello, "10.0.0.9", true));
    CU_ASSERT_TRUE(make_plan(routes));
    CU_ASSERT_EQUAL(routes_owner_count(routes), 1);
    CU_ASSERT_TRUE(routes_peer(routes, 3)->share.chunk_count > 0);
    routes_free(routes);
}

static void plan_changes_when_an_owner_is_lost_or_links_differ(void)
{
    struct routes *routes = begin_six(&adaptive);
    CU_ASSERT_TRUE(make_plan(routes));
    routes_leave(routes, 2);
    CU_ASSERT_EQUAL(routes_owner_count(routes), 3);
    CU_ASSERT_TRUE(make_plan(routes));
    CU_ASSERT_EQUAL(routes_plan_id(routes), PLAN_FIRST + 2);
    routes_peer(routes, 1)->said_up = 11000000; /* a tenth more */
    CU_ASSERT_FALSE(make_plan(routes));
    routes_peer(routes, 1)->said_up = 1000000;
    routes_peer(routes, 1)->said_down = 1000000;
    CU_ASSERT_TRUE(make_plan(routes));
    CU_ASSERT_TRUE(routes_peer(routes, 1)->share.chunk_count <
                   routes_peer(routes, 0)->share.chunk_count);
    routes_free(routes);
}

static void slowest_rests_and_is_told_once(void)
{
    struct routes *routes = begin_six(&adaptive);
    struct route_peer *slow = add(routes, 5, "", 20000);
    static struct wire_route route;
    CU_ASSERT_TRUE(make_plan(routes));
    routes_fill(routes, 5, CODEC_MX8, &route);
    CU_ASSERT_FALSE(route.computes);
    CU_ASSERT_TRUE(routes_note_told(routes, slow, &route));
    CU_ASSERT_FALSE(routes_note_told(routes, slow, &route));
    CU_ASSERT_TRUE(slow->told_rest);
    slow->said_up = 10000000;
    slow->said_down = 10000000;
    CU_ASSERT_TRUE(make_plan(routes));
    routes_fill(routes, 5, CODEC_MX8, &route);
    CU_ASSERT_TRUE(route.computes);
    CU_ASSERT_TRUE(routes_note_told(routes, slow, &route));
    routes_free(routes);
}

static void nobody_rests_where_a_contribution_moves_in_a_moment(void)
{
    struct routes *routes = begin_six(&adaptive);
    static struct wire_route route;
    double bytes = (double)codec_encoded_bytes(CODEC_MX8, VALUES);
    for (uint32_t i = 0; i < PEERS; i++) {
        add(routes, i, i < 4 ? ":9000" : "", 200000000)->samples_per_s = 1e6;
    }
    struct route_peer *slow = routes_peer(routes, 5);
    slow->said_up = slow->said_down = (uint64_t)(bytes / 0.21);
    CU_ASSERT_TRUE(make_plan(routes));
    routes_fill(routes, 5, CODEC_MX8, &route);
    CU_ASSERT_FALSE(route.computes);
    (void)routes_note_told(routes, slow, &route);
    slow->said_up = slow->said_down = (uint64_t)(bytes / 0.15);
    CU_ASSERT_TRUE(make_plan(routes)); /* though it gains nothing */
    routes_fill(routes, 5, CODEC_MX8, &route);
    CU_ASSERT_TRUE(route.computes);
    routes_free(routes);
}

static void codec_of_the_newest_and_the_last_route_are_taken(void)
{
    struct aggregation_settings settings = adaptive;
    settings.has_slow_link_codec = true;
    settings.slow_link_codec = CODEC_MX4;
    settings.rest = false;
    struct routes *routes = begin_six(&settings);
    struct route_peer *slow = add(routes, 5, "", 300000);
    static struct wire_route route;
    routes_fill(routes, 5, CODEC_MX8, &route);
    (void)routes_note_told(routes, slow, &route);
    CU_ASSERT_TRUE(routes_takes_codec(slow, CODEC_MX8, CODEC_MX8));
    CU_ASSERT_FALSE(routes_takes_codec(slow, CODEC_MX8, CODEC_MX4));
    CU_ASSERT_TRUE(make_plan(routes));
    routes_fill(routes, 5, CODEC_MX8, &route);
    CU_ASSERT_EQUAL(route.codec, CODEC_MX4);
    (void)routes_note_told(routes, slow, &route);
    CU_ASSERT_TRUE(routes_takes_codec(slow, CODEC_MX8, CODEC_MX4));
    CU_ASSERT_TRUE(routes_takes_codec(slow, CODEC_MX8, CODEC_MX8));
    CU_ASSERT_FALSE(routes_takes_codec(slow, CODEC_MX8, CODEC_FP32));
    routes_reset(routes);
    routes_fill(routes, 5, CODEC_BF16, &route);
    CU_ASSERT_EQUAL(route.codec, CODEC_BF16);
    CU_ASSERT_EQUAL(route.owner_count, 0);
    (void)routes_note_told(routes, slow, &route);
    CU_ASSERT_TRUE(routes_takes_codec(slow, CODEC_BF16, CODEC_MX4));
    CU_ASSERT_FALSE(routes_takes_codec(slow, CODEC_BF16, CODEC_MX8));
    routes_forget_codecs(routes); /* the run has another one */
    CU_ASSERT_FALSE(routes_takes_codec(slow, CODEC_MX8, CODEC_BF16));
    CU_ASSERT_TRUE(routes_takes_codec(slow, CODEC_MX8, CODEC_MX8));
    routes_free(routes);
}

/* Everybody has links of this rate. */
static void set_rates(const struct routes *routes, uint64_t rate)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        routes_peer(routes, i)->said_up = rate;
        routes_peer(routes, i)->said_down = rate;
    }
}

/* Everybody has links of this rate, the coordinator too; and a plan is made. */
static bool plan_for_rates(struct routes *routes, uint64_t rate)
{
    struct routes_now with = now;
    with.coordinator_up = (double)rate;
    with.coordinator_down = (double)rate;
    set_rates(routes, rate);
    return make_plan_with(routes, &with);
}

static void updates_are_coarser_where_that_is_allowed_and_links_are_slow(void)
{
    struct aggregation_settings settings = adaptive;
    settings.rest = false;
    settings.has_slow_link_codec = true;
    settings.slow_link_codec = CODEC_MX4;
    for (int allowed = 0; allowed < 2; allowed++) {
        settings.slow_link_updates = allowed == 1;
        struct routes *routes = begin_six(&settings);
        CU_ASSERT_EQUAL(routes_update_codec(routes, CODEC_MX8), CODEC_MX8); /* no plan yet */
        CU_ASSERT_TRUE(plan_for_rates(routes, SLOW));
        CU_ASSERT_EQUAL(routes_update_codec(routes, CODEC_MX8), allowed ? CODEC_MX4 : CODEC_MX8);
        CU_ASSERT_TRUE(plan_for_rates(routes, FAST) || !allowed); /* then computing takes longest */
        CU_ASSERT_EQUAL(routes_update_codec(routes, CODEC_MX8), CODEC_MX8);
        CU_ASSERT_TRUE(plan_for_rates(routes, SLOW) || !allowed);
        CU_ASSERT_EQUAL(routes_update_codec(routes, CODEC_MX8), allowed ? CODEC_MX4 : CODEC_MX8);
        routes_reset(routes);
        CU_ASSERT_EQUAL(routes_update_codec(routes, CODEC_BF16), CODEC_BF16);
        routes_free(routes);
    }
    settings.slow_link_codec = CODEC_FP32; /* finer than the run's: nothing to choose */
    struct routes *routes = begin_six(&settings);
    CU_ASSERT_TRUE(plan_for_rates(routes, SLOW));
    CU_ASSERT_EQUAL(routes_update_codec(routes, CODEC_MX8), CODEC_MX8);
    routes_free(routes);
}

/* Nobody owns, nobody rests, all encode alike: only updates differ, and that is a plan too. */
static void coarser_updates_alone_are_a_plan(void)
{
    struct aggregation_settings settings = adaptive;
    settings.rest = false;
    settings.owners_max = 0;
    settings.has_slow_link_codec = true;
    settings.slow_link_codec = CODEC_MX4;
    settings.slow_link_updates = true;
    struct routes *routes = begin(&settings);
    struct routes_now slow_up = now;
    slow_up.coordinator_up = SLOW;
    slow_up.coordinator_down = FAST;
    for (uint32_t i = 0; i < PEERS; i++) {
        (void)add(routes, i, "", FAST);
    }
    CU_ASSERT_TRUE(make_plan_with(routes, &slow_up));
    static struct wire_route route;
    routes_fill(routes, 0, CODEC_MX8, &route);
    CU_ASSERT_EQUAL(route.codec, CODEC_MX8);
    CU_ASSERT_EQUAL(routes_owner_count(routes), 0);
    CU_ASSERT_EQUAL(routes_update_codec(routes, CODEC_MX8), CODEC_MX4);
    for (uint32_t i = 0; i < PEERS; i++) { /* all of them are others now */
        routes_leave(routes, i);
        (void)add(routes, i, "", FAST);
    }
    CU_ASSERT_TRUE(plan_for_rates(routes, FAST));
    CU_ASSERT_EQUAL(routes_update_codec(routes, CODEC_MX8), CODEC_MX8);
    routes_free(routes);
}

static void address_is_completed_with_where_the_peer_comes_from(void)
{
    static const char *const cases[][4] = {
        /* said, host, dialled, told */
        {":9000", "10.1.2.3", "10.1.2.3:9000", "10.1.2.3:9000"},
        {":9000", "[fd00::1]", "[fd00::1]:9000", "[fd00::1]:9000"},
        {":9000", "127.0.0.1", "127.0.0.1:9000", ":9000"},
        {":9000", "[::1]", "[::1]:9000", ":9000"},
        {":9000", "", "", ""},
        {"192.0.2.7:9000", "10.1.2.3", "192.0.2.7:9000", "192.0.2.7:9000"},
        {"", "10.1.2.3", "", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct routes *routes = begin(&adaptive);
        struct wire_hello hello = hello_of(0, cases[i][0]);
        const struct route_peer *peer = routes_join(routes, 0, &hello, cases[i][1], false);
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer);
        CU_ASSERT_STRING_EQUAL(peer->dial_address, cases[i][2]);
        CU_ASSERT_STRING_EQUAL(peer->address, cases[i][3]);
        routes_free(routes);
    }
}

static void number_is_of_one_stay(void)
{
    struct routes *routes = begin(&adaptive);
    uint32_t first = add(routes, 7, ":9000", 1000)->number;
    CU_ASSERT_EQUAL(routes_index(routes_by_number(routes, first)), 7);
    CU_ASSERT_EQUAL(add(routes, 7, ":9000", 1000)->number, first); /* hello again */
    CU_ASSERT_TRUE(routes_peer(routes, 7)->reachable);
    struct wire_hello moved = hello_of(7, ":9001");
    CU_ASSERT_FALSE(routes_join(routes, 7, &moved, "10.0.0.9", false)->reachable);
    routes_leave(routes, 7);
    CU_ASSERT_PTR_NULL(routes_by_number(routes, first));
    CU_ASSERT_NOT_EQUAL(add(routes, 7, ":9000", 1000)->number, first);
    CU_ASSERT_PTR_NULL(routes_by_number(routes, first));
    routes_free(routes);
}

static void limits_of_the_owner_cap_what_was_measured(void)
{
    struct routes *routes = begin(&adaptive);
    struct route_peer *peer = add(routes, 0, ":9000", 1000000);
    CU_ASSERT_EQUAL(routes_up(peer), 1000000.0);
    peer->up_max = 300000;
    CU_ASSERT_EQUAL(routes_up(peer), 300000.0);
    CU_ASSERT_EQUAL(routes_down(peer), 1000000.0);
    peer->said_down = 0;
    peer->probed = 5000;
    CU_ASSERT_EQUAL(routes_down(peer), 5000.0);
    routes_free(routes);
}

static const struct suite_test tests[] = {
    SUITE_TEST(plan_of_fast_peers_takes_the_load_off_the_coordinator),
    SUITE_TEST(predictions_learn_from_the_steps_of_the_plan),
    SUITE_TEST(plan_without_any_measured_link_is_not_made),
    SUITE_TEST(peer_without_measured_link_computes_and_owns_nothing),
    SUITE_TEST(who_may_not_own_does_not),
    SUITE_TEST(plan_changes_when_an_owner_is_lost_or_links_differ),
    SUITE_TEST(slowest_rests_and_is_told_once),
    SUITE_TEST(nobody_rests_where_a_contribution_moves_in_a_moment),
    SUITE_TEST(codec_of_the_newest_and_the_last_route_are_taken),
    SUITE_TEST(updates_are_coarser_where_that_is_allowed_and_links_are_slow),
    SUITE_TEST(coarser_updates_alone_are_a_plan),
    SUITE_TEST(address_is_completed_with_where_the_peer_comes_from),
    SUITE_TEST(number_is_of_one_stay),
    SUITE_TEST(limits_of_the_owner_cap_what_was_measured),
};

int main(void)
{
    return suite_run("routes", tests, sizeof tests / sizeof tests[0]);
}
