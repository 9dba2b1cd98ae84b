/* Peers that come back: what they keep, what they lose, and when. */
#include "core_fixture.h"
#include "suite.h"

#include <string.h>

static void return_peer(struct fixture *f, uint32_t peer)
{
    fixture_step(f, &(struct core_event){.type = CORE_RETURNED, .peer = peer, .threads = 4});
}

static void reserve(struct fixture *f, uint32_t peer, uint64_t first, uint64_t count)
{
    const struct core_range range = {first, count};
    fixture_step(f, &(struct core_event){
                        .type = CORE_RESERVED, .peer = peer, .ranges = &range, .range_count = 1});
}

/* The answer to this claim for the current step. */
static bool claim(struct fixture *f, uint32_t peer, struct core_event event)
{
    event.type = CORE_CLAIMED;
    event.peer = peer;
    event.step = core_current_step(f->core);
    fixture_step(f, &event);
    const struct core_action *answer = fixture_action(f, CORE_CLAIM_ANSWER, peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_EQUAL(answer->step, event.step);
    return answer->ok;
}

static bool claim_range(struct fixture *f, uint32_t peer, uint64_t first, uint64_t count)
{
    const struct core_range range = {first, count};
    return claim(f, peer, (struct core_event){.ranges = &range, .range_count = 1});
}

/* A kept contribution with one range. */
static void offer_again(struct fixture *f, uint32_t peer, uint64_t first, uint64_t count)
{
    fixture_offer_again(f, peer, core_current_step(f->core), (struct core_range){first, count},
                        false);
}

static void expect_owners(const struct fixture *f, const char *expected)
{
    char got[64] = {0};
    for (uint32_t i = 0; i < f->core->table.size; i++) {
        uint32_t owner = f->core->table.owners[i];
        if (owner == SAMPLE_FREE || owner == SAMPLE_COUNTED) {
            got[i] = owner == SAMPLE_FREE ? '.' : '#';
        } else {
            got[i] = (char)('0' + owner - 1);
        }
    }
    CU_ASSERT_STRING_EQUAL(got, expected);
}

static void returned_peer_keeps_what_it_owns_until_it_claims(void)
{
    struct fixture f;
    struct core_action lease = half_done(&f);
    expect_owners(&f, "00001111....");
    return_peer(&f, 0);
    return_peer(&f, 1);
    expect_owners(&f, "00001111....");
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 4); /* of a lease that is forgotten */
    CU_ASSERT_EQUAL(f.core->peers[1].owned, 4);
    fixture_join(&f, 2, 4);
    struct core_action other = fixture_ready(&f, 2);
    CU_ASSERT_EQUAL(other.first, 8); /* only what was free */
    fixture_report(&f, CORE_PROGRESS, 2, other.lease_id, 4);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_COLLECT, 0)); /* nobody is asked to hand in yet */
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_COLLECT, 2));
    const struct core_lease live = {.id = lease.lease_id, .first = 4, .count = 4, .done = 1};
    const struct core_range own = {4, 4};
    CU_ASSERT_TRUE(claim(
        &f, 1,
        (struct core_event){.ranges = &own, .range_count = 1, .leases = &live, .lease_count = 1}));
    CU_ASSERT_TRUE(claim_range(&f, 0, 0, 4));
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_COLLECT, 0)); /* the lease is live again */
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 4);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, i));
    }
    fixture_hand_in(&f, 0, 0, 4);
    fixture_hand_in(&f, 1, 4, 4);
    fixture_hand_in(&f, 2, 8, 4);
    CU_ASSERT_TRUE(f.core->committing);
    fixture_deinit(&f);
}

static void claimed_lease_has_fresh_deadlines(void)
{
    struct fixture f;
    struct core_action lease = half_done(&f);
    fixture_tick(&f, 2900);
    fixture_tell(&f, CORE_HEARD, 0);
    return_peer(&f, 1);
    const struct core_lease live = {.id = lease.lease_id, .first = 4, .count = 4, .done = 2};
    const struct core_range own = {4, 4};
    CU_ASSERT_TRUE(claim(
        &f, 1,
        (struct core_event){.ranges = &own, .range_count = 1, .leases = &live, .lease_count = 1}));
    fixture_tick(&f, 3000); /* the old deadline is long over */
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_EXPEL, 1));
    fixture_tick(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, 1));
    fixture_deinit(&f);
}

