/* A lost owner's chunks go to other owners; the coordinator is the last resort. */
#include "common/asked.h"
#include "tests/unit/gather_fixture.h"

static struct gather_plan make_weighted_plan(void)
{
    struct gather_plan plan = make_plan();
    owners[0].weight = owners[1].weight = 1000;
    plan.own_first_chunk = 4;
    plan.own_chunk_count = 2;
    return plan;
}

static struct gather_progress progress_of(void)
{
    struct gather_progress progress;
    gather_progress(gather, &progress);
    return progress;
}

static bool has(enum gather_action_type type, uint32_t peer, uint64_t of_epoch,
                uint32_t first_chunk, uint32_t chunk_count)
{
    bool found = false;
    for (size_t i = 0; i < action_count; i++) {
        const struct gather_action *action = &actions[i];
        found =
            found || (action->type == type && action->peer == peer && action->epoch == of_epoch &&
                      action->first_chunk == first_chunk && action->chunk_count == chunk_count);
    }
    return found;
}

/* The owner is told in the last round that it sums these chunks. */
static bool is_set(uint32_t peer, uint64_t of_epoch, uint32_t first_chunk, uint32_t chunk_count)
{
    return has(GATHER_SEND_SET, peer, of_epoch, first_chunk, chunk_count);
}

/* And asked for them. */
static bool is_told(uint32_t peer, uint64_t of_epoch, uint32_t first_chunk, uint32_t chunk_count)
{
    return is_set(peer, of_epoch, first_chunk, chunk_count) &&
           has(GATHER_GRANT_SUMS, peer, of_epoch, first_chunk, chunk_count);
}

static uint32_t granted_to_all(void)
{
    return granted(0) + granted(1) + granted(2) + granted(3);
}

static void lost_owners_chunks_go_to_another(void)
{
    const struct gather_plan plan = make_weighted_plan();
    begin(&plan);
    answer_all(ALL, 1);
    uint64_t fetched = progress_of().fetched_bytes;
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 1, ALL, 0), STATUS_OK);
    give_sums(OWNER_B, 1, ALL);
    gather_peer_lost(gather, OWNER_A);
    take_actions(2);
    CU_ASSERT_TRUE(is_out(GATHER_OWNER_OUT, OWNER_A, GATHER_LOST));
    CU_ASSERT_EQUAL(granted_to_all(), 0);
    CU_ASSERT_TRUE(is_told(OWNER_B, 1, 0, 1)); /* not what came before the loss */
    CU_ASSERT_EQUAL(progress_of().repaired, 1);
    gather_peer_back(gather, OWNER_A);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 0, 0x1, 0), STATUS_STALE); /* late, and of another set */
    CU_ASSERT_FALSE(gather_complete(gather));
    CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 0, ALL, 0), STATUS_OK);
    CU_ASSERT_TRUE(is_complete_with(ALL));
    CU_ASSERT_EQUAL(progress_of().fetched_bytes, fetched);
}

static void owner_that_is_not_here_is_replaced_from_the_start(void)
{
    struct gather_plan plan = make_weighted_plan();
    owners[0] = owners[1];
    plan.owner_count = 1;
    begin(&plan);
    CU_ASSERT_TRUE(is_told(OWNER_B, 1, 0, 2));
    CU_ASSERT_TRUE(is_told(OWNER_B, 1, 2, 2));
    CU_ASSERT_EQUAL(granted(0), 2); /* the coordinator's own */
    answer_all(ALL, 1);
    for (uint32_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, i, ALL, 0), STATUS_OK);
    }
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

static void substitute_lost_leaves_the_chunks_to_the_coordinator(void)
{
    const struct gather_plan plan = make_weighted_plan();
    begin(&plan);
    answer_all(ALL, 1);
    gather_peer_lost(gather, OWNER_A);
    take_actions(2);
    CU_ASSERT_TRUE(is_told(OWNER_B, 1, 0, 2));
    CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 0, ALL, 0), STATUS_OK);
    gather_peer_lost(gather, OWNER_B);
    take_actions(3);
    CU_ASSERT_EQUAL(granted(0), 3); /* 1, 2 and 3 */
    answer_all(ALL, 4);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

