/* bench_plan - how long a plan takes to make, and what it promises.
 *
 *   bench_plan
 *
 * Prints JSON. "seconds": the best of a few rounds, for collaborations of peers with random links
 * (a quarter behind NAT) and machines, who may rest, with two codecs; "overlapped" the same with
 * max_staleness 1 and two codecs for updates. "links": predicted steps of 16 peers with 18M
 * parameters and a coordinator at 1 Gbit/s, for each strategy, hardly anything to compute or a
 * batch of 2^21 at 3,000 samples/s; all at 1 Gbit/s (A), at 100 Mbit/s (B), 4 at 200, 8 at 100 and
 * 4 at 50 Mbit/s (C), and four more at 500 that only sum (D). */
#include "common/clock.h"
#include "common/fault.h"
#include "common/random.h"
#include "coordinator/plan/aggregation_plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 3, SIZES = 4, PARAMETERS = 18000000 };

static const double mbit = 125000.0; /* bytes a second */

static void make_peers(struct plan_peer *peers, size_t count)
{
    struct random random;
    random_init(&random, 5, count);
    for (size_t i = 0; i < count; i++) {
        double down = 20.0 * pow(50.0, random_uniform(&random)) * mbit;
        peers[i] = (struct plan_peer){.up_bytes_per_s = down * (0.1 + random_uniform(&random)),
                                      .down_bytes_per_s = down,
                                      .samples_per_s = pow(10.0, random_uniform(&random)),
                                      .aggregates = random_below(&random, 4) != 0};
    }
}

static struct plan_problem problem_of(const struct plan_peer *peers, size_t count)
{
    return (struct plan_problem){.peers = peers,
                                 .peer_count = count,
                                 .coordinator_up_bytes_per_s = 1000.0 * mbit,
                                 .coordinator_down_bytes_per_s = 1000.0 * mbit,
                                 .value_count = PARAMETERS,
                                 .codecs = {CODEC_BF16, CODEC_MX8},
                                 .codec_count = 2,
                                 .update_codecs = {CODEC_MX8},
                                 .update_codec_count = 1,
                                 .sum_bytes_per_value = 2.0,
                                 .may_rest = true,
                                 .fraction_max = 0.25,
                                 .owners_max = PLAN_OWNERS_MAX};
}

static size_t count_owners(const struct aggregation_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->peer_count; i++) {
        count += plan->shares[i].chunk_count > 0 ? 1 : 0;
    }
    return count;
}

static size_t count_resting(const struct aggregation_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->peer_count; i++) {
        count += plan->shares[i].computes ? 0 : 1;
    }
    return count;
}

static enum status bench_size(size_t count, bool overlap, struct plan_peer *peers)
{
    make_peers(peers, count);
    struct plan_problem problem = problem_of(peers, count);
    problem.overlap = overlap;
    problem.update_codecs[0] = overlap ? CODEC_BF16 : CODEC_MX8;
    problem.update_codecs[1] = CODEC_MX8;
    problem.update_codec_count = overlap ? 2 : 1;
    problem.target_batch = 10.0 * (double)count;
    double best_s = 0.0;
    struct aggregation_plan plan = {0};
    enum status status = STATUS_OK;
    for (int round = 0; round < ROUNDS && status == STATUS_OK; round++) {
        plan_deinit(&plan);
        uint64_t start_ns = clock_now_ns();
        status = plan_make(&problem, PLAN_ADAPTIVE, &plan);
        double seconds = (double)(clock_now_ns() - start_ns) * 1e-9;
        best_s = round == 0 || seconds < best_s ? seconds : best_s;
    }
    if (status == STATUS_OK) {
        printf("  {\"peers\": %zu, \"seconds\": %.4f, \"owners\": %zu, \"resting\": %zu, "
               "\"step_s\": %.3f, \"bound_step_s\": %.3f}",
               count, best_s, count_owners(&plan), count_resting(&plan), plan.predicted.step_s,
               plan.bound_step_s);
    }
    plan_deinit(&plan);
    return status;
}

/* Sixteen that compute, and in D four that only sum; all aggregate. */
static size_t make_links(char set, struct plan_peer *peers)
{
    static const double mixed[16] = {200, 200, 200, 200, 100, 100, 100, 100,
                                     100, 100, 100, 100, 50,  50,  50,  50};
    size_t count = set == 'D' ? 20 : 16;
    for (size_t i = 0; i < count; i++) {
        double rate = i >= 16 ? 500.0 : set == 'A' ? 1000.0 : set == 'B' ? 100.0 : mixed[i];
        peers[i] = (struct plan_peer){.up_bytes_per_s = rate * mbit,
                                      .down_bytes_per_s = rate * mbit,
                                      .samples_per_s = i >= 16 ? 0.0 : 3000.0,
                                      .aggregates = true};
    }
    return count;
}

