/* Plans solved by hand, and their limits. */
#include "common/clock.h"
#include "coordinator/plan/aggregation_plan.h"
#include "plan_fixture.h"
#include "suite.h"

#include <stdlib.h>

enum { EQUAL_PEERS = 128, RANDOM_PEERS_MAX = 40, RANDOM_PROBLEMS = 200, MANY_PEERS = 1000 };

static void make(const struct plan_problem *problem, enum plan_strategy strategy,
                 struct aggregation_plan *out)
{
    CU_ASSERT_EQUAL_FATAL(plan_make(problem, strategy, out), STATUS_OK);
}

static bool is_near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fabs(b);
}

static size_t count_computing(const struct aggregation_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->peer_count; i++) {
        count += plan->shares[i].computes ? 1 : 0;
    }
    return count;
}

/* The coordinator waits for all sums to come in, so it has no time for a share of its own. */
static void own_evenly_with_equal_links(void)
{
    struct plan_peer peers[EQUAL_PEERS];
    for (size_t i = 0; i < EQUAL_PEERS; i++) {
        peers[i] = plan_peer_of(100.0, 100.0, true);
    }
    struct plan_problem problem = plan_problem_of(peers, EQUAL_PEERS);
    problem.coordinator_up_bytes_per_s = 150.0 * mbit;
    problem.coordinator_down_bytes_per_s = 150.0 * mbit;
    problem.value_count = (size_t)EQUAL_PEERS * 7 * CODEC_CHUNK_VALUES;
    struct aggregation_plan adaptive;
    struct aggregation_plan all_reduce;
    make(&problem, PLAN_ADAPTIVE, &adaptive);
    make(&problem, PLAN_ALL_REDUCE, &all_reduce);
    CU_ASSERT_EQUAL(adaptive.coordinator_chunk_count, 0);
    for (size_t i = 0; i < EQUAL_PEERS; i++) {
        CU_ASSERT_EQUAL(adaptive.shares[i].chunk_count, 7);
        CU_ASSERT_EQUAL(adaptive.shares[i].first_chunk, 7 * i);
        CU_ASSERT(adaptive.shares[i].computes);
    }
    CU_ASSERT(is_near(adaptive.predicted.step_s, all_reduce.predicted.step_s, 1e-12));
    plan_deinit(&adaptive);
    plan_deinit(&all_reduce);
}

/* Contributors are not among them, so all-reduce is no way out. */
static void own_evenly_as_equal_aggregators(void)
{
    enum { CONTRIBUTORS = 8, OWNERS = 120, PEERS = CONTRIBUTORS + OWNERS };
    struct plan_peer peers[PEERS];
    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = plan_peer_of(100.0, 100.0, i >= CONTRIBUTORS);
        peers[i].samples_per_s = i < CONTRIBUTORS ? 1000.0 : 0.0;
    }
    struct plan_problem problem = plan_problem_of(peers, PEERS);
    problem.coordinator_bytes_max = 1.0;
    problem.value_count = (size_t)OWNERS * 3 * CODEC_CHUNK_VALUES;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    for (size_t i = 0; i < PEERS; i++) {
        CU_ASSERT_EQUAL(plan.shares[i].chunk_count, i < CONTRIBUTORS ? 0 : 3);
    }
    plan_deinit(&plan);
}

/* A five hundredth of the vector is not worth a connection of every contributor. */
static void own_nothing_rather_than_little(void)
{
    struct plan_peer peers[6];
    for (size_t i = 0; i < 6; i++) {
        peers[i] = plan_peer_of(1000.0, 1000.0, i >= 4);
        peers[i].samples_per_s = i < 4 ? 1000.0 : 0.0;
    }
    peers[5] = plan_peer_of(2.0, 2.0, true);
    peers[5].samples_per_s = 0.0;
    struct plan_problem problem = plan_problem_of(peers, 6);
    problem.coordinator_bytes_max = 1.0;
    problem.value_count = (size_t)3000 * CODEC_CHUNK_VALUES;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(plan.shares[4].chunk_count, 3000);
    CU_ASSERT_EQUAL(plan.shares[5].chunk_count, 0);
    plan_deinit(&plan);
}

/* Four behind NAT, and one that only sums: what is left to wait for is the coordinator, which
 * gets every sum and sends every update once. */
