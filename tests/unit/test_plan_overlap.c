/* Plans for steps that follow each other as a pipeline: solved by hand, and by solvers of our own.
 */
#include "plan_fixture.h"
#include "suite.h"

enum { RANDOM_PROBLEMS = 60, GRID = 10, GRID_ROUNDS = 24, EQUAL_PEERS = 16 };

static const double mx8_bytes = 33.0 / 32.0; /* a value */

static void make(const struct plan_problem *problem, enum plan_strategy strategy,
                 struct aggregation_plan *out)
{
    CU_ASSERT_EQUAL_FATAL(plan_make(problem, strategy, out), STATUS_OK);
}

static bool is_near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fabs(b);
}

static struct plan_problem overlapped(const struct plan_peer *peers, size_t count)
{
    struct plan_problem problem = plan_problem_of(peers, count);
    problem.overlap = true;
    problem.target_batch = 1e-6;
    return problem;
}

/* Nobody but the coordinator owns, and each link carries as much one way as the other: gather and
 * spread of two steps go on at once. */
static void take_half_the_step_with_equal_links_each_way(void)
{
    struct plan_peer peers[4];
    for (size_t i = 0; i < 4; i++) {
        peers[i] = plan_peer_of(100.0, 100.0, false);
    }
    struct plan_problem problem = overlapped(peers, 4);
    double once_s = mx8_bytes * (double)problem.value_count / (100.0 * mbit);
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT(is_near(plan.predicted.step_s, once_s, 1e-6));
    CU_ASSERT(is_near(plan.predicted.gather_s + plan.predicted.spread_s, 2.0 * once_s, 1e-9));
    CU_ASSERT_EQUAL(plan.predicted.stale_share, 1.0);
    plan_deinit(&plan);
    problem.overlap = false;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT(is_near(plan.predicted.step_s, 2.0 * once_s, 1e-6));
    CU_ASSERT_EQUAL(plan.predicted.stale_share, 0.0);
    plan_deinit(&plan);
}

/* As computing takes longer, first the chain of the two phases hides less of it, then all of the
 * moving is hidden, and ever fewer samples are computed meanwhile. */
static void wait_for_links_then_the_chain_then_computing(void)
{
    struct plan_peer peers[4];
    for (size_t i = 0; i < 4; i++) {
        peers[i] = plan_peer_of(50.0, 100.0, false);
    }
    struct plan_problem problem = overlapped(peers, 4);
    double spread_s = mx8_bytes * (double)problem.value_count / (100.0 * mbit);
    /* compute, overhead, period and stale share, in spread_s; gather takes 2 */
    static const double expected[6][4] = {{0.5, 0.0, 2.0, 1.0},   {0.5, 0.3, 2.0, 1.0},
                                          {2.0, 0.0, 2.5, 1.0},   {2.0, 0.2, 2.6, 1.0},
                                          {4.0, 0.5, 4.0, 0.875}, {12.0, 0.0, 12.0, 0.25}};
    for (size_t i = 0; i < 6; i++) {
        problem.target_batch = 4000.0 * expected[i][0] * spread_s;
        problem.overhead_s = expected[i][1] * spread_s;
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &plan);
        CU_ASSERT(is_near(plan.predicted.step_s, expected[i][2] * spread_s, 1e-9));
        CU_ASSERT(is_near(plan.predicted.stale_share, expected[i][3], 1e-9));
        plan_deinit(&plan);
    }
}

/* What goes up is the same however it is shared, so that equal shares are the only best ones. */
static void own_evenly_with_equal_links(void)
{
    struct plan_peer peers[EQUAL_PEERS];
    for (size_t i = 0; i < EQUAL_PEERS; i++) {
        peers[i] = plan_peer_of(100.0, 100.0, true);
    }
    struct plan_problem problem = overlapped(peers, EQUAL_PEERS);
    problem.coordinator_bytes_max = 1.0;
    problem.value_count = (size_t)EQUAL_PEERS * 7 * CODEC_CHUNK_VALUES;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    for (size_t i = 0; i < EQUAL_PEERS; i++) {
        CU_ASSERT_EQUAL(plan.shares[i].chunk_count, 7);
    }
    double others = (EQUAL_PEERS - 1.0) / EQUAL_PEERS;
    double up_bytes_per_value = 2.0 * mx8_bytes * others + 2.0 / EQUAL_PEERS;
    double step_s = up_bytes_per_value * (double)problem.value_count / (100.0 * mbit);
    CU_ASSERT(is_near(plan.predicted.step_s, step_s, 1e-9));
    CU_ASSERT(is_near(plan.bound_step_s, step_s, 3e-3));
    plan_deinit(&plan);
}

/* A slow link is busy with its own contribution and update; whoever owns a share of the vector
 * needs time on its link for that of all. */