static enum status print_strategies(const char *name, const struct plan_problem *problem)
{
    static const char *const NAMES[] = {"parameter_server", "all_reduce", "adaptive"};
    struct plan_times times[3] = {{0}};
    size_t resting = 0;
    size_t coarse = 0;
    double bound_s = 0.0;
    enum codec update_codec = problem->update_codecs[0];
    for (int i = 0; i < 3; i++) {
        struct aggregation_plan plan;
        enum status status = plan_make(problem, (enum plan_strategy)i, &plan);
        if (status != STATUS_OK) {
            return status;
        }
        times[i] = plan.predicted;
        bound_s = plan.bound_step_s;
        update_codec = plan.update_codec;
        resting = count_resting(&plan);
        for (size_t j = 0; i == PLAN_ADAPTIVE && j < plan.peer_count; j++) {
            coarse += plan.shares[j].computes && plan.shares[j].codec != problem->codecs[0] ? 1 : 0;
        }
        plan_deinit(&plan);
    }
    double moved_bytes =
        times[PLAN_ADAPTIVE].coordinator_up_bytes + times[PLAN_ADAPTIVE].coordinator_down_bytes;
    double server_bytes = times[PLAN_PARAMETER_SERVER].coordinator_up_bytes +
                          times[PLAN_PARAMETER_SERVER].coordinator_down_bytes;
    printf("   \"%s\": {\"coordinator_mb\": %.0f, \"server_mb\": %.0f, ", name, moved_bytes * 1e-6,
           server_bytes * 1e-6);
    for (int i = 0; i < 3; i++) {
        printf("\"%s_s\": %.3f, ", NAMES[i], times[i].step_s);
    }
    printf("\"bound_s\": %.3f, \"stale\": %.3f, \"used\": %.3f, \"idle\": %zu, \"coarser\": %zu, "
           "\"updates\": \"%s\", \"over_all_reduce\": %.2f, \"over_server\": %.2f}",
           bound_s, times[PLAN_ADAPTIVE].stale_share,
           times[PLAN_ADAPTIVE].compute_s / times[PLAN_ADAPTIVE].step_s, resting, coarse,
           codec_name(update_codec), times[PLAN_ALL_REDUCE].step_s / times[PLAN_ADAPTIVE].step_s,
           times[PLAN_PARAMETER_SERVER].step_s / times[PLAN_ADAPTIVE].step_s);
    return STATUS_OK;
}

/* One set of links: one step after the other, then with overlap; with the coarser codecs that there
 * are; the batch of 2^21. */
static enum status bench_links(char set, struct plan_peer *peers)
{
    struct plan_problem problem = problem_of(peers, make_links(set, peers));
    problem.target_batch = 1.0;
    problem.codecs[0] = CODEC_MX8;
    problem.codec_count = 1;
    problem.may_rest = false;
    printf("  \"%c\": {\n", set);
    enum status status = print_strategies("phases", &problem);
    printf(",\n");
    problem.overlap = true;
    status = status == STATUS_OK ? print_strategies("overlap", &problem) : status;
    enum codec coarser = CODEC_MX8;
    if (status == STATUS_OK && codec_from_name("mx4", &coarser) == STATUS_OK) {
        problem.codecs[1] = coarser;
        problem.codec_count = 2;
        printf(",\n");
        status = print_strategies("overlap_mx4", &problem);
        problem.update_codecs[1] = coarser;
        problem.update_codec_count = 2;
        printf(",\n");
        status = status == STATUS_OK ? print_strategies("overlap_mx4_updates", &problem) : status;
        problem.codec_count = 1;
        problem.update_codec_count = 1;
    }
    problem.target_batch = 2097152.0;
    printf(",\n");
    return status == STATUS_OK ? print_strategies("overlap_batch_2097152", &problem) : status;
}

int main(void)
{
    static const size_t counts[SIZES] = {16, 100, 1000, 10000};
    struct plan_peer *peers = calloc(counts[SIZES - 1], sizeof *peers);
    enum status status = peers == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    printf("{\"seconds\": [\n");
    for (size_t i = 0; i < 2 * SIZES && status == STATUS_OK; i++) {
        status = bench_size(counts[i % SIZES], i >= SIZES, peers);
        printf(i + 1 == SIZES      ? "],\n \"overlapped\": [\n"
               : i + 1 < 2 * SIZES ? ",\n"
                                   : "],\n \"links\": {\n");
    }
    for (char set = 'A'; set <= 'D' && status == STATUS_OK; set++) {
        status = bench_links(set, peers);
        printf(set < 'D' ? "},\n" : "}\n");
    }
    printf("}}\n");
    free(peers);
    return status == STATUS_OK ? 0 : fault_report("bench_plan", status);
}
