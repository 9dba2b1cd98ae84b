#include "session_fixture.h"
#include "suite.h"

static void hello_is_repeated_with_growing_waits(void)
{
    struct fixture f;
    fixture_init(&f);
    const uint64_t waits[] = {0, 100, 200, 400, 800, 1000, 1000};
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        if (waits[i] > 0) {
            fixture_tick(&f, waits[i] - 1);
            CU_ASSERT_EQUAL(f.actions.count, 0);
            fixture_tick(&f, 1);
        } else {
            fixture_tick(&f, 0);
        }
        CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, WIRE_HELLO));
        CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, WIRE_VERSION_NONE);
    }
    fixture_tick(&f, 60000);
    const struct session_action *end = fixture_action(&f, SESSION_EXIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(end);
    CU_ASSERT_EQUAL(end->status, STATUS_NO_HOST);
    session_deinit(&f.session);
}

static void welcome_with_a_snapshot_is_loaded_first(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_tick(&f, 0);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE); /* cannot mean us */
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_welcome(&f, 1, 5);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_SETUP), 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(&f, SESSION_FETCH));
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_FETCH)->ref.id, 5);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_FETCH)->codec, CODEC_FP32);
    fixture_welcome(&f, 1, 6); /* the answer to a hello said before: too late */
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_committed(&f, 4, 0); /* older than the snapshot */
    fixture_committed(&f, 5, 9);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_LOAD), 1);
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_LOAD), 0); /* once */
    fixture_applied(&f, 77);
    CU_ASSERT_EQUAL(f.session.version, 5);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_READY)); /* the update comes first */
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_FETCH)->ref.id, 6);
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_APPLY), 1);
    fixture_applied(&f, 9);
    CU_ASSERT_EQUAL(f.session.version, 6);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_APPLIED)->as.applied.version, 6);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_READY)->as.ready.version, 6);
    session_deinit(&f.session);
}

static void welcome_without_a_snapshot_keeps_the_parameters(void)
{
    struct fixture f;
    fixture_train(&f, 5);
    fixture_refused(&f, WIRE_REFUSED_UNKNOWN);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_HELLO);
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, 5);
    fixture_refused(&f, WIRE_REFUSED_UNKNOWN); /* of an older message: no new hello for it */
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_SETUP), 0); /* only ever once */
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_READY)->as.ready.version, 5);
    session_deinit(&f.session);
}

static void welcome_to_another_run_ends_the_session(void)
{
    struct fixture f;
    fixture_train(&f, 5);
    fixture_refused(&f, WIRE_REFUSED_UNKNOWN);
    fixture_welcome(&f, 2, 0);
    const struct session_action *end = fixture_action(&f, SESSION_EXIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(end);
    CU_ASSERT_EQUAL(end->status, STATUS_PROTOCOL);
    session_deinit(&f.session);
}

/* Each in the codec that it was announced with. */
static void expect_fetch(const struct fixture *f, uint64_t id)
{
    const struct session_action *fetch = fixture_action(f, SESSION_FETCH);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fetch);
    CU_ASSERT_EQUAL(fetch->ref.id, id);
    CU_ASSERT_EQUAL(fetch->codec, id % 2 == 1 ? CODEC_MX8 : CODEC_MX4);
}

static void updates_queue_and_are_applied_in_order(void)
{
    struct fixture f;
    fixture_train(&f, 0);
    for (uint8_t i = 0; i < 3; i++) {
        fixture_committed(&f, i, i);
        CU_ASSERT_EQUAL(fixture_count(&f, SESSION_FETCH), i == 0 ? 1 : 0);
        if (i == 0) {
            expect_fetch(&f, 1);
        }
    }
    fixture_committed(&f, 1, 1); /* told twice */
    CU_ASSERT_EQUAL(f.session.update_count, 3);
    for (uint8_t i = 0; i < 3; i++) {
        fixture_event(&f, SESSION_FETCHED, true);
        CU_ASSERT_EQUAL(fixture_count(&f, SESSION_APPLY), 1);
        fixture_applied(&f, i);
        CU_ASSERT_EQUAL(f.session.version, i + 1U);
        if (i < 2) {
            expect_fetch(&f, i + 2U);
        }
    }
    fixture_committed(&f, 2, 2); /* known */
    CU_ASSERT_EQUAL(f.actions.count, 0);
    session_deinit(&f.session);
}

