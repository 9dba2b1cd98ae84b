#include "common/random.h"
#include "session_fixture.h"
#include "suite.h"

static enum status lend_for(struct work *work, uint64_t step, uint64_t id, uint64_t first,
                            uint32_t count)
{
    uint16_t *tokens = calloc((size_t)count * (work->context + 1U) + 1, sizeof *tokens);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokens);
    enum status status = work_add_lease(work, id, step, first, count, tokens);
    if (status != STATUS_OK) {
        free(tokens);
    }
    return status;
}

static enum status lend(struct work *work, uint64_t id, uint64_t first, uint32_t count)
{
    return lend_for(work, 0, id, first, count);
}

static void samples_are_begun_in_order_of_arrival(void)
{
    struct work work;
    work_init(&work, FIXTURE_CONTEXT);
    CU_ASSERT_EQUAL(lend(&work, 7, 10, 2), STATUS_OK);
    CU_ASSERT_EQUAL(lend(&work, 5, 4, 1), STATUS_OK);
    const uint64_t expected[3] = {10, 11, 4};
    struct work_item items[3];
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(work_begin(&work, &items[i]));
        CU_ASSERT_EQUAL(items[i].sample, expected[i]);
    }
    CU_ASSERT_PTR_EQUAL(items[1].tokens, items[0].tokens + FIXTURE_CONTEXT + 1);
    struct work_item none;
    CU_ASSERT_FALSE(work_begin(&work, &none));
    CU_ASSERT_EQUAL(work_waiting(&work), 0);
    CU_ASSERT_EQUAL(work_running(&work), 3);
    work_done(&work, &items[2], 2.5);
    struct work_report report;
    CU_ASSERT_TRUE(work_report(&work, true, &report));
    CU_ASSERT_EQUAL(report.lease_id, 5);
    CU_ASSERT_EQUAL(report.samples_done, 1);
    CU_ASSERT_DOUBLE_EQUAL(report.loss_sum, 2.5, 0.0);
    work_done(&work, &items[0], 1.0);
    CU_ASSERT_FALSE(work_report(&work, true, &report));
    CU_ASSERT_TRUE(work_report(&work, false, &report));
    CU_ASSERT_EQUAL(report.lease_id, 7);
    CU_ASSERT_FALSE(work_report(&work, false, &report)); /* told already */
    CU_ASSERT_EQUAL(fixture_check_work(&work), 0);
    work_deinit(&work);
}

