/* Plans for what hardly can be planned, what is refused, and what CLP would like to say. */
#include "common/fault.h"
#include "coordinator/plan/aggregation_plan.h"
#include "plan_fixture.h"
#include "suite.h"

#include <stdio.h>
#include <unistd.h>

enum { RANDOM_PEERS_MAX = 40, RANDOM_PROBLEMS = 200 };

static void make(const struct plan_problem *problem, enum plan_strategy strategy,
                 struct aggregation_plan *out)
{
    CU_ASSERT_EQUAL_FATAL(plan_make(problem, strategy, out), STATUS_OK);
}

/* Everything is with the coordinator, and a plan all the same. */
static void expect_central(const struct plan_problem *problem)
{
    for (int i = 0; i < 3; i++) {
        struct aggregation_plan plan;
        make(problem, (enum plan_strategy)i, &plan);
        CU_ASSERT_EQUAL(plan.coordinator_chunk_count, 100);
        CU_ASSERT(plan_covers_all(problem, &plan));
        plan_deinit(&plan);
    }
}

static void own_centrally_without_peers_that_can(void)
{
    struct plan_peer peers[3] = {plan_peer_of(10.0, 10.0, false), plan_peer_of(10.0, 10.0, false),
                                 plan_peer_of(10.0, 10.0, false)};
    struct plan_problem problem = plan_problem_of(peers, 3);
    expect_central(&problem); /* no aggregators */
    problem.coordinator_bytes_max = 1.0;
    expect_central(&problem);
    problem.coordinator_up_bytes_per_s = 0.0; /* unknown */
    problem.coordinator_down_bytes_per_s = 0.0;
    problem.may_rest = true;
    expect_central(&problem);
    peers[1].aggregates = true;
    problem.owners_max = 0;
    expect_central(&problem);
    for (size_t i = 0; i < 3; i++) {
        peers[i].samples_per_s = 0.0; /* nobody computes */
    }
    problem.owners_max = 10;
    expect_central(&problem);
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT(isinf(plan.predicted.step_s) && plan.predicted.gather_s == 0.0);
    plan_deinit(&plan);
    problem = plan_problem_of(NULL, 0);
    expect_central(&problem);
}

static void plan_with_rates_of_any_scale(void)
{
    struct random random;
    random_init(&random, 13, 0);
    for (int round = 0; round < RANDOM_PROBLEMS; round++) {
        struct plan_peer peers[RANDOM_PEERS_MAX];
        size_t count = 1 + random_below(&random, RANDOM_PEERS_MAX);
        struct plan_problem problem = plan_random_problem(&random, peers, count);
        problem.may_rest = round % 2 == 0;
        problem.overlap = round % 4 < 2;
        problem.overhead_s = round % 11 == 0 ? 1e9 : round % 11 == 1 ? 1e-9 : 0.0;
        for (size_t i = 0; i < count; i++) {
            peers[i].up_bytes_per_s *= pow(10.0, 24.0 * random_uniform(&random) - 12.0);
            peers[i].down_bytes_per_s *= pow(10.0, 24.0 * random_uniform(&random) - 12.0);
        }
        problem.coordinator_up_bytes_per_s *= round % 3 == 0 ? 0.0 : 1e-9;
        problem.sum_bytes_per_value = round % 5 == 0 ? 1e-9 : 2.0;
        problem.value_count = round % 7 == 0 ? 1 : problem.value_count;
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &plan);
        CU_ASSERT(isfinite(plan.predicted.step_s) && isfinite(plan.bound_step_s));
        CU_ASSERT(plan.predicted.step_s > 0.0 && plan.predicted.step_s < 1e20);
        CU_ASSERT(plan_covers_all(&problem, &plan));
        plan_deinit(&plan);
    }
}

static void take_impossible_rates_as_the_nearest_possible(void)
{
    struct plan_peer peers[2] = {plan_peer_of(1e-12, 1e300, false),
                                 plan_peer_of(1e-12, 1e300, false)};
    struct plan_problem problem = plan_problem_of(peers, 2);
    problem.coordinator_up_bytes_per_s = 0.0;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    double bytes = 33.0 / 32.0 * (double)problem.value_count;
    CU_ASSERT(fabs(plan.predicted.gather_s - bytes) <= 1e-9 * bytes);
    CU_ASSERT(fabs(plan.predicted.spread_s - bytes / 1e15) <= 1e-9 * bytes / 1e15);
    plan_deinit(&plan);
}

