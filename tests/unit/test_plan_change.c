/* When a plan gives way to another. */
#include "coordinator/plan/plan_change.h"
#include "plan_fixture.h"
#include "suite.h"

enum { PEERS = 6 };

/* Four that compute, and two owners to them, who only sum; incoming links of owners as in
 * down_mbit. */
static struct plan_problem problem_of(struct plan_peer peers[PEERS], const double down_mbit[2])
{
    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = plan_peer_of(1000.0, i < 4 ? 1000.0 : down_mbit[i - 4], i >= 4);
        peers[i].samples_per_s = i < 4 ? 1000.0 : 0.0;
    }
    struct plan_problem problem = plan_problem_of(peers, PEERS);
    problem.coordinator_bytes_max = 1.0;
    problem.target_batch = 1e-6;
    return problem;
}

static void make(const struct plan_problem *problem, struct aggregation_plan *out)
{
    CU_ASSERT_EQUAL_FATAL(plan_make(problem, PLAN_ADAPTIVE, out), STATUS_OK);
}

/* The gather that waits for an owner of this part of the vector. */
static double gather_s(const struct plan_problem *problem, double part, double down_mbit)
{
    return part * 4.0 * 33.0 / 32.0 * (double)problem->value_count / (down_mbit * mbit);
}

static void keep_a_plan_while_rates_vary_little(void)
{
    struct plan_peer peers[PEERS];
    static const double before[2] = {50.0, 50.0};
    static const double little[2] = {51.0, 49.0};
    static const double much[2] = {60.0, 40.0};
    struct plan_problem problem = problem_of(peers, before);
    struct aggregation_plan in_force;
    struct aggregation_plan candidate;
    make(&problem, &in_force);
    CU_ASSERT_EQUAL(in_force.shares[4].chunk_count, 50);
    CU_ASSERT(!plan_is_worth_changing(&problem, &in_force, &in_force));
    (void)problem_of(peers, little);
    make(&problem, &candidate);
    CU_ASSERT_EQUAL(candidate.shares[4].chunk_count, 51);
    CU_ASSERT(!plan_is_worth_changing(&problem, &in_force, &candidate));
    plan_deinit(&candidate);
    (void)problem_of(peers, much);
    make(&problem, &candidate);
    CU_ASSERT_EQUAL(candidate.shares[4].chunk_count, 60);
    CU_ASSERT(plan_is_worth_changing(&problem, &in_force, &candidate));
    /* What it promised once says nothing: both are judged by the rates of now. */
    (void)problem_of(peers, before);
    CU_ASSERT(!plan_is_worth_changing(&problem, &in_force, &candidate));
    CU_ASSERT(plan_is_worth_changing(&problem, &candidate, &in_force));
    plan_deinit(&candidate);
    plan_deinit(&in_force);
}

/* The gather makes nearly all of the step: first 6.7% shorter, then 3.3%, then 6.7% of a part of
 * it. */
static void change_a_plan_for_a_twentieth_of_a_step(void)
{
    struct plan_peer peers[PEERS];
    static const double rates[2] = {1.0, 1.0};
    struct plan_problem problem = problem_of(peers, rates);
    struct plan_share shares[2][PEERS] = {{{0}}};
    for (size_t i = 0; i < 4; i++) {
        shares[0][i] = (struct plan_share){.computes = true, .codec = CODEC_MX8};
        shares[1][i] = shares[0][i];
    }
    struct aggregation_plan in_force = {
        .shares = shares[0], .peer_count = PEERS, .update_codec = CODEC_MX8};
    struct aggregation_plan candidate = in_force;
    candidate.shares = shares[1];
    shares[0][4] = (struct plan_share){.chunk_count = 60};
    shares[0][5] = (struct plan_share){.first_chunk = 60, .chunk_count = 40};
    shares[1][4] = (struct plan_share){.chunk_count = 56};
    shares[1][5] = (struct plan_share){.first_chunk = 56, .chunk_count = 44};
    struct plan_times times;
    plan_predict(&problem, &candidate, &times);
    CU_ASSERT(fabs(times.gather_s - gather_s(&problem, 0.56, 1.0)) < 1e-6 * times.gather_s);
    CU_ASSERT(plan_is_worth_changing(&problem, &in_force, &candidate));
    shares[1][4].chunk_count = 58;
    shares[1][5] = (struct plan_share){.first_chunk = 58, .chunk_count = 42};
    CU_ASSERT(!plan_is_worth_changing(&problem, &in_force, &candidate));
    problem.target_batch = 4000.0 * 0.5 * times.gather_s; /* computing half as long again */
    shares[1][4].chunk_count = 56;
    shares[1][5] = (struct plan_share){.first_chunk = 56, .chunk_count = 44};
    CU_ASSERT(!plan_is_worth_changing(&problem, &in_force, &candidate));
}

