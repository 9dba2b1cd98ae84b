/* Samples of the step after the version's: when they are begun, counted, handed in and kept. */
#include "session_fixture.h"
#include "suite.h"

/* What the shell does of these. */
static void open_weights(struct fixture *f, bool ahead)
{
    const struct session_action *open = fixture_action(f, SESSION_OPEN);
    CU_ASSERT_PTR_NOT_NULL_FATAL(open);
    CU_ASSERT_EQUAL(open->ahead, ahead);
    struct work_item item;
    CU_ASSERT_FALSE(work_begin(&f->session.work, &item)); /* not before the weights are there */
    fixture_event(f, SESSION_OPENED, true);
}

static void encode(struct fixture *f, enum session_action_type type)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(f, type));
    work_clear_held(&f->session.work);
}

/* At version 5, samples [0, 2) of step 5 handed in, samples [10, 14) of step 6 lent. */
static void go_ahead(struct fixture *f)
{
    fixture_train_with(f, 5, 1);
    fixture_lease(f, 1, 0, 2);
    fixture_work(f);
    fixture_collect(f);
    encode(f, SESSION_ENCODE);
    fixture_lease_ahead(f, 2, 10, 4);
    CU_ASSERT_PTR_NULL(fixture_sent(f, WIRE_YIELDED));
    open_weights(f, true);
}

/* One sample is done and stale, one runs, two wait; then step 5 is committed. */
static struct work_item commit_while_ahead(struct fixture *f)
{
    go_ahead(f);
    struct work_item item = fixture_begin(f, 10);
    CU_ASSERT_TRUE(item.stale);
    fixture_done(f, &item);
    item = fixture_begin(f, 11);
    fixture_committed(f, 5, 7);
    return item;
}

static void sample_of_the_next_step_is_begun_after_the_hand_in(void)
{
    struct fixture f;
    struct work_item item;
    go_ahead(&f);
    item = fixture_begin(&f, 10);
    CU_ASSERT_TRUE(item.stale);
    fixture_done(&f, &item);
    CU_ASSERT_EQUAL(f.session.work.held_step, 6);
    CU_ASSERT_EQUAL(f.session.work.held_stale, 1);
    fixture_verdict(&f, true);
    item = fixture_begin(&f, 11);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_DISCARD));
    fixture_done(&f, &item);
    session_deinit(&f.session);
}

static void lease_that_comes_before_the_hand_in_waits_for_it(void)
{
    struct fixture f;
    struct work_item item;
    fixture_train_with(&f, 5, 1);
    fixture_lease(&f, 1, 0, 2);
    fixture_lease_ahead(&f, 2, 10, 4);
    fixture_work(&f); /* what is open */
    CU_ASSERT_EQUAL(f.session.work.held_samples, 2);
    CU_ASSERT_FALSE(work_begin(&f.session.work, &item));
    fixture_collect(&f);
    encode(&f, SESSION_ENCODE);
    open_weights(&f, true);
    (void)fixture_begin(&f, 10);
    CU_ASSERT_EQUAL(f.session.work.held_samples, 0);
    work_done(&f.session.work, &(struct work_item){.lease_id = 2, .sample = 10}, 1.0);
    session_deinit(&f.session);
}

static void lease_of_the_next_step_is_given_back_without_staleness(void)
{
    struct fixture f;
    fixture_train(&f, 5);
    fixture_lease_ahead(&f, 2, 10, 4);
    const struct session_action *yielded = fixture_sent(&f, WIRE_YIELDED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(yielded);
    CU_ASSERT_EQUAL(yielded->as.yielded.lease_id, 2);
    CU_ASSERT_EQUAL(yielded->as.yielded.kept, 0);
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
    session_deinit(&f.session);
    for (int kind = 0; kind < 3; kind++) { /* nor two steps ahead, nor on other parameters */
        fixture_train_with(&f, 5, 1);
        f.message.as.lease = (struct wire_lease){.lease_id = 2,
                                                 .step = kind == 0 ? 7 : 6,
                                                 .version = kind == 1 ? 6 : 5,
                                                 .samples = {10, 4}};
        if (kind == 2) {
            fixture_committed(&f, 5, 7);
            fixture_committed(&f, 6, 8);
            f.message.as.lease =
                (struct wire_lease){.lease_id = 2, .step = 6, .version = 5, .samples = {10, 4}};
        }
        fixture_deliver(&f, WIRE_LEASE);
        CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_YIELDED));
        session_deinit(&f.session);
    }
}

