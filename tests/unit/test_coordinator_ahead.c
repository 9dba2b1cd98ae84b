/* Samples of the next step, lent while this one is collected and committed. */
#include "core_fixture.h"
#include "suite.h"

static struct core_settings ahead_settings(uint32_t target_batch)
{
    struct core_settings settings = fixture_settings(target_batch);
    settings.max_staleness = 1;
    return settings;
}

/* Batch 8 from sample 100 on: peer 0 has done [100, 104), and wants more; peer 1 computes the rest.
 * The id of its lease. */
static uint64_t begin(struct fixture *f, const struct core_settings *settings)
{
    fixture_init(f, settings);
    fixture_join(f, 0, 4);
    fixture_join(f, 1, 4);
    fixture_report(f, CORE_PROGRESS, 0, fixture_ready(f, 0).lease_id, 4);
    f->core->peers[0].speed = 0.0;
    uint64_t lease_id = fixture_ready(f, 1).lease_id;
    (void)fixture_ready(f, 0);
    return lease_id;
}

static uint64_t begin_at_100(struct fixture *f)
{
    struct core_settings settings = ahead_settings(8);
    settings.sample_first = 100;
    return begin(f, &settings);
}

/* Peer 0 handed in and has a lease of the next step, which is returned. */
static struct core_action go_ahead(struct fixture *f)
{
    fixture_offer(f, 0, &(struct core_range){100, 4}, 1);
    const struct core_action *lease = fixture_action(f, CORE_LEASE, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
    struct core_action copy = *lease;
    fixture_answer(f, CORE_RECEIVED, 0, true);
    fixture_answer(f, CORE_ADDED, 0, true);
    return copy;
}

/* Peer 1 ends the step, and it is committed. */
static void commit(struct fixture *f, uint64_t lease_id)
{
    fixture_report(f, CORE_PROGRESS, 1, lease_id, 4);
    fixture_hand_in(f, 1, 4, 4);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(f, CORE_COMMIT, 0));
    fixture_tell(f, CORE_COMMITTED, 0);
}

static void expect_owners(const struct fixture *f, const char *expected)
{
    char got[64] = {0};
    for (uint32_t i = 0; i < f->core->table.size + f->core->table.next_size; i++) {
        uint32_t owner = f->core->table.owners[i];
        got[i] = owner == SAMPLE_FREE ? '.' : '#';
        if (owner != SAMPLE_FREE && owner != SAMPLE_COUNTED) {
            got[i] = "0123456789"[(owner - 1) % 10];
        }
    }
    CU_ASSERT_STRING_EQUAL(got, expected);
}

static void peer_that_is_done_hands_in_while_others_compute(void)
{
    struct fixture f;
    (void)begin_at_100(&f);
    const struct core_action *collect = fixture_action(&f, CORE_COLLECT, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(collect);
    CU_ASSERT_EQUAL(collect->step, 0);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_COLLECT, 1));
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_LEASE, 0)); /* its sum is not encoded yet */
    fixture_deinit(&f);
}

static void without_staleness_everybody_waits_for_the_last(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(8);
    (void)begin(&f, &settings);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_deinit(&f);
}

static void idle_peer_gets_what_can_be_taken_back_before_it_goes_ahead(void)
{
    struct fixture f;
    struct core_settings settings = ahead_settings(16);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 2);
    fixture_join(&f, 1, 2);
    fixture_report(&f, CORE_PROGRESS, 0, fixture_ready(&f, 0).lease_id, 2);
    f.core->peers[1].speed = 1.0;
    f.core->peers[0].speed = 0.0;
    struct core_action slow = fixture_ready(&f, 1);
    CU_ASSERT_EQUAL(slow.count, 7);
    while (f.core->table.now.free_count > 0) {
        struct core_action lease = fixture_ready(&f, 0);
        fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, lease.count);
        f.core->peers[0].speed = 0.0;
    }
    (void)fixture_ready(&f, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(&f, CORE_RECLAIM, 1));
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_COLLECT, 0));
    fixture_report(&f, CORE_YIELDED, 1, slow.lease_id, 7); /* all of it was begun */
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 0));
    fixture_deinit(&f);
}

static void peer_that_handed_in_gets_samples_of_the_next_step(void)
{
    struct fixture f;
    (void)begin_at_100(&f);
    struct core_action lease = go_ahead(&f);
    CU_ASSERT_EQUAL(lease.step, 1);
    CU_ASSERT_EQUAL(lease.version, 0);
    CU_ASSERT_EQUAL(lease.first, 108);
    CU_ASSERT_EQUAL(lease.count, 4);
    expect_owners(&f, "####11110000....");
    CU_ASSERT_TRUE(core_next_begun(f.core));
    CU_ASSERT_EQUAL(core_counted(f.core), 4);
    fixture_deinit(&f);
}

