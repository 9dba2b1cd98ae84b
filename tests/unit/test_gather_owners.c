#include "tests/unit/gather_fixture.h"

static void liar_is_found_and_nothing_of_it_stays(void)
{
    struct gather_plan plan = make_plan();
    owners[1].trusted = false;
    begin(&plan);
    answer_all(ALL, 1);
    give_sums(OWNER_A, 1, ALL);
    CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 2, ALL, 0), STATUS_OK);
    CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 3, ALL, -1), STATUS_OK);
    CU_ASSERT_FALSE(gather_complete(gather)); /* its checks are due */
    take_actions(2);
    CU_ASSERT_EQUAL(granted(1), 2);
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL(give_part(i, 3, 3), STATUS_OK);
    }
    take_actions(3);
    CU_ASSERT_TRUE(is_out(GATHER_OWNER_OUT, OWNER_B, GATHER_LIAR));
    CU_ASSERT_FALSE(gather_complete(gather));
    answer_all(ALL, 4);
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL(give_part(i, 2, 4), STATUS_OK);
    }
    take_actions(4);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

static void lie_that_was_not_drawn_falls_with_one_that_was(void)
{
    struct gather_plan plan = make_plan();
    struct gather_progress progress = {.checks = 0};
    owners[1].trusted = false;
    plan.check_share = 0.5;
    while (progress.checks != 1 && plan.check_seed < 100) {
        plan.check_seed++;
        begin(&plan);
        answer_all(ALL, 1);
        give_sums(OWNER_A, 1, ALL);
        CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 2, ALL, 7), STATUS_OK);
        CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 3, ALL, -9), STATUS_OK);
        gather_progress(gather, &progress);
    }
    take_actions(2);
    answer_all(ALL, 3);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

static void contributor_lost_before_an_owner_is_checked_leaves(void)
{
    struct gather_plan plan = make_plan();
    const struct gather_holds holds = {.epoch = 1, .parts_held = 2 * COUNT, .sums_ready = 2};
    owners[1].trusted = false;
    begin(&plan);
    answer_all(ALL, 1);
    give_sums(OWNER_A, 1, ALL);
    gather_take_holds(gather, OWNER_B, &holds, 1);
    gather_peer_lost(gather, 2);
    take_actions(2);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 2, GATHER_LOST));
}

/* How many of `rounds` steps check a chunk of the owner that is not trusted, and parts fetched. */
static unsigned count_checks(struct gather_plan *plan, unsigned rounds, unsigned *chunks_seen)
{
    unsigned checks = 0;
    for (unsigned round = 0; round < rounds; round++) {
        plan->check_seed = round;
        begin(plan);
        answer_all(ALL, 1);
        give_sums(OWNER_B, 1, ALL);
        take_actions(2);
        struct gather_progress progress;
        gather_progress(gather, &progress);
        CU_ASSERT_EQUAL(granted(0), progress.checks);
        checks += progress.checks;
        const struct gather_action *grant = find(GATHER_GRANT_PARTS, 0);
        *chunks_seen |= grant != NULL ? 1U << grant->first_chunk : 0U;
    }
    return checks;
}

static void checks_keep_their_share(void)
{
    struct gather_plan plan = make_plan();
    unsigned seen = 0;
    owners[1].trusted = false;
    plan.check_share = 0.25;
    unsigned checks = count_checks(&plan, 400, &seen);
    CU_ASSERT_TRUE(checks > 150 && checks < 250); /* 800 chunks */
    CU_ASSERT_EQUAL(seen, 0xc);
    plan.check_share = 1.0;
    plan.check_traffic = 4.0 / CHUNKS; /* one chunk of all: aimed at half of it */
    checks = count_checks(&plan, 400, &seen);
    CU_ASSERT_TRUE(checks > 130 && checks < 230); /* 1 - (3 / 4)^2 of 400 */
    owners[1].trusted = true;
    CU_ASSERT_EQUAL(count_checks(&plan, 10, &seen), 0);
}

