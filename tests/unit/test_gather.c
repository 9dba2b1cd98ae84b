#include "tests/unit/gather_fixture.h"

static void set_is_sent_when_the_step_is_covered(void)
{
    const struct gather_plan plan = make_plan();
    uint64_t serials[COUNT];
    CU_ASSERT_EQUAL_FATAL(gather_begin(gather, &plan), STATUS_OK);
    CU_ASSERT_EQUAL(add_entry(0), STATUS_OK);
    CU_ASSERT_EQUAL(add_entry(1), STATUS_OK);
    CU_ASSERT_EQUAL(add_entry(2), STATUS_OK);
    take_actions(0);
    CU_ASSERT_TRUE(gather_is_open(gather));
    CU_ASSERT_PTR_NULL(find(GATHER_SEND_SET, OWNER_A));
    CU_ASSERT_EQUAL(granted(0), 2); /* the coordinator's own chunks need not wait */
    gather_count_central(gather, TOKENS);
    take_actions(1);
    CU_ASSERT_FALSE(gather_is_open(gather));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(GATHER_SEND_SET, OWNER_A));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(GATHER_SEND_SET, OWNER_B));
    CU_ASSERT_EQUAL(find(GATHER_SEND_SET, OWNER_B)->epoch, 1);
    const struct gather_action *grant = find(GATHER_GRANT_SUMS, OWNER_B);
    CU_ASSERT_PTR_NOT_NULL_FATAL(grant);
    CU_ASSERT_TRUE(grant->epoch == 1 && grant->first_chunk == 2 && grant->chunk_count == 2);
    CU_ASSERT_EQUAL(gather_set(gather, serials), 3);
    CU_ASSERT_TRUE(serials[0] == 1 && serials[1] == 2 && serials[2] == 3);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(give_part(i, 4, 2), STATUS_OK);
        CU_ASSERT_EQUAL(give_part(i, 5, 2), STATUS_OK);
        CU_ASSERT_EQUAL(give_part(i, 5, 2), STATUS_OK); /* again */
    }
    give_sums(OWNER_A, 1, 0x7);
    give_sums(OWNER_B, 1, 0x7);
    take_actions(2);
    CU_ASSERT_TRUE(is_complete_with(0x7));
}

static void add_more_tokens_than_the_step_has_is_refused(void)
{
    struct gather_plan plan = make_plan();
    plan.step_tokens = 2 * TOKENS + 1;
    CU_ASSERT_EQUAL_FATAL(gather_begin(gather, &plan), STATUS_OK);
    CU_ASSERT_EQUAL(add_entry(0), STATUS_OK);
    CU_ASSERT_EQUAL(add_entry(1), STATUS_OK);
    CU_ASSERT_EQUAL(add_entry(2), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NOT_NULL(gather_entry_at(gather, 1));
    gather_drop_entry(gather, 1);
    CU_ASSERT_PTR_NULL(gather_entry_at(gather, 1));
    gather_drop_entry(gather, 77);
    take_actions(0);
    CU_ASSERT_PTR_NULL(find(GATHER_ENTRY_OUT, 1)); /* the caller knows */
    CU_ASSERT_TRUE(gather_is_open(gather));
}

static void plan_without_owners_is_summed_here(void)
{
    struct gather_plan plan = make_plan();
    plan.owner_count = 0;
    begin(&plan);
    CU_ASSERT_EQUAL(granted(2), CHUNKS);
    answer_all(ALL, 1);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

static void sums_that_are_not_due_change_nothing(void)
{
    const struct gather_plan plan = make_plan();
    begin(&plan);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 2, 0, ALL, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 0, 0, ALL, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(give_sum(3, 1, 0, ALL, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 2, ALL, 0), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 4, ALL, 0), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(gather_take_sum(gather, OWNER_A, 1, CHUNKS, packed, 1, 0), STATUS_PROTOCOL);
    give_sums(OWNER_A, 1, ALL);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 0, 0x1, 0), STATUS_OK); /* it is there already */
    CU_ASSERT_EQUAL(give_part(0, 0, 0), STATUS_OK);              /* nobody waits for it */
    CU_ASSERT_EQUAL(give_part(0, CHUNKS, 0), STATUS_OK);
    CU_ASSERT_EQUAL(gather_take_part(gather, 99, 4, packed, 1, 0), STATUS_OK);
    give_sums(OWNER_B, 1, ALL);
    answer_all(ALL, 1);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

static void owner_lost_keeps_what_it_returned_and_the_rest_is_fetched(void)
{
    const struct gather_plan plan = make_plan();
    begin(&plan);
    answer_all(ALL, 1);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 1, ALL, 0), STATUS_OK);
    give_sums(OWNER_B, 1, ALL);
    gather_peer_lost(gather, OWNER_A);
    take_actions(2);
    CU_ASSERT_TRUE(is_out(GATHER_OWNER_OUT, OWNER_A, GATHER_LOST));
    CU_ASSERT_EQUAL(granted(0), 1);
    CU_ASSERT_EQUAL(find(GATHER_GRANT_PARTS, 0)->first_chunk, 0);
    CU_ASSERT_EQUAL(find(GATHER_GRANT_PARTS, 0)->blob_id, 70);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 0, ALL, 0), STATUS_STALE);
    answer_all(ALL, 3);
    CU_ASSERT_EQUAL(epoch(), 1);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