static void what_is_not_claimed_is_free_again(void)
{
    struct fixture f;
    (void)half_done(&f);
    return_peer(&f, 0);
    return_peer(&f, 1);
    const struct core_range ranges[2] = {{0, 1}, {3, 1}};
    const struct core_range kept[2] = {{1, 1}, {9, 1}}; /* also what is not its own: no harm */
    CU_ASSERT_TRUE(claim(
        &f, 0,
        (struct core_event){.ranges = ranges, .range_count = 2, .kept = kept, .kept_count = 2}));
    expect_owners(&f, "00.01111....");
    CU_ASSERT_EQUAL(fixture_ready(&f, 1).first, 2); /* READY claims nothing, and asks for work */
    expect_owners(&f, "0010........");
    fixture_deinit(&f);
}

static void claim_of_what_is_not_owned_is_refused_and_frees_all_but_the_kept(void)
{
    static const struct core_range wrong[][2] = {
        {{0, 2}, {4, 1}},          /* another's */
        {{0, 2}, {8, 1}},          /* nobody's */
        {{0, 2}, {1, 2}},          /* overlapping */
        {{2, 2}, {0, 1}},          /* unsorted */
        {{0, 2}, {12, 1}},         /* past the end */
        {{0, 2}, {3, UINT64_MAX}}, /* overflow of the end */
        {{0, 2}, {UINT64_MAX, 4}}, /* and of the first */
        {{0, 2}, {3, 0}},          /* empty */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct fixture f;
        const struct core_range kept = {3, 1};
        (void)half_done(&f);
        return_peer(&f, 0);
        CU_ASSERT_FALSE(
            claim(&f, 0,
                  (struct core_event){
                      .ranges = wrong[i], .range_count = 2, .kept = &kept, .kept_count = 1}));
        expect_owners(&f, "...01111....");
        CU_ASSERT_FALSE(claim_range(&f, 0, 0, 4)); /* said again: the same answer */
        expect_owners(&f, "...01111....");
        fixture_deinit(&f);
    }
}