static void own_all_as_the_one_fast_aggregator(void)
{
    struct plan_peer peers[5];
    for (size_t i = 0; i < 5; i++) {
        peers[i] = plan_peer_of(100.0, 100.0, false);
    }
    peers[2] = plan_peer_of(1000.0, 1000.0, true);
    peers[2].samples_per_s = 0.0;
    struct plan_problem problem = plan_problem_of(peers, 5);
    problem.coordinator_up_bytes_per_s = 80.0 * mbit;
    problem.coordinator_down_bytes_per_s = 80.0 * mbit;
    problem.fraction_max = 0.25; /* relaxed: nobody else can own */
    problem.target_batch = 4000.0;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(plan.shares[2].chunk_count, 100);
    CU_ASSERT_EQUAL(plan.coordinator_chunk_count, 0);
    double values = (double)problem.value_count;
    CU_ASSERT(is_near(plan.predicted.compute_s, 1.0, 1e-12));
    CU_ASSERT(is_near(plan.predicted.gather_s, 2.0 * values / (80.0 * mbit), 1e-9));
    CU_ASSERT(is_near(plan.predicted.spread_s, 33.0 / 32.0 * values / (80.0 * mbit), 1e-9));
    CU_ASSERT(is_near(plan.bound_step_s, plan.predicted.step_s, 1e-6));
    plan_deinit(&plan);
}

/* Two that only sum, whose incoming links alone are slow, 3 to 1. The coordinator's traffic rises
 * with its share, so it has none. */
static void own_as_much_as_links_carry(void)
{
    struct plan_peer peers[6];
    for (size_t i = 0; i < 6; i++) {
        peers[i] = plan_peer_of(1000.0, 1000.0, i >= 4);
        peers[i].samples_per_s = i < 4 ? 1000.0 : 0.0;
    }
    peers[4].down_bytes_per_s = 90.0 * mbit;
    peers[5].down_bytes_per_s = 30.0 * mbit;
    struct plan_problem problem = plan_problem_of(peers, 6);
    problem.coordinator_bytes_max = 1.0;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(plan.shares[4].chunk_count, 75);
    CU_ASSERT_EQUAL(plan.shares[5].chunk_count, 25);
    CU_ASSERT(is_near(plan.predicted.gather_s,
                      0.75 * 4.0 * 33.0 / 32.0 * (double)problem.value_count / (90.0 * mbit),
                      1e-9));
    plan_deinit(&plan);
}

/* The same, with the pair that was measured instead of the link. */
static void own_little_behind_a_slow_pair(void)
{
    struct plan_peer peers[6];
    for (size_t i = 0; i < 6; i++) {
        peers[i] = plan_peer_of(1000.0, 1000.0, i >= 4);
        peers[i].samples_per_s = i < 4 ? 1000.0 : 0.0;
    }
    peers[4].pair_bytes_per_s = 20.0 * mbit;
    peers[5].pair_bytes_per_s = 5.0 * mbit;
    struct plan_problem problem = plan_problem_of(peers, 6);
    problem.coordinator_bytes_max = 1.0;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(plan.shares[4].chunk_count, 80);
    CU_ASSERT_EQUAL(plan.shares[5].chunk_count, 20);
    plan_deinit(&plan);
}

/* Slow links of contributors leave everybody else time: the coordinator then takes what makes its
 * own traffic least. */
static void own_centrally_only_what_saves_the_coordinator_traffic(void)
{
    struct plan_peer peers[6];
    for (size_t i = 0; i < 6; i++) {
        peers[i] = plan_peer_of(i < 4 ? 10.0 : 500.0, i < 4 ? 10.0 : 500.0, i >= 4);
        peers[i].samples_per_s = i < 4 ? 1000.0 : 0.0;
    }
    struct plan_problem problem = plan_problem_of(peers, 6);
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(plan.coordinator_chunk_count, 0);
    CU_ASSERT_EQUAL(plan.shares[4].chunk_count, 50);
    plan_deinit(&plan);
    for (size_t i = 1; i < 4; i++) {
        peers[i].samples_per_s = 0.0; /* one contribution is less than the exact sums of it */
    }
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(plan.coordinator_chunk_count, 100);
    plan_deinit(&plan);
}