static void stale_label_on_a_lease_of_the_versions_own_step_does_not_matter(void)
{
    struct fixture f;
    fixture_train_with(&f, 5, 1);
    f.message.as.lease =
        (struct wire_lease){.lease_id = 2, .step = 5, .version = 4, .samples = {10, 1}};
    fixture_deliver(&f, WIRE_LEASE);
    struct work_item item = fixture_begin(&f, 10);
    CU_ASSERT_FALSE(item.stale); /* the update came meanwhile */
    fixture_done(&f, &item);
    session_deinit(&f.session);
}

static void update_is_applied_when_no_sample_runs_and_the_rest_is_fresh(void)
{
    struct fixture f;
    struct work_item none;
    struct work_item item = commit_while_ahead(&f);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_FETCH)); /* at once */
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_DISCARD));
    CU_ASSERT_EQUAL(work_ready(&f.session.work), 2); /* it computes on meanwhile */
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_APPLY));
    CU_ASSERT_FALSE(work_begin(&f.session.work, &none));
    fixture_done(&f, &item);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_APPLY));
    CU_ASSERT_FALSE(work_begin(&f.session.work, &none));
    fixture_applied(&f, 7);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_APPLIED));
    CU_ASSERT_EQUAL(f.session.version, 6);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_OPEN)); /* the weights are P's already */
    item = fixture_begin(&f, 12);
    CU_ASSERT_FALSE(item.stale);
    fixture_done(&f, &item);
    item = fixture_begin(&f, 13);
    fixture_done(&f, &item);
    CU_ASSERT_EQUAL(f.session.work.held_samples, 4);
    CU_ASSERT_EQUAL(f.session.work.held_stale, 2);
    fixture_collect(&f);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_ENCODE));
    session_deinit(&f.session);
}

static void contribution_is_kept_until_its_own_step_is_over(void)
{
    struct fixture f;
    struct work_item item = commit_while_ahead(&f);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_DROP_OFFERS)); /* of step 5 */
    CU_ASSERT_FALSE(f.session.offer_open);
    fixture_done(&f, &item);
    fixture_work(&f);
    f.message.as.collect.step = 6;
    fixture_deliver(&f, WIRE_COLLECT);
    encode(&f, SESSION_ENCODE); /* before it holds the new parameters */
    CU_ASSERT_EQUAL(f.session.version, 5);
    fixture_verdict(&f, true);
    CU_ASSERT_EQUAL(f.session.kept_count, 1);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_applied(&f, 7);
    CU_ASSERT_EQUAL(f.session.kept_count, 1);
    fixture_committed(&f, 6, 8);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_DROP_OFFERS));
    session_deinit(&f.session);
}

static void what_was_not_handed_in_goes_with_its_step_and_the_rest_stays(void)
{
    struct fixture f;
    fixture_train_with(&f, 5, 1);
    fixture_lease(&f, 1, 0, 3);
    struct work_item item = fixture_begin(&f, 0);
    fixture_lease_ahead(&f, 2, 10, 1);
    fixture_committed(&f, 5, 7); /* without it */
    CU_ASSERT_TRUE(f.session.draining);
    fixture_done(&f, &item);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_DISCARD));
    open_weights(&f, true);
    item = fixture_begin(&f, 10);
    fixture_done(&f, &item);
    CU_ASSERT_EQUAL(f.session.work.held_samples, 1);
    session_deinit(&f.session);
}

static void sample_of_the_step_before_is_computed_first_and_the_sum_set_aside(void)
{
    struct fixture f;
    go_ahead(&f);
    fixture_verdict(&f, true);
    struct work_item item = fixture_begin(&f, 10);
    fixture_lease(&f, 3, 5, 1); /* somebody was lost */
    CU_ASSERT_EQUAL(work_ready(&f.session.work), 0);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_SET_ASIDE));
    fixture_done(&f, &item);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_SET_ASIDE));
    encode(&f, SESSION_SET_ASIDE);
    open_weights(&f, false);
    item = fixture_begin(&f, 5);
    CU_ASSERT_FALSE(item.stale);
    fixture_done(&f, &item);
    CU_ASSERT_EQUAL(work_ready(&f.session.work), 0); /* the rest of step 6 waits */
    fixture_collect(&f);
    encode(&f, SESSION_ENCODE);
    uint64_t aside = f.session.kept[1].id;
    open_weights(&f, true);
    fixture_verdict(&f, true);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_OFFER_AGAIN));
    fixture_work(&f);
    fixture_lease_ahead(&f, 4, 14, 2);
    item = fixture_begin(&f, 14);
    fixture_done(&f, &item);
    item = fixture_begin(&f, 15);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_PROGRESS)); /* too soon after the latest */
    fixture_committed(&f, 5, 7);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DROP_OFFER), 2);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_PROGRESS)); /* the lease is not done */
    const struct session_action *again = fixture_action(&f, SESSION_OFFER_AGAIN);
    CU_ASSERT_PTR_NOT_NULL_FATAL(again); /* its step is there */
    CU_ASSERT_EQUAL(again->offer_id, aside);
    fixture_done(&f, &item);
    f.message.as.collect.step = 6;
    fixture_deliver(&f, WIRE_COLLECT);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_ENCODE)); /* one after the other */
    fixture_verdict(&f, true);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_ENCODE));
    session_deinit(&f.session);
}

