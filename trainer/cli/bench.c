#include "trainer/cli/bench.h"

#include "common/clock.h"
#include "common/cores.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/random.h"
#include "trainer/backend/blas_kernel.h"
#include "trainer/cli/bench_model.h"
#include "trainer/cli/options.h"
#include "trainer/model/precision.h"
#include "trainer/model/products.h"
#include "trainer/model/team.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
    BATCH_MAX = 1024,
    PASSES_MAX = 64,
    PASSES_MIN = 3,
    PRODUCT_REPEATS = 5,
    NANOSECONDS = 1000000000,
    MIB_SHIFT = 20
};

static const uint64_t ENOUGH_NS = UINT64_C(10) * NANOSECONDS; /* no more passes after this */

struct bench_options {
    const char *model;
    const char *precision;
    const char *recompute;
    uint64_t batch;
    uint64_t context;
    uint64_t threads;
    bool pin;
    bool json;
};

struct bench {
    struct model_config config;
    struct precision_choice choice;
    struct team_plan plan;
    struct model *model;
    struct team *team;
    struct gradient *gradient;
    struct weights *weights;
    float *params;
    uint16_t *tokens; /* (batch, context + 1) */
    size_t batch;
    uint64_t planned_bytes;
};

struct bench_result {
    double tokens_per_s;
    double model_gflops;
    double gemm_gflops;
    uint64_t peak_rss_mb;
    size_t pass_count;
};

/* One pass's sequences, shared out evenly. */
struct batch_source {
    pthread_mutex_t lock;
    const struct bench *bench;
    size_t share; /* of a thread */
    size_t next;
};