static void keep_shares_below_the_limit(void)
{
    struct plan_peer peers[6];
    for (size_t i = 0; i < 6; i++) {
        peers[i] = plan_peer_of(20.0, 20.0, i != 5);
    }
    peers[0] = plan_peer_of(1000.0, 1000.0, true);
    struct plan_problem problem = plan_problem_of(peers, 6);
    problem.coordinator_up_bytes_per_s = 10.0 * mbit;
    problem.fraction_max = 0.3;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(plan.shares[0].chunk_count, 30);
    CU_ASSERT(plan_covers_all(&problem, &plan));
    plan_deinit(&plan);
    problem.fraction_max = 0.1; /* five cannot own all: a fifth each */
    make(&problem, PLAN_ADAPTIVE, &plan);
    for (size_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(plan.shares[i].chunk_count, 20);
    }
    plan_deinit(&plan);
}

/* Ten chunks, of which ten slow owners should have half a chunk each: what rounding down leaves
 * over loads the fast one least. */
static void keep_shares_below_the_limit_when_cut(void)
{
    struct plan_peer peers[13];
    for (size_t i = 0; i < 13; i++) {
        double rate = i == 0 || i > 10 ? 1000.0 : 100.0;
        peers[i] = plan_peer_of(rate, rate, i <= 10);
        peers[i].samples_per_s = i <= 10 ? 0.0 : 1000.0;
    }
    struct plan_problem problem = plan_problem_of(peers, 13);
    problem.coordinator_bytes_max = 1.0;
    problem.value_count = (size_t)10 * CODEC_CHUNK_VALUES;
    problem.fraction_max = 0.5;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(plan.shares[0].chunk_count, 5);
    CU_ASSERT(plan_covers_all(&problem, &plan));
    plan_deinit(&plan);
}

/* All-reduce would give two peers half each, which is faster than the third of slow owners. */
static void keep_shares_below_the_limit_though_all_reduce_is_faster(void)
{
    struct plan_peer peers[6];
    for (size_t i = 0; i < 6; i++) {
        double rate = i < 2 ? 1000.0 : 20.0;
        peers[i] = plan_peer_of(rate, rate, true);
        peers[i].samples_per_s = i < 2 ? 1000.0 : 0.0;
    }
    struct plan_problem problem = plan_problem_of(peers, 6);
    problem.coordinator_bytes_max = 1.0;
    problem.fraction_max = 0.2;
    struct aggregation_plan plan;
    struct aggregation_plan all_reduce;
    make(&problem, PLAN_ADAPTIVE, &plan);
    make(&problem, PLAN_ALL_REDUCE, &all_reduce);
    CU_ASSERT(all_reduce.predicted.step_s < plan.predicted.step_s);
    for (size_t i = 0; i < 6; i++) {
        CU_ASSERT(plan.shares[i].chunk_count <= 20);
    }
    CU_ASSERT_EQUAL(all_reduce.shares[1].chunk_count, 50);
    plan_deinit(&plan);
    plan_deinit(&all_reduce);
}

static void keep_the_coordinators_traffic_below_its_limit(void)
{
    struct plan_peer *peers = calloc(MANY_PEERS, sizeof *peers);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peers);
    for (size_t i = 0; i < MANY_PEERS; i++) {
        peers[i] = plan_peer_of(100.0, 100.0, true);
    }
    struct plan_problem problem = plan_problem_of(peers, MANY_PEERS);
    problem.value_count = 124000000;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    double free_bytes = plan.predicted.coordinator_up_bytes + plan.predicted.coordinator_down_bytes;
    double free_s = plan.predicted.step_s;
    plan_deinit(&plan);
    CU_ASSERT(free_bytes > 16.0 * (double)problem.value_count);
    for (int i = 0; i < 8; i++) {
        problem.coordinator_bytes_max = (4.0 + 1.7 * i) * (double)problem.value_count;
        make(&problem, PLAN_ADAPTIVE, &plan);
        double bytes = plan.predicted.coordinator_up_bytes + plan.predicted.coordinator_down_bytes;
        CU_ASSERT(bytes <= problem.coordinator_bytes_max);
        CU_ASSERT(plan.predicted.step_s < 1.1 * free_s);
        plan_deinit(&plan);
    }
    problem.coordinator_up_bytes_per_s = 0.0; /* a parameter server would be fastest */
    problem.coordinator_down_bytes_per_s = 0.0;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT(plan.predicted.coordinator_up_bytes + plan.predicted.coordinator_down_bytes <=
              problem.coordinator_bytes_max);
    plan_deinit(&plan);
    free(peers);
}