/* It was asked for twice, and comes when it is not needed any more. */
static void sum_of_the_step_before_is_stale(void)
{
    struct gather_plan plan = make_plan();
    begin(&plan);
    give_sums(OWNER_A, 1, ALL);
    plan.epoch_before = epoch();
    gather_end(gather);
    CU_ASSERT_EQUAL_FATAL(gather_begin(gather, &plan), STATUS_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL_FATAL(add_entry(i), STATUS_OK);
    }
    take_actions(0);
    uint64_t now = find(GATHER_SEND_SET, OWNER_A)->epoch;
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 0, ALL, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, now, 0, ALL, 0), STATUS_OK);
}

static void contributor_lost_early_makes_another_epoch(void)
{
    struct gather_plan plan = make_plan();
    const struct gather_holds holds = {.epoch = 2, .parts_held = 2 * 3};
    uint64_t serials[COUNT];
    plan.stall_ms = 10 * STALL_MS;
    begin(&plan);
    answer_all(ALL & ~0x4U, 1);
    give_sums(OWNER_A, 1, ALL);
    gather_peer_lost(gather, 2);
    take_actions(2);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 2, GATHER_LOST));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(GATHER_SEND_SET, OWNER_A));
    CU_ASSERT_EQUAL(find(GATHER_SEND_SET, OWNER_A)->epoch, 2);
    CU_ASSERT_PTR_NULL(find(GATHER_GRANT_SUMS, OWNER_A)); /* another loss would make them void */
    gather_take_holds(gather, OWNER_A, &holds, 3);
    take_actions(3);
    CU_ASSERT_PTR_NULL(find(GATHER_GRANT_SUMS, OWNER_A)); /* the other one lacks something */
    gather_take_holds(gather, OWNER_B, &holds, 3 * STALL_MS);
    take_actions(3 * STALL_MS);
    CU_ASSERT_PTR_NOT_NULL(find(GATHER_GRANT_SUMS, OWNER_A)); /* again */
    CU_ASSERT_PTR_NOT_NULL(find(GATHER_GRANT_SUMS, OWNER_B));
    CU_ASSERT_EQUAL(gather_set(gather, serials), 3);
    CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 2, ALL, 0), STATUS_STALE);
    give_sums(OWNER_A, 2, ALL & ~0x4U);
    give_sums(OWNER_B, 2, ALL & ~0x4U);
    CU_ASSERT_TRUE(is_complete_with(ALL & ~0x4U)); /* its samples come in another round */
}

static void contributor_lost_after_it_delivered_stays(void)
{
    const struct gather_plan plan = make_plan();
    const struct gather_holds holds = {.epoch = 1, .parts_held = 2 * COUNT, .sums_ready = 2};
    begin(&plan);
    answer_all(ALL, 1);
    give_sums(OWNER_A, 1, ALL);
    gather_take_holds(gather, OWNER_B, &holds, 1);
    gather_peer_lost(gather, 2);
    take_actions(2);
    CU_ASSERT_EQUAL(epoch(), 1);
    CU_ASSERT_PTR_NULL(find(GATHER_ENTRY_OUT, 2));
    gather_peer_lost(gather, OWNER_B); /* now its parts are needed again */
    take_actions(3);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 2, GATHER_LOST));
    CU_ASSERT_EQUAL(epoch(), 2);
    answer_all(ALL, 4);
    give_sums(OWNER_A, 2, ALL & ~0x4U);
    gather_count_central(gather, TOKENS);
    CU_ASSERT_TRUE(is_complete_with(ALL & ~0x4U));
}

