#include "tests/sim/experiment_cases.h"

#include "common/check.h"
#include "common/random.h"
#include "tests/sim/sim_memory.h"

#include <stdio.h>
#include <string.h>

enum {
    CONTEXT = 1024,
    PEERS = 16,
    CASES_MAX = 256,
    BATCH_SMALL = 48,        /* samples; the links decide how long a step takes */
    BATCH_BIG = 2048,        /* 2,097,152 tokens */
    BATCH_GROWN_MAX = 32768, /* 33.5M tokens: nobody gains from larger batches */
    TRAINS_SMALL = 4,
    TRAINS_LARGE = 16,
    TRAINS_SMALL_PEERS = 100
};

static const double mbit = 1e6 / 8.0;
static const double coordinator_mbit = 1000.0;
static const double half_life_s = 600.0;

/* The same machines: a token of the larger model takes as many times longer. */
static const struct experiment_model small_model = {"18M", 18000000, 3000.0, 128};
static const struct experiment_model large_model = {"124M", 124000000, 3000.0 * 18.0 / 124.0, 32};

/* What volunteers have, in Mbit/s, with how many of a hundred have it. */
static const struct {
    double up, down;
    uint32_t percent;
} households[] = {{1000.0, 1000.0, 15}, {200.0, 200.0, 25}, {40.0, 100.0, 35}, {10.0, 50.0, 25}};
static const double reachable_share = 0.5;

static struct trial_peer_spec household(const struct experiment_model *model, uint64_t seed,
                                        uint64_t number)
{
    struct random chance;
    random_init(&chance, seed, number);
    uint64_t percent = random_below(&chance, 100);
    size_t kind = 0;
    while (percent >= households[kind].percent) {
        percent -= households[kind++].percent;
    }
    double spread = 0.8 + 0.4 * random_uniform(&chance);
    double speed = 1.0 / 3.0 + 4.0 / 3.0 * random_uniform(&chance);
    return (struct trial_peer_spec){.up_bytes_per_s = households[kind].up * spread * mbit,
                                    .down_bytes_per_s = households[kind].down * spread * mbit,
                                    .samples_per_s = speed * model->tokens_per_s / CONTEXT,
                                    .aggregates = random_uniform(&chance) < reachable_share};
}

static struct trial_peer_spec newcomer_small(uint64_t seed, uint64_t number)
{
    return household(&small_model, random_mix(seed), number);
}

static struct trial_peer_spec newcomer_large(uint64_t seed, uint64_t number)
{
    return household(&large_model, random_mix(seed), number);
}

/* Link of peer `i` of sixteen, and of those that only sum. */
static double link_of(const char *links, size_t i)
{
    if (links[0] == 'A') {
        return 1000.0;
    }
    if (links[0] == 'B') {
        return 100.0;
    }
    return i < 4 ? 200.0 : i < 12 ? 100.0 : i < PEERS ? 50.0 : 500.0;
}

struct trial_peer_spec *experiment_case_peers(const struct experiment_case *self)
{
    struct trial_peer_spec *peers = sim_memory_new(self->settings.peer_count, sizeof *peers);
    for (size_t i = 0; i < self->settings.peer_count; i++) {
        if (strcmp(self->links, "mixed") == 0) {
            peers[i] = household(self->model, self->settings.seed, i);
        } else {
            double rate = link_of(self->links, i) * mbit;
            double speed = i < PEERS ? self->model->tokens_per_s / CONTEXT : 0.0;
            peers[i] = (struct trial_peer_spec){rate, rate, speed, true};
        }
    }
    return peers;
}

struct list {
    struct experiment_case *cases;
    size_t count;
    uint64_t seed;
};

static const struct strategy {
    const char *name;
    enum plan_strategy strategy;
    bool may_rest, compact, repair_by_owners;
} strategies[] = {{"server", PLAN_PARAMETER_SERVER, false, false, false},
                  {"all-reduce", PLAN_ALL_REDUCE, false, false, false},
                  {"adaptive", PLAN_ADAPTIVE, true, false, false},
                  {"adaptive+mx4", PLAN_ADAPTIVE, true, true, false},
                  {"adaptive+repair", PLAN_ADAPTIVE, true, false, true}};
enum { SERVER, ALL_REDUCE, ADAPTIVE, ADAPTIVE_MX4, ADAPTIVE_REPAIR };

