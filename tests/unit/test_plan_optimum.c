/* Plans against solvers of our own: the program's optimum, its prediction, the choice of who rests.
 */
#include "plan_fixture.h"
#include "suite.h"

enum { RANDOM_PROBLEMS = 60, GRID = 10, GRID_ROUNDS = 24, SUBSET_PEERS = 5, SUBSET_PROBLEMS = 12 };

static void make(const struct plan_problem *problem, enum plan_strategy strategy,
                 struct aggregation_plan *out)
{
    CU_ASSERT_EQUAL_FATAL(plan_make(problem, strategy, out), STATUS_OK);
}

/* All that can, with the first codec. */
static void all_compute(const struct plan_problem *problem, struct plan_share *shares)
{
    for (size_t i = 0; i < problem->peer_count; i++) {
        shares[i] = (struct plan_share){.computes = problem->peers[i].samples_per_s > 0.0,
                                        .codec = problem->codecs[0]};
    }
}

static bool is_near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fabs(b);
}

/* Moving seconds of the best of the GRID + 1 shares in each dimension around `centre`, which moves
 * to the best. Three peers; the coordinator gets the rest. */
static double refine_grid(const struct plan_problem *problem, const struct plan_share *shares,
                          double centre[3], double width)
{
    double best_s = INFINITY;
    double best[3] = {0};
    for (int cell = 0; cell < (GRID + 1) * (GRID + 1) * (GRID + 1); cell++) {
        const int at[3] = {cell % (GRID + 1), cell / (GRID + 1) % (GRID + 1),
                           cell / (GRID + 1) / (GRID + 1)};
        double fractions[4] = {1.0};
        bool is_valid = true;
        for (int i = 0; i < 3; i++) {
            double share = centre[i] + width * (2.0 * at[i] / GRID - 1.0);
            share = fmin(fmax(share, 0.0), problem->peers[i].aggregates ? 1.0 : 0.0);
            fractions[1 + i] = share;
            fractions[0] -= share;
        }
        is_valid = fractions[0] >= -1e-12;
        fractions[0] = fmax(fractions[0], 0.0);
        struct plan_times times = plan_reference_times(problem, shares, fractions);
        if (is_valid && times.gather_s + times.spread_s < best_s) {
            best_s = times.gather_s + times.spread_s;
            memcpy(best, fractions + 1, sizeof best);
        }
    }
    memcpy(centre, best, sizeof best);
    return best_s;
}

static void find_optimum_with_three_peers_as_a_grid_does(void)
{
    struct random random;
    random_init(&random, 7, 0);
    for (int round = 0; round < RANDOM_PROBLEMS / 2; round++) {
        struct plan_peer peers[3];
        struct plan_share shares[3];
        struct plan_problem problem = plan_random_problem(&random, peers, 3);
        all_compute(&problem, shares);
        double centre[3] = {0.5, 0.5, 0.5};
        double width = 0.5;
        double grid_s = INFINITY;
        for (int i = 0; i < GRID_ROUNDS; i++, width *= 0.7) {
            grid_s = fmin(grid_s, refine_grid(&problem, shares, centre, width));
        }
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &plan);
        double moving_s = plan.bound_step_s - plan.predicted.compute_s;
        CU_ASSERT(is_near(moving_s, grid_s, 2e-3));
        CU_ASSERT(moving_s <= grid_s * (1.0 + 1e-6));
        plan_deinit(&plan);
    }
}

static void find_optimum_with_many_peers_as_bisection_does(void)
{
    struct random random;
    random_init(&random, 8, 0);
    for (int round = 0; round < RANDOM_PROBLEMS; round++) {
        struct plan_peer peers[40];
        struct plan_share shares[40];
        size_t count = 4 + random_below(&random, 37);
        struct plan_problem problem = plan_random_problem(&random, peers, count);
        size_t owner_count = 0;
        for (size_t i = 0; i < count; i++) {
            owner_count += peers[i].aggregates ? 1 : 0;
        }
        problem.fraction_max = owner_count < 5 ? 1.0 : 0.2 + 0.3 * random_uniform(&random);
        all_compute(&problem, shares);
        double reference_s = plan_reference_moving_s(&problem, shares);
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &plan);
        CU_ASSERT(is_near(plan.bound_step_s - plan.predicted.compute_s, reference_s, 1e-5));
        plan_deinit(&plan);
    }
}