/* Each time somebody is lost, what was computed of step 6 is set aside; there is room for four. */
static void what_is_forgotten_is_told_by_a_new_claim(void)
{
    struct fixture f;
    go_ahead(&f);
    fixture_verdict(&f, true);
    for (uint64_t i = 0; i < SESSION_OFFERS_MAX; i++) {
        CU_ASSERT_EQUAL_FATAL(f.session.phase, SESSION_TRAIN);
        struct work_item item = fixture_begin(&f, 10 + i);
        fixture_lease(&f, 3 + i, 20 + i, 1);
        fixture_done(&f, &item);
        encode(&f, SESSION_SET_ASIDE);
        open_weights(&f, false);
        fixture_work(&f);
        fixture_collect(&f);
        encode(&f, SESSION_ENCODE);
        if (i + 1 < SESSION_OFFERS_MAX) {
            open_weights(&f, true);
            fixture_verdict(&f, true);
        }
    }
    CU_ASSERT_EQUAL(f.session.phase, SESSION_HELLO);
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, 5);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_CLAIM));
    CU_ASSERT_EQUAL(f.session.kept_count, SESSION_OFFERS_MAX);
    session_deinit(&f.session);
}

static void collect_of_the_next_step_tells_of_a_commit_that_was_missed(void)
{
    struct fixture f;
    go_ahead(&f);
    fixture_work(&f);
    f.message.as.collect.step = 6;
    fixture_deliver(&f, WIRE_COLLECT);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_ENCODE));
    CU_ASSERT_EQUAL(f.session.phase, SESSION_HELLO);
    fixture_tick(&f, 0);
    const struct session_action *hello = fixture_sent(&f, WIRE_HELLO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    CU_ASSERT_EQUAL(hello->as.version_held, 5);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE);
    const struct session_action *claim = fixture_sent(&f, WIRE_CLAIM);
    CU_ASSERT_PTR_NOT_NULL_FATAL(claim);
    CU_ASSERT_TRUE(claim->as.claims_work);
    fixture_committed(&f, 5, 7);
    CU_ASSERT_TRUE(f.session.claim_open); /* what is ahead is still claimed */
    CU_ASSERT_EQUAL(f.session.work.held_samples, 4);
    fixture_claimed(&f, true);
    f.message.as.collect.step = 6;
    fixture_deliver(&f, WIRE_COLLECT);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_ENCODE));
    session_deinit(&f.session);
}

static void snapshot_in_the_place_of_the_update_keeps_the_work(void)
{
    struct fixture f;
    go_ahead(&f);
    struct work_item item = fixture_begin(&f, 10);
    fixture_event(&f, SESSION_CONNECTED, true);
    CU_ASSERT_EQUAL(work_ready(&f.session.work), 3); /* it computes on */
    fixture_welcome(&f, 1, 6);                       /* the coordinator has no updates any more */
    CU_ASSERT_EQUAL(f.session.phase, SESSION_TRAIN);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_CLAIM));
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_DROP_OFFERS));
    const struct session_action *fetch = fixture_action(&f, SESSION_FETCH);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fetch);
    CU_ASSERT_EQUAL(fetch->ref.id, 6);
    fixture_claimed(&f, true);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_done(&f, &item);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_LOAD));
    fixture_applied(&f, 3); /* no digest was told */
    CU_ASSERT_EQUAL(f.session.version, 6);
    CU_ASSERT_EQUAL(f.session.work.held_samples, 1);
    item = fixture_begin(&f, 11);
    CU_ASSERT_FALSE(item.stale);
    fixture_done(&f, &item);
    session_deinit(&f.session);
}

