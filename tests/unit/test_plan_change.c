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

/* All compute and sum, over links of the same speed but for `odd_mbit`, which is the first one's.
 */
static void choose_among(double odd_mbit, struct aggregation_plan *out_chosen,
                         struct aggregation_plan *out_even)
{
    struct plan_peer peers[PEERS];
    for (size_t i = 0; i < PEERS; i++) {
        double mbits = i == 0 ? odd_mbit : 100.0;
        peers[i] = plan_peer_of(mbits, mbits, true);
        peers[i].samples_per_s = 1000.0;
    }
    struct plan_problem problem = plan_problem_of(peers, PEERS);
    problem.target_batch = 1e-6;
    problem.overlap = true;
    problem.coordinator_up_bytes_per_s = 100.0 * mbit;
    problem.coordinator_down_bytes_per_s = 100.0 * mbit;
    CU_ASSERT_EQUAL_FATAL(plan_choose(&problem, out_chosen), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(plan_make(&problem, PLAN_ALL_REDUCE, out_even), STATUS_OK);
}

static bool same_shares(const struct aggregation_plan *a, const struct aggregation_plan *b)
{
    bool same = a->coordinator_chunk_count == b->coordinator_chunk_count;
    for (size_t i = 0; i < PEERS; i++) {
        same = same && a->shares[i].chunk_count == b->shares[i].chunk_count;
    }
    return same;
}

static void choose_with_nearly_equal_links_cuts_evenly(void)
{
    struct aggregation_plan chosen;
    struct aggregation_plan even;
    choose_among(99.0, &chosen, &even);
    CU_ASSERT(same_shares(&chosen, &even));
    plan_deinit(&chosen);
    plan_deinit(&even);
}

static void choose_with_a_slow_link_spares_it(void)
{
    struct aggregation_plan chosen;
    struct aggregation_plan even;
    choose_among(25.0, &chosen, &even);
    CU_ASSERT(!same_shares(&chosen, &even));
    CU_ASSERT(chosen.shares[0].chunk_count < even.shares[0].chunk_count);
    CU_ASSERT(chosen.predicted.step_s < 0.95 * even.predicted.step_s);
    plan_deinit(&chosen);
    plan_deinit(&even);
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

/* Without owners, over slow links: coarser updates shorten the step by `gain`. */
static double gain_of_coarse_updates(double target_batch, bool *out_goes, bool *out_comes)
{
    struct plan_peer peers[PEERS];
    struct plan_share shares[PEERS] = {{0}};
    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = plan_peer_of(1000.0, 10.0, false);
        peers[i].samples_per_s = 1000.0;
        shares[i] = (struct plan_share){.computes = true, .codec = CODEC_MX8};
    }
    struct plan_problem problem = plan_problem_of(peers, PEERS);
    problem.target_batch = target_batch;
    struct aggregation_plan fine = {.shares = shares,
                                    .peer_count = PEERS,
                                    .coordinator_chunk_count = 100,
                                    .update_codec = CODEC_MX8};
    struct aggregation_plan coarse = fine;
    coarse.update_codec = CODEC_MX4;
    struct plan_times times[2];
    plan_predict(&problem, &fine, &times[0]);
    plan_predict(&problem, &coarse, &times[1]);
    *out_goes = plan_is_worth_changing(&problem, &coarse, &fine);
    *out_comes = plan_is_worth_changing(&problem, &fine, &coarse);
    return 1.0 - times[1].step_s / times[0].step_s;
}

/* It costs accuracy: with less than a twentieth to gain it goes, though steps are then longer. */
static void keep_a_coarse_codec_of_updates_while_it_gains_a_twentieth(void)
{
    bool goes = false;
    bool comes = false;
    double gain = gain_of_coarse_updates(1e-6, &goes, &comes);
    CU_ASSERT(gain > 0.1);
    CU_ASSERT(!goes && comes);
    double batch = 1.0;
    while ((gain = gain_of_coarse_updates(batch, &goes, &comes)) > 0.08) {
        batch *= 1.1;
    }
    CU_ASSERT(gain > 0.05 && !goes);
    while ((gain = gain_of_coarse_updates(batch, &goes, &comes)) > 0.045) {
        batch *= 1.1;
    }
    CU_ASSERT(gain > 0.0 && goes && !comes);
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
        SUITE_TEST(choose_with_nearly_equal_links_cuts_evenly),
        SUITE_TEST(choose_with_a_slow_link_spares_it),
        SUITE_TEST(keep_a_plan_while_rates_vary_little),
        SUITE_TEST(change_a_plan_for_a_twentieth_of_a_step),
        SUITE_TEST(keep_a_coarse_codec_of_updates_while_it_gains_a_twentieth),
        SUITE_TEST(change_a_plan_whose_owner_is_gone),
        SUITE_TEST(change_a_plan_for_fewer_stale_samples),
        SUITE_TEST(change_nothing_where_nobody_computes),
    };
    return suite_run("plan_change", tests, sizeof tests / sizeof tests[0]);
}