static void another_epoch_names_what_was_taken_over(void)
{
    const struct gather_plan plan = make_weighted_plan();
    begin(&plan);
    answer_all(ALL, 1);
    CU_ASSERT_EQUAL(give_sum(OWNER_A, 1, 1, ALL, 0), STATUS_OK);
    gather_peer_lost(gather, OWNER_A);
    take_actions(2);
    CU_ASSERT_TRUE(is_told(OWNER_B, 1, 0, 1));
    CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 0, ALL, 0), STATUS_OK);
    gather_peer_lost(gather, 3);
    take_actions(3);
    CU_ASSERT_TRUE(is_set(OWNER_B, 2, 2, 2));
    CU_ASSERT_TRUE(is_set(OWNER_B, 2, 0, 1));
    CU_ASSERT_TRUE(is_set(OWNER_B, 2, 1, 1)); /* what the lost one returned is void now */
    answer_all(ALL, 4);
    for (uint32_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, i, ALL, 0), STATUS_STALE);
        CU_ASSERT_EQUAL(give_sum(OWNER_B, 2, i, ALL & ~0x8U, 0), STATUS_OK);
    }
    gather_count_central(gather, TOKENS);
    CU_ASSERT_TRUE(is_complete_with(ALL & ~0x8U));
}

/* A report from before it was given more must not pass for one about all. */
static void contributor_that_ends_before_the_substitute_has_all_leaves(void)
{
    const struct gather_plan plan = make_weighted_plan();
    const struct gather_holds own = {.epoch = 1, .parts_held = 2 * COUNT, .sums_ready = 2};
    const struct gather_holds all = {.epoch = 1, .parts_held = 4 * COUNT, .sums_ready = 4};
    begin(&plan);
    answer_all(ALL, 1);
    gather_peer_lost(gather, OWNER_A);
    take_actions(2);
    gather_take_holds(gather, OWNER_B, &own, 3);
    gather_peer_lost(gather, 2);
    take_actions(3);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 2, GATHER_LOST));

    begin(&plan);
    answer_all(ALL, 1);
    gather_peer_lost(gather, OWNER_A);
    take_actions(2);
    gather_take_holds(gather, OWNER_B, &all, 3);
    gather_peer_lost(gather, 2);
    take_actions(3);
    CU_ASSERT_PTR_NULL(find(GATHER_ENTRY_OUT, 2));
}

/* Its own chunks may come when it is rid of the others'. */
static void substitute_that_stands_still_is_relieved_before_it_is_given_up(void)
{
    const struct gather_plan plan = make_weighted_plan();
    begin(&plan);
    answer_all(ALL, 1);
    gather_peer_lost(gather, OWNER_A);
    take_actions(2);
    CU_ASSERT_TRUE(is_told(OWNER_B, 1, 0, 2));
    take_actions(STALL_MS + 50);
    CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_B));
    CU_ASSERT_EQUAL(granted(0), 2);
    CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 0, ALL, 0), STATUS_STALE); /* not its own any more */
    answer_all(ALL, STALL_MS + 60);
    CU_ASSERT_FALSE(gather_complete(gather));
    take_actions(2 * STALL_MS);
    CU_ASSERT_PTR_NULL(find(GATHER_OWNER_OUT, OWNER_B));
    give_sums(OWNER_B, 1, ALL);
    CU_ASSERT_TRUE(is_complete_with(ALL));
}

/* Chunks 0 to 2 are a lost owner's; three others own one each. */
static void chunks_go_where_links_carry_them(void)
{
    static const uint64_t weights[] = {100, 1000, 400};
    struct gather_owner many[4];
    struct gather_plan plan = make_plan();
    many[0] = (struct gather_owner){.peer = OWNER_A, .chunk_count = 3, .trusted = true};
    for (uint32_t i = 0; i < 3; i++) {
        many[1 + i] = (struct gather_owner){.peer = OWNER_B + i,
                                            .first_chunk = 3 + i,
                                            .chunk_count = 1,
                                            .trusted = true,
                                            .weight = weights[i]};
    }
    plan.owners = many;
    plan.owner_count = 4;
    begin(&plan);
    CU_ASSERT_EQUAL(granted_to_all(), 0);
    gather_peer_lost(gather, OWNER_A);
    take_actions(2);
    CU_ASSERT_TRUE(is_told(OWNER_B + 1, 1, 0, 1)); /* no more than it has of its own */
    CU_ASSERT_TRUE(is_told(OWNER_B + 2, 1, 1, 1));
    CU_ASSERT_TRUE(is_told(OWNER_B, 1, 2, 1));
    CU_ASSERT_EQUAL(granted_to_all(), 0);
    gather_peer_lost(gather, OWNER_B + 1); /* the others have their fill */
    take_actions(3);
    CU_ASSERT_EQUAL(granted(0), 2);
}