static void predict_any_plan_as_its_transfers_take(void)
{
    struct random random;
    random_init(&random, 9, 0);
    for (int round = 0; round < RANDOM_PROBLEMS; round++) {
        struct plan_peer peers[12];
        struct plan_problem problem = plan_random_problem(&random, peers, 12);
        problem.overlap = random_below(&random, 2) == 0;
        problem.overhead_s = 3.0 * random_uniform(&random);
        struct plan_share shares[12] = {0};
        struct aggregation_plan plan = {
            .shares = shares, .peer_count = 12, .update_codec = CODEC_BF16};
        uint32_t count =
            (uint32_t)((problem.value_count + CODEC_CHUNK_VALUES - 1) / CODEC_CHUNK_VALUES);
        double fractions[13];
        uint32_t next = (uint32_t)random_below(&random, count / 4);
        plan.coordinator_chunk_count = next;
        fractions[0] = plan_share_of_values(&problem, 0, next);
        for (uint32_t i = 0; i < 12; i++) {
            uint32_t taken = i == 11 ? count - next : (uint32_t)random_below(&random, count / 16);
            shares[i] = (struct plan_share){.computes = i == 0 || random_below(&random, 3) != 0,
                                            .codec = (enum codec)(1 + random_below(&random, 3)),
                                            .first_chunk = next,
                                            .chunk_count = taken};
            fractions[1 + i] = plan_share_of_values(&problem, next, taken);
            next += taken;
        }
        struct plan_times times;
        plan_predict(&problem, &plan, &times);
        problem.update_codecs[0] = CODEC_BF16;
        struct plan_times reference = plan_reference_times(&problem, shares, fractions);
        CU_ASSERT(is_near(times.compute_s, reference.compute_s, 1e-12));
        CU_ASSERT(is_near(times.gather_s, reference.gather_s, 1e-12));
        CU_ASSERT(is_near(times.spread_s, reference.spread_s, 1e-12));
        CU_ASSERT(is_near(times.busy_s, reference.busy_s, 1e-12));
        CU_ASSERT(is_near(times.step_s, reference.step_s, 1e-12));
        CU_ASSERT(is_near(times.stale_share, reference.stale_share, 1e-12));
        CU_ASSERT(is_near(times.coordinator_up_bytes, reference.coordinator_up_bytes, 1e-12));
        CU_ASSERT(is_near(times.coordinator_down_bytes, reference.coordinator_down_bytes, 1e-12));
    }
}

/* The one owner computes too, with the largest contribution, and has a slow pair: only what others
 * send crosses it. */
static void predict_what_others_send_to_an_owner(void)
{
    struct plan_peer peers[3] = {plan_peer_of(1000.0, 1000.0, false),
                                 plan_peer_of(1000.0, 1000.0, true),
                                 plan_peer_of(1000.0, 1000.0, false)};
    peers[1].pair_bytes_per_s = 10.0 * mbit;
    struct plan_problem problem = plan_problem_of(peers, 3);
    struct plan_share shares[3] = {{.computes = true, .codec = CODEC_MX8},
                                   {.computes = true, .codec = CODEC_FP32, .chunk_count = 100},
                                   {.computes = true, .codec = CODEC_BF16}};
    struct aggregation_plan plan = {.shares = shares, .peer_count = 3, .update_codec = CODEC_MX8};
    struct plan_times times;
    double values = (double)problem.value_count;
    plan_predict(&problem, &plan, &times);
    CU_ASSERT(is_near(times.gather_s, 2.0 * values / (10.0 * mbit), 1e-12));
    /* Now it only sums, and its own slow link brings it the updates that it fans out. */
    shares[1].computes = false;
    peers[1] = (struct plan_peer){.up_bytes_per_s = 1000.0 * mbit, .down_bytes_per_s = 10.0 * mbit};
    plan_predict(&problem, &plan, &times);
    CU_ASSERT(is_near(times.spread_s, 33.0 / 32.0 * values / (10.0 * mbit), 1e-12));
}