static void claimed_leases_must_lie_in_what_is_claimed(void)
{
    const struct core_range own = {0, 4};
    static const struct core_lease wrong[][3] = {
        {{.id = 0, .first = 0, .count = 1}},            /* no id */
        {{.id = 3, .first = 0, .count = 1}},            /* one that was never given */
        {{.id = 1, .first = 3, .count = 2}},            /* past what is claimed */
        {{.id = 1, .first = 5, .count = 1}},            /* another's */
        {{.id = 1, .first = UINT64_MAX, .count = 2}},   /* overflow */
        {{.id = 1, .first = 0, .count = 2, .done = 2}}, /* it has ended */
        {{.id = 1, .first = 0, .count = 1}, {.id = 1, .first = 1, .count = 1}},
        {{.id = 1, .first = 0, .count = 2}, {.id = 2, .first = 1, .count = 1}},
        {{.id = 1, .first = 0, .count = 1},
         {.id = 2, .first = 1, .count = 1},
         {.id = 2, .first = 2, .count = 1}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct fixture f;
        (void)half_done(&f);
        return_peer(&f, 0);
        CU_ASSERT_FALSE(claim(&f, 0,
                              (struct core_event){.ranges = &own,
                                                  .range_count = 1,
                                                  .leases = wrong[i],
                                                  .lease_count = i < 6   ? 1
                                                                 : i < 8 ? 2
                                                                         : 3}));
        expect_owners(&f, "....1111....");
        fixture_deinit(&f);
    }
}

static void claim_for_another_step_is_refused_and_frees_all(void)
{
    struct fixture f;
    const struct core_range kept = {0, 4};
    (void)half_done(&f);
    return_peer(&f, 0);
    fixture_step(&f,
                 &(struct core_event){
                     .type = CORE_CLAIMED, .peer = 0, .step = 7, .kept = &kept, .kept_count = 1});
    CU_ASSERT_FALSE(fixture_action(&f, CORE_CLAIM_ANSWER, 0)->ok);
    expect_owners(&f, "....1111....");
    fixture_deinit(&f);
}

static void claim_said_again_later_changes_nothing(void)
{
    struct fixture f;
    (void)half_done(&f);
    return_peer(&f, 0);
    CU_ASSERT_TRUE(claim_range(&f, 0, 0, 4));
    CU_ASSERT_TRUE(claim_range(&f, 0, 0, 4)); /* its answer was lost */
    struct core_action lease = fixture_ready(&f, 0);
    CU_ASSERT_EQUAL(lease.first, 8);
    CU_ASSERT_TRUE(claim_range(&f, 0, 0, 4)); /* a late one: the new lease stays */
    CU_ASSERT_EQUAL(f.core->peers[0].leases[0].id, lease.lease_id);
    expect_owners(&f, "000011110000");
    fixture_deinit(&f);
}

static void restarted_core_gives_reserved_samples_to_nobody_else(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(12);
    settings.lease_id_first = (uint64_t)5 << 32;
    settings.patience_ms = 20000;
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 1);
    fixture_join(&f, 1, 1);
    reserve(&f, 0, 4, 2); /* the latest facts come first */
    reserve(&f, 1, 2, 4);
    reserve(&f, 0, 10, UINT64_MAX);
    reserve(&f, 0, UINT64_MAX, 1);
    expect_owners(&f, "..1100....00");
    fixture_join(&f, 2, 12);
    CU_ASSERT_EQUAL(fixture_ready(&f, 2).lease_id, (uint64_t)5 << 32);
    CU_ASSERT_EQUAL(fixture_ready(&f, 2).first, 6);
    expect_owners(&f, "221100222200");
    f.now_ms += 9000;
    return_peer(&f, 0);
    const struct core_lease live = {.id = 77, .first = 4, .count = 2};
    const struct core_range own = {4, 2};
    CU_ASSERT_TRUE(claim(
        &f, 0,
        (struct core_event){.ranges = &own, .range_count = 1, .leases = &live, .lease_count = 1}));
    expect_owners(&f, "2211002222..");
    fixture_tell(&f, CORE_HEARD, 2);
    fixture_tick(&f, 1001); /* the other never came back */
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, 1));
    expect_owners(&f, "22..002222..");
    fixture_deinit(&f);
}

static void peer_that_is_here_and_never_claims_loses_what_it_had(void)
{
    struct fixture f;
    (void)half_done(&f);
    return_peer(&f, 0);
    for (int i = 0; i < 3; i++) {
        f.now_ms += 1000;
        fixture_tell(&f, CORE_HEARD, 1);
        return_peer(&f, 0); /* saying hello again and again gives it no more time */
    }
    fixture_tick(&f, 0);
    expect_owners(&f, "00001111....");
    fixture_tick(&f, 1);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_EXPEL, 0));
    expect_owners(&f, "........"
                      "....");
    fixture_deinit(&f);
}

static void peer_that_returns_too_often_loses_what_it_had(void)
{
    struct fixture f;
    (void)half_done(&f);
    for (int i = 0; i < CORE_RETURNS_MAX; i++) {
        return_peer(&f, 0);
        CU_ASSERT_TRUE(claim_range(&f, 0, 0, 4));
    }
    return_peer(&f, 0);
    CU_ASSERT_FALSE(claim_range(&f, 0, 0, 4));
    expect_owners(&f, "....1111....");
    struct core_action lease = fixture_ready(&f, 0);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, lease.count);
    fixture_hand_in(&f, 0, lease.first, lease.count);
    CU_ASSERT_EQUAL(f.core->peers[0].returns, 0); /* it is worth waiting for again */
    fixture_deinit(&f);
}

/* Peer 0 has kept a contribution with [0, 4) and has 4 more samples, from 8, in its accumulator. */
static void keep_one_and_hold_one(struct fixture *f)
{
    (void)half_done(f);
    struct core_action lease = fixture_ready(f, 0);
    fixture_report(f, CORE_PROGRESS, 0, lease.lease_id, 4);
    CU_ASSERT_EQUAL_FATAL(lease.first, 8);
    return_peer(f, 0);
    const struct core_range own = {8, 4};
    const struct core_range kept = {0, 4};
    CU_ASSERT_TRUE(claim(
        f, 0,
        (struct core_event){.ranges = &own, .range_count = 1, .kept = &kept, .kept_count = 1}));
    expect_owners(f, "000011110000");
}