enum { MANY_OWNERS = 32, MANY_CHUNKS = 8 * MANY_OWNERS, MANY_ENTRIES = 50, MANY_LOST = 4 };

/* Parts that the coordinator asks contributors for; *out_told: chunks that owners are told. */
static uint32_t take_grants(uint32_t *out_told)
{
    struct gather_action action;
    uint32_t parts = 0;
    *out_told = 0;
    while (gather_next(gather, 1, &action)) {
        parts += action.type == GATHER_GRANT_PARTS ? action.chunk_count : 0;
        *out_told += action.type == GATHER_SEND_SET ? action.chunk_count : 0;
    }
    return parts;
}

/* Of 32 owners, each with 8 chunks of 50 contributions, four are lost. */
static uint32_t parts_when_many_are_lost(uint64_t weight, uint32_t *out_told)
{
    struct gather_owner many[MANY_OWNERS];
    struct gather_plan plan = make_plan();
    plan.value_count = (size_t)MANY_CHUNKS * CODEC_CHUNK_VALUES;
    plan.step_tokens = (uint64_t)MANY_ENTRIES * TOKENS;
    plan.window = ASKED_MAX;
    plan.owners = many;
    plan.owner_count = MANY_OWNERS;
    for (uint32_t i = 0; i < MANY_OWNERS; i++) {
        many[i] = (struct gather_owner){.peer = 1000 + i,
                                        .first_chunk = 8 * i,
                                        .chunk_count = 8,
                                        .trusted = true,
                                        .weight = weight};
    }
    CU_ASSERT_EQUAL_FATAL(gather_begin(gather, &plan), STATUS_OK);
    for (uint32_t i = 0; i < MANY_ENTRIES; i++) {
        const struct gather_entry entry = {
            .serial = 1 + i, .peer = i, .codec = CODEC_MX8, .tokens = TOKENS, .blob_id = 1};
        uint32_t number = 0;
        CU_ASSERT_EQUAL_FATAL(gather_add_entry(gather, &entry, &number), STATUS_OK);
    }
    CU_ASSERT_EQUAL(take_grants(out_told), 0);
    CU_ASSERT_EQUAL(*out_told, MANY_CHUNKS);
    for (uint32_t i = 0; i < MANY_LOST; i++) {
        gather_peer_lost(gather, 1000 + 7 * i);
    }
    return take_grants(out_told);
}

static void many_lost_owners_cost_the_coordinator_nothing(void)
{
    uint32_t told = 0;
    CU_ASSERT_EQUAL(parts_when_many_are_lost(0, &told), MANY_LOST * 8 * MANY_ENTRIES);
    CU_ASSERT_EQUAL(told, 0);
    CU_ASSERT_EQUAL(parts_when_many_are_lost(1000, &told), 0);
    CU_ASSERT_EQUAL(told, MANY_LOST * 8);
    CU_ASSERT_TRUE(progress_of().repaired >= MANY_LOST * 8); /* some of it twice */
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(gather_is_made),
        SUITE_TEST(lost_owners_chunks_go_to_another),
        SUITE_TEST(owner_that_is_not_here_is_replaced_from_the_start),
        SUITE_TEST(substitute_lost_leaves_the_chunks_to_the_coordinator),
        SUITE_TEST(another_epoch_names_what_was_taken_over),
        SUITE_TEST(contributor_that_ends_before_the_substitute_has_all_leaves),
        SUITE_TEST(substitute_that_stands_still_is_relieved_before_it_is_given_up),
        SUITE_TEST(chunks_go_where_links_carry_them),
        SUITE_TEST(many_lost_owners_cost_the_coordinator_nothing),
    };
    return gather_suite_run("gather_repair", tests, sizeof tests / sizeof *tests);
}
