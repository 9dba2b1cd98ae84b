#include "common/fault.h"
#include "tests/unit/suite.h"
#include "trainer/data/sampler.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void each_epoch_visits_every_window_once(void)
{
    static const uint64_t COUNTS[] = {1, 2, 3, 4, 5, 15, 16, 17, 64, 1000, 4096, 4097, 70001};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        struct sampler sampler;
        uint64_t count = COUNTS[i];
        CU_ASSERT_EQUAL_FATAL(sampler_init(&sampler, count * 8 + 1, 8, 42), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(sampler.window_count, count);
        bool *seen = calloc(count, sizeof *seen);
        CU_ASSERT_PTR_NOT_NULL_FATAL(seen);
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            memset(seen, 0, count * sizeof *seen);
            uint64_t repeated = 0;
            for (uint64_t j = 0; j < count; j++) {
                uint64_t offset = sampler_offset(&sampler, epoch * count + j);
                CU_ASSERT_TRUE_FATAL(offset % 8 == 0 && offset / 8 < count);
                repeated += seen[offset / 8];
                seen[offset / 8] = true;
            }
            CU_ASSERT_EQUAL(repeated, 0);
        }
        free(seen);
    }
}

/* Samples in which two orders agree; a random order agrees in about one. */
static uint64_t agreements(const struct sampler *a, uint64_t first_a, const struct sampler *b,
                           uint64_t first_b)
{
    uint64_t same = 0;
    for (uint64_t i = 0; i < a->window_count; i++) {
        same += sampler_offset(a, first_a + i) == sampler_offset(b, first_b + i);
    }
    return same;
}

static void epochs_and_seeds_differ_and_repeat(void)
{
    struct sampler a;
    struct sampler again;
    struct sampler other;
    CU_ASSERT_EQUAL(sampler_init(&a, 10001, 10, 1), STATUS_OK);
    CU_ASSERT_EQUAL(sampler_init(&again, 10001, 10, 1), STATUS_OK);
    CU_ASSERT_EQUAL(sampler_init(&other, 10001, 10, 2), STATUS_OK);
    CU_ASSERT_EQUAL(agreements(&a, 0, &again, 0), 1000);
    CU_ASSERT_TRUE(agreements(&a, 0, &a, 1000) < 20);
    CU_ASSERT_TRUE(agreements(&a, 0, &other, 0) < 20);
}

/* Neighbouring samples should not be neighbouring text. */
static void order_is_mixed(void)
{
    struct sampler sampler;
    CU_ASSERT_EQUAL(sampler_init(&sampler, 4097, 1, 7), STATUS_OK);
    uint64_t neighbours = 0;
    uint64_t sum_of_first_half = 0;
    for (uint64_t i = 0; i + 1 < 4096; i++) {
        neighbours += sampler_offset(&sampler, i + 1) == sampler_offset(&sampler, i) + 1;
        sum_of_first_half += i < 2048 ? sampler_offset(&sampler, i) : 0;
    }
    CU_ASSERT_TRUE(neighbours < 20);
    double mean = (double)sum_of_first_half / 2048;
    CU_ASSERT_TRUE(mean > 1900 && mean < 2195); /* 2047.5 +- 8 standard errors */
}

static void huge_counts_work(void)
{
    struct sampler sampler;
    CU_ASSERT_EQUAL(sampler_init(&sampler, UINT64_MAX, 1, 3), STATUS_OK);
    CU_ASSERT_TRUE(sampler_offset(&sampler, UINT64_MAX) < sampler.window_count);
    CU_ASSERT_NOT_EQUAL(sampler_offset(&sampler, 5), sampler_offset(&sampler, 6));
}

static void split_without_a_window_is_refused(void)
{
    struct sampler sampler;
    CU_ASSERT_EQUAL(sampler_init(&sampler, 0, 8, 1), STATUS_BAD_CONFIG);
    CU_ASSERT_EQUAL(sampler_init(&sampler, 8, 8, 1), STATUS_BAD_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "smaller context"));
    CU_ASSERT_EQUAL(sampler_init(&sampler, 9, 8, 1), STATUS_OK);
    CU_ASSERT_EQUAL(sampler_offset(&sampler, 17), 0);
    /* what is left behind the last whole window is never begun */
    CU_ASSERT_EQUAL(sampler_init(&sampler, 24, 8, 1), STATUS_OK);
    CU_ASSERT_EQUAL(sampler.window_count, 2);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(each_epoch_visits_every_window_once),
        SUITE_TEST(epochs_and_seeds_differ_and_repeat),
        SUITE_TEST(order_is_mixed),
        SUITE_TEST(huge_counts_work),
        SUITE_TEST(split_without_a_window_is_refused),
    };
    return suite_run("sampler", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
