#include "common/asked.h"
#include "coordinator/gather/gather.h"
#include "proto/codec/sum_pack.h"
#include "tests/unit/contribution_fixture.h"

/* Six chunks: 0 and 1 belong to owner 20, 2 and 3 to owner 21, 4 and 5 to the coordinator. */
enum {
    CHUNKS = 6,
    VALUES = (CHUNKS - 1) * CODEC_CHUNK_VALUES + 512,
    COUNT = 4, /* entries: entry i is of peer i, serial i + 1 */
    TOKENS = 100,
    OWNER_A = 20,
    OWNER_B = 21,
    ALL = (1 << COUNT) - 1,
    RETRY_MS = 100,
    STALL_MS = 1000,
    DEADLINE_MS = 10000
};

static const enum codec codecs[] = {CODEC_MX8, CODEC_FP32, CODEC_BF16, CODEC_MX8};
static struct exact_grid grid;
static struct contribution items[COUNT];
static struct gather *gather;
static uint8_t packed[CODEC_CHUNK_VALUES * 10];
static int64_t merged[VALUES];
static int64_t expected[VALUES];
static struct gather_owner owners[2];

/* The last round of actions. */
static struct gather_action actions[256];
static size_t action_count;

static struct gather_plan make_plan(void)
{
    owners[0] =
        (struct gather_owner){.peer = OWNER_A, .first_chunk = 0, .chunk_count = 2, .trusted = true};
    owners[1] =
        (struct gather_owner){.peer = OWNER_B, .first_chunk = 2, .chunk_count = 2, .trusted = true};
    return (struct gather_plan){.step_tokens = COUNT * TOKENS,
                                .value_count = VALUES,
                                .owner_count = 2,
                                .owners = owners,
                                .entries_expected = COUNT,
                                .bytes_max = UINT64_MAX,
                                .check_share = 1.0,
                                .check_traffic = 1e6,
                                .check_seed = 5,
                                .window = 8,
                                .retry_ms = RETRY_MS,
                                .stall_ms = STALL_MS,
                                .deadline_ms = DEADLINE_MS};
}

static void take_actions(uint64_t now_ms)
{
    bool more = true;
    while (more) {
        CU_ASSERT_EQUAL(gather_work(gather, &more), STATUS_OK);
    }
    action_count = 0;
    while (action_count < 256 && gather_next(gather, now_ms, &actions[action_count])) {
        action_count++;
    }
}

/* The action of this type for this peer in the last round; NULL: none. */
static const struct gather_action *find(enum gather_action_type type, uint32_t peer)
{
    for (size_t i = 0; i < action_count; i++) {
        if (actions[i].type == type && actions[i].peer == peer) {
            return &actions[i];
        }
    }
    return NULL;
}

static bool is_out(enum gather_action_type type, uint32_t peer, enum gather_reason reason)
{
    const struct gather_action *action = find(type, peer);
    return action != NULL && action->reason == reason;
}

/* Chunks that were granted to a contributor in the last round. */
static uint32_t granted(uint32_t peer)
{
    uint32_t count = 0;
    for (size_t i = 0; i < action_count; i++) {
        if (actions[i].type == GATHER_GRANT_PARTS && actions[i].peer == peer) {
            count += actions[i].chunk_count;
        }
    }
    return count;
}

static uint64_t epoch(void)
{
    struct gather_progress progress;
    gather_progress(gather, &progress);
    return progress.epoch;
}

static enum status add_entry(uint32_t i)
{
    uint32_t entry = 0;
    const struct gather_entry facts = {
        .serial = i + 1U, .peer = i, .codec = items[i].codec, .tokens = TOKENS, .blob_id = 70U + i};
    enum status status = gather_add_entry(gather, &facts, &entry);
    CU_ASSERT_TRUE(status != STATUS_OK || entry == i);
    return status;
}

/* A step with all entries: from the first round of actions on, epoch 1. */
static void begin(const struct gather_plan *plan)
{
    CU_ASSERT_EQUAL_FATAL(gather_begin(gather, plan), STATUS_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL_FATAL(add_entry(i), STATUS_OK);
    }
    take_actions(0);
    CU_ASSERT_EQUAL(epoch(), 1);
}

static enum status give_part(uint32_t i, uint32_t chunk, uint64_t now_ms)
{
    size_t size_bytes = 0;
    const uint8_t *data = contribution_chunk(&items[i], VALUES, chunk, &size_bytes);
    return gather_take_part(gather, i, chunk, data, size_bytes, now_ms);
}

/* Answers every grant of the last round, of the entries in `mask`. */
static void answer_grants(unsigned mask, uint64_t now_ms)
{
    for (size_t i = 0; i < action_count; i++) {
        const struct gather_action *action = &actions[i];
        for (uint32_t j = 0; action->type == GATHER_GRANT_PARTS &&
                             (mask >> action->entry & 1U) != 0 && j < action->chunk_count;
             j++) {
            CU_ASSERT_EQUAL(give_part(action->entry, action->first_chunk + j, now_ms), STATUS_OK);
        }
    }
}

static void answer_all(unsigned mask, uint64_t now_ms)
{
    do {
        answer_grants(mask, now_ms);
        take_actions(now_ms);
    } while (granted(0) + granted(1) + granted(2) + granted(3) > 0);
}

