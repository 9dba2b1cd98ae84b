/* What a peer keeps when the connection breaks or the coordinator restarts, and how it says so. */
#include "session_fixture.h"
#include "suite.h"

/* Everything of lease 1, [40, 44), was done, handed in as contribution 1 and accepted. */
static void hand_in_one(struct fixture *f)
{
    fixture_train(f, 4);
    fixture_lease(f, 1, 40, 4);
    fixture_work(f);
    fixture_collect(f);
    CU_ASSERT_EQUAL_FATAL(fixture_count(f, SESSION_ENCODE), 1);
    CU_ASSERT_EQUAL(fixture_action(f, SESSION_ENCODE)->offer_id, 1);
    work_clear_held(&f->session.work);
    fixture_verdict(f, true);
}

static void break_and_return(struct fixture *f)
{
    fixture_event(f, SESSION_CONNECTED, true);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(f, WIRE_HELLO));
    CU_ASSERT_EQUAL(fixture_sent(f, WIRE_HELLO)->as.version_held, f->session.version);
    fixture_welcome(f, 1, WIRE_VERSION_NONE);
}

static void workers_go_on_while_nobody_listens(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 6);
    struct work_item a = fixture_begin(&f, 40);
    fixture_refused(&f, WIRE_REFUSED_UNKNOWN);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_HELLO);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 0);
    fixture_done(&f, &a);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_PROGRESS)); /* nobody to tell */
    struct work_item b = fixture_begin(&f, 41);
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, 4);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, WIRE_CLAIM));
    CU_ASSERT_TRUE(fixture_sent(&f, WIRE_CLAIM)->as.claims_work);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_READY));
    fixture_done(&f, &b);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_PROGRESS)); /* not before the answer */
    fixture_claimed(&f, true);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, WIRE_PROGRESS));
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_PROGRESS)->as.progress.lease_id, 1);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_PROGRESS)->as.progress.samples_done, 2);
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 4);
    fixture_work(&f);
    CU_ASSERT_EQUAL(f.session.work.held_samples, 6);
    session_deinit(&f.session);
}

static void claim_is_repeated_until_it_is_answered(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 1);
    fixture_work(&f);
    break_and_return(&f);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_CLAIM));
    fixture_tick(&f, 999);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_CLAIM));
    fixture_lease(&f, 2, 50, 1); /* meant for whom the peer was before */
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
    fixture_collect(&f);
    CU_ASSERT_EQUAL(f.actions.count, 0); /* nothing is offered meanwhile */
    fixture_tick(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_CLAIM));
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_READY));
    f.message.as.claimed = (struct wire_claimed){.step = 3, .accepted = true};
    fixture_deliver(&f, WIRE_CLAIMED); /* of another step */
    CU_ASSERT_TRUE(f.session.claim_open);
    fixture_claimed(&f, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_ENCODE), 1); /* it was asked for */
    fixture_tick(&f, 1000);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_CLAIM));
    session_deinit(&f.session);
}

static void peer_with_nothing_to_claim_asks_for_work_at_once(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    break_and_return(&f);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_CLAIM));
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_READY));
    session_deinit(&f.session);
}

static void refused_claim_drains_and_discards_but_offers_what_is_kept(void)
{
    struct fixture f;
    hand_in_one(&f);
    fixture_lease(&f, 2, 50, 4);
    struct work_item a = fixture_begin(&f, 50);
    break_and_return(&f);
    fixture_claimed(&f, false);
    struct work_item none;
    CU_ASSERT_FALSE(work_begin(&f.session.work, &none));
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 0); /* one sample still runs */
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(&f, SESSION_OFFER_AGAIN));
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_OFFER_AGAIN)->offer_id, 1);
    fixture_done(&f, &a);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 1);
    CU_ASSERT_EQUAL(f.session.work.held_samples, 0);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_READY));
    fixture_verdict(&f, true);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_READY));
    session_deinit(&f.session);
}