/* There is no memory for both. */
static void snapshot_ends_the_work_where_memory_is_short(void)
{
    struct fixture f;
    go_ahead(&f);
    struct work_item item = fixture_begin(&f, 10);
    fixture_event(&f, SESSION_CONNECTED, true);
    f.cramped = true;
    fixture_welcome(&f, 1, 6);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_SYNC);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_DROP_OFFERS));
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_FETCH));
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
    CU_ASSERT_EQUAL(f.session.kept_count, 0);
    fixture_done(&f, &item);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_applied(&f, 3);
    CU_ASSERT_EQUAL(f.session.version, 6);
    CU_ASSERT_EQUAL(f.session.work.held_samples, 0);
    session_deinit(&f.session);
}

static void snapshot_of_another_version_ends_the_work(void)
{
    for (uint64_t version = 5; version <= 7; version += 2) {
        struct fixture f;
        go_ahead(&f);
        fixture_event(&f, SESSION_CONNECTED, true);
        fixture_welcome(&f, 1, version);
        CU_ASSERT_EQUAL(f.session.phase, SESSION_SYNC);
        CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_DISCARD));
        CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
        session_deinit(&f.session);
    }
}

static void refused_claim_ends_the_work_of_both_steps(void)
{
    struct fixture f;
    go_ahead(&f);
    struct work_item item = fixture_begin(&f, 10);
    fixture_done(&f, &item);
    fixture_event(&f, SESSION_CONNECTED, true);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE);
    fixture_claimed(&f, false);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_DISCARD));
    CU_ASSERT_EQUAL(f.session.work.held_samples, 0);
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
    session_deinit(&f.session);
}

static void who_leaves_ahead_hands_in_when_the_step_has_come(void)
{
    struct fixture f;
    go_ahead(&f);
    fixture_verdict(&f, true);
    struct work_item item = fixture_begin(&f, 10);
    fixture_event(&f, SESSION_STOP, true);
    fixture_done(&f, &item);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_ENCODE));
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_LEAVE));
    fixture_committed(&f, 5, 7);
    encode(&f, SESSION_ENCODE);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_LEAVE));
    fixture_verdict(&f, true);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_LEAVE));
    session_deinit(&f.session);
}

static void second_commit_before_the_first_update_ends_the_work(void)
{
    struct fixture f;
    struct work_item item = commit_while_ahead(&f);
    fixture_committed(&f, 6, 8);
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
    fixture_done(&f, &item);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_DISCARD));
    CU_ASSERT_EQUAL(f.session.work.held_samples, 0);
    session_deinit(&f.session);
}

static void refused_contribution_leaves_the_sum_ahead_alone(void)
{
    struct fixture f;
    go_ahead(&f);
    struct work_item item = fixture_begin(&f, 10);
    fixture_verdict(&f, false);
    CU_ASSERT_PTR_NULL(fixture_action(&f, SESSION_DISCARD));
    fixture_done(&f, &item);
    session_deinit(&f.session);
    go_ahead(&f);
    fixture_verdict(&f, false); /* nothing is inside yet but what the codec left */
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_DISCARD));
    open_weights(&f, true);
    CU_ASSERT_EQUAL(work_ready(&f.session.work), 4);
    session_deinit(&f.session);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(sample_of_the_next_step_is_begun_after_the_hand_in),
        SUITE_TEST(lease_that_comes_before_the_hand_in_waits_for_it),
        SUITE_TEST(lease_of_the_next_step_is_given_back_without_staleness),
        SUITE_TEST(stale_label_on_a_lease_of_the_versions_own_step_does_not_matter),
        SUITE_TEST(update_is_applied_when_no_sample_runs_and_the_rest_is_fresh),
        SUITE_TEST(contribution_is_kept_until_its_own_step_is_over),
        SUITE_TEST(what_was_not_handed_in_goes_with_its_step_and_the_rest_stays),
        SUITE_TEST(sample_of_the_step_before_is_computed_first_and_the_sum_set_aside),
        SUITE_TEST(what_is_forgotten_is_told_by_a_new_claim),
        SUITE_TEST(collect_of_the_next_step_tells_of_a_commit_that_was_missed),
        SUITE_TEST(snapshot_in_the_place_of_the_update_keeps_the_work),
        SUITE_TEST(snapshot_ends_the_work_where_memory_is_short),
        SUITE_TEST(snapshot_of_another_version_ends_the_work),
        SUITE_TEST(refused_claim_ends_the_work_of_both_steps),
        SUITE_TEST(who_leaves_ahead_hands_in_when_the_step_has_come),
        SUITE_TEST(second_commit_before_the_first_update_ends_the_work),
        SUITE_TEST(refused_contribution_leaves_the_sum_ahead_alone),
    };
    return suite_run("peer_ahead", tests, sizeof tests / sizeof tests[0]);
}