static void bad_leases_are_refused(void)
{
    struct work work;
    work_init(&work, 0);
    CU_ASSERT_EQUAL(lend(&work, 1, 10, 5), STATUS_OK);
    CU_ASSERT_EQUAL(lend(&work, 2, 14, 1), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(lend(&work, 2, 8, 3), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(lend(&work, 2, 0, 100), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(lend(&work, 1, 20, 1), STATUS_OUT_OF_RANGE); /* the id is taken */
    CU_ASSERT_EQUAL(lend(&work, 0, 20, 1), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(lend(&work, 2, 20, 0), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(lend(&work, 2, UINT64_MAX - 1, 2), STATUS_OUT_OF_RANGE);
    struct work_item item;
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_TRUE(work_begin(&work, &item));
        work_done(&work, &item, 0.0);
    }
    struct work_report report;
    CU_ASSERT_TRUE(work_report(&work, true, &report));
    CU_ASSERT_EQUAL(lend(&work, 2, 12, 1), STATUS_OUT_OF_RANGE); /* held */
    CU_ASSERT_EQUAL(lend(&work, 2, 15, 1), STATUS_OK);
    for (uint64_t i = 3; i < 6; i++) {
        CU_ASSERT_EQUAL(lend(&work, i, 10 * i, 1), STATUS_OK);
    }
    CU_ASSERT_EQUAL(lend(&work, 9, 90, 1), STATUS_FULL);
    work_deinit(&work);
}

static void scattered_leases_are_refused_before_the_ranges_overflow(void)
{
    struct work work;
    work_init(&work, 0);
    struct work_item items[WORK_THREADS_MAX];
    struct work_report report;
    uint64_t first = 0;
    uint64_t id = 1;
    while (lend(&work, id, first, 1) == STATUS_OK) {
        CU_ASSERT_TRUE_FATAL(work_begin(&work, &items[0]));
        work_done(&work, &items[0], 0.0);
        CU_ASSERT_TRUE(work_report(&work, true, &report));
        first += 2;
        id++;
        if (work.held_count == WORK_RANGES_RESERVED) {
            break;
        }
    }
    CU_ASSERT_EQUAL(work.held_count, WORK_RANGES_RESERVED);
    /* The worst case: as many threads as there may be leave a gap each. */
    CU_ASSERT_EQUAL(lend(&work, id, first, 4 * WORK_THREADS_MAX), STATUS_OK);
    for (size_t i = 0; i < 2 * (size_t)WORK_THREADS_MAX; i++) {
        struct work_item other;
        CU_ASSERT_TRUE_FATAL(work_begin(&work, i % 2 == 0 ? &items[i / 2] : &other));
        if (i % 2 == 1) {
            work_done(&work, &other, 0.0);
        }
    }
    CU_ASSERT_EQUAL(work.held_count, WORK_RANGES_RESERVED + WORK_THREADS_MAX);
    CU_ASSERT_EQUAL(lend(&work, id + 1, first + 10000, 1), STATUS_FULL);
    for (size_t i = 0; i < WORK_THREADS_MAX; i++) {
        work_done(&work, &items[i], 0.0);
    }
    CU_ASSERT_EQUAL(work.held_count, WORK_RANGES_RESERVED + 1);
    CU_ASSERT_EQUAL(fixture_check_work(&work), 0);
    work_deinit(&work);
}

static void yield_gives_back_what_is_not_begun(void)
{
    struct work work;
    work_init(&work, 0);
    CU_ASSERT_EQUAL(lend(&work, 1, 0, 10), STATUS_OK);
    struct work_item items[4];
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_TRUE(work_begin(&work, &items[i]));
    }
    uint32_t kept = 0;
    CU_ASSERT_FALSE(work_yield(&work, 2, 0, &kept));
    CU_ASSERT_FALSE(work_yield(&work, 0, 0, &kept));
    CU_ASSERT_TRUE(work_yield(&work, 1, 20, &kept));
    CU_ASSERT_EQUAL(kept, 10);
    CU_ASSERT_TRUE(work_yield(&work, 1, 6, &kept));
    CU_ASSERT_EQUAL(kept, 6);
    CU_ASSERT_EQUAL(work_waiting(&work), 2);
    CU_ASSERT_TRUE(work_yield(&work, 1, 1, &kept));
    CU_ASSERT_EQUAL(kept, 4);
    for (int i = 0; i < 4; i++) {
        work_done(&work, &items[i], 0.0);
    }
    struct work_report report;
    CU_ASSERT_TRUE(work_report(&work, true, &report));
    CU_ASSERT_EQUAL(report.samples_done, 4);
    CU_ASSERT_EQUAL(work.leases[0].id, 0);
    CU_ASSERT_EQUAL(work.held_samples, 4);
    work_deinit(&work);
}

enum { MAP_SIZE = 400 };

static int check_held(const struct work *work, const bool map[MAP_SIZE])
{
    bool held[MAP_SIZE] = {false};
    for (size_t i = 0; i < work->held_count; i++) {
        memset(held + work->held[i].first, 1, (size_t)work->held[i].count);
    }
    return memcmp(held, map, MAP_SIZE * sizeof *map) == 0 ? fixture_check_work(work) : __LINE__;
}

static void held_ranges_are_what_was_done_in_any_order(void)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct random random;
        random_init(&random, seed, 0);
        struct work work;
        work_init(&work, 0);
        bool map[MAP_SIZE] = {false};
        struct work_item running[16];
        size_t count = 0;
        for (uint64_t id = 1; id < 1000; id++) {
            (void)lend(&work, id, random_below(&random, MAP_SIZE - 20),
                       (uint32_t)random_below(&random, 20));
            while (count < 16 && random_below(&random, 4) != 0 &&
                   work_begin(&work, &running[count])) {
                count++;
            }
            while (count > 0 && random_below(&random, 4) != 0) {
                size_t at = (size_t)random_below(&random, count);
                work_done(&work, &running[at], 1.0);
                CU_ASSERT_FALSE_FATAL(map[running[at].sample]); /* nothing is done twice */
                map[running[at].sample] = true;
                running[at] = running[--count];
                CU_ASSERT_EQUAL_FATAL(check_held(&work, map), 0);
            }
            uint32_t kept;
            (void)work_yield(&work, random_below(&random, id + 1), 3, &kept);
            struct work_report report;
            while (work_report(&work, random_below(&random, 2) == 0, &report)) {
                CU_ASSERT_TRUE(report.samples_done > 0);
            }
            if (random_below(&random, 100) == 0) {
                work_clear_held(&work);
                memset(map, 0, sizeof map);
            }
        }
        work_deinit(&work);
    }
}

static void owned_is_what_is_held_and_lent_in_merged_ranges(void)
{
    struct work work;
    struct work_range out[WORK_RANGES_MAX];
    struct work_item items[4];
    work_init(&work, 0);
    CU_ASSERT_EQUAL(work_owned(&work, out), 0);
    CU_ASSERT_EQUAL(lend(&work, 1, 10, 4), STATUS_OK);
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT_TRUE(work_begin(&work, &items[i]));
    }
    work_done(&work, &items[1], 1.0); /* 11 and 13 are in the accumulator */
    work_done(&work, &items[3], 1.0);
    CU_ASSERT_EQUAL(work_owned(&work, out), 1);
    CU_ASSERT_TRUE(out[0].first == 10 && out[0].count == 4);
    work_done(&work, &items[0], 1.0);
    work_done(&work, &items[2], 1.0);
    struct work_report report;
    CU_ASSERT_TRUE(work_report(&work, true, &report)); /* the lease is gone, its samples are held */
    CU_ASSERT_EQUAL(lend(&work, 2, 20, 6), STATUS_OK);
    CU_ASSERT_EQUAL(lend(&work, 3, 14, 2), STATUS_OK); /* touches what is held */
    uint32_t kept = 0;
    CU_ASSERT_TRUE(work_yield(&work, 2, 1, &kept));
    CU_ASSERT_EQUAL(lend(&work, 4, 30, 5), STATUS_OK);
    CU_ASSERT_TRUE(work_yield(&work, 4, 0, &kept)); /* nothing is left of it */
    CU_ASSERT_EQUAL(work_owned(&work, out), 2);
    CU_ASSERT_TRUE(out[0].first == 10 && out[0].count == 6);
    CU_ASSERT_TRUE(out[1].first == 20 && out[1].count == 1);
    CU_ASSERT_EQUAL(work.held_count, 1); /* as it was */
    work_deinit(&work);
}

