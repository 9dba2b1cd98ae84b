/* bench_plan - how long a plan takes to make, and what it promises.
 *
 *   bench_plan
 *
 * Prints JSON. "seconds": the best of a few rounds, for collaborations of peers with random links
 * (a quarter behind NAT) and machines, who may rest, with two codecs. "links_c": predicted steps of
 * 16 peers, 4 at 200, 8 at 100 and 4 at 50 Mbit/s, that all aggregate, with a coordinator at 1
 * Gbit/s and hardly anything to compute, for each strategy. */
#include "common/clock.h"
#include "common/fault.h"
#include "common/random.h"
#include "coordinator/plan/aggregation_plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 3, SIZES = 4, PARAMETERS = 18000000, LINKS_C = 16 };

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
                                 .update_codec = CODEC_MX8,
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

static enum status bench_size(size_t count, struct plan_peer *peers)
{
    make_peers(peers, count);
    struct plan_problem problem = problem_of(peers, count);
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

static enum status print_links_c(const char *name, const struct plan_problem *problem)
{
    static const char *const NAMES[] = {"parameter_server", "all_reduce", "adaptive"};
    double steps_s[3] = {0};
    size_t resting = 0;
    for (int i = 0; i < 3; i++) {
        struct aggregation_plan plan;
        enum status status = plan_make(problem, (enum plan_strategy)i, &plan);
        if (status != STATUS_OK) {
            return status;
        }
        steps_s[i] = plan.predicted.step_s;
        resting = count_resting(&plan);
        plan_deinit(&plan);
    }
    printf("  \"%s\": {", name);
    for (int i = 0; i < 3; i++) {
        printf("\"%s_s\": %.3f, ", NAMES[i], steps_s[i]);
    }
    printf("\"resting\": %zu, \"over_all_reduce\": %.2f}", resting,
           steps_s[PLAN_ALL_REDUCE] / steps_s[PLAN_ADAPTIVE]);
    return STATUS_OK;
}

static enum status bench_links_c(struct plan_peer *peers)
{
    for (size_t i = 0; i < LINKS_C; i++) {
        double rate = (i < 4 ? 200.0 : i < 12 ? 100.0 : 50.0) * mbit;
        peers[i] = (struct plan_peer){.up_bytes_per_s = rate,
                                      .down_bytes_per_s = rate,
                                      .samples_per_s = 1000.0,
                                      .aggregates = true};
    }
    struct plan_problem problem = problem_of(peers, LINKS_C);
    problem.target_batch = 1.0;
    problem.codecs[0] = CODEC_MX8;
    problem.codec_count = 1;
    problem.may_rest = false;
    enum status status = print_links_c("all_compute", &problem);
    problem.may_rest = true;
    if (status == STATUS_OK) {
        printf(",\n");
        status = print_links_c("may_rest", &problem);
    }
    problem.may_rest = false;
    problem.codec_count = 2;
    if (status == STATUS_OK && codec_from_name("mx4", &problem.codecs[1]) == STATUS_OK) {
        printf(",\n");
        status = print_links_c("mx8_mx4", &problem);
        printf(",\n");
        problem.update_codec = problem.codecs[1];
        status = status == STATUS_OK ? print_links_c("mx8_mx4_updates_mx4", &problem) : status;
    }
    return status;
}

int main(void)
{
    static const size_t counts[SIZES] = {16, 100, 1000, 10000};
    struct plan_peer *peers = calloc(counts[SIZES - 1], sizeof *peers);
    enum status status = peers == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    printf("{\"seconds\": [\n");
    for (size_t i = 0; i < SIZES && status == STATUS_OK; i++) {
        status = bench_size(counts[i], peers);
        printf(i + 1 < SIZES ? ",\n" : "],\n \"links_c\": {\n");
    }
    if (status == STATUS_OK) {
        status = bench_links_c(peers);
    }
    printf("}}\n");
    free(peers);
    return status == STATUS_OK ? 0 : fault_report("bench_plan", status);
}
