#include "peer/aggregator/fractions.h"
#include "proto/codec/sum_pack.h"
#include "tests/unit/contribution_fixture.h"

/* Seven chunks; the owner's own are 2 and 3. */
enum { CHUNKS = 7, VALUES = CHUNKS * CODEC_CHUNK_VALUES, COUNT = 3, TOKENS = 100 };

static struct exact_grid grid;
static struct contribution items[COUNT]; /* serial i + 1 */
static uint8_t packed[CODEC_CHUNK_VALUES * 16];
static const uint64_t all[COUNT] = {1, 2, 3};

static struct fraction_task task_of(uint64_t step, uint32_t first_chunk, uint32_t chunk_count)
{
    return (struct fraction_task){.step = step,
                                  .plan_id = 1,
                                  .step_tokens = COUNT * TOKENS,
                                  .value_count = VALUES,
                                  .first_chunk = first_chunk,
                                  .chunk_count = chunk_count};
}

static enum status take_range(struct fractions *self, uint64_t step, uint32_t first_chunk,
                              uint32_t chunk_count)
{
    const struct fraction_task task = task_of(step, first_chunk, chunk_count);
    return fractions_begin(self, &task);
}

static struct fractions *begin(uint64_t bytes_max)
{
    struct fractions *self = NULL;
    CU_ASSERT_EQUAL_FATAL(fractions_new(bytes_max, &self), STATUS_OK);
    CU_ASSERT_PTR_NULL(fractions_task(self));
    CU_ASSERT_EQUAL_FATAL(take_range(self, 7, 2, 2), STATUS_OK);
    return self;
}

static enum status open_item(struct fractions *self, uint32_t i)
{
    const struct fraction_part facts = {
        .serial = i + 1U, .codec = items[i].codec, .tokens = items[i].tokens};
    return fractions_open(self, &facts);
}

static enum status add_chunk(struct fractions *self, uint32_t i, uint32_t chunk)
{
    size_t size_bytes = 0;
    const uint8_t *data = contribution_chunk(&items[i], VALUES, chunk, &size_bytes);
    return fractions_add(self, i + 1U, chunk, data, size_bytes);
}

/* All that is missing of an open item; how many chunks. */
static uint32_t add_missing(struct fractions *self, uint32_t i)
{
    uint32_t count = 0;
    uint32_t chunk = 0;
    while (fractions_missing(self, i + 1U, &chunk)) {
        CU_ASSERT_EQUAL_FATAL(add_chunk(self, i, chunk), STATUS_OK);
        count++;
    }
    return count;
}

/* How many sums there are, each of which must be that of all items. */
static uint32_t take_sums(struct fractions *self)
{
    static int64_t sums[CODEC_CHUNK_VALUES];
    static int64_t expected[CODEC_CHUNK_VALUES];
    uint32_t count = 0;
    uint32_t chunk = 0;
    for (; fractions_next_sum(self, &chunk); count++) {
        size_t size_bytes = fractions_pack(self, chunk, packed);
        memset(sums, 0, sizeof sums);
        memset(expected, 0, sizeof expected);
        CU_ASSERT_EQUAL(sum_unpack_add(packed, size_bytes, CODEC_CHUNK_VALUES, sums), STATUS_OK);
        for (uint32_t i = 0; i < COUNT; i++) {
            size_t part_bytes = 0;
            const uint8_t *part = contribution_chunk(&items[i], VALUES, chunk, &part_bytes);
            exact_sum_add(&grid, items[i].codec, part, CODEC_CHUNK_VALUES, expected);
        }
        CU_ASSERT_EQUAL(memcmp(sums, expected, sizeof sums), 0);
        fractions_sum_sent(self, chunk);
    }
    return count;
}

static void items_are_made(void)
{
    static const enum codec codecs[] = {CODEC_FP32, CODEC_MX8, CODEC_BF16};
    struct random random;
    random_init(&random, 3, 0);
    grid = exact_grid_for(COUNT * TOKENS);
    for (uint32_t i = 0; i < COUNT; i++) {
        items[i] = contribution_make(&random, codecs[i], &grid, VALUES, TOKENS);
    }
}