static void kept_contribution_is_fetched_and_leaves_the_accumulator(void)
{
    struct fixture f;
    keep_one_and_hold_one(&f);
    offer_again(&f, 0, 0, 4);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_FETCH, 0));
    expect_owners(&f, "000011110000");
    fixture_answer(&f, CORE_RECEIVED, 0, true);
    fixture_answer(&f, CORE_ADDED, 0, true);
    CU_ASSERT_TRUE(fixture_action(&f, CORE_VERDICT, 0)->ok);
    expect_owners(&f, "####11110000");
    fixture_tell(&f, CORE_LEFT, 1);
    expect_owners(&f, "####....0000");
    fixture_deinit(&f);
}

static void kept_contribution_that_is_counted_is_accepted_without_its_bytes(void)
{
    struct fixture f;
    (void)half_done(&f);
    fixture_hand_in(&f, 0, 0, 4); /* the verdict is lost */
    return_peer(&f, 0);
    const struct core_range kept = {0, 4};
    CU_ASSERT_TRUE(claim(&f, 0, (struct core_event){.kept = &kept, .kept_count = 1}));
    fixture_offer_again(&f, 0, 0, kept, true);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_FETCH, 0));
    CU_ASSERT_TRUE(fixture_action(&f, CORE_VERDICT, 0)->ok);
    expect_owners(&f, "####1111....");
    fixture_deinit(&f);
}

static void kept_contribution_whose_samples_went_to_others_is_no_strike(void)
{
    struct fixture f;
    for (int kind = 0; kind < 2; kind++) {
        keep_one_and_hold_one(&f);
        for (int i = 0; i <= CORE_STRIKES_MAX; i++) {
            offer_again(&f, 0, kind == 0 ? 2 : UINT64_MAX, 4); /* 4 and 5 are another's */
            fixture_refused(&f, 0);
            CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_EXPEL, 0));
        }
        expect_owners(&f, kind == 0 ? "00..11110000" : "000011110000");
        fixture_deinit(&f);
    }
}

static void kept_contribution_with_bad_bytes_is_a_strike_and_frees_its_samples_alone(void)
{
    for (int failing = 0; failing < 2; failing++) {
        struct fixture f;
        keep_one_and_hold_one(&f);
        offer_again(&f, 0, 0, 4);
        fixture_answer(&f, CORE_RECEIVED, 0, failing != 0);
        if (failing == 1) {
            fixture_answer(&f, CORE_ADDED, 0, false);
        }
        fixture_refused(&f, 0);
        CU_ASSERT_EQUAL(f.core->peers[0].strikes, 1);
        expect_owners(&f, "....11110000");
        fixture_deinit(&f);
    }
}

static void collect_stays_open_until_the_accumulator_is_handed_in_too(void)
{
    struct fixture f;
    keep_one_and_hold_one(&f);
    fixture_report(&f, CORE_PROGRESS, 1, 2, 4);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 0));
    f.now_ms += 2000;
    offer_again(&f, 0, 0, 4);
    fixture_answer(&f, CORE_RECEIVED, 0, true);
    fixture_answer(&f, CORE_ADDED, 0, true);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_COLLECT, 0)); /* it was asked */
    fixture_hand_in(&f, 1, 4, 4);
    fixture_tick(&f, 3000);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_EXPEL, 0)); /* its time began with the verdict */
    fixture_hand_in(&f, 0, 8, 4);
    CU_ASSERT_TRUE(f.core->committing);
    fixture_deinit(&f);
    keep_one_and_hold_one(&f);
    fixture_report(&f, CORE_PROGRESS, 1, 2, 4);
    fixture_hand_in(&f, 0, 8, 4); /* frees what it does not offer */
    expect_owners(&f, "....1111####");
    fixture_deinit(&f);
}