static void never_be_slower_with_a_faster_link(void)
{
    struct random random;
    random_init(&random, 10, 0);
    for (int round = 0; round < RANDOM_PROBLEMS; round++) {
        struct plan_peer peers[10];
        struct plan_problem problem = plan_random_problem(&random, peers, 10);
        struct aggregation_plan before;
        struct aggregation_plan after;
        make(&problem, PLAN_ADAPTIVE, &before);
        size_t which = random_below(&random, 10);
        double factor = 1.0 + 3.0 * random_uniform(&random);
        peers[which].up_bytes_per_s *= factor;
        peers[which].down_bytes_per_s *= 1.0 + 3.0 * random_uniform(&random);
        peers[which].pair_bytes_per_s *= factor;
        problem.coordinator_down_bytes_per_s *= round % 2 == 0 ? 1.0 : 1.5;
        make(&problem, PLAN_ADAPTIVE, &after);
        CU_ASSERT(after.bound_step_s <= before.bound_step_s * (1.0 + 1e-6));
        plan_deinit(&before);
        plan_deinit(&after);
    }
}

/* The best over all sets of those that compute. */
static double best_subset_s(const struct plan_problem *problem)
{
    double best_s = INFINITY;
    for (unsigned set = 1; set < 1U << SUBSET_PEERS; set++) {
        struct plan_share shares[SUBSET_PEERS];
        double samples_per_s = 0.0;
        for (unsigned i = 0; i < SUBSET_PEERS; i++) {
            bool computes = (set >> i & 1U) != 0 && problem->peers[i].samples_per_s > 0.0;
            shares[i] = (struct plan_share){.computes = computes, .codec = problem->codecs[0]};
            samples_per_s += computes ? problem->peers[i].samples_per_s : 0.0;
        }
        if (samples_per_s > 0.0) {
            best_s = fmin(best_s, problem->target_batch / samples_per_s +
                                      plan_reference_moving_s(problem, shares));
        }
    }
    return best_s;
}

/* Dropping in two orders is no search of all sets: the worst of many may miss some. */
static void let_nearly_the_best_set_compute(void)
{
    struct random random;
    random_init(&random, 11, 0);
    double sum = 0.0;
    double worst = 0.0;
    for (int round = 0; round < SUBSET_PROBLEMS; round++) {
        struct plan_peer peers[SUBSET_PEERS];
        struct plan_problem problem = plan_random_problem(&random, peers, SUBSET_PEERS);
        problem.may_rest = true;
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &plan);
        double ratio = plan.bound_step_s / best_subset_s(&problem);
        CU_ASSERT(ratio >= 1.0 - 1e-4);
        sum += ratio;
        worst = fmax(worst, ratio);
        plan_deinit(&plan);
    }
    CU_ASSERT(sum < 1.05 * SUBSET_PROBLEMS);
    CU_ASSERT(worst < 1.3);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(find_optimum_with_three_peers_as_a_grid_does),
        SUITE_TEST(find_optimum_with_many_peers_as_bisection_does),
        SUITE_TEST(predict_any_plan_as_its_transfers_take),
        SUITE_TEST(predict_what_others_send_to_an_owner),
        SUITE_TEST(never_be_slower_with_a_faster_link),
        SUITE_TEST(let_nearly_the_best_set_compute),
    };
    return suite_run("plan_optimum", tests, sizeof tests / sizeof tests[0]);
}