static void expect_refused(const struct plan_problem *problem, enum status status)
{
    struct aggregation_plan plan;
    CU_ASSERT_EQUAL(plan_make(problem, PLAN_ADAPTIVE, &plan), status);
    CU_ASSERT_PTR_NULL(plan.shares);
    CU_ASSERT(strlen(fault_text()) > 0);
    plan_deinit(&plan);
}

static void refuse_rates_that_are_none(void)
{
    static const double wrong[] = {NAN, INFINITY, -INFINITY, -1.0};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        for (size_t field = 0; field < 7; field++) {
            struct plan_peer peers[2] = {plan_peer_of(10.0, 10.0, true),
                                         plan_peer_of(10.0, 10.0, true)};
            struct plan_problem problem = plan_problem_of(peers, 2);
            double *const fields[7] = {&peers[1].up_bytes_per_s,
                                       &peers[1].down_bytes_per_s,
                                       &peers[1].samples_per_s,
                                       &peers[1].pair_bytes_per_s,
                                       &problem.coordinator_up_bytes_per_s,
                                       &problem.coordinator_down_bytes_per_s,
                                       &problem.coordinator_bytes_max};
            *fields[field] = wrong[i];
            expect_refused(&problem, STATUS_OUT_OF_RANGE);
        }
    }
    struct plan_peer peer = plan_peer_of(0.0, 10.0, true);
    struct plan_problem problem = plan_problem_of(&peer, 1);
    expect_refused(&problem, STATUS_OUT_OF_RANGE);
}

static void refuse_settings_that_are_wrong(void)
{
    struct plan_peer peer = plan_peer_of(10.0, 10.0, true);
    const struct plan_problem right = plan_problem_of(&peer, 1);
    struct plan_problem wrong[21];
    size_t count = 0;
    for (; count < 21; count++) {
        wrong[count] = right;
    }
    wrong[0].value_count = 0;
    wrong[1].value_count = (size_t)PLAN_CHUNKS_MAX * CODEC_CHUNK_VALUES + 1;
    wrong[2].target_batch = 0.0;
    wrong[3].target_batch = NAN;
    wrong[4].codec_count = 0;
    wrong[5].codec_count = PLAN_CODECS_MAX + 1;
    wrong[6].codecs[0] = (enum codec)99;
    wrong[7].update_codecs[0] = (enum codec)0;
    wrong[8].sum_bytes_per_value = 0.0;
    wrong[9].sum_bytes_per_value = INFINITY;
    wrong[10].fraction_max = 0.0;
    wrong[11].fraction_max = 1.5;
    wrong[12].fraction_max = NAN;
    wrong[13].owners_max = PLAN_OWNERS_MAX + 1;
    wrong[14].peer_count = PLAN_PEERS_MAX + 1;
    wrong[15].target_batch = -1.0;
    wrong[16].overhead_s = -1.0;
    wrong[17].overhead_s = INFINITY;
    wrong[18].update_codec_count = 0;
    wrong[19].update_codec_count = PLAN_CODECS_MAX + 1;
    wrong[20].update_codec_count = 2; /* the second is none */
    for (size_t i = 0; i < count; i++) {
        expect_refused(&wrong[i], STATUS_BAD_CONFIG);
    }
}

/* Whatever CLP has to say, a coordinator's log is not the place for it. */
static void print_nothing(void)
{
    FILE *file = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fflush(stdout);
    int kept_out = dup(STDOUT_FILENO);
    int kept_err = dup(STDERR_FILENO);
    CU_ASSERT_FATAL(kept_out >= 0 && kept_err >= 0);
    CU_ASSERT(dup2(fileno(file), STDOUT_FILENO) >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    plan_with_rates_of_any_scale();
    (void)fflush(stdout);
    off_t printed = lseek(fileno(file), 0, SEEK_END);
    CU_ASSERT(dup2(kept_out, STDOUT_FILENO) >= 0 && dup2(kept_err, STDERR_FILENO) >= 0);
    (void)close(kept_out);
    (void)close(kept_err);
    (void)fclose(file);
    CU_ASSERT_EQUAL(printed, 0);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(own_centrally_without_peers_that_can),
        SUITE_TEST(plan_with_rates_of_any_scale),
        SUITE_TEST(take_impossible_rates_as_the_nearest_possible),
        SUITE_TEST(refuse_rates_that_are_none),
        SUITE_TEST(refuse_settings_that_are_wrong),
        SUITE_TEST(print_nothing),
    };
    return suite_run("plan_hostile", tests, sizeof tests / sizeof tests[0]);
}