/* Against a bitmap, with ranges that overlap, touch and contain each other. */
static void merged_ranges_are_the_union_of_all(void)
{
    enum { SAMPLES = 96 };
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct work_range ranges[WORK_RANGES_MAX];
        bool in[SAMPLES + 1] = {false};
        size_t count = 0;
        size_t expected = 0;
        struct random random;
        random_init(&random, seed, 0);
        for (int i = 0; i < 12; i++) {
            struct work_range range = {.first = random_below(&random, SAMPLES - 8),
                                       .count = 1 + random_below(&random, 8)};
            CU_ASSERT_TRUE(work_merge_range(ranges, &count, range));
            memset(&in[range.first], 1, range.count);
        }
        for (uint64_t i = 0; i < SAMPLES; i++) {
            if (in[i] && (i == 0 || !in[i - 1])) {
                CU_ASSERT_TRUE_FATAL(expected < count);
                CU_ASSERT_EQUAL(ranges[expected++].first, i);
            }
            if (in[i] && !in[i + 1]) {
                const struct work_range *last = &ranges[expected - 1];
                CU_ASSERT_EQUAL(last->first + last->count, i + 1);
            }
        }
        CU_ASSERT_EQUAL(count, expected);
    }
}

static void range_too_many_changes_nothing(void)
{
    static struct work_range ranges[WORK_RANGES_MAX];
    size_t count = 0;
    for (uint64_t i = 0; i < WORK_RANGES_MAX; i++) {
        CU_ASSERT_TRUE(work_merge_range(ranges, &count, (struct work_range){3 * i + 5, 1}));
    }
    CU_ASSERT_FALSE(work_merge_range(ranges, &count, (struct work_range){1, 1}));
    CU_ASSERT_EQUAL(count, WORK_RANGES_MAX);
    CU_ASSERT_TRUE(work_merge_range(ranges, &count, (struct work_range){6, 2})); /* joins two */
    CU_ASSERT_EQUAL(count, WORK_RANGES_MAX - 1);
    CU_ASSERT_TRUE(ranges[0].first == 5 && ranges[0].count == 4);
}