static void grants_are_said_again(void)
{
    struct gather_plan plan = make_plan();
    const struct gather_holds holds = {.epoch = 1, .parts_held = 8, .sums_ready = 2};
    plan.window = 1;
    begin(&plan);
    CU_ASSERT_EQUAL(granted(0), 1);
    take_actions(RETRY_MS - 1);
    CU_ASSERT_EQUAL(granted(0), 0);
    CU_ASSERT_PTR_NULL(find(GATHER_GRANT_SUMS, OWNER_A));
    gather_take_holds(gather, OWNER_A, &holds, 10); /* two are ready, and do not come */
    take_actions(2 * RETRY_MS);
    CU_ASSERT_EQUAL(granted(0), 1);
    CU_ASSERT_PTR_NOT_NULL(find(GATHER_GRANT_SUMS, OWNER_A));
    CU_ASSERT_PTR_NULL(find(GATHER_GRANT_SUMS, OWNER_B)); /* has none ready */
    gather_peer_back(gather, OWNER_B);
    gather_peer_back(gather, 1);
    take_actions(2 * RETRY_MS + 1);
    CU_ASSERT_PTR_NOT_NULL(find(GATHER_SEND_SET, OWNER_B));
    CU_ASSERT_PTR_NOT_NULL(find(GATHER_GRANT_SUMS, OWNER_B));
    CU_ASSERT_EQUAL(granted(1), 1);
    CU_ASSERT_EQUAL(granted(2), 0);
}

static void contributor_that_stands_still_leaves(void)
{
    const struct gather_plan plan = make_plan();
    begin(&plan);
    answer_grants(ALL & ~0x1U, 1);
    for (uint64_t now_ms = 1; now_ms < STALL_MS; now_ms += 50) {
        take_actions(now_ms);
        CU_ASSERT_PTR_NULL(find(GATHER_ENTRY_OUT, 0));
        give_sums(OWNER_A, 1, ALL);
    }
    take_actions(STALL_MS + 20);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 0, GATHER_SLOW));
    CU_ASSERT_PTR_NULL(find(GATHER_ENTRY_OUT, 1));
}

/* Room for the parts of two chunks or so: later ones wait, summed ones give up theirs, and another
 * epoch fetches them again. */
static void parts_stay_within_their_room(void)
{
    struct gather_plan plan = make_plan();
    struct gather_progress progress;
    plan.owner_count = 0;
    plan.bytes_max = (uint64_t)COUNT * CODEC_CHUNK_VALUES * sizeof(float) * 4;
    begin(&plan);
    CU_ASSERT_EQUAL(granted(0), 2);
    uint32_t fetched = 0;
    do {
        fetched += granted(0);
        answer_grants(ALL & ~0x8U, 1);
        answer_grants(0x8U, 1);
        gather_progress(gather, &progress);
        CU_ASSERT_TRUE(progress.bytes <= plan.bytes_max);
        take_actions(1);
    } while (granted(0) > 0);
    CU_ASSERT_EQUAL(fetched, CHUNKS);
    CU_ASSERT_TRUE(is_complete_with(ALL));
    CU_ASSERT_TRUE(progress.bytes > 0);

    gather_drop_entry(gather, 3);
    gather_count_central(gather, TOKENS);
    CU_ASSERT_FALSE(gather_complete(gather));
    take_actions(2);
    CU_ASSERT_TRUE(granted(0) > 0); /* what was given up */
    answer_all(ALL, 3);
    CU_ASSERT_TRUE(is_complete_with(ALL & ~0x8U));
}

static void all_entries_lost_leaves_the_step_to_the_center(void)
{
    const struct gather_plan plan = make_plan();
    begin(&plan);
    for (uint32_t i = 0; i < COUNT; i++) {
        gather_peer_lost(gather, i);
    }
    take_actions(1);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 3, GATHER_LOST));
    CU_ASSERT_TRUE(is_complete_with(0));
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(gather_is_made),
        SUITE_TEST(set_is_sent_when_the_step_is_covered),
        SUITE_TEST(add_more_tokens_than_the_step_has_is_refused),
        SUITE_TEST(plan_without_owners_is_summed_here),
        SUITE_TEST(sums_that_are_not_due_change_nothing),
        SUITE_TEST(owner_lost_keeps_what_it_returned_and_the_rest_is_fetched),
        SUITE_TEST(sum_of_the_step_before_is_stale),
        SUITE_TEST(contributor_lost_early_makes_another_epoch),
        SUITE_TEST(contributor_lost_after_it_delivered_stays),
        SUITE_TEST(grants_are_said_again),
        SUITE_TEST(contributor_that_stands_still_leaves),
        SUITE_TEST(parts_stay_within_their_room),
        SUITE_TEST(all_entries_lost_leaves_the_step_to_the_center),
    };
    return gather_suite_run("gather", tests, sizeof tests / sizeof *tests);
}