static void owner_that_reports_a_bad_part_is_heard(void)
{
    const struct gather_plan plan = make_plan();
    const struct gather_holds holds = {
        .epoch = 1, .parts_missing = 1, .bad_serial = 2, .bad_chunk = 3};
    const struct gather_holds another = {
        .epoch = 1, .parts_missing = 1, .bad_serial = 1, .bad_chunk = 2};
    begin(&plan);
    answer_all(ALL, 1);
    gather_take_holds(gather, OWNER_A, &holds, 1); /* not its chunk */
    take_actions(1);
    CU_ASSERT_EQUAL(granted(1), 0);
    gather_take_holds(gather, OWNER_B, &holds, 1);
    gather_take_holds(gather, OWNER_B, &holds, 1);
    gather_take_holds(gather, OWNER_B, &another, 1); /* one at a time */
    take_actions(1);
    CU_ASSERT_EQUAL(granted(0), 0);
    CU_ASSERT_EQUAL(granted(1), 1); /* that part alone */
    CU_ASSERT_EQUAL(find(GATHER_GRANT_PARTS, 1)->first_chunk, 3);
    size_t size_bytes = 0;
    const uint8_t *data = contribution_chunk(&items[1], VALUES, 3, &size_bytes);
    memcpy(packed, data, size_bytes);
    memset(packed, 0xff, 4);
    CU_ASSERT_EQUAL(gather_take_part(gather, 1, 3, packed, size_bytes, 2), STATUS_OUT_OF_RANGE);
    take_actions(2);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 1, GATHER_BAD));
    CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_B));
    CU_ASSERT_EQUAL(epoch(), 2);
    give_sums(OWNER_A, 2, ALL & ~0x2U);
    give_sums(OWNER_B, 2, ALL & ~0x2U);
    take_actions(3);
    gather_count_central(gather, TOKENS);
    CU_ASSERT_TRUE(is_complete_with(ALL & ~0x2U));
}

static void owner_that_refuses_a_good_part_is_taken_over(void)
{
    const struct gather_plan plan = make_plan();
    const struct gather_holds holds = {.epoch = 1, .bad_serial = 2, .bad_chunk = 3};
    begin(&plan);
    answer_all(ALL, 1);
    give_sums(OWNER_A, 1, ALL);
    gather_take_holds(gather, OWNER_B, &holds, 1);
    take_actions(1);
    CU_ASSERT_EQUAL(give_part(1, 3, 2), STATUS_OK);
    take_actions(2);
    CU_ASSERT_TRUE(is_out(GATHER_OWNER_OUT, OWNER_B, GATHER_WRONG));
    answer_all(ALL, 3);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

/* It may not know of another target batch yet, and so of another grid. */
static void owner_that_refuses_a_good_part_before_the_set_is_not_judged(void)
{
    const struct gather_plan plan = make_plan();
    struct gather_holds holds = {.bad_serial = 2, .bad_chunk = 3};
    CU_ASSERT_EQUAL_FATAL(gather_begin(gather, &plan), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(add_entry(0), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(add_entry(1), STATUS_OK);
    take_actions(0);
    answer_all(ALL, 0);
    for (int i = 0; i < 3; i++) { /* said again and again, and fetched once */
        gather_take_holds(gather, OWNER_B, &holds, 1);
        take_actions(1);
        CU_ASSERT_EQUAL(granted(1), i == 0 ? 1 : 0);
        CU_ASSERT_EQUAL(give_part(1, 3, 2), STATUS_OK);
        take_actions(2);
        CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_B));
        CU_ASSERT_PTR_NULL(find(GATHER_ENTRY_OUT, 1));
    }
    gather_count_central(gather, plan.step_tokens - (uint64_t)2 * TOKENS);
    take_actions(3);
    CU_ASSERT_EQUAL(epoch(), 1);
    gather_take_holds(gather, OWNER_B, &holds, 4); /* of before the set */
    take_actions(4);
    CU_ASSERT_EQUAL(granted(1), 0);
    holds.epoch = 1;
    gather_take_holds(gather, OWNER_B, &holds, 5);
    take_actions(5);
    CU_ASSERT_EQUAL(granted(1), 1);
    CU_ASSERT_EQUAL(give_part(1, 3, 6), STATUS_OK);
    take_actions(6);
    CU_ASSERT_TRUE(is_out(GATHER_OWNER_OUT, OWNER_B, GATHER_WRONG));
}

/* Nobody can tell who of the two lies, so nobody is judged. */
static void contribution_that_an_owner_calls_torn_is_fetched_whole(void)
{
    const struct gather_plan plan = make_plan();
    const struct gather_holds holds = {.epoch = 1, .torn_serial = 2};
    const struct gather_holds none = {.epoch = 1, .torn_serial = 99};
    begin(&plan);
    answer_all(ALL, 1);
    gather_take_holds(gather, OWNER_B, &none, 1);
    gather_take_holds(gather, OWNER_B, &holds, 1);
    gather_take_holds(gather, OWNER_B, &holds, 1);
    take_actions(1);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 1, GATHER_MOVED));
    CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_B));
    CU_ASSERT_EQUAL(epoch(), 2);
    give_sums(OWNER_A, 2, ALL & ~0x2U);
    give_sums(OWNER_B, 2, ALL & ~0x2U);
    take_actions(3);
    gather_count_central(gather, TOKENS);
    CU_ASSERT_TRUE(is_complete_with(ALL & ~0x2U));
}