static void samples_are_begun_of_the_open_step_alone(void)
{
    struct work work;
    struct work_item item;
    work_init(&work, 0);
    CU_ASSERT_EQUAL(work_first_step(&work), WORK_STEP_NONE);
    CU_ASSERT_EQUAL(lend_for(&work, 4, 1, 20, 2), STATUS_OK);
    CU_ASSERT_EQUAL(lend_for(&work, 3, 2, 10, 1), STATUS_OK);
    CU_ASSERT_EQUAL(work_first_step(&work), 3);
    CU_ASSERT_EQUAL(work_waiting(&work), 3);
    CU_ASSERT_EQUAL(work_ready(&work), 0);
    CU_ASSERT_FALSE(work_begin(&work, &item));
    work.open_step = 3;
    CU_ASSERT_EQUAL(work_ready(&work), 1);
    CU_ASSERT_TRUE(work_begin(&work, &item));
    CU_ASSERT_EQUAL(item.sample, 10);
    CU_ASSERT_FALSE(item.stale);
    CU_ASSERT_FALSE(work_begin(&work, &item));
    CU_ASSERT_EQUAL(work_first_step(&work), 4);
    CU_ASSERT_EQUAL(work_left(&work, 3), 1);
    CU_ASSERT_EQUAL(work_left(&work, 4), 2);
    CU_ASSERT_EQUAL(work_at_hand(&work), 2);
    work_done(&work, &item, 1.0);
    CU_ASSERT_EQUAL(work.held_step, 3);
    CU_ASSERT_EQUAL(work_at_hand(&work), 0); /* what is held has to be handed in before */
    work_clear_held(&work);
    CU_ASSERT_EQUAL(work_at_hand(&work), 2);
    work.open_step = 4;
    work.open_stale = true;
    CU_ASSERT_TRUE(work_begin(&work, &item));
    CU_ASSERT_EQUAL(item.sample, 20);
    work.open_stale = false; /* the update came; what is begun stays what it is */
    work_done(&work, &item, 1.0);
    CU_ASSERT_TRUE(work_begin(&work, &item));
    work_done(&work, &item, 1.0);
    CU_ASSERT_EQUAL(work.held_samples, 2);
    CU_ASSERT_EQUAL(work.held_stale, 1);
    CU_ASSERT_EQUAL(work.held_step, 4);
    work_clear_held(&work);
    CU_ASSERT_EQUAL(work.held_stale, 0);
    work_deinit(&work);
}

static void step_that_is_over_takes_its_leases_alone_along(void)
{
    struct work work;
    struct work_item item;
    work_init(&work, 0);
    CU_ASSERT_EQUAL(lend_for(&work, 3, 1, 10, 3), STATUS_OK);
    CU_ASSERT_EQUAL(lend_for(&work, 4, 2, 20, 2), STATUS_OK);
    CU_ASSERT_FALSE(work_drop(&work, 2));
    CU_ASSERT_EQUAL(work_waiting(&work), 5);
    work.open_step = 3;
    CU_ASSERT_TRUE(work_begin(&work, &item));
    CU_ASSERT_TRUE(work_drop(&work, 3));
    CU_ASSERT_EQUAL(work_left(&work, 3), 1); /* what is begun */
    CU_ASSERT_TRUE(work_goes_past(&work, 3));
    CU_ASSERT_FALSE(work_goes_past(&work, 4));
    work_done(&work, &item, 1.0);
    CU_ASSERT_TRUE(work_drop(&work, 3)); /* it is held */
    work_clear(&work, 3);
    CU_ASSERT_EQUAL(work.held_samples, 0);
    CU_ASSERT_FALSE(work_has_lease(&work, 1));
    CU_ASSERT_TRUE(work_has_lease(&work, 2));
    CU_ASSERT_EQUAL(work_waiting(&work), 2);
    CU_ASSERT_FALSE(work_drop(&work, 3));
    CU_ASSERT_EQUAL(fixture_check_work(&work), 0);
    work_deinit(&work);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(samples_are_begun_in_order_of_arrival),
        SUITE_TEST(bad_leases_are_refused),
        SUITE_TEST(scattered_leases_are_refused_before_the_ranges_overflow),
        SUITE_TEST(yield_gives_back_what_is_not_begun),
        SUITE_TEST(held_ranges_are_what_was_done_in_any_order),
        SUITE_TEST(owned_is_what_is_held_and_lent_in_merged_ranges),
        SUITE_TEST(merged_ranges_are_the_union_of_all),
        SUITE_TEST(range_too_many_changes_nothing),
        SUITE_TEST(samples_are_begun_of_the_open_step_alone),
        SUITE_TEST(step_that_is_over_takes_its_leases_alone_along),
    };
    return suite_run("peer_work", tests, sizeof tests / sizeof tests[0]);
}
