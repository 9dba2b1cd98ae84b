#include "coordinator/plan/plan_overhead.h"
#include "suite.h"

#include <math.h>

static const struct plan_times times = {
    .compute_s = 2.0, .gather_s = 1.0, .spread_s = 1.0, .busy_s = 1.5, .step_s = 4.0};

static void expect(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-9)) {
        printf("%g is not %g\n", value, expected);
        CU_FAIL("another overhead");
    }
}

static void what_steps_take_more_is_learned_and_predicted(void)
{
    for (int overlap = 0; overlap < 2; overlap++) {
        struct plan_overhead overhead = {.count = 0};
        double bare_s = overlap ? 2.0 : 4.0;
        expect(plan_overhead_s(&overhead), 0.0);
        expect(plan_step_s(&times, overlap, 0.0), bare_s);
        plan_overhead_note(&overhead, &times, overlap, bare_s + 0.5);
        expect(plan_overhead_s(&overhead), overlap ? 1.0 : 0.5);
        expect(plan_step_s(&times, overlap, plan_overhead_s(&overhead)), bare_s + 0.5);
    }
}

static void steps_in_the_shadow_of_what_limits_have_no_overhead(void)
{
    struct plan_overhead overhead = {.count = 0};
    struct plan_times busy = times;
    busy.busy_s = 10.0;
    expect(plan_step_s(&busy, true, 1.0), 10.0);
    plan_overhead_note(&overhead, &busy, true, 9.0); /* faster than the plan */
    plan_overhead_note(&overhead, &busy, true, 10.0);
    CU_ASSERT_EQUAL(overhead.count, 2);
    expect(plan_overhead_s(&overhead), 0.0);
}

static void few_strange_steps_count_for_nothing(void)
{
    struct plan_overhead overhead = {.count = 0};
    for (int i = 0; i < 20; i++) {
        plan_overhead_note(&overhead, &times, false, i % 4 == 3 ? 4000.0 : 4.2);
    }
    expect(plan_overhead_s(&overhead), 0.2);
    for (int i = 0; i < PLAN_OVERHEAD_STEPS; i++) { /* what is new counts after a while, */
        plan_overhead_note(&overhead, &times, false, 4000.0);
    }
    expect(plan_overhead_s(&overhead), 4.0); /* and never for more than the step itself */
}

static void times_without_meaning_are_left_out(void)
{
    static const double steps_s[] = {0.0, -1.0, INFINITY, NAN};
    struct plan_overhead overhead = {.count = 0};
    struct plan_times none = {.compute_s = INFINITY, .step_s = INFINITY};
    plan_overhead_note(&overhead, &none, false, 4.0);
    none = (struct plan_times){.compute_s = 0.0};
    plan_overhead_note(&overhead, &none, true, 4.0);
    for (size_t i = 0; i < sizeof steps_s / sizeof steps_s[0]; i++) {
        plan_overhead_note(&overhead, &times, false, steps_s[i]);
    }
    CU_ASSERT_EQUAL(overhead.count, 0);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(what_steps_take_more_is_learned_and_predicted),
        SUITE_TEST(steps_in_the_shadow_of_what_limits_have_no_overhead),
        SUITE_TEST(few_strange_steps_count_for_nothing),
        SUITE_TEST(times_without_meaning_are_left_out),
    };
    return suite_run("plan_overhead", tests, sizeof tests / sizeof tests[0]);
}