static void commit_keeps_what_is_lent_of_the_next_step(void)
{
    struct fixture f;
    uint64_t slow = begin_at_100(&f);
    struct core_action lease = go_ahead(&f);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 1);
    commit(&f, slow);
    CU_ASSERT_EQUAL(core_current_step(f.core), 1);
    expect_owners(&f, "0000............");
    CU_ASSERT_TRUE(core_begun(f.core));
    CU_ASSERT_FALSE(core_next_begun(f.core));
    CU_ASSERT_EQUAL(f.core->peers[0].uncollected, 1);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 4);
    fixture_report(&f, CORE_PROGRESS, 1, fixture_ready(&f, 1).lease_id, 4);
    fixture_hand_in(&f, 0, 0, 4); /* also before it holds the new parameters */
    expect_owners(&f, "####1111........");
    fixture_deinit(&f);
}

static void peer_behind_computes_for_the_step_in_progress(void)
{
    struct fixture f;
    uint64_t slow = begin_at_100(&f);
    (void)go_ahead(&f);
    commit(&f, slow);
    fixture_step(&f, &(struct core_event){.type = CORE_READY, .peer = 1, .version = 0});
    const struct core_action *lease = fixture_action(&f, CORE_LEASE, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
    CU_ASSERT_EQUAL(lease->step, 1);
    CU_ASSERT_EQUAL(lease->version, 0);
    CU_ASSERT_EQUAL(lease->first, 112);
    fixture_report(&f, CORE_PROGRESS, 1, lease->lease_id, 4);
    fixture_step(&f, &(struct core_event){.type = CORE_READY, .peer = 1, .version = 0});
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_LEASE, 1)); /* never two steps ahead */
    fixture_tick(&f, 3500);                                /* and it is not lost */
    fixture_tell(&f, CORE_HEARD, 0);
    fixture_step(&f, &(struct core_event){.type = CORE_READY, .peer = 1, .version = 0});
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_EXPEL, 1));
    fixture_deinit(&f);
}

static void steps_before_stale_from_and_after_the_last_are_not_lent(void)
{
    for (int kind = 0; kind < 4; kind++) {
        struct fixture f;
        struct core_settings settings = ahead_settings(8);
        settings.stale_from = kind == 0 ? 2 : 1;
        settings.step_count = kind == 1 ? 1 : 3;
        fixture_init(&f, &settings);
        fixture_join(&f, 0, 8);
        fixture_report(&f, CORE_PROGRESS, 0, fixture_ready(&f, 0).lease_id, 8);
        f.core->peers[0].speed = 0.0;
        if (kind == 2) {
            core_hold(f.core, true);
        } else if (kind == 3) {
            fixture_step(&f, &(struct core_event){.type = CORE_PAUSE});
        }
        (void)fixture_ready(&f, 0);
        fixture_offer(&f, 0, &(struct core_range){0, 8}, 1);
        CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_FETCH, 0));
        CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_LEASE, 0));
        CU_ASSERT_FALSE(core_next_begun(f.core));
        fixture_deinit(&f);
    }
}

static void paused_core_finishes_the_steps_that_are_begun(void)
{
    struct fixture f;
    uint64_t slow = begin_at_100(&f);
    struct core_action lease = go_ahead(&f);
    fixture_step(&f, &(struct core_event){.type = CORE_PAUSE});
    commit(&f, slow);
    CU_ASSERT_FALSE(core_idle(f.core));
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 4);
    struct core_action rest = fixture_ready(&f, 1);
    CU_ASSERT_EQUAL(rest.step, 1);
    fixture_report(&f, CORE_PROGRESS, 1, rest.lease_id, rest.count);
    fixture_hand_in(&f, 0, 0, 4);
    fixture_hand_in(&f, 1, 4, 4);
    fixture_tell(&f, CORE_COMMITTED, 0);
    CU_ASSERT_TRUE(core_idle(f.core));
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 0);
    fixture_deinit(&f);
}

static void lost_samples_go_to_a_peer_ahead_when_there_is_no_other(void)
{
    struct fixture f;
    (void)begin_at_100(&f);
    struct core_action lease = go_ahead(&f);
    fixture_tell(&f, CORE_LEFT, 1);
    expect_owners(&f, "####....0000....");
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 3);
    f.core->peers[0].speed = 0.0;
    struct core_action again = fixture_ready(&f, 0);
    CU_ASSERT_EQUAL(again.step, 0);
    CU_ASSERT_EQUAL(again.version, 0);
    CU_ASSERT_EQUAL(again.first, 104);
    fixture_report(&f, CORE_PROGRESS, 0, again.lease_id, again.count);
    const struct core_action *collect = fixture_action(&f, CORE_COLLECT, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(collect); /* its other lease waits for that */
    CU_ASSERT_EQUAL(collect->step, 0);
    fixture_hand_in(&f, 0, 4, 4);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COMMIT, 0));
    fixture_tell(&f, CORE_COMMITTED, 0);
    expect_owners(&f, "0000............");
    fixture_deinit(&f);
}