static void range_of_a_lost_owner_is_summed_as_well(void)
{
    struct fractions *self = begin(UINT64_MAX);
    struct fraction_holds holds;
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL(open_item(self, i), STATUS_OK);
        CU_ASSERT_EQUAL(add_missing(self, i), 2);
    }
    CU_ASSERT_EQUAL(add_chunk(self, 0, 5), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(fractions_set(self, 2, 4, all, COUNT), STATUS_OK);
    CU_ASSERT_EQUAL(fractions_set(self, 5, 4, all, COUNT), STATUS_STALE);
    CU_ASSERT_EQUAL(take_range(self, 7, 5, 2), STATUS_OK);
    CU_ASSERT_EQUAL(take_range(self, 7, 5, 2), STATUS_OK);
    CU_ASSERT_EQUAL(fractions_set(self, 5, 4, all, COUNT), STATUS_OK);
    CU_ASSERT_EQUAL(fractions_chunk_count(self), 4);
    fractions_holds(self, &holds);
    CU_ASSERT_TRUE(holds.epoch == 4 && holds.parts_held == 6 && holds.parts_missing == 6 &&
                   holds.sums_ready == 2 && holds.lacking_count == COUNT);
    CU_ASSERT_EQUAL(fractions_grant_sums(self, 4, 2, 2), STATUS_OK);
    CU_ASSERT_EQUAL(fractions_grant_sums(self, 4, 5, 2), STATUS_OK);
    CU_ASSERT_EQUAL(fractions_grant_sums(self, 4, 0, 1), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(take_sums(self), 2); /* what is whole does not wait */
    struct fraction_run run;
    CU_ASSERT_TRUE_FATAL(fractions_grant(self, 1, 8, 0, 100, &run));
    CU_ASSERT_TRUE(run.first_chunk == 5 && run.chunk_count == 2); /* and is not sent again */
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL(add_missing(self, i), 2);
    }
    CU_ASSERT_EQUAL(take_sums(self), 2);
    fractions_holds(self, &holds);
    CU_ASSERT_TRUE(holds.parts_missing == 0 && holds.parts_held == 12 && holds.sums_ready == 4);
    fractions_free(self);
}

static void range_that_the_newest_epoch_does_not_name_is_left(void)
{
    struct fractions *self = begin(UINT64_MAX);
    struct fraction_holds holds;
    struct fraction_run run;
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_OK);
    CU_ASSERT_EQUAL(fractions_set(self, 2, 4, all, 1), STATUS_OK);
    CU_ASSERT_EQUAL(take_range(self, 7, 5, 2), STATUS_OK);
    CU_ASSERT_EQUAL(fractions_set(self, 5, 4, all, 1), STATUS_OK);
    CU_ASSERT_EQUAL(fractions_grant_sums(self, 4, 5, 2), STATUS_OK);
    CU_ASSERT_EQUAL(add_missing(self, 0), 4);
    CU_ASSERT_EQUAL(fractions_set(self, 2, 5, all, 1), STATUS_OK);
    uint32_t chunk = 0;
    CU_ASSERT_FALSE(fractions_next_sum(self, &chunk));
    CU_ASSERT_EQUAL(fractions_chunk_count(self), 2);
    fractions_holds(self, &holds);
    CU_ASSERT_TRUE(holds.epoch == 5 && holds.parts_held == 2 && holds.sums_ready == 2);
    CU_ASSERT_EQUAL(open_item(self, 1), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(fractions_grant(self, 2, 8, 0, 100, &run));
    CU_ASSERT_EQUAL(run.first_chunk, 2);
    CU_ASSERT_FALSE(fractions_grant(self, 2, 8, 0, 100, &run));
    fractions_free(self);
}