static void collect_is_settled_when_only_kept_samples_were_owned(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(4);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 1);
    fixture_join(&f, 1, 1);
    reserve(&f, 0, 0, 3);
    reserve(&f, 1, 3, 1);
    return_peer(&f, 0);
    return_peer(&f, 1);
    const struct core_range kept = {0, 3};
    CU_ASSERT_TRUE(claim(&f, 0, (struct core_event){.kept = &kept, .kept_count = 1}));
    CU_ASSERT_TRUE(claim_range(&f, 1, 3, 1));
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 0));
    offer_again(&f, 0, 0, 3);
    fixture_answer(&f, CORE_RECEIVED, 0, true);
    fixture_answer(&f, CORE_ADDED, 0, true);
    fixture_tell(&f, CORE_LEFT, 1);
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).first, 3); /* nothing more is expected of it */
    fixture_deinit(&f);
}

/* A contribution names each range, so that a claim of many must be handed in before more work. */
static void claim_of_many_ranges_is_collected_before_more_is_lent(void)
{
    struct fixture f;
    struct core_range ranges[CORE_UNCOLLECTED_MAX];
    struct core_settings settings = fixture_settings(2 * CORE_UNCOLLECTED_MAX);
    for (int refused = 0; refused < 2; refused++) {
        fixture_init(&f, &settings);
        fixture_join(&f, 0, 1);
        reserve(&f, 0, 0, 2 * CORE_UNCOLLECTED_MAX);
        for (uint64_t i = 0; i < CORE_UNCOLLECTED_MAX; i++) {
            ranges[i] = (struct core_range){2 * i, 1};
        }
        CU_ASSERT_TRUE(claim(
            &f, 0, (struct core_event){.ranges = ranges, .range_count = CORE_UNCOLLECTED_MAX}));
        CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 0));
        CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 0);
        return_peer(&f, 0);
        CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_COLLECT, 0)); /* not before its claim */
        if (refused == 1) {
            CU_ASSERT_FALSE(claim_range(&f, 0, 1, 1));
        }
        CU_ASSERT_NOT_EQUAL(fixture_ready(&f, 0).count, 0); /* it has given them up */
        fixture_deinit(&f);
    }
}

static void offer_of_a_peer_that_has_not_claimed_frees_the_rest(void)
{
    for (int again = 0; again < 2; again++) {
        struct fixture f;
        const struct core_range some = {0, 2};
        (void)half_done(&f);
        return_peer(&f, 0);
        fixture_step(&f, &(struct core_event){.type = CORE_OFFERED,
                                              .peer = 0,
                                              .ranges = &some,
                                              .range_count = 1,
                                              .again = again != 0});
        CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_FETCH, 0));
        expect_owners(&f, "00..1111....");
        fixture_deinit(&f);
    }
}

static void return_while_an_offer_is_fetched_forgets_the_offer_alone(void)
{
    struct fixture f;
    (void)half_done(&f);
    fixture_offer(&f, 0, &(struct core_range){0, 4}, 1);
    return_peer(&f, 0);
    expect_owners(&f, "00001111....");
    fixture_answer(&f, CORE_RECEIVED, 0, true); /* late */
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_ADD, 0));
    fixture_deinit(&f);
}

/* It was set aside in the middle of the lease. */
static void kept_part_of_a_lease_counts_as_far_as_it_is_done(void)
{
    struct fixture f;
    struct core_action lease = half_done(&f);
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 2);
    offer_again(&f, 1, 4, 3);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_FETCH, 1)); /* the third may be given back */
    expect_owners(&f, "00001111....");
    offer_again(&f, 1, 4, 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(&f, CORE_FETCH, 1));
    fixture_answer(&f, CORE_RECEIVED, 1, true);
    fixture_answer(&f, CORE_ADDED, 1, true);
    expect_owners(&f, "0000##11....");
    fixture_report(&f, CORE_YIELDED, 1, lease.lease_id, 1); /* too late */
    expect_owners(&f, "0000##11....");
    fixture_report(&f, CORE_YIELDED, 1, lease.lease_id, 3);
    expect_owners(&f, "0000##1.....");
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 3);
    CU_ASSERT_EQUAL(f.core->peers[1].owned, 1);
    fixture_deinit(&f);
}