/* Half the machines, on links a hundred times slower. */
static void let_slow_links_rest_only_where_it_pays(void)
{
    struct plan_peer peers[8];
    for (size_t i = 0; i < 8; i++) {
        double rate = i % 2 == 0 ? 500.0 : 5.0;
        peers[i] = plan_peer_of(rate, rate, i == 1 || i == 2);
    }
    struct plan_problem problem = plan_problem_of(peers, 8);
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(count_computing(&plan), 8);
    plan_deinit(&plan);
    problem.may_rest = true;
    problem.target_batch = 4000.0;
    make(&problem, PLAN_ADAPTIVE, &plan);
    for (size_t i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(plan.shares[i].computes, i % 2 == 0);
    }
    plan_deinit(&plan);
    problem.target_batch = 400000.0; /* 50 s to compute with all, against 11 s to move */
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(count_computing(&plan), 8);
    plan_deinit(&plan);
}

/* Without the one link that is a tenth slower, steps would be 1% shorter. */
static void let_nobody_rest_for_little(void)
{
    static struct plan_peer peers[100];
    for (size_t i = 0; i < 100; i++) {
        double rate = i == 50 ? 90.0 : 100.0;
        peers[i] = plan_peer_of(rate, rate, false);
    }
    struct plan_problem problem = plan_problem_of(peers, 100);
    problem.coordinator_up_bytes_per_s = 0.0;
    problem.coordinator_down_bytes_per_s = 0.0;
    problem.target_batch = 216000.0;
    struct aggregation_plan all;
    struct aggregation_plan without;
    make(&problem, PLAN_ADAPTIVE, &all);
    problem.may_rest = true;
    peers[50].up_bytes_per_s = 50.0 * mbit;
    make(&problem, PLAN_ADAPTIVE, &without);
    CU_ASSERT(!without.shares[50].computes);
    plan_deinit(&without);
    peers[50].up_bytes_per_s = 90.0 * mbit;
    make(&problem, PLAN_ADAPTIVE, &without);
    CU_ASSERT(without.shares[50].computes);
    CU_ASSERT(is_near(without.predicted.step_s, all.predicted.step_s, 1e-12));
    plan_deinit(&all);
    plan_deinit(&without);
}

/* Nobody owns but the coordinator, whose link a slow machine costs as much as a fast one. */
static void let_slow_machines_rest_where_links_are_equal(void)
{
    struct plan_peer peers[20];
    for (size_t i = 0; i < 20; i++) {
        peers[i] = plan_peer_of(100.0, 100.0, false);
        peers[i].samples_per_s = i % 2 == 0 ? 100.0 : 0.1;
    }
    struct plan_problem problem = plan_problem_of(peers, 20);
    problem.coordinator_up_bytes_per_s = 20.0 * mbit;
    problem.coordinator_down_bytes_per_s = 20.0 * mbit;
    problem.target_batch = 100000.0;
    problem.may_rest = true;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    for (size_t i = 1; i < 20; i += 2) {
        CU_ASSERT(!plan.shares[i].computes);
    }
    CU_ASSERT(count_computing(&plan) > 0);
    plan_deinit(&plan);
}

static void use_a_coarser_codec_on_slow_links_alone(void)
{
    struct plan_peer peers[9];
    for (size_t i = 0; i < 9; i++) {
        double up = i % 3 == 0 ? 10.0 : i % 3 == 1 ? 25.0 : 100.0;
        peers[i] = plan_peer_of(up, 1000.0, false);
    }
    struct plan_problem problem = plan_problem_of(peers, 9);
    problem.codecs[0] = CODEC_FP32;
    problem.codecs[1] = CODEC_BF16;
    problem.codecs[2] = CODEC_MX8;
    problem.codec_count = 3;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    for (size_t i = 0; i < 9; i++) {
        static const enum codec expected[] = {CODEC_MX8, CODEC_BF16, CODEC_FP32};
        CU_ASSERT_EQUAL(plan.shares[i].codec, expected[i % 3]);
    }
    plan_deinit(&plan);
    problem.target_batch = 1e7; /* the links no longer matter */
    make(&problem, PLAN_ADAPTIVE, &plan);
    for (size_t i = 0; i < 9; i++) {
        CU_ASSERT_EQUAL(plan.shares[i].codec, CODEC_FP32);
    }
    plan_deinit(&plan);
}