static struct experiment_case *add(struct list *list, const char *links,
                                   const struct experiment_model *model, size_t strategy)
{
    CHECK(list->count < CASES_MAX);
    struct experiment_case *added = &list->cases[list->count++];
    *added = (struct experiment_case){
        .model = model,
        .peer_count = PEERS,
        .settings = {.seed = list->seed,
                     .peer_count = links[0] == 'D' ? PEERS + 4 : PEERS,
                     .coordinator_bytes_per_s = coordinator_mbit * mbit,
                     .value_count = model->value_count,
                     .context = CONTEXT,
                     .strategy = strategies[strategy].strategy,
                     .may_rest = strategies[strategy].may_rest,
                     .compact = strategies[strategy].compact,
                     .repair_by_owners = strategies[strategy].repair_by_owners,
                     .train_chunks = 1,
                     .steps_skipped = 8,
                     .steps_counted = 10}};
    (void)snprintf(added->links, sizeof added->links, "%s", links);
    (void)snprintf(added->strategy, sizeof added->strategy, "%s", strategies[strategy].name);
    return added;
}

static void add_sixteen(struct list *list, const char *links, const struct experiment_model *model,
                        bool big, bool overlap)
{
    for (size_t strategy = SERVER; strategy <= ADAPTIVE_MX4; strategy++) {
        struct experiment_case *added = add(list, links, model, strategy);
        added->settings.target_batch = big ? BATCH_BIG : BATCH_SMALL;
        added->settings.overlap = overlap;
        (void)snprintf(added->batch, sizeof added->batch, "%s", big ? "big" : "small");
    }
}

/* The same in trains of several chunks, as large populations have it. */
static void add_trains(struct list *list, uint32_t train_chunks)
{
    struct experiment_case *added = add(list, "C", &small_model, ADAPTIVE);
    added->settings.target_batch = BATCH_SMALL;
    added->settings.train_chunks = train_chunks;
    (void)snprintf(added->batch, sizeof added->batch, "small,by %u", train_chunks);
}

static void add_population(struct list *list, size_t peer_count,
                           const struct experiment_model *model, size_t strategy, bool churns)
{
    struct experiment_case *added = add(list, "mixed", model, strategy);
    struct trial_settings *settings = &added->settings;
    size_t batch = peer_count * model->samples_per_peer;
    added->peer_count = peer_count;
    settings->peer_count = peer_count;
    settings->target_batch = (uint32_t)(batch < BATCH_GROWN_MAX ? batch : BATCH_GROWN_MAX);
    settings->overlap = true;
    settings->half_life_s = churns ? half_life_s : 0.0;
    settings->newcomer = model == &small_model ? newcomer_small : newcomer_large;
    settings->coordinator_bytes_max = 2.0 * 4.0 * (double)model->value_count;
    settings->train_chunks = peer_count <= TRAINS_SMALL_PEERS ? TRAINS_SMALL : TRAINS_LARGE;
    settings->steps_skipped = 4;
    settings->steps_counted = peer_count <= TRAINS_SMALL_PEERS ? 6 : 4;
    (void)snprintf(added->batch, sizeof added->batch, "grown%s", churns ? ",churn" : "");
}

static const char *const sixteens[] = {"A", "B", "C", "D"};

static void list_quick(struct list *list)
{
    for (size_t i = 0; i < 4; i++) {
        add_sixteen(list, sixteens[i], &small_model, false, false);
        add_sixteen(list, sixteens[i], &small_model, false, true);
    }
    add_sixteen(list, "C", &small_model, true, true);
    add_trains(list, TRAINS_SMALL);
    add_trains(list, TRAINS_LARGE);
    add_population(list, 100, &small_model, ADAPTIVE, false);
    add_population(list, 1000, &small_model, ADAPTIVE, false);
    add_population(list, 1000, &small_model, ADAPTIVE_REPAIR, true);
}

static void list_populations(struct list *list, const struct experiment_model *model)
{
    static const size_t counts[] = {16, 100, 1000, 10000};
    for (size_t i = 0; i < 4; i++) {
        add_population(list, counts[i], model, ADAPTIVE, false);
        add_population(list, counts[i], model, ADAPTIVE_REPAIR, true);
        if (counts[i] <= 1000) {
            add_population(list, counts[i], model, ADAPTIVE, true);
            add_population(list, counts[i], model, SERVER, false);
        }
    }
}

static void list_all(struct list *list)
{
    const struct experiment_model *models[] = {&small_model, &large_model};
    for (size_t model = 0; model < 2; model++) {
        for (size_t big = 0; big < 2; big++) {
            for (size_t i = 0; i < 4; i++) {
                add_sixteen(list, sixteens[i], models[model], big == 1, false);
                add_sixteen(list, sixteens[i], models[model], big == 1, true);
            }
        }
    }
    add_trains(list, TRAINS_SMALL);
    add_trains(list, TRAINS_LARGE);
    for (size_t model = 0; model < 2; model++) {
        list_populations(list, models[model]);
    }
}

size_t experiment_cases_list(uint64_t seed, bool quick, struct experiment_case **out)
{
    struct list list = {.cases = sim_memory_new(CASES_MAX, sizeof *list.cases), .seed = seed};
    if (quick) {
        list_quick(&list);
    } else {
        list_all(&list);
    }
    *out = list.cases;
    return list.count;
}