static void own_nothing_behind_slow_links(void)
{
    struct plan_peer peers[8];
    for (size_t i = 0; i < 8; i++) {
        double rate = i % 2 == 0 ? 10.0 : 200.0;
        peers[i] = plan_peer_of(rate, rate, true);
    }
    struct plan_problem problem = overlapped(peers, 8);
    problem.coordinator_bytes_max = 1.0;
    problem.value_count = (size_t)104 * CODEC_CHUNK_VALUES;
    struct aggregation_plan plan;
    struct aggregation_plan all_reduce;
    make(&problem, PLAN_ADAPTIVE, &plan);
    make(&problem, PLAN_ALL_REDUCE, &all_reduce);
    for (size_t i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(plan.shares[i].chunk_count, i % 2 == 0 ? 0 : 26);
    }
    double values = (double)problem.value_count;
    CU_ASSERT(is_near(plan.predicted.step_s, mx8_bytes * values / (10.0 * mbit), 1e-6));
    CU_ASSERT(is_near(all_reduce.predicted.step_s,
                      (7.0 / 4.0 * mx8_bytes + 2.0 / 8.0) * values / (10.0 * mbit), 1e-9));
    plan_deinit(&plan);
    plan_deinit(&all_reduce);
}

/* Two that only sum: the slower one's outgoing link is busy with sums and updates. */
static void own_as_much_as_both_phases_leave(void)
{
    struct plan_peer peers[6];
    for (size_t i = 0; i < 6; i++) {
        peers[i] = plan_peer_of(1000.0, 1000.0, i >= 4);
        peers[i].samples_per_s = i < 4 ? 1000.0 : 0.0;
    }
    peers[4].up_bytes_per_s = 60.0 * mbit;
    peers[5].up_bytes_per_s = 15.0 * mbit;
    struct plan_problem problem = overlapped(peers, 6);
    problem.coordinator_bytes_max = 1.0;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(plan.shares[4].chunk_count, 80);
    CU_ASSERT_EQUAL(plan.shares[5].chunk_count, 20);
    double up_bytes = 0.8 * (2.0 + 4.0 * mx8_bytes) * (double)problem.value_count;
    CU_ASSERT(is_near(plan.predicted.step_s, up_bytes / (60.0 * mbit), 1e-9));
    CU_ASSERT(is_near(plan.predicted.busy_s, plan.predicted.step_s, 1e-12));
    plan_deinit(&plan);
}

/* Where computing hides everything, the shares are those of the least gather + spread: stale
 * samples cost too. */
static void move_as_briefly_as_without_overlap_behind_computing(void)
{
    struct random random;
    random_init(&random, 21, 0);
    for (int round = 0; round < RANDOM_PROBLEMS; round++) {
        struct plan_peer peers[10];
        struct plan_problem problem = plan_random_problem(&random, peers, 10);
        struct aggregation_plan plan;
        struct aggregation_plan phases;
        make(&problem, PLAN_ADAPTIVE, &phases);
        double moving_s = phases.predicted.gather_s + phases.predicted.spread_s;
        problem.target_batch *= 1.3 * moving_s / phases.predicted.compute_s;
        problem.overlap = true;
        make(&problem, PLAN_ADAPTIVE, &plan);
        CU_ASSERT(is_near(plan.predicted.step_s, 1.3 * moving_s, 1e-9));
        CU_ASSERT(plan.predicted.gather_s + plan.predicted.spread_s <= moving_s * 1.001);
        CU_ASSERT(is_near(plan.predicted.stale_share, 1.0 / 1.3, 1e-3));
        plan_deinit(&phases);
        plan_deinit(&plan);
    }
}

static void all_compute(const struct plan_problem *problem, struct plan_share *shares)
{
    for (size_t i = 0; i < problem->peer_count; i++) {
        shares[i] = (struct plan_share){.computes = problem->peers[i].samples_per_s > 0.0,
                                        .codec = problem->codecs[0]};
    }
}

/* Of the GRID + 1 shares in each dimension around `centre`, which moves to the best, the period.
 * Three peers; the coordinator gets the rest. */
static double refine_grid(const struct plan_problem *problem, const struct plan_share *shares,
                          double centre[3], double width)
{
    double best_s = INFINITY;
    double best[3] = {0};
    for (int cell = 0; cell < (GRID + 1) * (GRID + 1) * (GRID + 1); cell++) {
        const int at[3] = {cell % (GRID + 1), cell / (GRID + 1) % (GRID + 1),
                           cell / (GRID + 1) / (GRID + 1)};
        double fractions[4] = {1.0};
        for (int i = 0; i < 3; i++) {
            double share = centre[i] + width * (2.0 * at[i] / GRID - 1.0);
            fractions[1 + i] = fmin(fmax(share, 0.0), problem->peers[i].aggregates ? 1.0 : 0.0);
            fractions[0] -= fractions[1 + i];
        }
        bool is_valid = fractions[0] >= -1e-12;
        fractions[0] = fmax(fractions[0], 0.0);
        double step_s = plan_reference_times(problem, shares, fractions).step_s;
        if (is_valid && step_s < best_s) {
            best_s = step_s;
            memcpy(best, fractions + 1, sizeof best);
        }
    }
    memcpy(centre, best, sizeof best);
    return best_s;
}

