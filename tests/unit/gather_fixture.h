/* gather_fixture - one step of the coordinator's gather, its owners played by the test.
 *
 * Six chunks: 0 and 1 belong to owner 20, 2 and 3 to owner 21, 4 and 5 to the coordinator. */
#ifndef DUGNAD_TESTS_UNIT_GATHER_FIXTURE_H
#define DUGNAD_TESTS_UNIT_GATHER_FIXTURE_H

#include "coordinator/gather/gather.h"
#include "proto/codec/sum_pack.h"
#include "tests/unit/contribution_fixture.h"

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

static inline struct gather_plan make_plan(void)
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

static inline void take_actions(uint64_t now_ms)
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
static inline const struct gather_action *find(enum gather_action_type type, uint32_t peer)
{
    for (size_t i = 0; i < action_count; i++) {
        if (actions[i].type == type && actions[i].peer == peer) {
            return &actions[i];
        }
    }
    return NULL;
}

static inline bool is_out(enum gather_action_type type, uint32_t peer, enum gather_reason reason)
{
    const struct gather_action *action = find(type, peer);
    return action != NULL && action->reason == reason;
}

/* Chunks that were granted to a contributor in the last round. */
static inline uint32_t granted(uint32_t peer)
{
    uint32_t count = 0;
    for (size_t i = 0; i < action_count; i++) {
        if (actions[i].type == GATHER_GRANT_PARTS && actions[i].peer == peer) {
            count += actions[i].chunk_count;
        }
    }
    return count;
}

static inline uint64_t epoch(void)
{
    struct gather_progress progress;
    gather_progress(gather, &progress);
    return progress.epoch;
}

static inline enum status add_entry(uint32_t i)
{
    uint32_t entry = 0;
    const struct gather_entry facts = {
        .serial = i + 1U, .peer = i, .codec = items[i].codec, .tokens = TOKENS, .blob_id = 70U + i};
    enum status status = gather_add_entry(gather, &facts, &entry);
    CU_ASSERT_TRUE(status != STATUS_OK || entry == i);
    return status;
}

/* A step with all entries: from the first round of actions on, epoch 1. */
static inline void begin(const struct gather_plan *plan)
{
    CU_ASSERT_EQUAL_FATAL(gather_begin(gather, plan), STATUS_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL_FATAL(add_entry(i), STATUS_OK);
    }
    take_actions(0);
    CU_ASSERT_EQUAL(epoch(), 1);
}

static inline enum status give_part(uint32_t i, uint32_t chunk, uint64_t now_ms)
{
    size_t size_bytes = 0;
    const uint8_t *data = contribution_chunk(&items[i], VALUES, chunk, &size_bytes);
    return gather_take_part(gather, i, chunk, data, size_bytes, now_ms);
}

/* Answers every grant of the last round, of the entries in `mask`. */
static inline void answer_grants(unsigned mask, uint64_t now_ms)
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

static inline void answer_all(unsigned mask, uint64_t now_ms)
{
    do {
        answer_grants(mask, now_ms);
        take_actions(now_ms);
    } while (granted(0) + granted(1) + granted(2) + granted(3) > 0);
}

/* What an honest owner returns for a chunk over the items in `mask`, `error` added to one value. */
static inline enum status give_sum(uint32_t peer, uint64_t of_epoch, uint32_t chunk, unsigned mask,
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

static inline void give_sums(uint32_t peer, uint64_t of_epoch, unsigned mask)
{
    uint32_t first = peer == OWNER_A ? 0 : 2;
    CU_ASSERT_EQUAL(give_sum(peer, of_epoch, first, mask, 0), STATUS_OK);
    CU_ASSERT_EQUAL(give_sum(peer, of_epoch, first + 1, mask, 0), STATUS_OK);
}

/* Complete, and the merged sums are those of the items in `mask`. */
static inline bool is_complete_with(unsigned mask)
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

/* Makes the contributions and the gather; a suite's first test. */
static inline void gather_is_made(void)
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

/* Runs a suite and frees what gather_is_made made. */
static inline int gather_suite_run(const char *name, const struct suite_test *tests, size_t count)
{
    int failed = suite_run(name, tests, count);
    gather_free(gather);
    for (uint32_t i = 0; i < COUNT; i++) {
        free(items[i].data);
    }
    return failed;
}

#endif