/* The links down, that updates wait for, from the slowest to where contributions take longest. */
static void use_a_coarser_codec_for_updates_only_for_a_tenth_of_a_step(void)
{
    static const double down_mbit[] = {20.0, 200.0, 1000.0};
    static const enum codec expected[] = {CODEC_MX8, CODEC_BF16, CODEC_FP32};
    for (size_t i = 0; i < 3; i++) {
        struct plan_peer peers[4];
        for (size_t j = 0; j < 4; j++) {
            peers[j] = plan_peer_of(20.0, down_mbit[i], false);
        }
        struct plan_problem problem = plan_problem_of(peers, 4);
        problem.coordinator_up_bytes_per_s = 0.0;
        problem.update_codecs[0] = CODEC_FP32;
        problem.update_codecs[1] = CODEC_BF16;
        problem.update_codecs[2] = CODEC_MX8;
        problem.update_codec_count = 3;
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &plan);
        CU_ASSERT_EQUAL(plan.update_codec, expected[i]);
        struct plan_times times;
        plan_predict(&problem, &plan, &times);
        CU_ASSERT_EQUAL(times.step_s, plan.predicted.step_s);
        plan_deinit(&plan);
        make(&problem, PLAN_PARAMETER_SERVER, &plan);
        CU_ASSERT_EQUAL(plan.update_codec, CODEC_FP32);
        plan_deinit(&plan);
        problem.target_batch = 1e7; /* the links no longer matter */
        make(&problem, PLAN_ADAPTIVE, &plan);
        CU_ASSERT_EQUAL(plan.update_codec, CODEC_FP32);
        plan_deinit(&plan);
    }
}

static void hide_moving_behind_computing_with_overlap(void)
{
    struct plan_peer peers[8];
    for (size_t i = 0; i < 8; i++) {
        double rate = i < 4 ? 500.0 : 20.0;
        peers[i] = plan_peer_of(rate, rate, true);
    }
    struct plan_problem problem = plan_problem_of(peers, 8);
    problem.target_batch = 24000.0; /* 3 s for all, 6 s for half; the slow links take 2.8 s */
    problem.may_rest = true;
    problem.overlap = true;
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT_EQUAL(count_computing(&plan), 8);
    CU_ASSERT(is_near(plan.predicted.step_s, 3.0, 1e-12));
    CU_ASSERT(plan.predicted.gather_s + plan.predicted.spread_s < 3.0);
    plan_deinit(&plan);
}

static void never_be_slower_than_a_fixed_strategy(void)
{
    struct random random;
    random_init(&random, 3, 0);
    for (int round = 0; round < RANDOM_PROBLEMS; round++) {
        struct plan_peer peers[RANDOM_PEERS_MAX];
        size_t count = 1 + random_below(&random, RANDOM_PEERS_MAX);
        struct plan_problem problem = plan_random_problem(&random, peers, count);
        problem.may_rest = round % 2 == 0;
        problem.overlap = round % 3 == 0;
        problem.codecs[0] = CODEC_BF16;
        problem.codecs[1] = CODEC_MX8;
        problem.codec_count = 1 + (size_t)round % 2;
        if (round % 4 == 1) { /* few chunks, which may fall badly */
            problem.value_count = (1 + random_below(&random, 30)) * CODEC_CHUNK_VALUES;
        }
        struct aggregation_plan plans[3];
        for (int i = 0; i < 3; i++) {
            make(&problem, (enum plan_strategy)i, &plans[i]);
            CU_ASSERT(plan_covers_all(&problem, &plans[i]));
        }
        double adaptive_s = plans[PLAN_ADAPTIVE].predicted.step_s;
        CU_ASSERT(adaptive_s >= plans[PLAN_ADAPTIVE].bound_step_s * (1.0 - 1e-6));
        CU_ASSERT(adaptive_s <= plans[PLAN_PARAMETER_SERVER].predicted.step_s);
        CU_ASSERT(adaptive_s <= plans[PLAN_ALL_REDUCE].predicted.step_s);
        for (int i = 0; i < 3; i++) {
            plan_deinit(&plans[i]);
        }
    }
}

