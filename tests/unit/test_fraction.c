#include "peer/aggregator/fraction.h"
#include "proto/codec/sum_pack.h"
#include "tests/unit/contribution_fixture.h"

/* Five chunks, the last one short; the fraction has the last three. */
enum {
    VALUES = 4 * CODEC_CHUNK_VALUES + 1024,
    FIRST = 2,
    CHUNKS = 3,
    COUNT = 6,
    TOKENS = 100,
    STEP_TOKENS = COUNT * TOKENS
};

static const enum codec codecs[] = {CODEC_FP32, CODEC_MX8, CODEC_BF16};
static struct exact_grid grid;
static struct contribution items[COUNT]; /* serial i + 1 */
static uint8_t packed[CODEC_CHUNK_VALUES * 16];

static const struct fraction_task task = {.step = 7,
                                          .plan_id = 1,
                                          .step_tokens = STEP_TOKENS,
                                          .value_count = VALUES,
                                          .first_chunk = FIRST,
                                          .chunk_count = CHUNKS};

static void make_items(void)
{
    struct random random;
    random_init(&random, 3, 0);
    grid = exact_grid_for(STEP_TOKENS);
    for (uint32_t i = 0; i < COUNT; i++) {
        items[i] = contribution_make(&random, codecs[i % 3], &grid, VALUES, TOKENS);
    }
}

static void free_items(void)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        free(items[i].data);
    }
}

static struct fraction *begin(uint64_t bytes_max)
{
    struct fraction *self = NULL;
    CU_ASSERT_EQUAL_FATAL(fraction_new(bytes_max, &self), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(fraction_begin(self, &task), STATUS_OK);
    return self;
}

static enum status open_item(struct fraction *self, uint32_t i)
{
    const struct fraction_part facts = {
        .serial = i + 1U, .codec = items[i].codec, .tokens = items[i].tokens};
    return fraction_open(self, &facts);
}

static enum status add_chunk(struct fraction *self, uint32_t i, uint32_t chunk)
{
    size_t size_bytes = 0;
    const uint8_t *data = contribution_chunk(&items[i], VALUES, chunk, &size_bytes);
    return fraction_add(self, i + 1U, chunk, data, size_bytes);
}

static void add_item(struct fraction *self, uint32_t i)
{
    CU_ASSERT_EQUAL(open_item(self, i), STATUS_OK);
    for (uint32_t chunk = FIRST; chunk < FIRST + CHUNKS; chunk++) {
        CU_ASSERT_EQUAL(add_chunk(self, i, chunk), STATUS_OK);
    }
}

/* A set of the items whose bits are in `mask`. */
static void set(struct fraction *self, uint64_t epoch, unsigned mask)
{
    uint64_t serials[COUNT];
    size_t count = 0;
    for (uint32_t i = COUNT; i > 0; i--) { /* not sorted */
        if ((mask >> (i - 1) & 1U) != 0) {
            serials[count++] = i;
        }
    }
    CU_ASSERT_EQUAL(fraction_set(self, epoch, serials, count), STATUS_OK);
}

/* The sum of chunk `chunk` over the items in `mask`, decoded centrally, is what `data` unpacks to.
 */
static bool is_central_sum(unsigned mask, uint32_t chunk, const uint8_t *data, size_t size_bytes)
{
    static int64_t expected[CODEC_CHUNK_VALUES];
    static int64_t sums[CODEC_CHUNK_VALUES];
    size_t count = chunks_values(VALUES, chunk);
    memset(expected, 0, sizeof expected);
    memset(sums, 0, sizeof sums);
    for (uint32_t i = 0; i < COUNT; i++) {
        if ((mask >> i & 1U) != 0) {
            size_t bytes = 0;
            const uint8_t *chunk_data = contribution_chunk(&items[i], VALUES, chunk, &bytes);
            exact_sum_add(&grid, items[i].codec, chunk_data, count, expected);
        }
    }
    return sum_unpack_add(data, size_bytes, count, sums) == STATUS_OK &&
           memcmp(sums, expected, sizeof sums) == 0;
}

/* Grants all sums of the epoch and takes what is ready: how many chunks, all of them exact. */
static uint32_t take_sums(struct fraction *self, uint64_t epoch, unsigned mask)
{
    uint32_t chunk = 0;
    uint32_t count = 0;
    CU_ASSERT_EQUAL(fraction_grant_sums(self, epoch, FIRST, CHUNKS), STATUS_OK);
    while (fraction_next_sum(self, &chunk)) {
        size_t size_bytes = fraction_pack(self, chunk, packed);
        CU_ASSERT_TRUE(is_central_sum(mask, chunk, packed, size_bytes));
        fraction_sum_sent(self, chunk);
        count++;
    }
    return count;
}

static void contributions_pass_their_checks(void)
{
    make_items();
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL(exact_sum_check(&grid, items[i].codec, items[i].data, items[i].size_bytes,
                                        VALUES, TOKENS),
                        STATUS_OK);
    }
}