/* It holds no parameters: the shell fetches what it passes on. */
static void who_only_aggregates_fetches_and_asks_for_nothing(void)
{
    struct fixture f;
    fixture_init(&f);
    f.session.settings.aggregates_only = true;
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, WIRE_VERSION_NONE);
    fixture_welcome(&f, 1, 5);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_TRAIN);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_SETUP), 1);
    CU_ASSERT_EQUAL(f.actions.count, 1);
    fixture_committed(&f, 5, 5);
    fixture_committed(&f, 9, 9);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_collect(&f);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_lease(&f, 1, 30, 2);
    CU_ASSERT_EQUAL(f.actions.count, 1);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_YIELDED)->as.yielded.kept, 0);
    fixture_refused(&f, WIRE_REFUSED_UNKNOWN);
    fixture_tick(&f, 0);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE); /* with or without one */
    CU_ASSERT_EQUAL(f.session.phase, SESSION_TRAIN);
    fixture_deliver(&f, WIRE_FINISHED);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, SESSION_EXIT));
    session_deinit(&f.session);
}

static void gap_in_the_updates_leads_to_a_new_hello(void)
{
    struct fixture f;
    fixture_train(&f, 3);
    fixture_lease(&f, 1, 30, 2);
    fixture_committed(&f, 4, 0);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_HELLO);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 1);
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, 3);
    session_deinit(&f.session);
}

static void more_updates_than_fit_are_asked_for_later(void)
{
    struct fixture f;
    fixture_train(&f, 0);
    for (uint64_t i = 0; i < SESSION_UPDATES_MAX + 5; i++) {
        fixture_committed(&f, i, 0);
    }
    CU_ASSERT_EQUAL(f.session.phase, SESSION_TRAIN);
    for (uint64_t i = 0; i < SESSION_UPDATES_MAX; i++) {
        CU_ASSERT_EQUAL_FATAL(f.session.phase, SESSION_TRAIN);
        fixture_event(&f, SESSION_FETCHED, true);
        fixture_applied(&f, 0);
    }
    CU_ASSERT_EQUAL(f.session.phase, SESSION_HELLO);
    CU_ASSERT_EQUAL(f.session.version, SESSION_UPDATES_MAX);
    session_deinit(&f.session);
}

static void wrong_digest_is_told_and_leads_to_a_snapshot(void)
{
    struct fixture f;
    fixture_train(&f, 0);
    fixture_committed(&f, 0, 1);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_applied(&f, 2);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_MISMATCH), 1);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_APPLIED)->as.applied.digest.bytes[5], 2);
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, WIRE_VERSION_NONE);
    session_deinit(&f.session);
}

static void failed_fetch_or_apply_leads_to_a_new_hello(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_committed(&f, 4, 1);
    fixture_event(&f, SESSION_FETCHED, false);
    fixture_event(&f, SESSION_FETCHED, false); /* a late one: ignored */
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_HELLO);
    fixture_tick(&f, 99);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_tick(&f, 1);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, 4);
    fixture_welcome(&f, 1, WIRE_VERSION_NONE);
    fixture_committed(&f, 4, 1);
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_APPLY), 1);
    fixture_event(&f, SESSION_FETCHED, false); /* the update is malformed */
    fixture_tick(&f, 100);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, WIRE_VERSION_NONE);
    session_deinit(&f.session);
}

static void update_applied_after_a_new_hello_is_remembered(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_committed(&f, 4, 1);
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_APPLY), 1);
    fixture_refused(&f, WIRE_REFUSED_UNKNOWN); /* before the shell is through */
    fixture_applied(&f, 1);
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, 5);
    fixture_applied(&f, 99); /* nobody waits for it */
    CU_ASSERT_EQUAL(f.session.version, 5);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_MISMATCH), 0);
    session_deinit(&f.session);
}

static void snapshot_loaded_after_a_new_hello_does_not_count_for_the_next(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_tick(&f, 0);
    fixture_welcome(&f, 1, 5);
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_LOAD), 1);
    fixture_refused(&f, WIRE_REFUSED_UNKNOWN); /* before the shell is through */
    fixture_welcome(&f, 1, 7);
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_LOAD), 0); /* one at a time */
    fixture_applied(&f, 0);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_SYNC);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_LOAD), 1);
    fixture_applied(&f, 0);
    CU_ASSERT_EQUAL(f.session.version, 7);
    session_deinit(&f.session);
}