static void kept_contributions_are_offered_one_after_the_other(void)
{
    struct fixture f;
    hand_in_one(&f);
    fixture_lease(&f, 2, 50, 1);
    fixture_work(&f);
    fixture_collect(&f);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_ENCODE)->offer_id, 2);
    work_clear_held(&f.session.work); /* the verdict is lost with the connection */
    break_and_return(&f);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_CLAIM));
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_OFFER_AGAIN), 0); /* not before the answer */
    fixture_claimed(&f, true);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_OFFER_AGAIN)->offer_id, 1);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_READY));
    f.message.as.verdict = (struct wire_verdict){.blob_id = 2, .accepted = true};
    fixture_deliver(&f, WIRE_VERDICT); /* of another: late */
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_verdict(&f, true);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_OFFER_AGAIN)->offer_id, 2);
    fixture_verdict(&f, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_OFFER_AGAIN), 0);
    CU_ASSERT_EQUAL(f.session.kept_count, 2);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_READY));
    session_deinit(&f.session);
}

static void collect_waits_for_the_kept_contributions(void)
{
    struct fixture f;
    hand_in_one(&f);
    fixture_lease(&f, 2, 50, 1);
    fixture_work(&f);
    break_and_return(&f);
    fixture_claimed(&f, true);
    fixture_collect(&f);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_ENCODE), 0);
    fixture_verdict(&f, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_ENCODE), 1);
    session_deinit(&f.session);
}

static void refused_contribution_is_dropped_and_others_stay(void)
{
    struct fixture f;
    hand_in_one(&f);
    fixture_lease(&f, 2, 50, 1);
    fixture_work(&f);
    fixture_collect(&f);
    work_clear_held(&f.session.work);
    fixture_verdict(&f, true);
    fixture_lease(&f, 3, 52, 2);
    struct work_item a = fixture_begin(&f, 52);
    fixture_done(&f, &a);
    break_and_return(&f);
    fixture_claimed(&f, true);
    fixture_verdict(&f, false); /* of contribution 1 */
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_DROP_OFFER)->offer_id, 1);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 0); /* the accumulator holds more */
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_OFFER_AGAIN)->offer_id, 2);
    CU_ASSERT_EQUAL(f.session.kept_count, 1);
    fixture_verdict(&f, true);
    break_and_return(&f);
    fixture_claimed(&f, true);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_OFFER_AGAIN)->offer_id, 2);
    session_deinit(&f.session);
}

static void contribution_refused_at_first_is_not_kept(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 1);
    fixture_work(&f);
    fixture_collect(&f);
    work_clear_held(&f.session.work);
    fixture_verdict(&f, false);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_DROP_OFFER)->offer_id, 1);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 1);
    break_and_return(&f);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_CLAIM));
    session_deinit(&f.session);
}

static void fifth_contribution_of_a_step_pushes_the_oldest_out(void)
{
    struct fixture f;
    hand_in_one(&f);
    for (uint64_t id = 2; id <= SESSION_OFFERS_MAX + 2; id++) {
        fixture_lease(&f, id, 40 + 10 * id, 1);
        fixture_work(&f);
        fixture_collect(&f);
        work_clear_held(&f.session.work);
        if (id > SESSION_OFFERS_MAX) {
            size_t last = f.actions.count - 1; /* its memory is free before the new one is taken */
            CU_ASSERT_EQUAL_FATAL(f.actions.items[last].type, SESSION_ENCODE);
            CU_ASSERT_EQUAL(f.actions.items[last - 1].type, SESSION_DROP_OFFER);
            CU_ASSERT_EQUAL(f.actions.items[last - 1].offer_id, id - SESSION_OFFERS_MAX);
        }
        fixture_verdict(&f, true);
    }
    CU_ASSERT_EQUAL(f.session.kept_count, SESSION_OFFERS_MAX);
    session_deinit(&f.session);
}

static void commit_ends_what_is_kept_and_claimed(void)
{
    struct fixture f;
    hand_in_one(&f);
    fixture_lease(&f, 2, 50, 1);
    fixture_work(&f);
    break_and_return(&f);
    fixture_committed(&f, 4, 1); /* the step had gone on without this peer */
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DROP_OFFERS), 1);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 1);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_FETCH), 1);
    fixture_claimed(&f, false); /* late */
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_applied(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_READY));
    break_and_return(&f);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_CLAIM));
    session_deinit(&f.session);
}

static void snapshot_ends_what_is_kept_and_held(void)
{
    struct fixture f;
    hand_in_one(&f);
    fixture_lease(&f, 2, 50, 2);
    struct work_item a = fixture_begin(&f, 50);
    fixture_event(&f, SESSION_CONNECTED, true);
    fixture_welcome(&f, 1, 3); /* the run went back */
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DROP_OFFERS), 1);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_CLAIM));
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_LOAD), 0);
    fixture_done(&f, &a);
    CU_ASSERT_EQUAL(f.actions.items[0].type, SESSION_DISCARD);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_LOAD), 1);
    session_deinit(&f.session);
}