static void add_in_any_order_gives_the_central_sum(void)
{
    struct random random;
    for (uint64_t seed = 0; seed < 8; seed++) {
        random_init(&random, seed, 1);
        struct fraction *self = begin(UINT64_MAX);
        uint32_t set_at = (uint32_t)random_below(&random, COUNT * CHUNKS);
        uint32_t order[COUNT * CHUNKS];
        for (uint32_t i = 0; i < COUNT * CHUNKS; i++) {
            uint32_t other = (uint32_t)random_below(&random, i + 1);
            order[i] = order[other];
            order[other] = i;
        }
        for (uint32_t i = 0; i < COUNT * CHUNKS; i++) {
            CU_ASSERT_EQUAL(open_item(self, order[i] / CHUNKS), STATUS_OK);
            CU_ASSERT_EQUAL(add_chunk(self, order[i] / CHUNKS, FIRST + order[i] % CHUNKS),
                            STATUS_OK);
            CU_ASSERT_EQUAL(add_chunk(self, order[i / 2] / CHUNKS, FIRST + order[i / 2] % CHUNKS),
                            STATUS_OK); /* a duplicate */
            if (i == set_at) {
                set(self, 1, 0x3f);
            }
        }
        CU_ASSERT_EQUAL(take_sums(self, 1, 0x3f), CHUNKS);
        fraction_free(self);
    }
}