static void ranges_and_memory_are_limited(void)
{
    uint64_t chunk_bytes = CODEC_CHUNK_VALUES * sizeof(int64_t);
    struct fractions *self = begin(3 * chunk_bytes + chunk_bytes / 2);
    CU_ASSERT_EQUAL(take_range(self, 7, 4, 2), STATUS_FULL);
    CU_ASSERT_EQUAL(take_range(self, 7, 6, 1), STATUS_OK);
    CU_ASSERT_EQUAL(take_range(self, 7, 0, 1), STATUS_FULL);
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_FULL);
    CU_ASSERT_EQUAL(take_range(self, 6, 0, 1), STATUS_STALE);
    CU_ASSERT_EQUAL(take_range(self, 8, 0, 1), STATUS_OK); /* another step: one range again */
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_OK);
    fractions_free(self);

    self = begin(UINT64_MAX);
    CU_ASSERT_EQUAL(fractions_set(self, 2, 4, all, 1), STATUS_OK);
    for (uint32_t i = 0; i < FRACTIONS_MAX; i++) {
        static const uint32_t firsts[FRACTIONS_MAX] = {0, 1, 4, 5, 6};
        enum status expected = i + 1 < FRACTIONS_MAX ? STATUS_OK : STATUS_FULL;
        CU_ASSERT_EQUAL(take_range(self, 7, firsts[i], 1), expected);
        CU_ASSERT_EQUAL(fractions_set(self, firsts[i], 4, all, 1),
                        expected == STATUS_OK ? STATUS_OK : STATUS_STALE);
    }
    CU_ASSERT_EQUAL(fractions_set(self, 2, 5, all, 1), STATUS_OK);
    CU_ASSERT_EQUAL(take_range(self, 7, 6, 1), STATUS_OK); /* in place of one that was left */
    fractions_free(self);
}

static uint64_t reported(const struct fractions *self)
{
    struct fraction_holds holds;
    fractions_holds(self, &holds);
    return holds.torn_serial;
}

static void contribution_of_the_set_without_room_is_reported(void)
{
    uint64_t sums_bytes = UINT64_C(2) * CODEC_CHUNK_VALUES * sizeof(int64_t);
    struct fractions *self =
        begin(sums_bytes + codec_encoded_bytes(CODEC_FP32, (size_t)2 * CODEC_CHUNK_VALUES) + 16384);
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_OK);
    CU_ASSERT_EQUAL(open_item(self, 1), STATUS_FULL);
    CU_ASSERT_EQUAL(reported(self), 0); /* there is no set: the other may be given up for it */
    CU_ASSERT_EQUAL(fractions_set(self, 2, 4, all, 3), STATUS_OK);
    CU_ASSERT_EQUAL(reported(self), 0);
    CU_ASSERT_EQUAL(open_item(self, 1), STATUS_FULL);
    CU_ASSERT_EQUAL(open_item(self, 2), STATUS_FULL);
    CU_ASSERT_EQUAL(reported(self), 2); /* one at a time, and the same one */
    const uint64_t first_and_last[] = {1, 3};
    CU_ASSERT_EQUAL(fractions_set(self, 2, 5, first_and_last, 2), STATUS_OK);
    CU_ASSERT_EQUAL(open_item(self, 1), STATUS_FULL); /* not of the set */
    CU_ASSERT_EQUAL(reported(self), 0);
    CU_ASSERT_EQUAL(open_item(self, 2), STATUS_FULL);
    CU_ASSERT_EQUAL(reported(self), 3);
    CU_ASSERT_EQUAL(fractions_set(self, 2, 6, all + 1, 1), STATUS_OK);
    CU_ASSERT_EQUAL(reported(self), 0);
    CU_ASSERT_EQUAL(open_item(self, 1), STATUS_OK);
    CU_ASSERT_EQUAL(add_missing(self, 1), 2);
    CU_ASSERT_EQUAL(reported(self), 0);
    CU_ASSERT_EQUAL(take_range(self, 8, 2, 2), STATUS_OK);
    CU_ASSERT_EQUAL(reported(self), 0);
    fractions_free(self);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(items_are_made),
        SUITE_TEST(range_of_a_lost_owner_is_summed_as_well),
        SUITE_TEST(range_that_the_newest_epoch_does_not_name_is_left),
        SUITE_TEST(ranges_and_memory_are_limited),
        SUITE_TEST(contribution_of_the_set_without_room_is_reported),
    };
    int failed = suite_run("fractions", tests, sizeof tests / sizeof *tests);
    for (uint32_t i = 0; i < COUNT; i++) {
        free(items[i].data);
    }
    return failed;
}
