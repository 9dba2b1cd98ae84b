#include "core_fixture.h"
#include "suite.h"

static void offers_that_are_not_the_peers_own_are_refused(void)
{
    static const struct core_range cases[][2] = {
        {{0, 4}, {4, 1}},                /* leased to another */
        {{0, 4}, {8, 1}},                /* leased to nobody */
        {{0, 4}, {3, 1}},                /* overlapping */
        {{2, 2}, {0, 2}},                /* unsorted */
        {{0, 2}, {0, 2}},                /* twice */
        {{0, 4}, {12, 1}},               /* past the end */
        {{0, 2}, {2, UINT64_MAX}},       /* overflow of the end */
        {{0, 2}, {UINT64_MAX, 4}},       /* overflow of the first */
        {{0, 2}, {UINT64_MAX - 1, 2}},   /* exactly 2^64 */
        {{0, 2}, {2 + (1ULL << 32), 2}}, /* right in 32 bits */
        {{0, 2}, {2, 0}},                /* empty */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        (void)half_done(&f);
        fixture_offer(&f, 0, cases[i], 2);
        fixture_refused(&f, 0);
        CU_ASSERT_EQUAL(f.core->peers[0].owned, 0); /* it handed in all it had: for nothing */
        CU_ASSERT_EQUAL(f.core->table.now.free_count, 8);
        fixture_deinit(&f);
    }
}

static void offers_out_of_order_are_refused(void)
{
    struct fixture f;
    struct core_action lease = half_done(&f);
    const struct core_range own = {0, 4};
    struct core_event event = {
        .type = CORE_OFFERED, .peer = 0, .step = 1, .ranges = &own, .range_count = 1};
    fixture_step(&f, &event); /* wrong step */
    fixture_refused(&f, 0);
    CU_ASSERT_EQUAL(f.core->peers[0].owned, 4);
    fixture_offer(&f, 1, &(struct core_range){4, 4}, 1); /* not ended */
    fixture_refused(&f, 1);
    fixture_report(&f, CORE_YIELDED, 1, lease.lease_id, 0);
    fixture_offer(&f, 0, &own, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_FETCH, 0));
    fixture_offer(&f, 0, &own, 1); /* a second one */
    fixture_refused(&f, 0);
    CU_ASSERT_EQUAL(f.core->peers[0].owned, 4);
    fixture_offer(&f, 1, NULL, 0);
    fixture_refused(&f, 1);
    struct core_range many[CORE_RANGES_MAX + 1] = {{0, 1}};
    fixture_offer(&f, 1, many, CORE_RANGES_MAX + 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, 1)); /* three of them */
    fixture_deinit(&f);
}

static void failed_fetch_or_add_frees_exactly_its_samples(void)
{
    for (int failing = 0; failing < 2; failing++) {
        struct fixture f;
        (void)half_done(&f);
        f.core->peers[0].speed = 0.001;
        fixture_offer(&f, 0, &(struct core_range){0, 4}, 1);
        fixture_answer(&f, CORE_RECEIVED, 0, failing != 0);
        if (failing == 1) {
            CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_ADD, 0));
            fixture_answer(&f, CORE_ADDED, 0, false);
        }
        fixture_refused(&f, 0);
        for (uint32_t i = 0; i < 12; i++) {
            CU_ASSERT_EQUAL(f.core->table.owners[i], i >= 4 && i < 8 ? 2 : SAMPLE_FREE);
        }
        struct core_action again = fixture_ready(&f, 0);
        CU_ASSERT_EQUAL(again.first, 0);
        CU_ASSERT_EQUAL(again.count, 4); /* its speed is not believed any more */
        fixture_deinit(&f);
    }
}

static void partial_offer_frees_what_is_left_out(void)
{
    struct fixture f;
    (void)half_done(&f);
    struct core_action next = fixture_ready(&f, 0);
    CU_ASSERT_EQUAL(next.first, 8);
    fixture_hand_in(&f, 0, 1, 2);
    static const uint32_t expected[12] = {
        SAMPLE_FREE, SAMPLE_COUNTED, SAMPLE_COUNTED, SAMPLE_FREE, 2, 2, 2, 2, 1, 1, 1, 1};
    CU_ASSERT_EQUAL(memcmp(f.core->table.owners, expected, sizeof expected), 0);
    fixture_deinit(&f);
}

static void kept_contribution_that_others_had_counted_is_refused(void)
{
    struct fixture f;
    (void)half_done(&f);
    fixture_hand_in(&f, 0, 0, 4);
    fixture_offer_again(&f, 1, 0, (struct core_range){0, 4}, false);
    fixture_refused(&f, 1);
    CU_ASSERT_EQUAL(f.core->peers[1].strikes, 0);
    CU_ASSERT_EQUAL(core_counted(f.core), 4);
    CU_ASSERT_EQUAL(f.core->peers[1].owned, 4);
    fixture_deinit(&f);
}

/* It was the last of the step: that is being committed, and then over. */
static void kept_contribution_that_completed_its_step_is_accepted_once_more(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(4);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 4);
    (void)fixture_ready(&f, 0);
    const struct core_range kept = {0, 4};
    fixture_report(&f, CORE_PROGRESS, 0, 1, 4);
    fixture_hand_in(&f, 0, 0, 4);
    CU_ASSERT_TRUE(f.core->committing);
    for (int over = 0; over < 2; over++) {
        fixture_offer_again(&f, 0, 0, kept, false); /* nobody has it */
        fixture_refused(&f, 0);
        fixture_offer_again(&f, 0, 0, kept, true);
        CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_FETCH, 0));
        CU_ASSERT_TRUE(fixture_action(&f, CORE_VERDICT, 0)->ok);
        CU_ASSERT_EQUAL(f.core->committing, over == 0);
        if (over == 0) {
            fixture_step(&f, &(struct core_event){.type = CORE_COMMITTED});
        }
    }
    CU_ASSERT_EQUAL(core_current_step(f.core), 1);
    CU_ASSERT_EQUAL(core_counted(f.core), 0);
    fixture_deinit(&f);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(offers_that_are_not_the_peers_own_are_refused),
        SUITE_TEST(offers_out_of_order_are_refused),
        SUITE_TEST(failed_fetch_or_add_frees_exactly_its_samples),
        SUITE_TEST(partial_offer_frees_what_is_left_out),
        SUITE_TEST(kept_contribution_that_others_had_counted_is_refused),
        SUITE_TEST(kept_contribution_that_completed_its_step_is_accepted_once_more),
    };
    return suite_run("coordinator_offers", tests, sizeof tests / sizeof tests[0]);
}
