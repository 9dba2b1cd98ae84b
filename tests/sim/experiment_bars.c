/* What the experiment must show. */
#include "tests/sim/experiment.h"

#include <math.h>
#include <string.h>

struct lines {
    const struct experiment_line *items;
    size_t count;
};

static const double over_all_reduce = 1.9;
/* As fast, but for half a percent: where computing takes all of a step, the same plan differs by so
 * much with the noise of its machines. */
static const double over_best = 0.995;
static const double coordinator_sizes = 4.0;
static const double sizes_growth = 1.5; /* from 100 peers to 1000, but for the batch's tokens */
static const double utilisation = 0.95;
static const double over_predicted = 1.25;
static const double trains_differ = 0.05;

/* The case that differs from `like` in its strategy alone; NULL: not simulated. */
static const struct experiment_line *
with_strategy(const struct lines *lines, const struct experiment_case *like, const char *strategy)
{
    for (size_t i = 0; i < lines->count; i++) {
        const struct experiment_case *config = lines->items[i].config;
        if (strcmp(config->links, like->links) == 0 && strcmp(config->batch, like->batch) == 0 &&
            strcmp(config->strategy, strategy) == 0 && config->model == like->model &&
            config->peer_count == like->peer_count &&
            config->settings.overlap == like->settings.overlap) {
            return &lines->items[i];
        }
    }
    return NULL;
}

static size_t judge(bool reached, const char *what, const struct experiment_case *config,
                    double figure, double bar)
{
    if (!reached || !isfinite(figure)) {
        printf("missed: %s, %s %s %zu peers, batch %s, staleness %d: %.3f, the bar is %.3f\n", what,
               config->links, config->model->name, config->peer_count, config->batch,
               config->settings.overlap ? 1 : 0, figure, bar);
        return 1;
    }
    return 0;
}

static size_t check_strategies(const struct lines *lines, const struct experiment_line *line)
{
    const struct experiment_case *config = line->config;
    const struct experiment_line *server = with_strategy(lines, config, "server");
    const struct experiment_line *all_reduce = with_strategy(lines, config, "all-reduce");
    size_t missed = 0;
    if (server == NULL || all_reduce == NULL) {
        return 0;
    }
    double best_s = fmin(server->result.step_s, all_reduce->result.step_s);
    double ratio = best_s / line->result.step_s;
    missed += judge(ratio >= over_best, "adaptive over the best single strategy", config, ratio,
                    over_best);
    if (strcmp(config->links, "C") == 0 && strcmp(config->batch, "small") == 0 &&
        config->settings.overlap) {
        ratio = all_reduce->result.step_s / line->result.step_s;
        missed += judge(ratio >= over_all_reduce, "adaptive over all-reduce", config, ratio,
                        over_all_reduce);
    }
    if (!config->settings.overlap && config->links[0] != 'A') {
        ratio = line->result.step_s / line->result.predicted_s;
        missed += judge(ratio <= over_predicted && ratio >= 1.0 / over_predicted,
                        "a step over its prediction", config, ratio, over_predicted);
    }
    if (strcmp(config->batch, "big") == 0 && config->settings.overlap) {
        missed += judge(line->result.utilisation >= utilisation, "compute utilisation", config,
                        line->result.utilisation, utilisation);
    }
    return missed;
}

static double sizes_of(const struct trial_result *result)
{
    return result->up_sizes_total + result->down_sizes_total;
}

static size_t check_population(const struct lines *lines, const struct experiment_line *line)
{
    const struct experiment_case *config = line->config;
    if (config->peer_count != 1000) {
        return 0;
    }
    double sizes = line->result.stuck ? HUGE_VAL : sizes_of(&line->result);
    size_t missed = judge(sizes <= coordinator_sizes, "the coordinator's model sizes", config,
                          sizes, coordinator_sizes);
    struct experiment_case fewer = *config;
    fewer.peer_count = 100;
    const struct experiment_line *other = with_strategy(lines, &fewer, config->strategy);
    if (other != NULL && config->settings.half_life_s == 0.0) {
        double growth = (sizes - line->result.up_sizes[KIND_TOKENS]) /
                        (sizes_of(&other->result) - other->result.up_sizes[KIND_TOKENS]);
        missed += judge(growth <= sizes_growth, "its growth from 100 peers", config, growth,
                        sizes_growth);
    }
    return missed;
}

static size_t check_trains(const struct lines *lines, const struct experiment_line *line)
{
    struct experiment_case by_chunk = *line->config;
    (void)snprintf(by_chunk.batch, sizeof by_chunk.batch, "small");
    const struct experiment_line *other = with_strategy(lines, &by_chunk, by_chunk.strategy);
    double ratio = other == NULL ? HUGE_VAL : line->result.step_s / other->result.step_s;
    return judge(fabs(ratio - 1.0) <= trains_differ, "trains over single chunks", line->config,
                 ratio, 1.0 + trains_differ);
}

size_t experiment_check_bars(const struct experiment_line *items, size_t count)
{
    struct lines lines = {items, count};
    size_t missed = 0;
    for (size_t i = 0; i < count; i++) {
        const struct experiment_case *config = items[i].config;
        bool churns = config->settings.half_life_s > 0.0;
        if (strcmp(config->strategy, churns ? "adaptive+repair" : "adaptive") != 0) {
            continue;
        }
        if (strncmp(config->batch, "small,", strlen("small,")) == 0) {
            missed += check_trains(&lines, &items[i]);
        } else if (strcmp(config->links, "mixed") == 0) {
            missed += check_population(&lines, &items[i]);
        } else {
            missed += check_strategies(&lines, &items[i]);
        }
    }
    printf("%zu bars missed\n", missed);
    return missed;
}