/* Or one liar could have everything summed by the coordinator. */
static void owner_may_call_a_few_contributions_torn(void)
{
    enum { ENTRIES = GATHER_MOVES_MAX + 2 };
    struct gather_plan plan = make_plan();
    uint32_t entry = 0;
    unsigned moved = 0;
    plan.step_tokens = (uint64_t)ENTRIES * TOKENS;
    CU_ASSERT_EQUAL_FATAL(gather_begin(gather, &plan), STATUS_OK);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        const struct gather_entry facts = {
            .serial = i + 1U, .peer = i, .codec = CODEC_MX8, .tokens = TOKENS, .blob_id = i + 1U};
        CU_ASSERT_EQUAL_FATAL(gather_add_entry(gather, &facts, &entry), STATUS_OK);
    }
    take_actions(0);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        const struct gather_holds holds = {.epoch = epoch(), .torn_serial = i + 1U};
        gather_take_holds(gather, OWNER_B, &holds, 1);
        take_actions(1);
        moved += is_out(GATHER_ENTRY_OUT, i, GATHER_MOVED) ? 1 : 0;
    }
    CU_ASSERT_EQUAL(moved, GATHER_MOVES_MAX);
    CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_B));
}

static void part_that_its_root_does_not_prove_costs_its_contribution(void)
{
    const struct gather_plan plan = make_plan();
    begin(&plan);
    answer_all(ALL, 1);
    gather_refuse_part(gather, 1);
    gather_refuse_part(gather, 77); /* there is none */
    take_actions(1);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 1, GATHER_BAD));
    CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_A));
    CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_B));
    CU_ASSERT_EQUAL(epoch(), 2);
}

static void owner_that_stands_still_is_taken_over(void)
{
    const struct gather_plan plan = make_plan();
    struct gather_holds holds = {
        .epoch = 1, .parts_held = 1, .parts_missing = 7, .lacking_count = 4, .lacking_serial = 1};
    begin(&plan);
    answer_all(ALL, 1);
    give_sums(OWNER_A, 1, ALL);
    gather_take_holds(gather, OWNER_B, &holds, 900);
    take_actions(1800);
    CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_B));
    gather_take_holds(gather, OWNER_B, &holds, 1850); /* no more than before */
    take_actions(1950);
    CU_ASSERT_TRUE(is_out(GATHER_OWNER_OUT, OWNER_B, GATHER_SLOW));
    answer_all(ALL, 1960);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