/* What an honest owner returns for a chunk over the items in `mask`, `error` added to one value. */
static enum status give_sum(uint32_t peer, uint64_t of_epoch, uint32_t chunk, unsigned mask,
                            int64_t error)
{
    static int64_t sums[CODEC_CHUNK_VALUES];
    size_t count = chunks_values(VALUES, chunk);
    memset(sums, 0, sizeof sums);
    for (uint32_t i = 0; i < COUNT; i++) {
        if ((mask >> i & 1U) != 0) {
            size_t size_bytes = 0;
            const uint8_t *data = contribution_chunk(&items[i], VALUES, chunk, &size_bytes);
            exact_sum_add(&grid, items[i].codec, data, count, sums);
        }
    }
    sums[count / 2] += error;
    size_t size_bytes = sum_pack(sums, count, packed);
    return gather_take_sum(gather, peer, of_epoch, chunk, packed, size_bytes, 0);
}

static void give_sums(uint32_t peer, uint64_t of_epoch, unsigned mask)
{
    uint32_t first = peer == OWNER_A ? 0 : 2;
    CU_ASSERT_EQUAL(give_sum(peer, of_epoch, first, mask, 0), STATUS_OK);
    CU_ASSERT_EQUAL(give_sum(peer, of_epoch, first + 1, mask, 0), STATUS_OK);
}

/* Complete, and the merged sums are those of the items in `mask`. */
static bool is_complete_with(unsigned mask)
{
    memset(expected, 0, sizeof expected);
    memset(merged, 0, sizeof merged);
    for (uint32_t i = 0; i < COUNT; i++) {
        if ((mask >> i & 1U) != 0) {
            exact_sum_add(&grid, items[i].codec, items[i].data, VALUES, expected);
        }
    }
    if (!gather_complete(gather)) {
        return false;
    }
    gather_merge(gather, 0, CHUNKS, merged);
    return memcmp(merged, expected, sizeof merged) == 0;
}

static void gather_is_made(void)
{
    struct random random;
    random_init(&random, 9, 0);
    grid = exact_grid_for(COUNT * TOKENS);
    for (uint32_t i = 0; i < COUNT; i++) {
        items[i] = contribution_make(&random, codecs[i], &grid, VALUES, TOKENS);
    }
    CU_ASSERT_EQUAL_FATAL(gather_new(&gather), STATUS_OK);
    CU_ASSERT_FALSE(gather_is_open(gather));
    CU_ASSERT_FALSE(gather_complete(gather));
    take_actions(0);
    CU_ASSERT_EQUAL(action_count, 0);
}

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

static void contributor_lost_early_makes_another_epoch(void)
{
    const struct gather_plan plan = make_plan();
    uint64_t serials[COUNT];
    begin(&plan);
    answer_all(ALL & ~0x4U, 1);
    give_sums(OWNER_A, 1, ALL);
    gather_peer_lost(gather, 2);
    take_actions(2);
    CU_ASSERT_TRUE(is_out(GATHER_ENTRY_OUT, 2, GATHER_LOST));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(GATHER_SEND_SET, OWNER_A));
    CU_ASSERT_EQUAL(find(GATHER_SEND_SET, OWNER_A)->epoch, 2);
    CU_ASSERT_PTR_NOT_NULL(find(GATHER_GRANT_SUMS, OWNER_A)); /* again */
    CU_ASSERT_EQUAL(gather_set(gather, serials), 3);
    CU_ASSERT_EQUAL(give_sum(OWNER_B, 1, 2, ALL, 0), STATUS_STALE);
    give_sums(OWNER_A, 2, ALL & ~0x4U);
    give_sums(OWNER_B, 2, ALL & ~0x4U);
    take_actions(3);
    CU_ASSERT_FALSE(gather_complete(gather)); /* its samples are missing */
    gather_count_central(gather, TOKENS);
    CU_ASSERT_TRUE(is_complete_with(ALL & ~0x4U));
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
    CU_ASSERT_FALSE(gather_complete(gather));
    gather_count_central(gather, COUNT * TOKENS);
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
        SUITE_TEST(contributor_lost_early_makes_another_epoch),
        SUITE_TEST(contributor_lost_after_it_delivered_stays),
        SUITE_TEST(liar_is_found_and_nothing_of_it_stays),
        SUITE_TEST(lie_that_was_not_drawn_falls_with_one_that_was),
        SUITE_TEST(contributor_lost_before_an_owner_is_checked_leaves),
        SUITE_TEST(checks_keep_their_share),
        SUITE_TEST(owner_that_reports_a_bad_part_is_heard),
        SUITE_TEST(owner_that_refuses_a_good_part_is_taken_over),
        SUITE_TEST(owner_that_stands_still_is_taken_over),
        SUITE_TEST(owner_that_lacks_one_contribution_is_helped),
        SUITE_TEST(owner_that_is_always_about_to_finish_is_taken_over),
        SUITE_TEST(sum_that_cannot_be_is_refused),
        SUITE_TEST(grants_are_said_again),
        SUITE_TEST(contributor_that_stands_still_leaves),
        SUITE_TEST(parts_stay_within_their_room),
        SUITE_TEST(all_entries_lost_leaves_the_step_to_the_center),
    };
    int failed = suite_run("gather", tests, sizeof tests / sizeof *tests);
    gather_free(gather);
    for (uint32_t i = 0; i < COUNT; i++) {
        free(items[i].data);
    }
    return failed;
}