static void idle_peer_takes_lost_samples_before_one_that_is_ahead(void)
{
    struct fixture f;
    (void)begin_at_100(&f);
    struct core_action lease = go_ahead(&f);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 4);
    fixture_step(&f, &(struct core_event){.type = CORE_PAUSE}); /* nothing more of the next step */
    (void)fixture_ready(&f, 0);
    fixture_join(&f, 2, 4);
    (void)fixture_ready(&f, 2);
    fixture_tell(&f, CORE_LEFT, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_LEASE, 2));
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_LEASE, 0));
    fixture_deinit(&f);
}

static void peer_that_is_lost_frees_samples_of_both_steps(void)
{
    struct fixture f;
    (void)begin_at_100(&f);
    struct core_action lease = go_ahead(&f);
    fixture_report(&f, CORE_YIELDED, 0, lease.lease_id, 3);
    expect_owners(&f, "####1111000.....");
    fixture_tell(&f, CORE_LEFT, 0);
    expect_owners(&f, "####1111........");
    fixture_tell(&f, CORE_LEFT, 1);
    expect_owners(&f, "####............");
    fixture_deinit(&f);
}

static void samples_of_the_next_step_cannot_be_handed_in(void)
{
    struct fixture f;
    (void)begin_at_100(&f);
    struct core_action lease = go_ahead(&f);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 4);
    fixture_offer(&f, 0, &(struct core_range){108, 4}, 1);
    fixture_refused(&f, 0);
    expect_owners(&f, "####11110000...."); /* they are no less its own */
    fixture_step(&f, &(struct core_event){.type = CORE_OFFERED,
                                          .peer = 0,
                                          .step = 1,
                                          .ranges = &(struct core_range){108, 4},
                                          .range_count = 1});
    fixture_refused(&f, 0);
    expect_owners(&f, "####11110000....");
    fixture_deinit(&f);
}

static bool claim(struct fixture *f, uint32_t peer, struct core_event event)
{
    event.type = CORE_CLAIMED;
    event.peer = peer;
    fixture_step(f, &event);
    const struct core_action *answer = fixture_action(f, CORE_CLAIM_ANSWER, peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    return answer->ok;
}

static void claim_covers_both_steps(void)
{
    struct fixture f;
    struct core_settings settings = ahead_settings(8);
    settings.lease_id_first = 50;
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 4);
    fixture_step(&f, &(struct core_event){.type = CORE_RESERVED,
                                          .peer = 0,
                                          .ranges = &(struct core_range){4, 8},
                                          .range_count = 1});
    expect_owners(&f, "....00000000....");
    const struct core_range ranges[] = {{9, 3}};
    const struct core_range kept[] = {{4, 4}};
    const struct core_lease lease = {.id = 7, .first = 9, .count = 3, .done = 1};
    fixture_step(&f, &(struct core_event){.type = CORE_RETURNED, .peer = 0, .threads = 4});
    CU_ASSERT_TRUE(claim(&f, 0,
                         (struct core_event){.step = 0,
                                             .ranges = ranges,
                                             .range_count = 1,
                                             .kept = kept,
                                             .kept_count = 1,
                                             .leases = &lease,
                                             .lease_count = 1}));
    expect_owners(&f, "....0000.000....");
    CU_ASSERT_EQUAL(f.core->peers[0].leases[0].first, 9);
    const struct core_lease both = {.id = 8, .first = 7, .count = 3, .done = 0};
    const struct core_range whole = {4, 8};
    fixture_step(&f, &(struct core_event){.type = CORE_RETURNED, .peer = 0, .threads = 4});
    CU_ASSERT_FALSE(claim(
        &f, 0, /* no lease is of two steps */
        (struct core_event){
            .step = 0, .ranges = &whole, .range_count = 1, .leases = &both, .lease_count = 1}));
    expect_owners(&f, "................");
    fixture_deinit(&f);
}

