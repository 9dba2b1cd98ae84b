/* A peer whom the plan gives nothing to compute. */
#include "session_fixture.h"
#include "suite.h"

static void route(struct fixture *f, bool computes)
{
    f->message.as.route.computes = computes;
    fixture_deliver(f, WIRE_ROUTE);
}

static void who_rests_fetches_no_update_until_it_is_woken(void)
{
    struct fixture f;
    fixture_train(&f, 3);
    route(&f, false);
    fixture_committed(&f, 3, 1);
    fixture_committed(&f, 4, 2);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_FETCH));
    CU_ASSERT_FALSE(f.session.follows);
    fixture_tick(&f, 1000); /* it is still here */
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_ALIVE));
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_READY)); /* but for no step that is of use */
    route(&f, true);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_FETCH)->ref.id, 4);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_applied(&f, 1);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_FETCH)->ref.id, 5);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_applied(&f, 2);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_READY)->as.ready.version, 5);
    session_deinit(&f.session);
}

static void who_rested_for_long_takes_a_snapshot(void)
{
    for (uint64_t behind = SESSION_BEHIND_MAX; behind <= SESSION_UPDATES_MAX + 1; behind++) {
        struct fixture f;
        fixture_train(&f, 3);
        route(&f, false);
        for (uint64_t i = 0; i < behind; i++) {
            fixture_committed(&f, 3 + i, 1);
            CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_FETCH));
        }
        route(&f, true);
        CU_ASSERT_EQUAL(fixture_count(&f, SESSION_FETCH), behind > SESSION_BEHIND_MAX ? 0 : 1);
        fixture_tick(&f, 0);
        const struct session_action *hello = fixture_sent(&f, WIRE_HELLO);
        CU_ASSERT_EQUAL(hello != NULL, behind > SESSION_BEHIND_MAX);
        CU_ASSERT_TRUE(hello == NULL || hello->as.version_held == WIRE_VERSION_NONE);
        session_deinit(&f.session);
    }
}

static void what_is_held_is_handed_in_before_it_rests(void)
{
    struct fixture f;
    fixture_train_with(&f, 3, 1);
    fixture_lease(&f, 1, 0, 2);
    fixture_work(&f);
    route(&f, false);
    CU_ASSERT_TRUE(f.session.follows);
    fixture_collect(&f);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_ENCODE));
    work_clear_held(&f.session.work);
    fixture_verdict(&f, true);
    CU_ASSERT_TRUE(f.session.follows); /* it may be asked for again */
    fixture_committed(&f, 3, 1);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_FETCH));
    CU_ASSERT_FALSE(f.session.follows);
    session_deinit(&f.session);
}

static void update_that_is_on_its_way_is_still_applied(void)
{
    struct fixture f;
    fixture_train(&f, 3);
    fixture_committed(&f, 3, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_FETCH));
    route(&f, false);
    fixture_committed(&f, 4, 2);
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_APPLY));
    fixture_applied(&f, 1);
    CU_ASSERT_EQUAL(f.session.version, 4);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_FETCH));
    session_deinit(&f.session);
}

/* A coordinator that says nothing of a plan has none. */
static void new_welcome_ends_the_rest(void)
{
    struct fixture f;
    fixture_train(&f, 3);
    route(&f, false);
    fixture_committed(&f, 3, 1);
    fixture_event(&f, SESSION_CONNECTED, true);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE);
    fixture_committed(&f, 3, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_FETCH));
    session_deinit(&f.session);
}

static void who_rests_ends_with_the_run(void)
{
    struct fixture f;
    fixture_train(&f, 3);
    route(&f, false);
    fixture_committed(&f, 3, 1);
    fixture_deliver(&f, WIRE_FINISHED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(&f, SESSION_EXIT));
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_EXIT)->status, STATUS_OK);
    session_deinit(&f.session);
}

static const struct suite_test tests[] = {
    SUITE_TEST(who_rests_fetches_no_update_until_it_is_woken),
    SUITE_TEST(who_rested_for_long_takes_a_snapshot),
    SUITE_TEST(what_is_held_is_handed_in_before_it_rests),
    SUITE_TEST(update_that_is_on_its_way_is_still_applied),
    SUITE_TEST(new_welcome_ends_the_rest),
    SUITE_TEST(who_rests_ends_with_the_run),
};

int main(void)
{
    return suite_run("peer_rest", tests, sizeof tests / sizeof tests[0]);
}