static void leases_and_commits_of_other_versions_are_ignored(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    for (uint64_t i = 0; i < 3; i++) {
        f.message.as.lease = (struct wire_lease){.lease_id = 1,
                                                 .step = 4 + (i == 1 ? 1 : 0),
                                                 .version = 4 + (i == 2 ? 1 : 0),
                                                 .samples = {.first = 40, .count = 1}};
        if (i == 0) {
            f.message.as.lease.samples.count = WIRE_LEASE_SAMPLES_MAX + 1;
        }
        fixture_deliver(&f, WIRE_LEASE);
        CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
        CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_READY)); /* still hungry */
    }
    fixture_committed(&f, UINT64_MAX, 0);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_TRAIN);
    CU_ASSERT_EQUAL(f.session.update_count, 0);
    session_deinit(&f.session);
}

static void silence_leads_to_a_new_connection(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_tick(&f, 999);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_tick(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_ALIVE));
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, WIRE_READY)); /* the question again */
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_READY)->as.ready.version, 4);
    fixture_tick(&f, 3000);
    fixture_deliver(&f, WIRE_ALIVE);
    fixture_lease(&f, 1, 40, 5);
    fixture_tick(&f, 1000);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_ALIVE));
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_READY));
    fixture_tick(&f, 900);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_ALIVE));
    struct work_item item = fixture_begin(&f, 40);
    fixture_done(&f, &item);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_PROGRESS));
    fixture_tick(&f, 100); /* much was said, but nothing heard: only this is answered for sure */
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_ALIVE));
    fixture_tick(&f, 3000);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_TRAIN);
    session_heard(&f.session, f.now_ms); /* a chunk came, behind which no message got through */
    fixture_tick(&f, 5000);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_TRAIN);
    fixture_tick(&f, 1);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_RECONNECT), 1);
    CU_ASSERT_EQUAL(f.session.phase, SESSION_HELLO);
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, 4);
    for (int i = 0; i < 3; i++) { /* and to another one when nobody answers there either */
        fixture_tick(&f, 5000);
        CU_ASSERT_EQUAL(fixture_count(&f, SESSION_RECONNECT), 0);
        fixture_tick(&f, 1);
        CU_ASSERT_EQUAL(fixture_count(&f, SESSION_RECONNECT), 1);
    }
    session_deinit(&f.session);
}

static void refusals_stop_wait_or_start_over(void)
{
    static const enum wire_refusal final[] = {WIRE_REFUSED_TOKEN,    WIRE_REFUSED_PROTOCOL,
                                              WIRE_REFUSED_IDENTITY, WIRE_REFUSED_SEQUENCE,
                                              WIRE_REFUSED_BANNED,   WIRE_REFUSED_NOT_ALLOWED};
    struct fixture f;
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++) {
        fixture_init(&f);
        fixture_tick(&f, 0);
        fixture_refused(&f, final[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(&f, SESSION_EXIT));
        CU_ASSERT_EQUAL(fixture_action(&f, SESSION_EXIT)->status, STATUS_REFUSED);
        CU_ASSERT_STRING_EQUAL(fixture_action(&f, SESSION_EXIT)->text, "no");
        fixture_lease(&f, 1, 0, 1); /* after the end: freed */
        CU_ASSERT_EQUAL(f.actions.count, 0);
        session_deinit(&f.session);
    }
    fixture_init(&f);
    fixture_tick(&f, 0);
    fixture_refused(&f, WIRE_REFUSED_FULL);
    fixture_tick(&f, 999);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_HELLO));
    fixture_tick(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_HELLO));
    session_deinit(&f.session);
    fixture_train(&f, 4);
    fixture_refused(&f, WIRE_REFUSED_GONE);
    fixture_tick(&f, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_HELLO)->as.version_held, WIRE_VERSION_NONE);
    session_deinit(&f.session);
}

/* Who waited for room in vain must not look for a fault in the network. */
static void wait_for_room_ends_with_the_refusal(void)
{
    struct fixture f;
    for (int answered = 0; answered < 2; answered++) {
        fixture_init(&f);
        while (f.session.phase != SESSION_OVER && f.now_ms < 100000) {
            fixture_tick(&f, 500);
            if (answered == 1 && fixture_sent(&f, WIRE_HELLO) != NULL) {
                fixture_refused(&f, WIRE_REFUSED_FULL);
            }
        }
        CU_ASSERT_TRUE(f.now_ms > 60000 && f.now_ms < 63000);
        CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(&f, SESSION_EXIT));
        CU_ASSERT_EQUAL(fixture_action(&f, SESSION_EXIT)->status,
                        answered == 1 ? STATUS_UNAVAILABLE : STATUS_NO_HOST);
        CU_ASSERT_EQUAL(strcmp(fixture_action(&f, SESSION_EXIT)->text, "no") == 0, answered);
        session_deinit(&f.session);
    }
}