static void paused_core_finishes_its_step_and_begins_no_other(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(4);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 2);
    struct core_action first = fixture_ready(&f, 0);
    fixture_step(&f, &(struct core_event){.type = CORE_PAUSE});
    CU_ASSERT_FALSE(core_idle(f.core));
    fixture_report(&f, CORE_PROGRESS, 0, first.lease_id, 2);
    f.core->peers[0].speed = 0.0;
    struct core_action second = fixture_ready(&f, 0);
    CU_ASSERT_EQUAL(second.count, 2);
    fixture_report(&f, CORE_PROGRESS, 0, second.lease_id, 2);
    fixture_hand_in(&f, 0, 0, 4);
    CU_ASSERT_FALSE(core_idle(f.core));
    fixture_tell(&f, CORE_COMMITTED, 0);
    CU_ASSERT_TRUE(core_idle(f.core));
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 0);
    fixture_tick(&f, 100);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_step(&f, &(struct core_event){.type = CORE_RESUME});
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_LEASE, 0)); /* it had asked */
    CU_ASSERT_FALSE(core_idle(f.core));
    fixture_step(&f, &(struct core_event){.type = CORE_PAUSE});
    fixture_tell(&f, CORE_LEFT, 0); /* nothing is left of the step */
    CU_ASSERT_TRUE(core_idle(f.core));
    fixture_deinit(&f);
}

static void new_target_batch_counts_from_the_next_step_on(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(4);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 4);
    struct core_action lease = fixture_ready(&f, 0);
    CU_ASSERT_EQUAL(core_set_target_batch(f.core, 9), STATUS_OK);
    CU_ASSERT_EQUAL(core_target_batch(f.core), 4);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 4);
    fixture_hand_in(&f, 0, 0, 4);
    fixture_tell(&f, CORE_COMMITTED, 0);
    CU_ASSERT_EQUAL(core_target_batch(f.core), 9);
    CU_ASSERT_EQUAL(f.core->table.now.free_count, 9);
    expect_owners(&f, ".........");
    fixture_deinit(&f);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(returned_peer_keeps_what_it_owns_until_it_claims),
        SUITE_TEST(claimed_lease_has_fresh_deadlines),
        SUITE_TEST(what_is_not_claimed_is_free_again),
        SUITE_TEST(claim_of_what_is_not_owned_is_refused_and_frees_all_but_the_kept),
        SUITE_TEST(claimed_leases_must_lie_in_what_is_claimed),
        SUITE_TEST(claim_for_another_step_is_refused_and_frees_all),
        SUITE_TEST(claim_said_again_later_changes_nothing),
        SUITE_TEST(restarted_core_gives_reserved_samples_to_nobody_else),
        SUITE_TEST(peer_that_is_here_and_never_claims_loses_what_it_had),
        SUITE_TEST(peer_that_returns_too_often_loses_what_it_had),
        SUITE_TEST(kept_contribution_is_fetched_and_leaves_the_accumulator),
        SUITE_TEST(kept_contribution_that_is_counted_is_accepted_without_its_bytes),
        SUITE_TEST(kept_contribution_whose_samples_went_to_others_is_no_strike),
        SUITE_TEST(kept_contribution_with_bad_bytes_is_a_strike_and_frees_its_samples_alone),
        SUITE_TEST(collect_stays_open_until_the_accumulator_is_handed_in_too),
        SUITE_TEST(collect_is_settled_when_only_kept_samples_were_owned),
        SUITE_TEST(claim_of_many_ranges_is_collected_before_more_is_lent),
        SUITE_TEST(offer_of_a_peer_that_has_not_claimed_frees_the_rest),
        SUITE_TEST(return_while_an_offer_is_fetched_forgets_the_offer_alone),
        SUITE_TEST(kept_part_of_a_lease_counts_as_far_as_it_is_done),
        SUITE_TEST(paused_core_finishes_its_step_and_begins_no_other),
        SUITE_TEST(new_target_batch_counts_from_the_next_step_on),
    };
    return suite_run("coordinator_claims", tests, sizeof tests / sizeof tests[0]);
}