/* With 40 chunks an owner, whole chunks cost little. */
static void stay_near_the_bound_when_cut_into_chunks(void)
{
    struct random random;
    random_init(&random, 4, 0);
    for (int round = 0; round < RANDOM_PROBLEMS; round++) {
        struct plan_peer peers[RANDOM_PEERS_MAX];
        size_t count = 1 + random_below(&random, RANDOM_PEERS_MAX);
        struct plan_problem problem = plan_random_problem(&random, peers, count);
        problem.value_count = count * 40 * CODEC_CHUNK_VALUES + 12345;
        problem.fraction_max = 0.3;
        struct aggregation_plan plan;
        make(&problem, PLAN_ADAPTIVE, &plan);
        CU_ASSERT(plan.predicted.step_s <= plan.bound_step_s * 1.03);
        plan_deinit(&plan);
    }
}

static void plan_alike_when_asked_again(void)
{
    struct random random;
    random_init(&random, 12, 0);
    struct plan_peer peers[RANDOM_PEERS_MAX];
    struct plan_problem problem = plan_random_problem(&random, peers, RANDOM_PEERS_MAX);
    problem.may_rest = true;
    struct aggregation_plan first;
    struct aggregation_plan second;
    make(&problem, PLAN_ADAPTIVE, &first);
    make(&problem, PLAN_ADAPTIVE, &second);
    CU_ASSERT_EQUAL(first.coordinator_chunk_count, second.coordinator_chunk_count);
    for (size_t i = 0; i < RANDOM_PEERS_MAX; i++) {
        CU_ASSERT_EQUAL(first.shares[i].computes, second.shares[i].computes);
        CU_ASSERT_EQUAL(first.shares[i].codec, second.shares[i].codec);
        CU_ASSERT_EQUAL(first.shares[i].first_chunk, second.shares[i].first_chunk);
        CU_ASSERT_EQUAL(first.shares[i].chunk_count, second.shares[i].chunk_count);
    }
    plan_deinit(&first);
    plan_deinit(&second);
}

static void plan_a_thousand_peers_within_a_second(void)
{
    struct plan_peer *peers = calloc(MANY_PEERS, sizeof *peers);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peers);
    struct random random;
    random_init(&random, 6, 0);
    struct plan_problem problem = plan_random_problem(&random, peers, MANY_PEERS);
    problem.may_rest = true;
    problem.codecs[0] = CODEC_BF16;
    problem.codecs[1] = CODEC_MX8;
    problem.codec_count = 2;
    uint64_t start_ms = clock_now_ms();
    struct aggregation_plan plan;
    make(&problem, PLAN_ADAPTIVE, &plan);
    CU_ASSERT(clock_now_ms() - start_ms < 1000);
    CU_ASSERT(plan_covers_all(&problem, &plan));
    size_t owner_count = 0;
    for (size_t i = 0; i < MANY_PEERS; i++) {
        owner_count += plan.shares[i].chunk_count > 0 ? 1 : 0;
    }
    CU_ASSERT(owner_count > 0 && owner_count <= PLAN_OWNERS_MAX);
    plan_deinit(&plan);
    free(peers);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(own_evenly_with_equal_links),
        SUITE_TEST(own_evenly_as_equal_aggregators),
        SUITE_TEST(own_nothing_rather_than_little),
        SUITE_TEST(own_all_as_the_one_fast_aggregator),
        SUITE_TEST(own_as_much_as_links_carry),
        SUITE_TEST(own_little_behind_a_slow_pair),
        SUITE_TEST(own_centrally_only_what_saves_the_coordinator_traffic),
        SUITE_TEST(keep_shares_below_the_limit),
        SUITE_TEST(keep_shares_below_the_limit_when_cut),
        SUITE_TEST(keep_shares_below_the_limit_though_all_reduce_is_faster),
        SUITE_TEST(keep_the_coordinators_traffic_below_its_limit),
        SUITE_TEST(let_slow_links_rest_only_where_it_pays),
        SUITE_TEST(let_nobody_rest_for_little),
        SUITE_TEST(let_slow_machines_rest_where_links_are_equal),
        SUITE_TEST(use_a_coarser_codec_on_slow_links_alone),
        SUITE_TEST(use_a_coarser_codec_for_updates_only_for_a_tenth_of_a_step),
        SUITE_TEST(hide_moving_behind_computing_with_overlap),
        SUITE_TEST(never_be_slower_than_a_fixed_strategy),
        SUITE_TEST(stay_near_the_bound_when_cut_into_chunks),
        SUITE_TEST(plan_alike_when_asked_again),
        SUITE_TEST(plan_a_thousand_peers_within_a_second),
    };
    return suite_run("aggregation_plan", tests, sizeof tests / sizeof tests[0]);
}
