#include "tests/unit/suite.h"
#include "trainer/optimizer/schedule.h"

#include <math.h>

static void cosine_warms_up_then_falls(void)
{
    struct schedule schedule = {
        .learning_rate = 1.0, .learning_rate_min = 0.2, .warmup_steps = 10, .step_count = 110};
    CU_ASSERT_DOUBLE_EQUAL(schedule_learning_rate(&schedule, 0), 0.1, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_learning_rate(&schedule, 4), 0.5, 1e-15);
    CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, 9), 1.0);
    CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, 10), 1.0);
    CU_ASSERT_DOUBLE_EQUAL(schedule_learning_rate(&schedule, 60), 0.6, 1e-15);
    CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, 110), 0.2);
    CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, 1000000), 0.2);
    for (uint64_t step = 10; step <= 110; step++) {
        double cosine =
            0.2 + 0.8 * 0.5 * (1 + cos(3.14159265358979323846 * (double)(step - 10) / 100));
        CU_ASSERT_DOUBLE_EQUAL(schedule_learning_rate(&schedule, step), cosine, 1e-14);
    }
}

static void cosine_without_warm_up_starts_at_the_peak(void)
{
    struct schedule schedule = {.learning_rate = 0.5, .learning_rate_min = 0.5, .step_count = 4};
    for (uint64_t step = 0; step < 6; step++) {
        CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, step), 0.5);
    }
    struct schedule only_warm_up = {.learning_rate = 1, .warmup_steps = 3, .step_count = 3};
    CU_ASSERT_EQUAL(schedule_learning_rate(&only_warm_up, 2), 1.0);
    CU_ASSERT_EQUAL(schedule_learning_rate(&only_warm_up, 3), 0.0);
}

/* The value at a step, to the bit. All numbers here are short binary fractions. */
struct corner {
    uint64_t step;
    double rate;
};

static void expect_corners(const struct schedule *schedule, const struct corner *corners,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double rate = schedule_learning_rate(schedule, corners[i].step);
        if (rate != corners[i].rate) {
            printf("%s at step %llu: %.17g, not %.17g\n", schedule_name(schedule->kind),
                   (unsigned long long)corners[i].step, rate, corners[i].rate);
            CU_FAIL("a corner is elsewhere");
        }
    }
}

#define CORNERS(array) (array), sizeof(array) / sizeof((array)[0])

static void linear_falls_along_a_line_to_the_least(void)
{
    const struct schedule schedule = {.kind = SCHEDULE_LINEAR,
                                      .learning_rate = 1.0,
                                      .learning_rate_min = 0.5,
                                      .warmup_steps = 8,
                                      .step_count = 72};
    static const struct corner corners[] = {
        {0, 0.125},      {7, 1.0},  {8, 1.0},  {9, 1.0 - 0.5 / 64}, {40, 0.75},
        {71, 0.5078125}, {72, 0.5}, {73, 0.5}, {UINT64_MAX, 0.5},
    };
    expect_corners(&schedule, CORNERS(corners));
}

static void constant_stays_at_the_peak_after_warm_up(void)
{
    const struct schedule schedule = {
        .kind = SCHEDULE_CONSTANT, .learning_rate = 0.3, .warmup_steps = 4, .step_count = 10};
    static const struct corner corners[] = {{0, 0.3 / 4}, {3, 0.3},  {4, 0.3},
                                            {9, 0.3},     {10, 0.3}, {UINT64_MAX, 0.3}};
    expect_corners(&schedule, CORNERS(corners));
}

static void wsd_holds_the_peak_and_decays_in_the_last_steps(void)
{
    struct schedule schedule = {.kind = SCHEDULE_WSD,
                                .decay = SCHEDULE_DECAY_LINEAR,
                                .learning_rate = 1.0,
                                .learning_rate_min = 0.25,
                                .warmup_steps = 4,
                                .decay_steps = 16,
                                .step_count = 100};
    static const struct corner linear[] = {{0, 0.25},
                                           {3, 1.0},
                                           {4, 1.0},
                                           {50, 1.0},
                                           {83, 1.0},
                                           {84, 1.0},
                                           {85, 1.0 - 0.75 / 16},
                                           {92, 0.625},
                                           {99, 0.25 + 0.75 / 16},
                                           {100, 0.25},
                                           {101, 0.25}};
    expect_corners(&schedule, CORNERS(linear));
    /* 1 - sqrt(1/16) = 3/4, 1 - sqrt(4/16) = 1/2, 1 - sqrt(9/16) = 1/4 of the way is left. */
    schedule.decay = SCHEDULE_DECAY_SQRT;
    static const struct corner root[] = {{83, 1.0},    {84, 1.0},   {85, 0.8125},      {88, 0.625},
                                         {93, 0.4375}, {100, 0.25}, {UINT64_MAX, 0.25}};
    expect_corners(&schedule, CORNERS(root));
    /* The peak is held to the bit also where (peak - least) + least is not the peak. */
    schedule.learning_rate = 0.11;
    schedule.learning_rate_min = 0.04;
    static const struct corner odd[] = {{50, 0.11}, {84, 0.11}, {100, 0.04}};
    expect_corners(&schedule, CORNERS(odd));
}

static void wsd_without_decay_ends_at_the_peak(void)
{
    const struct schedule schedule = {
        .kind = SCHEDULE_WSD, .learning_rate = 1.0, .learning_rate_min = 0.5, .step_count = 10};
    static const struct corner corners[] = {{0, 1.0}, {9, 1.0}, {10, 0.5}};
    expect_corners(&schedule, CORNERS(corners));
    struct schedule all = schedule; /* decays from the first step */
    all.decay_steps = 10;
    all.decay = SCHEDULE_DECAY_LINEAR;
    static const struct corner falling[] = {{0, 1.0}, {5, 0.75}, {10, 0.5}};
    expect_corners(&all, CORNERS(falling));
}

static void names_come_back(void)
{
    for (int i = 0; i < SCHEDULE_KIND_COUNT; i++) {
        enum schedule_kind kind = SCHEDULE_KIND_COUNT;
        CU_ASSERT_EQUAL(schedule_from_name(schedule_name((enum schedule_kind)i), &kind), STATUS_OK);
        CU_ASSERT_EQUAL(kind, i);
    }
    for (int i = 0; i < SCHEDULE_DECAY_COUNT; i++) {
        enum schedule_decay decay = SCHEDULE_DECAY_COUNT;
        CU_ASSERT_EQUAL(
            schedule_decay_from_name(schedule_decay_name((enum schedule_decay)i), &decay),
            STATUS_OK);
        CU_ASSERT_EQUAL(decay, i);
    }
    enum schedule_kind kind;
    enum schedule_decay decay;
    CU_ASSERT_EQUAL(schedule_from_name("cosin", &kind), STATUS_BAD_CONFIG);
    CU_ASSERT_EQUAL(schedule_decay_from_name("", &decay), STATUS_BAD_CONFIG);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(cosine_warms_up_then_falls),
        SUITE_TEST(cosine_without_warm_up_starts_at_the_peak),
        SUITE_TEST(linear_falls_along_a_line_to_the_least),
        SUITE_TEST(constant_stays_at_the_peak_after_warm_up),
        SUITE_TEST(wsd_holds_the_peak_and_decays_in_the_last_steps),
        SUITE_TEST(wsd_without_decay_ends_at_the_peak),
        SUITE_TEST(names_come_back),
    };
    return suite_run("schedule", tests, sizeof tests / sizeof tests[0]);
}