static void collect_waits_for_the_samples_that_run(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 2);
    struct work_item a = fixture_begin(&f, 40);
    struct work_item b = fixture_begin(&f, 41);
    fixture_done(&f, &a);
    fixture_collect(&f);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_ENCODE), 0);
    fixture_done(&f, &b);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, WIRE_PROGRESS));
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_PROGRESS)->as.progress.samples_done, 2);
    CU_ASSERT_EQUAL(f.actions.items[f.actions.count - 1].type, SESSION_ENCODE); /* after it */
    CU_ASSERT_EQUAL(f.session.work.held[0].first, 40);
    work_clear_held(&f.session.work);
    fixture_lease(&f, 2, 44, 2); /* nobody may lend now: the verdict is open */
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
    fixture_tick(&f, 1000);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_READY));
    fixture_verdict(&f, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 0);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_READY));
    fixture_verdict(&f, false); /* of nothing: what is being computed must stay */
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_DISCARD), 0);
    fixture_lease(&f, 3, 46, 1);
    struct work_item c = fixture_begin(&f, 46);
    fixture_done(&f, &c);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_ENCODE), 0); /* nobody asked for this one */
    session_deinit(&f.session);
}

static void lost_verdict_is_settled_by_the_commit(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 1);
    fixture_work(&f);
    fixture_collect(&f);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_ENCODE), 1);
    work_clear_held(&f.session.work);
    fixture_committed(&f, 4, 1);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_applied(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_READY));
    session_deinit(&f.session);
}

static void commit_of_the_step_in_hand_drains_it(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 4);
    struct work_item a = fixture_begin(&f, 40);
    struct work_item b = fixture_begin(&f, 41);
    fixture_done(&f, &a);
    fixture_committed(&f, 4, 1);
    struct work_item none;
    CU_ASSERT_FALSE(work_begin(&f.session.work, &none));
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_FETCH), 1);
    fixture_event(&f, SESSION_FETCHED, true);
    CU_ASSERT_EQUAL(f.actions.count, 0); /* P is being read */
    fixture_collect(&f);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_reclaim(&f, 1, 0);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_done(&f, &b);
    CU_ASSERT_EQUAL_FATAL(f.actions.count, 2);
    CU_ASSERT_EQUAL(f.actions.items[0].type, SESSION_DISCARD);
    CU_ASSERT_EQUAL(f.actions.items[1].type, SESSION_APPLY);
    fixture_applied(&f, 1);
    CU_ASSERT_EQUAL(f.session.work.held_samples, 0);
    session_deinit(&f.session);
}

static void reclaim_is_answered_with_what_is_kept(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 8);
    (void)fixture_begin(&f, 40);
    (void)fixture_begin(&f, 41);
    (void)fixture_begin(&f, 42);
    fixture_reclaim(&f, 1, 5);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_YIELDED)->as.yielded.kept, 5);
    fixture_reclaim(&f, 1, 0);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_YIELDED)->as.yielded.kept, 3);
    fixture_reclaim(&f, 2, 0);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_YIELDED));
    session_deinit(&f.session);
}

static void progress_is_told_at_the_end_and_now_and_then(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 4);
    struct work_item items[4];
    for (uint64_t i = 0; i < 4; i++) {
        items[i] = fixture_begin(&f, 40 + i);
    }
    fixture_done(&f, &items[0]);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_PROGRESS)->as.progress.samples_done, 1);
    fixture_done(&f, &items[1]);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_PROGRESS));
    f.now_ms += 500;
    fixture_done(&f, &items[2]);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_PROGRESS)->as.progress.samples_done, 3);
    fixture_done(&f, &items[3]);
    CU_ASSERT_EQUAL(fixture_sent(&f, WIRE_PROGRESS)->as.progress.samples_done, 4);
    CU_ASSERT_DOUBLE_EQUAL(fixture_sent(&f, WIRE_PROGRESS)->as.progress.loss_sum, 4.0, 0.0);
    session_deinit(&f.session);
}