static void parameters_that_are_given_up_take_the_work_with_them(void)
{
    struct fixture f;
    hand_in_one(&f);
    fixture_lease(&f, 2, 50, 1);
    fixture_refused(&f, WIRE_REFUSED_GONE);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DROP_OFFERS), 1);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 1);
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
    session_deinit(&f.session);
}

static void new_connection_is_used_at_once_in_every_phase(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_tick(&f, 0);
    for (int i = 0; i < 4; i++) { /* the waits have grown */
        fixture_tick(&f, f.session.hello_at_ms - f.now_ms);
    }
    f.now_ms++;
    fixture_event(&f, SESSION_CONNECTED, true);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_HELLO));
    fixture_tick(&f, 99);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_HELLO));
    fixture_tick(&f, 1); /* and begin anew */
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_HELLO));
    fixture_welcome(&f, 1, 4);
    fixture_event(&f, SESSION_CONNECTED, true); /* while the snapshot is fetched */
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_HELLO));
    fixture_welcome(&f, 1, 4);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_FETCH), 1);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_applied(&f, 0);
    fixture_committed(&f, 4, 1);
    fixture_deliver(&f, WIRE_FINISHED);
    fixture_event(&f, SESSION_CONNECTED, true); /* nobody needs to know any more */
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_HELLO));
    session_deinit(&f.session);
}

static void collect_of_nothing_leads_to_a_new_hello(void)
{
    struct fixture f;
    hand_in_one(&f);
    fixture_collect(&f);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_HELLO);
    fixture_tick(&f, 0);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_HELLO));
    fixture_welcome(&f, 1, WIRE_VERSION_NONE);
    CU_ASSERT_FALSE(fixture_sent(&f, WIRE_CLAIM) == NULL); /* of what it keeps */
    session_deinit(&f.session);
}

static void stop_while_nobody_listens_waits_to_hand_in(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 4);
    struct work_item a = fixture_begin(&f, 40);
    fixture_refused(&f, WIRE_REFUSED_UNKNOWN);
    fixture_event(&f, SESSION_STOP, true);
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0); /* what is not begun is left */
    fixture_done(&f, &a);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_EXIT), 0);
    fixture_tick(&f, 0);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_CLAIM));
    fixture_claimed(&f, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_ENCODE), 1);
    work_clear_held(&f.session.work);
    fixture_verdict(&f, true);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_EXIT)->status, STATUS_OK);
    session_deinit(&f.session);
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 1);
    fixture_work(&f);
    fixture_refused(&f, WIRE_REFUSED_UNKNOWN);
    fixture_event(&f, SESSION_STOP, true);
    fixture_tick(&f, 3000); /* but not for ever */
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_EXIT), 1);
    session_deinit(&f.session);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(workers_go_on_while_nobody_listens),
        SUITE_TEST(claim_is_repeated_until_it_is_answered),
        SUITE_TEST(peer_with_nothing_to_claim_asks_for_work_at_once),
        SUITE_TEST(refused_claim_drains_and_discards_but_offers_what_is_kept),
        SUITE_TEST(kept_contributions_are_offered_one_after_the_other),
        SUITE_TEST(collect_waits_for_the_kept_contributions),
        SUITE_TEST(refused_contribution_is_dropped_and_others_stay),
        SUITE_TEST(contribution_refused_at_first_is_not_kept),
        SUITE_TEST(fifth_contribution_of_a_step_pushes_the_oldest_out),
        SUITE_TEST(commit_ends_what_is_kept_and_claimed),
        SUITE_TEST(snapshot_ends_what_is_kept_and_held),
        SUITE_TEST(parameters_that_are_given_up_take_the_work_with_them),
        SUITE_TEST(new_connection_is_used_at_once_in_every_phase),
        SUITE_TEST(collect_of_nothing_leads_to_a_new_hello),
        SUITE_TEST(stop_while_nobody_listens_waits_to_hand_in),
    };
    return suite_run("peer_claims", tests, sizeof tests / sizeof tests[0]);
}