static void owner_that_lacks_one_contribution_is_helped(void)
{
    struct gather_plan plan = make_plan();
    const struct gather_holds holds = {
        .epoch = 1, .parts_held = 6, .parts_missing = 2, .lacking_count = 1, .lacking_serial = 3};
    begin(&plan);
    answer_all(ALL, 1);
    give_sums(OWNER_A, 1, ALL);
    gather_take_holds(gather, OWNER_B, &holds, 1);
    take_actions(1100);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 2, GATHER_MOVED));
    CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_B));
    gather_count_central(gather, TOKENS);
    give_sums(OWNER_A, 2, ALL & ~0x4U);
    give_sums(OWNER_B, 2, ALL & ~0x4U);
    take_actions(1200);
    CU_ASSERT_TRUE(is_complete_with(ALL & ~0x4U));
}

static void owner_that_is_always_about_to_finish_is_taken_over(void)
{
    const struct gather_plan plan = make_plan();
    struct gather_holds holds = {.epoch = 1, .parts_missing = 1};
    bool out = false;
    begin(&plan);
    answer_all(ALL, 1);
    uint64_t now_ms = 0;
    for (; now_ms <= 5 * DEADLINE_MS && !out; now_ms += STALL_MS / 2) {
        holds.parts_held++;
        gather_take_holds(gather, OWNER_B, &holds, now_ms);
        gather_take_holds(gather, OWNER_A, &holds, now_ms);
        take_actions(now_ms);
        out = is_out(GATHER_OWNER_OUT, OWNER_B, GATHER_SLOW);
    }
    CU_ASSERT_TRUE(out && now_ms > 4 * DEADLINE_MS);
    begin(&plan);
    give_sums(OWNER_A, 1, ALL); /* others are done: the deadline counts */
    answer_all(ALL, 1);
    out = false;
    for (now_ms = 0; now_ms <= 5 * DEADLINE_MS && !out; now_ms += STALL_MS / 2) {
        holds.parts_held++;
        gather_take_holds(gather, OWNER_B, &holds, now_ms);
        take_actions(now_ms);
        out = is_out(GATHER_OWNER_OUT, OWNER_B, GATHER_SLOW);
    }
    CU_ASSERT_TRUE(out && now_ms >= DEADLINE_MS && now_ms <= DEADLINE_MS + STALL_MS);
}

static void sum_that_cannot_be_is_refused(void)
{
    const struct gather_plan plan = make_plan();
    begin(&plan);
    answer_all(ALL, 1);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 0, ALL, 0), STATUS_OK);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 1, ALL, INT64_C(1) << 62), STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(gather_take_sum(gather, OWNER_B, 1, 2, packed, 3, 0), STATUS_BAD_DATA);
    take_actions(1);
    CU_ASSERT_TRUE(is_out(GATHER_OWNER_OUT, OWNER_A, GATHER_BAD));
    CU_ASSERT_TRUE(is_out(GATHER_OWNER_OUT, OWNER_B, GATHER_BAD));
    answer_all(ALL, 2);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(gather_is_made),
        SUITE_TEST(liar_is_found_and_nothing_of_it_stays),
        SUITE_TEST(lie_that_was_not_drawn_falls_with_one_that_was),
        SUITE_TEST(contributor_lost_before_an_owner_is_checked_leaves),
        SUITE_TEST(checks_keep_their_share),
        SUITE_TEST(owner_that_reports_a_bad_part_is_heard),
        SUITE_TEST(owner_that_refuses_a_good_part_is_taken_over),
        SUITE_TEST(owner_that_refuses_a_good_part_before_the_set_is_not_judged),
        SUITE_TEST(contribution_that_an_owner_calls_torn_is_fetched_whole),
        SUITE_TEST(owner_may_call_a_few_contributions_torn),
        SUITE_TEST(part_that_its_root_does_not_prove_costs_its_contribution),
        SUITE_TEST(owner_that_stands_still_is_taken_over),
        SUITE_TEST(owner_that_lacks_one_contribution_is_helped),
        SUITE_TEST(owner_that_is_always_about_to_finish_is_taken_over),
        SUITE_TEST(sum_that_cannot_be_is_refused),
    };
    return gather_suite_run("gather_owners", tests, sizeof tests / sizeof *tests);
}