static void stop_yields_hands_in_and_leaves_after_the_verdict(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 4);
    fixture_lease(&f, 2, 50, 4);
    struct work_item item = fixture_begin(&f, 40);
    fixture_event(&f, SESSION_STOP, true);
    CU_ASSERT_EQUAL_FATAL(f.actions.count, 2);
    CU_ASSERT_EQUAL(f.actions.items[0].as.yielded.kept, 1);
    CU_ASSERT_EQUAL(f.actions.items[1].as.yielded.kept, 0);
    f.now_ms += 2000;
    fixture_event(&f, SESSION_STOP, true); /* again: nothing new, and no longer wait */
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_lease(&f, 3, 60, 4);
    CU_ASSERT_EQUAL(work_waiting(&f.session.work), 0);
    fixture_done(&f, &item);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_ENCODE), 1);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_EXIT), 0);
    work_clear_held(&f.session.work);
    fixture_verdict(&f, true);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_LEAVE));
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_EXIT)->status, STATUS_OK);
    session_deinit(&f.session);
}

static void stop_without_a_verdict_leaves_after_a_while(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_lease(&f, 1, 40, 1);
    fixture_work(&f);
    fixture_event(&f, SESSION_STOP, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_ENCODE), 1);
    work_clear_held(&f.session.work);
    fixture_tick(&f, 2999);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_EXIT), 0);
    fixture_tick(&f, 1);
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_EXIT)->status, STATUS_OK);
    session_deinit(&f.session);
}

static void stop_with_nothing_held_leaves_at_once(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_event(&f, SESSION_STOP, true);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_LEAVE));
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_EXIT), 1);
    session_deinit(&f.session);
    fixture_init(&f); /* and also before any welcome */
    fixture_event(&f, SESSION_STOP, true);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_EXIT), 1);
    session_deinit(&f.session);
}

static void finished_run_ends_when_the_last_update_is_applied(void)
{
    struct fixture f;
    fixture_train(&f, 4);
    fixture_committed(&f, 4, 1);
    fixture_deliver(&f, WIRE_FINISHED);
    CU_ASSERT_EQUAL(fixture_count(&f, SESSION_EXIT), 0);
    fixture_event(&f, SESSION_FETCHED, true);
    fixture_applied(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, WIRE_APPLIED));
    CU_ASSERT_PTR_NULL(fixture_sent(&f, WIRE_READY));
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_EXIT)->status, STATUS_OK);
    CU_ASSERT_EQUAL(f.session.version, 5);
    session_deinit(&f.session);
    fixture_train(&f, 4);
    fixture_committed(&f, 4, 1);
    fixture_deliver(&f, WIRE_FINISHED);
    fixture_tick(&f, 3000); /* the coordinator is gone */
    CU_ASSERT_EQUAL(fixture_action(&f, SESSION_EXIT)->status, STATUS_OK);
    session_deinit(&f.session);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(hello_is_repeated_with_growing_waits),
        SUITE_TEST(welcome_with_a_snapshot_is_loaded_first),
        SUITE_TEST(welcome_without_a_snapshot_keeps_the_parameters),
        SUITE_TEST(welcome_to_another_run_ends_the_session),
        SUITE_TEST(updates_queue_and_are_applied_in_order),
        SUITE_TEST(who_only_aggregates_fetches_and_asks_for_nothing),
        SUITE_TEST(gap_in_the_updates_leads_to_a_new_hello),
        SUITE_TEST(more_updates_than_fit_are_asked_for_later),
        SUITE_TEST(wrong_digest_is_told_and_leads_to_a_snapshot),
        SUITE_TEST(failed_fetch_or_apply_leads_to_a_new_hello),
        SUITE_TEST(update_applied_after_a_new_hello_is_remembered),
        SUITE_TEST(snapshot_loaded_after_a_new_hello_does_not_count_for_the_next),
        SUITE_TEST(leases_and_commits_of_other_versions_are_ignored),
        SUITE_TEST(silence_leads_to_a_new_connection),
        SUITE_TEST(refusals_stop_wait_or_start_over),
        SUITE_TEST(wait_for_room_ends_with_the_refusal),
        SUITE_TEST(collect_waits_for_the_samples_that_run),
        SUITE_TEST(lost_verdict_is_settled_by_the_commit),
        SUITE_TEST(commit_of_the_step_in_hand_drains_it),
        SUITE_TEST(reclaim_is_answered_with_what_is_kept),
        SUITE_TEST(progress_is_told_at_the_end_and_now_and_then),
        SUITE_TEST(stop_yields_hands_in_and_leaves_after_the_verdict),
        SUITE_TEST(stop_without_a_verdict_leaves_after_a_while),
        SUITE_TEST(stop_with_nothing_held_leaves_at_once),
        SUITE_TEST(finished_run_ends_when_the_last_update_is_applied),
    };
    return suite_run("peer_core", tests, sizeof tests / sizeof tests[0]);
}