static void change_a_plan_whose_owner_is_gone(void)
{
    struct plan_peer peers[PEERS];
    static const double rates[2] = {500.0, 20.0};
    struct plan_problem problem = problem_of(peers, rates);
    struct aggregation_plan in_force;
    struct aggregation_plan candidate;
    make(&problem, &in_force);
    peers[4].aggregates = false;
    make(&problem, &candidate); /* longer */
    CU_ASSERT(candidate.predicted.step_s > 2.0 * in_force.predicted.step_s);
    CU_ASSERT(plan_is_worth_changing(&problem, &in_force, &candidate));
    CU_ASSERT(!plan_is_worth_changing(&problem, &candidate, &candidate));
    plan_deinit(&candidate);
    plan_deinit(&in_force);
}

/* Computing takes longest anyway: what differs is how long after. */
static void change_a_plan_for_fewer_stale_samples(void)
{
    struct plan_peer peers[PEERS];
    static const double before[2] = {50.0, 50.0};
    static const double after[2] = {90.0, 10.0};
    struct plan_problem problem = problem_of(peers, before);
    struct aggregation_plan in_force;
    struct aggregation_plan candidate;
    make(&problem, &in_force);
    (void)problem_of(peers, after);
    make(&problem, &candidate);
    problem.target_batch = 4000.0 * 2.0 * gather_s(&problem, 0.5, 10.0);
    problem.overlap = true;
    CU_ASSERT(plan_is_worth_changing(&problem, &in_force, &candidate));
    CU_ASSERT(!plan_is_worth_changing(&problem, &candidate, &in_force));
    problem.target_batch *= 20.0; /* 2% of the samples */
    CU_ASSERT(!plan_is_worth_changing(&problem, &in_force, &candidate));
    plan_deinit(&candidate);
    plan_deinit(&in_force);
}

static void change_nothing_where_nobody_computes(void)
{
    struct plan_peer peers[PEERS];
    static const double rates[2] = {50.0, 50.0};
    struct plan_problem problem = problem_of(peers, rates);
    struct aggregation_plan some;
    struct aggregation_plan none;
    make(&problem, &some);
    for (size_t i = 0; i < PEERS; i++) {
        peers[i].samples_per_s = 0.0;
    }
    make(&problem, &none);
    CU_ASSERT(!plan_is_worth_changing(&problem, &none, &none));
    (void)problem_of(peers, rates);
    CU_ASSERT(plan_is_worth_changing(&problem, &none, &some));
    CU_ASSERT(!plan_is_worth_changing(&problem, &some, &none));
    plan_deinit(&some);
    plan_deinit(&none);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(keep_a_plan_while_rates_vary_little),
        SUITE_TEST(change_a_plan_for_a_twentieth_of_a_step),
        SUITE_TEST(change_a_plan_whose_owner_is_gone),
        SUITE_TEST(change_a_plan_for_fewer_stale_samples),
        SUITE_TEST(change_nothing_where_nobody_computes),
    };
    return suite_run("plan_change", tests, sizeof tests / sizeof tests[0]);
}