static size_t take_sequences(void *context, struct team_item *out, size_t max)
{
    struct batch_source *self = context;
    size_t length = self->bench->plan.workspace.context;
    size_t count = 0;
    (void)pthread_mutex_lock(&self->lock);
    while (count < max && count < self->share && self->next < self->bench->batch) {
        out[count++] = (struct team_item){.tokens = self->bench->tokens + self->next * (length + 1),
                                          .token_count = length};
        self->next++;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return count;
}

static void sequence_done(void *context, const struct team_item *item, double loss_sum)
{
    (void)context;
    (void)item;
    (void)loss_sum;
}

static enum status plan_bench(struct bench *self, const struct bench_options *options)
{
    size_t share = (size_t)((options->batch + options->threads - 1) / options->threads);
    self->batch = (size_t)options->batch;
    self->plan = (struct team_plan){
        .thread_count = (size_t)options->threads,
        .pinned = options->pin,
        .workspace = {.context = (size_t)options->context,
                      .sequence_count = workspace_sequences((size_t)options->context, share),
                      .purpose = WORKSPACE_GRADIENT}};
    return recompute_find(options->recompute, &self->plan.workspace.recompute);
}

/* Parameters, gradient, the backend's weights and the threads' activations. */
static enum status check_memory(struct bench *self)
{
    uint64_t values = layout_value_count(model_layout(self->model));
    self->planned_bytes = values * 2 * sizeof(float) + weights_bytes(self->model) +
                          team_bytes(self->model, &self->plan);
    return memory_check_fits("this bench", self->planned_bytes,
                             "use fewer --threads, a smaller --batch or --recompute blocks");
}

static enum status allocate(struct bench *self)
{
    const struct layout *layout = model_layout(self->model);
    size_t length = self->plan.workspace.context + 1;
    struct random random;
    enum status status = gradient_new(self->model, &self->gradient);
    if (status == STATUS_OK) {
        status = weights_new(self->model, &self->weights);
    }
    if (status == STATUS_OK) {
        status = team_new(self->model, &self->plan, &self->team);
    }
    if (status != STATUS_OK) {
        return status;
    }
    self->params = calloc(layout_value_count(layout), sizeof(*self->params));
    self->tokens = calloc(self->batch * length, sizeof(*self->tokens));
    if (self->params == NULL || self->tokens == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for this bench; choose a smaller model");
    }
    layout_init_params(layout, &self->config, 1, self->params);
    weights_load(self->weights, self->params);
    random_init(&random, 1, 0);
    for (size_t i = 0; i < self->batch * length; i++) {
        self->tokens[i] = (uint16_t)random_below(&random, self->config.vocab_size);
    }
    return STATUS_OK;
}

static enum status bench_init(struct bench *self, const struct bench_options *options)
{
    enum precision precision = PRECISION_AUTO;
    enum status status = bench_model_find(options->model, &self->config);
    if (status == STATUS_OK) {
        status = precision_find(options->precision, &precision);
    }
    if (status == STATUS_OK) {
        status = plan_bench(self, options);
    }
    if (status == STATUS_OK) {
        status = precision_choose(precision, &self->config, &self->choice);
    }
    if (status == STATUS_OK) {
        status = model_new(&self->config, self->choice.backend, &self->model);
    }
    if (status == STATUS_OK) {
        status = check_memory(self);
    }
    return status == STATUS_OK ? allocate(self) : status;
}

static void bench_deinit(struct bench *self)
{
    team_free(self->team);
    gradient_free(self->gradient);
    weights_free(self->weights);
    model_free(self->model);
    free(self->params);
    free(self->tokens);
}

static enum status run_pass(struct bench *self, uint64_t *out_ns)
{
    struct batch_source batch = {.lock = PTHREAD_MUTEX_INITIALIZER, .bench = self};
    struct team_source source = {&batch, take_sequences, sequence_done};
    batch.share = (self->batch + self->plan.thread_count - 1) / self->plan.thread_count;
    uint64_t start_ns = clock_now_ns();
    enum status status = team_start(self->team, self->weights, self->gradient, &source);
    if (status == STATUS_OK) {
        team_join(self->team);
    }
    *out_ns = clock_now_ns() - start_ns;
    return status;
}

static int compare_times(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The median pass, after one that warms up. */
static enum status time_passes(struct bench *self, struct bench_result *out)
{
    uint64_t times[PASSES_MAX];
    uint64_t start_ns = 0;
    enum status status = run_pass(self, &start_ns);
    start_ns = clock_now_ns();
    while (status == STATUS_OK && out->pass_count < PASSES_MAX &&
           (out->pass_count < PASSES_MIN || clock_now_ns() - start_ns < ENOUGH_NS)) {
        status = run_pass(self, &times[out->pass_count++]);
    }
    if (status != STATUS_OK) {
        return status;
    }
    qsort(times, out->pass_count, sizeof(times[0]), compare_times);
    double tokens = (double)self->batch * (double)self->plan.workspace.context;
    uint64_t median_ns = times[out->pass_count / 2];
    out->tokens_per_s = tokens * NANOSECONDS / (double)median_ns;
    out->model_gflops = out->tokens_per_s / 1e9 *
                        products_flops_per_token(&self->config, self->plan.workspace.context);
    return STATUS_OK;
}

/* The best rate of all the products of a pass, in this process, on as many threads. */
static enum status time_products(const struct bench *self, struct bench_result *out)
{
    struct product products[PRODUCTS_MAX];
    size_t rows = self->plan.workspace.context * self->plan.workspace.sequence_count;
    size_t count = products_of(&self->config, self->choice.backend, rows, products);
    for (size_t i = 0; i < count; i++) {
        double seconds = 0.0;
        enum status status = products_measure(self->choice.backend, &products[i],
                                              self->plan.thread_count, PRODUCT_REPEATS, &seconds);
        if (status != STATUS_OK) {
            return status;
        }
        double flops = 2.0 * (double)products[i].m * (double)products[i].n * (double)products[i].k *
                       (double)self->plan.thread_count;
        double gflops = flops / seconds / 1e9;
        out->gemm_gflops = gflops > out->gemm_gflops ? gflops : out->gemm_gflops;
    }
    return STATUS_OK;
}

static uint64_t peak_rss_mb(void)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024 / 1000000; /* KiB on Linux */
}

static void print_result(const struct bench *self, const struct bench_options *options,
                         const struct bench_result *result)
{
    double flops = products_flops_per_token(&self->config, self->plan.workspace.context);
    size_t parameters = layout_parameter_count(model_layout(self->model));
    double utilisation = result->model_gflops / result->gemm_gflops;
    if (!options->json) {
        (void)printf("%.1f million parameters, %.1f MFLOP per token\n"
                     "%.1f tokens/s, %.1f GFLOP/s: %.2f of the %.1f GFLOP/s of the best product\n"
                     "%" PRIu64 " MB of memory at most (%s, kernel %s, %zu threads)\n",
                     (double)parameters / 1e6, flops / 1e6, result->tokens_per_s,
                     result->model_gflops, utilisation, result->gemm_gflops, result->peak_rss_mb,
                     self->choice.name, blas_kernel_name(), self->plan.thread_count);
        return;
    }
    (void)printf("{\"tokens_per_s\":%.1f,\"model_gflops\":%.1f,\"gemm_gflops\":%.1f,"
                 "\"utilisation\":%.3f,\"peak_rss_mb\":%" PRIu64 ",\"planned_mb\":%" PRIu64
                 ",\"parameters\":%zu,\"flops_per_token\":%.0f,\"precision\":\"%s\","
                 "\"kernel\":\"%s\",\"threads\":%zu,\"batch\":%zu,\"context\":%zu,"
                 "\"sequences_per_pass\":%zu,\"recompute\":\"%s\",\"passes\":%zu}\n",
                 result->tokens_per_s, result->model_gflops, result->gemm_gflops, utilisation,
                 result->peak_rss_mb, self->planned_bytes / 1000000, parameters, flops,
                 self->choice.name, blas_kernel_name(), self->plan.thread_count, self->batch,
                 self->plan.workspace.context, self->plan.workspace.sequence_count,
                 options->recompute, result->pass_count);
}

static enum status parse(int argc, char **argv, struct bench_options *out)
{
    *out = (struct bench_options){.precision = "auto",
                                  .recompute = "none",
                                  .batch = 4,
                                  .context = 256,
                                  .threads = cores_usable(TEAM_THREADS_MAX)};
    const struct cli_option table[] = {
        {.name = "model", .kind = CLI_TEXT, .target = &out->model, .required = true},
        {.name = "precision", .kind = CLI_TEXT, .target = &out->precision},
        {.name = "recompute", .kind = CLI_TEXT, .target = &out->recompute},
        {.name = "batch",
         .kind = CLI_COUNT,
         .target = &out->batch,
         .count_min = 1,
         .count_max = BATCH_MAX},
        {.name = "context",
         .kind = CLI_COUNT,
         .target = &out->context,
         .count_min = 1,
         .count_max = MODEL_CONTEXT_MAX},
        {.name = "threads",
         .kind = CLI_COUNT,
         .target = &out->threads,
         .count_min = 1,
         .count_max = TEAM_THREADS_MAX},
        {.name = "pin", .kind = CLI_FLAG, .target = &out->pin},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("bench", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    return status == STATUS_OK ? cli_options_expect_end("bench", rest, argc, argv) : status;
}

enum status cli_bench(int argc, char **argv)
{
    struct bench_options options;
    struct bench bench = {0};
    struct bench_result result = {0};
    enum status status = parse(argc, argv, &options);
    if (status == STATUS_OK) {
        status = bench_init(&bench, &options);
    }
    if (status == STATUS_OK) {
        log_info("bench", "plan",
                 "parameters=%zu memory_mb=%" PRIu64 " precision=%s reason=\"%s\" kernel=%s "
                 "kernel_chosen_by=%s threads=%zu sequences_per_pass=%zu",
                 layout_parameter_count(model_layout(bench.model)), bench.planned_bytes / 1000000,
                 bench.choice.name, bench.choice.reason, blas_kernel_name(),
                 blas_kernel_chosen_by(), bench.plan.thread_count,
                 bench.plan.workspace.sequence_count);
        status = time_passes(&bench, &result);
    }
    if (status == STATUS_OK) {
        result.peak_rss_mb = peak_rss_mb(); /* before the products' own matrices */
        status = time_products(&bench, &result);
    }
    if (status == STATUS_OK) {
        print_result(&bench, &options, &result);
    }
    bench_deinit(&bench);
    return status;
}