/* Links alike enough that how the vector is shared decides, not the slowest contributor. */
static void level_links(struct random *random, struct plan_problem *problem,
                        struct plan_peer *peers)
{
    for (size_t i = 0; i < problem->peer_count; i++) {
        peers[i].up_bytes_per_s = 100.0 * pow(2.0, random_uniform(random)) * mbit;
        peers[i].down_bytes_per_s = 100.0 * pow(2.0, random_uniform(random)) * mbit;
        peers[i].pair_bytes_per_s = 0.0;
    }
    problem->coordinator_up_bytes_per_s = 150.0 * pow(2.0, random_uniform(random)) * mbit;
    problem->coordinator_down_bytes_per_s = 250.0 * pow(2.0, random_uniform(random)) * mbit;
}

/* Computing takes as long as moving would, more or less: any of the limits may bind. */
static void set_random_computing(struct random *random, struct plan_problem *problem,
                                 const struct plan_share *shares)
{
    double fractions[FIXTURE_NODES] = {1.0};
    struct plan_times central = plan_reference_times(problem, shares, fractions);
    problem->target_batch *= (central.gather_s + central.spread_s) / central.compute_s * 0.01 *
                             pow(100.0, random_uniform(random));
    problem->overhead_s = random_below(random, 2) == 0 ? 0.0 : 0.1 * central.gather_s;
    problem->overlap = true;
}

static void find_period_with_three_peers_as_a_grid_does(void)
{
    struct random random;
    random_init(&random, 22, 0);
    for (int round = 0; round < RANDOM_PROBLEMS / 2; round++) {
        struct plan_peer peers[3];
        struct plan_share shares[3];
        struct plan_problem problem = plan_random_problem(&random, peers, 3);
        if (round % 2 == 0) {
            level_links(&random, &problem, peers);
        }
        all_compute(&problem, shares);
        set_random_computing(&random, &problem, shares);
        double centre[3] = {0.5, 0.5, 0.5};
        double width = 0.5;
        double grid_s = INFINITY;
        for (int i = 0; i < GRID_ROUNDS; i++, width *= 0.7) {
            grid_s = fmin(grid_s, refine_grid(&problem, shares, centre, width));
        }
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &plan);
        CU_ASSERT(is_near(plan.bound_step_s, grid_s, 5e-3));
        CU_ASSERT(plan.bound_step_s <= grid_s * (1.0 + 1e-6));
        plan_deinit(&plan);
    }
}

static void find_period_with_many_peers_as_bisection_does(void)
{
    struct random random;
    random_init(&random, 23, 0);
    for (int round = 0; round < RANDOM_PROBLEMS; round++) {
        struct plan_peer peers[40];
        struct plan_share shares[40];
        size_t count = 4 + random_below(&random, 37);
        struct plan_problem problem = plan_random_problem(&random, peers, count);
        if (round % 3 != 0) {
            level_links(&random, &problem, peers);
        }
        all_compute(&problem, shares);
        set_random_computing(&random, &problem, shares);
        problem.value_count = count * 400 * CODEC_CHUNK_VALUES; /* whole chunks cost nothing */
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &plan);
        double reference_s = plan_reference_period_s(&problem, shares, plan.predicted.compute_s);
        CU_ASSERT(plan.bound_step_s <= reference_s * (1.0 + 1e-5));
        CU_ASSERT(plan.bound_step_s >= reference_s * 0.997);
        CU_ASSERT(plan.predicted.step_s >= reference_s * (1.0 - 1e-5));
        CU_ASSERT(plan.predicted.step_s <= reference_s * 1.01);
        plan_deinit(&plan);
    }
}

/* Never longer than one step after the other, nor shorter than half of it. */
static void gain_up_to_half_the_step(void)
{
    struct random random;
    random_init(&random, 24, 0);
    for (int round = 0; round < RANDOM_PROBLEMS; round++) {
        struct plan_peer peers[20];
        struct plan_problem problem = plan_random_problem(&random, peers, 20);
        struct aggregation_plan phases;
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &phases);
        problem.overlap = true;
        make(&problem, PLAN_ADAPTIVE, &plan);
        CU_ASSERT(plan.bound_step_s <= phases.bound_step_s * (1.0 + 1e-6));
        CU_ASSERT(plan.predicted.step_s >= 0.5 * phases.bound_step_s * (1.0 - 1e-6));
        plan_deinit(&phases);
        plan_deinit(&plan);
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(take_half_the_step_with_equal_links_each_way),
        SUITE_TEST(wait_for_links_then_the_chain_then_computing),
        SUITE_TEST(own_evenly_with_equal_links),
        SUITE_TEST(own_nothing_behind_slow_links),
        SUITE_TEST(own_as_much_as_both_phases_leave),
        SUITE_TEST(move_as_briefly_as_without_overlap_behind_computing),
        SUITE_TEST(find_period_with_three_peers_as_a_grid_does),
        SUITE_TEST(find_period_with_many_peers_as_bisection_does),
        SUITE_TEST(gain_up_to_half_the_step),
    };
    return suite_run("plan_overlap", tests, sizeof tests / sizeof tests[0]);
}