static void ready_waits_for_every_part_of_the_set(void)
{
    struct fraction *self = begin(UINT64_MAX);
    struct fraction_holds holds;
    uint32_t chunk = 0;
    add_item(self, 0);
    CU_ASSERT_EQUAL(open_item(self, 1), STATUS_OK);
    CU_ASSERT_EQUAL(add_chunk(self, 1, 4), STATUS_OK);
    CU_ASSERT_EQUAL(fraction_grant_sums(self, 1, FIRST, CHUNKS), STATUS_STALE); /* no set yet */
    set(self, 1, 0x3);
    CU_ASSERT_FALSE(fraction_next_sum(self, &chunk)); /* nothing is granted */
    fraction_holds(self, &holds);
    CU_ASSERT_EQUAL(holds.sums_ready, 1);
    CU_ASSERT_EQUAL(holds.parts_held, 4);
    CU_ASSERT_EQUAL(holds.parts_missing, 2);
    CU_ASSERT_EQUAL(holds.lacking_count, 1);
    CU_ASSERT_EQUAL(holds.lacking_serial, 2);
    CU_ASSERT_EQUAL(take_sums(self, 1, 0x3), 1);
    CU_ASSERT_EQUAL(add_chunk(self, 1, 2), STATUS_OK);
    CU_ASSERT_TRUE(fraction_next_sum(self, &chunk));
    CU_ASSERT_EQUAL(chunk, 2);
    CU_ASSERT_EQUAL(add_chunk(self, 1, 3), STATUS_OK);
    CU_ASSERT_EQUAL(take_sums(self, 1, 0x3), CHUNKS); /* what was sent is granted again */
    CU_ASSERT_EQUAL(fraction_grant_sums(self, 2, FIRST, CHUNKS), STATUS_STALE);
    CU_ASSERT_EQUAL(fraction_grant_sums(self, 1, FIRST - 1, 1), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(fraction_grant_sums(self, 1, FIRST, CHUNKS + 1), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(fraction_grant_sums(self, 1, FIRST + 1, UINT32_MAX), STATUS_OUT_OF_RANGE);
    fraction_free(self);
}

static void set_without_a_contribution_takes_it_back(void)
{
    struct fraction *self = begin(UINT64_MAX);
    struct fraction_holds holds;
    uint32_t chunk = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        add_item(self, i);
    }
    set(self, 1, 0x3d);
    CU_ASSERT_EQUAL(take_sums(self, 1, 0x3d), CHUNKS);
    CU_ASSERT_EQUAL(fraction_grant_sums(self, 1, FIRST, CHUNKS), STATUS_OK);
    set(self, 2, 0x35);
    CU_ASSERT_FALSE(fraction_next_sum(self, &chunk)); /* granted in epoch 1 */
    CU_ASSERT_EQUAL(take_sums(self, 2, 0x35), CHUNKS);
    set(self, 2, 0x01); /* the same epoch: nothing changes */
    CU_ASSERT_EQUAL(take_sums(self, 2, 0x35), CHUNKS);
    set(self, 3, 0x3f); /* what was left out comes back */
    CU_ASSERT_EQUAL(take_sums(self, 3, 0x3f), CHUNKS);
    fraction_holds(self, &holds);
    CU_ASSERT_EQUAL(holds.parts_held, COUNT * CHUNKS);
    CU_ASSERT_EQUAL(holds.sums_ready, CHUNKS);
    set(self, 4, 0);
    CU_ASSERT_EQUAL(take_sums(self, 4, 0), CHUNKS);
    CU_ASSERT_EQUAL(fraction_set(self, 3, NULL, 0), STATUS_STALE);
    fraction_free(self);
}

static void set_of_another_contribution_is_not_ready_by_count_alone(void)
{
    struct fraction *self = begin(UINT64_MAX);
    struct fraction_holds holds;
    add_item(self, 0);
    add_item(self, 1);
    set(self, 1, 0x3);
    set(self, 2, 0x6); /* two again, but the third is not here */
    fraction_holds(self, &holds);
    CU_ASSERT_EQUAL(holds.sums_ready, 0);
    CU_ASSERT_EQUAL(holds.parts_missing, CHUNKS);
    add_item(self, 2);
    CU_ASSERT_EQUAL(take_sums(self, 2, 0x6), CHUNKS);
    fraction_free(self);
}

static void set_leaves_out_what_is_opened_later(void)
{
    struct fraction *self = begin(UINT64_MAX);
    uint32_t chunk = 0;
    set(self, 1, 0x3);
    CU_ASSERT_EQUAL(fraction_grant_sums(self, 1, FIRST, CHUNKS), STATUS_OK);
    add_item(self, 0);
    add_item(self, 2);
    CU_ASSERT_FALSE(fraction_next_sum(self, &chunk));
    set(self, 2, 0x3);
    add_item(self, 1);
    CU_ASSERT_FALSE(fraction_next_sum(self, &chunk)); /* not granted in this epoch */
    CU_ASSERT_EQUAL(take_sums(self, 2, 0x3), CHUNKS);
    set(self, 3, 0x7);
    CU_ASSERT_EQUAL(take_sums(self, 3, 0x7), CHUNKS);
    fraction_free(self);
}

static void drop_takes_back_exactly(void)
{
    struct fraction *self = begin(UINT64_MAX);
    struct fraction_holds holds;
    uint32_t chunk = 0;
    add_item(self, 0);
    add_item(self, 1);
    set(self, 1, 0x3);
    CU_ASSERT_EQUAL(fraction_grant_sums(self, 1, FIRST, CHUNKS), STATUS_OK);
    fraction_drop(self, 2);
    fraction_drop(self, 2); /* it is gone */
    fraction_holds(self, &holds);
    CU_ASSERT_EQUAL(holds.sums_ready, 0);
    CU_ASSERT_FALSE(fraction_next_sum(self, &chunk));
    add_item(self, 1);
    CU_ASSERT_EQUAL(take_sums(self, 1, 0x3), CHUNKS);
    fraction_drop(self, 2);
    set(self, 2, 0x1);
    CU_ASSERT_EQUAL(take_sums(self, 2, 0x1), CHUNKS);
    fraction_free(self);
}

static void add_bad_part_changes_nothing_and_is_reported(void)
{
    struct fraction *self = begin(UINT64_MAX);
    struct fraction_holds holds;
    struct fraction_run run;
    for (uint32_t i = 0; i < 3; i++) { /* each codec */
        size_t size_bytes = 0;
        const uint8_t *data = contribution_chunk(&items[i], VALUES, 3, &size_bytes);
        uint8_t *spoilt = malloc(size_bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(spoilt);
        memcpy(spoilt, data, size_bytes);
        memset(spoilt, 0xff, 4);
        CU_ASSERT_EQUAL(open_item(self, i), STATUS_OK);
        CU_ASSERT_EQUAL(fraction_add(self, i + 1U, 3, data, size_bytes - 1), STATUS_BAD_SHAPE);
        CU_ASSERT_EQUAL(fraction_add(self, i + 1U, 3, spoilt, size_bytes), STATUS_OUT_OF_RANGE);
        free(spoilt);
        CU_ASSERT_FALSE(fraction_grant(self, i + 1U, 8, 0, 100, &run));
        fraction_holds(self, &holds);
        CU_ASSERT_EQUAL(holds.bad_serial, 1);
        CU_ASSERT_EQUAL(holds.bad_chunk, 3);
        CU_ASSERT_EQUAL(holds.parts_held, 3 * i);
        add_item(self, i);
    }
    set(self, 1, 0x6);
    fraction_holds(self, &holds);
    CU_ASSERT_EQUAL(holds.bad_serial, 2);
    CU_ASSERT_EQUAL(take_sums(self, 1, 0x6), CHUNKS);
    set(self, 2, 0x8);
    fraction_holds(self, &holds);
    CU_ASSERT_EQUAL(holds.bad_serial, 0); /* nobody in the set */
    fraction_free(self);
}

static void torn_contribution_is_reported_and_granted_no_more(void)
{
    struct fraction *self = begin(UINT64_MAX);
    struct fraction_holds holds;
    struct fraction_run run;
    CU_ASSERT_FALSE(fraction_tear(self, 1)); /* not open */
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_OK);
    add_item(self, 1);
    CU_ASSERT_EQUAL(add_chunk(self, 0, FIRST), STATUS_OK);
    fraction_holds(self, &holds);
    CU_ASSERT_EQUAL(holds.torn_serial, 0);
    CU_ASSERT_TRUE(fraction_tear(self, 1));
    CU_ASSERT_FALSE(fraction_tear(self, 1)); /* no news */
    CU_ASSERT_FALSE(fraction_grant(self, 1, 8, 0, 100, &run));
    fraction_holds(self, &holds);
    CU_ASSERT_EQUAL(holds.torn_serial, 1);
    CU_ASSERT_EQUAL(holds.bad_serial, 0);
    CU_ASSERT_EQUAL(holds.parts_held, CHUNKS + 1);
    set(self, 1, 0x2);
    fraction_holds(self, &holds);
    CU_ASSERT_EQUAL(holds.torn_serial, 0); /* nobody in the set */
    CU_ASSERT_EQUAL(take_sums(self, 1, 0x2), CHUNKS);
    fraction_free(self);
}

static void requests_from_outside_are_refused_with_a_status(void)
{
    struct fraction *self = NULL;
    CU_ASSERT_EQUAL_FATAL(fraction_new(UINT64_MAX, &self), STATUS_OK);
    CU_ASSERT_PTR_NULL(fraction_task(self));
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_STALE);
    CU_ASSERT_EQUAL(add_chunk(self, 0, FIRST), STATUS_STALE);
    CU_ASSERT_EQUAL(fraction_set(self, 1, NULL, 0), STATUS_STALE);
    struct fraction_task wrong[7];
    for (size_t i = 0; i < 7; i++) {
        wrong[i] = task;
    }
    wrong[0].step_tokens = 0;
    wrong[1].step_tokens = UINT64_MAX;
    wrong[2].value_count = VALUES + 1;
    wrong[3].value_count = SIZE_MAX - SIZE_MAX % CODEC_BLOCK_VALUES;
    wrong[4].first_chunk = 5;
    wrong[5].chunk_count = UINT32_MAX;
    wrong[6].chunk_count = 0;
    for (size_t i = 0; i < 7; i++) {
        CU_ASSERT_EQUAL(fraction_begin(self, &wrong[i]), STATUS_BAD_SHAPE);
        CU_ASSERT_PTR_NULL(fraction_task(self));
    }
    CU_ASSERT_EQUAL_FATAL(fraction_begin(self, &task), STATUS_OK);
    struct fraction_part facts = {.serial = 1, .codec = CODEC_MX8, .tokens = STEP_TOKENS + 1};
    CU_ASSERT_EQUAL(fraction_open(self, &facts), STATUS_OUT_OF_RANGE);
    facts.tokens = 0;
    CU_ASSERT_EQUAL(fraction_open(self, &facts), STATUS_OUT_OF_RANGE);
    facts.tokens = TOKENS;
    CU_ASSERT_EQUAL(fraction_open(self, &facts), STATUS_OK);
    facts.tokens = TOKENS + 1;
    CU_ASSERT_EQUAL(fraction_open(self, &facts), STATUS_BAD_DATA);
    facts.serial = 0;
    CU_ASSERT_EQUAL(fraction_open(self, &facts), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(add_chunk(self, 0, FIRST - 1), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(add_chunk(self, 1, FIRST), STATUS_STALE);
    const uint64_t twice[] = {4, 5, 4};
    const uint64_t zero[] = {4, 0};
    CU_ASSERT_EQUAL(fraction_set(self, 1, twice, 3), STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(fraction_set(self, 1, zero, 2), STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(fraction_set(self, 1, twice, FRACTION_PARTS_MAX + 1), STATUS_FULL);
    CU_ASSERT_EQUAL(fraction_set(self, 0, twice, 1), STATUS_STALE);
    fraction_free(self);
}

static void grant_keeps_a_window_and_asks_again(void)
{
    struct fraction *self = begin(UINT64_MAX);
    struct fraction_run run;
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_OK);
    CU_ASSERT_TRUE(fraction_grant(self, 1, 2, 1000, 100, &run));
    CU_ASSERT_EQUAL(run.first_chunk, FIRST);
    CU_ASSERT_EQUAL(run.chunk_count, 2);
    CU_ASSERT_FALSE(fraction_grant(self, 1, 2, 1050, 100, &run));
    CU_ASSERT_EQUAL(add_chunk(self, 0, FIRST), STATUS_OK);
    CU_ASSERT_TRUE(fraction_grant(self, 1, 2, 1060, 100, &run));
    CU_ASSERT_EQUAL(run.first_chunk, FIRST + 2);
    CU_ASSERT_FALSE(fraction_grant(self, 1, 2, 1159, 100, &run)); /* something came at 1060 */
    CU_ASSERT_TRUE(fraction_grant(self, 1, 2, 1160, 100, &run));
    CU_ASSERT_EQUAL(run.first_chunk, FIRST + 1);
    CU_ASSERT_EQUAL(run.chunk_count, 2);
    fraction_reset_grants(self, 1);
    CU_ASSERT_TRUE(fraction_grant(self, 1, 1000, 1161, 100, &run));
    CU_ASSERT_EQUAL(run.first_chunk, FIRST + 1);
    CU_ASSERT_EQUAL(run.chunk_count, 2);
    add_item(self, 0);
    CU_ASSERT_FALSE(fraction_grant(self, 1, 2, 9000, 100, &run));
    CU_ASSERT_FALSE(fraction_grant(self, 5, 2, 9000, 100, &run));
    fraction_free(self);
}

static void begin_another_step_forgets_and_reuses_the_buffers(void)
{
    struct fraction *self = begin(UINT64_MAX);
    struct fraction_task next = task;
    for (uint32_t i = 0; i < COUNT; i++) {
        add_item(self, i);
    }
    set(self, 5, 0x3f);
    CU_ASSERT_EQUAL(take_sums(self, 5, 0x3f), CHUNKS);
    uint64_t bytes = fraction_bytes(self);
    CU_ASSERT_EQUAL(fraction_begin(self, &task), STATUS_OK); /* under way: nothing changes */
    CU_ASSERT_EQUAL(take_sums(self, 5, 0x3f), CHUNKS);
    next.step++;
    CU_ASSERT_EQUAL(fraction_begin(self, &next), STATUS_OK);
    CU_ASSERT_EQUAL(fraction_begin(self, &task), STATUS_STALE);
    CU_ASSERT_EQUAL(fraction_task(self)->step, task.step + 1);
    CU_ASSERT_EQUAL(add_chunk(self, 0, FIRST), STATUS_STALE);
    for (uint32_t i = 0; i < COUNT; i++) {
        add_item(self, i);
    }
    set(self, 1, 0x3f); /* epochs begin anew */
    CU_ASSERT_EQUAL(take_sums(self, 1, 0x3f), CHUNKS);
    CU_ASSERT_EQUAL(fraction_bytes(self), bytes);
    next.plan_id++;
    CU_ASSERT_EQUAL(fraction_begin(self, &next), STATUS_OK);
    add_item(self, 0);
    set(self, 1, 0x1);
    CU_ASSERT_EQUAL(take_sums(self, 1, 0x1), CHUNKS);
    fraction_free(self);
}

static void open_beyond_the_limit_is_full(void)
{
    struct fraction *self = begin(UINT64_MAX);
    uint64_t empty = fraction_bytes(self);
    CU_ASSERT_EQUAL(open_item(self, 1), STATUS_OK);
    uint64_t each = fraction_bytes(self) - empty;
    fraction_free(self);
    CU_ASSERT_EQUAL_FATAL(fraction_new(empty - 1, &self), STATUS_OK);
    CU_ASSERT_EQUAL(fraction_begin(self, &task), STATUS_FULL);
    CU_ASSERT_PTR_NULL(fraction_task(self));
    fraction_free(self);

    self = begin(empty + 2 * each);
    CU_ASSERT_EQUAL(open_item(self, 1), STATUS_OK);
    CU_ASSERT_EQUAL(open_item(self, 4), STATUS_OK);
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_FULL); /* fp32 is larger than both together */
    fraction_drop(self, 5);
    add_item(self, 1);
    add_item(self, 4);
    CU_ASSERT_TRUE(fraction_bytes(self) <= empty + 2 * each);
    set(self, 1, 0x2);
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_FULL);
    set(self, 2, 0x12);
    CU_ASSERT_EQUAL(take_sums(self, 2, 0x2), 0); /* item 4 was given up for item 0's attempt */
    add_item(self, 4);
    CU_ASSERT_EQUAL(take_sums(self, 2, 0x12), CHUNKS);
    CU_ASSERT_TRUE(fraction_bytes(self) <= empty + 2 * each);
    fraction_free(self);
}

static void buffers_of_another_size_give_way(void)
{
    struct fraction *self = begin(UINT64_MAX);
    struct fraction_task next = task;
    uint64_t empty = fraction_bytes(self);
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_OK); /* fp32 */
    uint64_t limit = fraction_bytes(self);
    fraction_free(self);
    self = begin(limit);
    CU_ASSERT_EQUAL(open_item(self, 0), STATUS_OK);
    next.step++;
    CU_ASSERT_EQUAL(fraction_begin(self, &next), STATUS_OK);
    CU_ASSERT_EQUAL(fraction_bytes(self) > empty, true); /* kept for this step */
    add_item(self, 1);                                   /* mx8: a quarter of it */
    add_item(self, 4);
    CU_ASSERT_TRUE(fraction_bytes(self) <= limit);
    set(self, 1, 0x12);
    CU_ASSERT_EQUAL(take_sums(self, 1, 0x12), CHUNKS);
    fraction_free(self);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(contributions_pass_their_checks), /* makes them */
        SUITE_TEST(add_in_any_order_gives_the_central_sum),
        SUITE_TEST(ready_waits_for_every_part_of_the_set),
        SUITE_TEST(set_without_a_contribution_takes_it_back),
        SUITE_TEST(set_of_another_contribution_is_not_ready_by_count_alone),
        SUITE_TEST(set_leaves_out_what_is_opened_later),
        SUITE_TEST(drop_takes_back_exactly),
        SUITE_TEST(add_bad_part_changes_nothing_and_is_reported),
        SUITE_TEST(torn_contribution_is_reported_and_granted_no_more),
        SUITE_TEST(requests_from_outside_are_refused_with_a_status),
        SUITE_TEST(grant_keeps_a_window_and_asks_again),
        SUITE_TEST(begin_another_step_forgets_and_reuses_the_buffers),
        SUITE_TEST(open_beyond_the_limit_is_full),
        SUITE_TEST(buffers_of_another_size_give_way),
    };
    int failed = suite_run("fraction", tests, sizeof tests / sizeof *tests);
    free_items();
    return failed;
}