static void claim_from_the_version_before_keeps_what_is_not_over(void)
{
    struct fixture f;
    uint64_t slow = begin_at_100(&f);
    struct core_action lease = go_ahead(&f);
    commit(&f, slow);
    fixture_step(&f, &(struct core_event){.type = CORE_RETURNED, .peer = 0, .threads = 4});
    const struct core_range ranges[] = {{103, 2}, {108, 4}}; /* the first are over */
    const struct core_lease live = {.id = lease.lease_id, .first = 108, .count = 4, .done = 2};
    struct core_event event = {
        .step = 0, .ranges = ranges, .range_count = 2, .leases = &live, .lease_count = 1};
    CU_ASSERT_TRUE(claim(&f, 0, event));
    expect_owners(&f, "0000............");
    CU_ASSERT_EQUAL(f.core->peers[0].version, 0);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 4);
    fixture_step(&f, &(struct core_event){.type = CORE_RETURNED, .peer = 0, .threads = 4});
    const struct core_range wrong[] = {{103, 2}, {108, 5}};
    event.ranges = wrong;
    event.lease_count = 0;
    CU_ASSERT_FALSE(claim(&f, 0, event));
    expect_owners(&f, "................");
    fixture_deinit(&f);
}

static void next_step_keeps_its_size_once_it_is_lent(void)
{
    struct fixture f;
    uint64_t slow = begin_at_100(&f);
    struct core_action lease = go_ahead(&f);
    CU_ASSERT_EQUAL(core_set_target_batch(f.core, 3), STATUS_OK);
    commit(&f, slow);
    CU_ASSERT_EQUAL(core_target_batch(f.core), 8);
    expect_owners(&f, "0000.......");
    fixture_report(&f, CORE_YIELDED, 0, lease.lease_id, 0);
    CU_ASSERT_FALSE(core_begun(f.core));
    CU_ASSERT_EQUAL(core_set_target_batch(f.core, 5), STATUS_OK);
    expect_owners(&f, "..........");
    fixture_deinit(&f);
}

static void table_advances_to_any_size(void)
{
    struct sample_table table;
    const uint32_t sizes[] = {1, 7, 3, 12, 12, 1, 30, 2, 2, 9};
    uint32_t first = 0;
    uint32_t count = 0;
    CU_ASSERT_EQUAL_FATAL(sample_table_init(&table, 4, sizes[0]), STATUS_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t next = i + 1 < sizeof sizes / sizeof sizes[0] ? sizes[i + 1] : 5;
        CU_ASSERT_EQUAL(table.next_size, sizes[i]);
        CU_ASSERT_TRUE(sample_table_take_next(&table, 6, 2, &first, &count));
        CU_ASSERT_EQUAL(first, table.size);
        CU_ASSERT_TRUE(sample_table_take(&table, 3, 100, &first, &count));
        sample_table_count(&table, 3, first, count);
        CU_ASSERT_EQUAL(sample_table_advance(&table, next), STATUS_OK);
        CU_ASSERT_EQUAL(table.size, sizes[i]);
        CU_ASSERT_EQUAL(table.counted_count, 0);
        CU_ASSERT_EQUAL(table.now.free_count, sizes[i] > 2 ? sizes[i] - 2 : 0);
        CU_ASSERT_TRUE(sample_table_owned(&table, 6, 0, sizes[i] > 2 ? 2 : sizes[i]));
        CU_ASSERT_FALSE(sample_table_owned(&table, 6, table.size, 1));
        sample_table_release_all(&table, 6);
        CU_ASSERT_EQUAL(table.now.free_count, sizes[i]);
        CU_ASSERT_EQUAL(table.next.free_count, next);
    }
    sample_table_deinit(&table);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(peer_that_is_done_hands_in_while_others_compute),
        SUITE_TEST(without_staleness_everybody_waits_for_the_last),
        SUITE_TEST(idle_peer_gets_what_can_be_taken_back_before_it_goes_ahead),
        SUITE_TEST(peer_that_handed_in_gets_samples_of_the_next_step),
        SUITE_TEST(commit_keeps_what_is_lent_of_the_next_step),
        SUITE_TEST(peer_behind_computes_for_the_step_in_progress),
        SUITE_TEST(steps_before_stale_from_and_after_the_last_are_not_lent),
        SUITE_TEST(paused_core_finishes_the_steps_that_are_begun),
        SUITE_TEST(lost_samples_go_to_a_peer_ahead_when_there_is_no_other),
        SUITE_TEST(idle_peer_takes_lost_samples_before_one_that_is_ahead),
        SUITE_TEST(peer_that_is_lost_frees_samples_of_both_steps),
        SUITE_TEST(samples_of_the_next_step_cannot_be_handed_in),
        SUITE_TEST(claim_covers_both_steps),
        SUITE_TEST(claim_from_the_version_before_keeps_what_is_not_over),
        SUITE_TEST(next_step_keeps_its_size_once_it_is_lent),
        SUITE_TEST(table_advances_to_any_size),
    };
    return suite_run("coordinator_ahead", tests, sizeof tests / sizeof tests[0]);
}
