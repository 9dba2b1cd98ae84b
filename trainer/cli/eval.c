#include "trainer/cli/eval.h"

#include "common/clock.h"
#include "common/cores.h"
#include "common/fault.h"
#include "trainer/cli/load.h"
#include "trainer/cli/options.h"
#include "trainer/data/dataset.h"
#include "trainer/model/team.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOWS_MAX = 1 << 30, NANOSECONDS = 1000000000 };

struct eval_options {
    const char *model;
    const char *data;
    const char *split;
    const char *backend;
    uint64_t context;
    uint64_t windows;
    uint64_t threads;
    bool json;
};

/* Windows handed to the team's threads, and the loss of each: summed in order at the end, so that
 * the result does not depend on the threads. */
struct windows {
    const struct dataset *data;
    uint64_t in_split; /* whole windows of the split */
    uint64_t count;    /* windows to measure */
    size_t context;
    double *losses; /* (count) */
    pthread_mutex_t lock;
    uint64_t next;    /* guarded by lock, as all below */
    uint16_t *tokens; /* (row_count, context + 1) */
    uint16_t **idle;  /* (row_count): rows of tokens that no thread uses */
    size_t idle_count;
};

struct eval_result {
    double loss; /* nats per token */
    uint64_t token_count;
    double tokens_per_s;
};

/* Window i of `count`, spread evenly over the split: floor(i * in_split / count) without
 * overflow. */
static uint64_t window_place(const struct windows *self, uint64_t i)
{
    return i * (self->in_split / self->count) + i * (self->in_split % self->count) / self->count;
}

static size_t take_windows(void *context, struct team_item *out, size_t max)
{
    struct windows *self = context;
    size_t count = 0;
    (void)pthread_mutex_lock(&self->lock);
    while (count < max && self->next < self->count) {
        out[count++] = (struct team_item){.tokens = self->idle[--self->idle_count],
                                          .token_count = self->context,
                                          .tag = self->next++};
    }
    (void)pthread_mutex_unlock(&self->lock);
    for (size_t i = 0; i < count; i++) {
        uint16_t *tokens = self->tokens + (out[i].tokens - self->tokens);
        dataset_read(self->data, window_place(self, out[i].tag) * self->context, self->context + 1,
                     tokens);
    }
    return count;
}

static void finish_window(void *context, const struct team_item *item, double loss_sum)
{
    struct windows *self = context;
    self->losses[item->tag] = loss_sum;
    (void)pthread_mutex_lock(&self->lock);
    self->idle[self->idle_count++] = self->tokens + (item->tokens - self->tokens);
    (void)pthread_mutex_unlock(&self->lock);
}

/* row_count: windows that the threads hold at a time. */
static enum status windows_init(struct windows *self, const struct dataset *data, size_t context,
                                size_t row_count, const struct eval_options *options)
{
    uint64_t tokens = dataset_token_count(data);
    self->data = data;
    self->context = context;
    self->in_split = tokens == 0 ? 0 : (tokens - 1) / context;
    if (self->in_split == 0) {
        return fault(STATUS_USAGE,
                     "the %s split has %" PRIu64 " tokens, too few for a window of %zu + 1; give a "
                     "smaller --context",
                     options->split, tokens, context);
    }
    self->count = options->windows == 0 ? WINDOWS_MAX : options->windows;
    self->count = self->in_split < self->count ? self->in_split : self->count;
    self->losses = calloc(self->count, sizeof(*self->losses));
    self->tokens = calloc(row_count * (context + 1), sizeof(*self->tokens));
    self->idle = calloc(row_count, sizeof(*self->idle));
    if (self->losses == NULL || self->tokens == NULL || self->idle == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for %" PRIu64 " windows", self->count);
    }
    for (size_t i = 0; i < row_count; i++) {
        self->idle[self->idle_count++] = self->tokens + i * (context + 1);
    }
    return STATUS_OK;
}

static void windows_deinit(struct windows *self)
{
    free(self->losses);
    free(self->tokens);
    free(self->idle);
}

static enum status measure(const struct loaded_model *loaded, struct windows *windows,
                           const struct team_plan *plan, struct eval_result *out)
{
    struct team *team = NULL;
    enum status status = team_new(loaded->model, plan, &team);
    if (status != STATUS_OK) {
        return status;
    }
    const struct team_source source = {windows, take_windows, finish_window};
    uint64_t start_ns = clock_now_ns();
    status = team_start(team, loaded->weights, NULL, &source);
    if (status == STATUS_OK) {
        team_join(team);
    }
    uint64_t used_ns = clock_now_ns() - start_ns;
    team_free(team);
    if (status != STATUS_OK) {
        return status;
    }
    double sum = 0.0;
    for (uint64_t i = 0; i < windows->count; i++) {
        sum += windows->losses[i];
    }
    out->token_count = windows->count * windows->context;
    out->loss = sum / (double)out->token_count;
    out->tokens_per_s = (double)out->token_count * NANOSECONDS / (double)(used_ns + 1);
    if (!isfinite(out->loss)) {
        return fault(STATUS_OUT_OF_RANGE, "the loss is not a number: the model's parameters are "
                                          "broken; take an earlier checkpoint");
    }
    return STATUS_OK;
}

static void print_result(const struct eval_options *options, const struct eval_result *result,
                         bool bytes)
{
    const char *format = options->json ? "{\"loss\":%.9g,\"perplexity\":%.9g"
                                       : "loss %.4f nats per token, perplexity %.4f";
    (void)printf(format, result->loss, exp(result->loss));
    if (bytes) {
        (void)printf(options->json ? ",\"bits_per_byte\":%.9g" : ", %.4f bits per byte",
                     result->loss / log(2.0));
    }
    (void)printf(options->json ? ",\"tokens\":%" PRIu64 ",\"tokens_per_s\":%.1f}\n"
                               : " over %" PRIu64 " tokens, %.0f tokens/s\n",
                 result->token_count, result->tokens_per_s);
}

static enum status parse(int argc, char **argv, struct eval_options *out)
{
    *out = (struct eval_options){.split = "validation",
                                 .backend = "cpu",
                                 .windows = 256,
                                 .threads = cores_usable(TEAM_THREADS_MAX)};
    const struct cli_option table[] = {
        {.name = "model", .kind = CLI_TEXT, .target = &out->model, .required = true},
        {.name = "data", .kind = CLI_TEXT, .target = &out->data, .required = true},
        {.name = "split", .kind = CLI_TEXT, .target = &out->split},
        {.name = "backend", .kind = CLI_TEXT, .target = &out->backend},
        {.name = "context",
         .kind = CLI_COUNT,
         .target = &out->context,
         .count_min = 1,
         .count_max = MODEL_CONTEXT_MAX},
        {.name = "windows", .kind = CLI_COUNT, .target = &out->windows, .count_max = WINDOWS_MAX},
        {.name = "threads",
         .kind = CLI_COUNT,
         .target = &out->threads,
         .count_min = 1,
         .count_max = TEAM_THREADS_MAX},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("eval", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    if (status == STATUS_OK) {
        status = cli_options_expect_end("eval", rest, argc, argv);
    }
    if (status == STATUS_OK && strcmp(out->split, "validation") != 0 &&
        strcmp(out->split, "train") != 0) {
        status =
            fault(STATUS_USAGE, "--split must be validation or train, not '%.100s'", out->split);
    }
    return status;
}

static enum status check_vocab(const struct loaded_model *loaded, const struct dataset *data)
{
    uint32_t known = model_config_of(loaded->model)->vocab_size;
    if (dataset_vocab_size(data) > known) {
        return fault(STATUS_BAD_CONFIG,
                     "the data has a vocabulary of %u and the model one of %u: they do not belong "
                     "together",
                     dataset_vocab_size(data), known);
    }
    return STATUS_OK;
}

static struct team_plan plan_of(size_t context, const struct eval_options *options)
{
    return (struct team_plan){
        .thread_count = (size_t)options->threads,
        .workspace = {.context = context,
                      .sequence_count = workspace_sequences(context, SEQUENCES_MAX),
                      .purpose = WORKSPACE_LOSS}};
}

static uint64_t pass_bytes(const struct model *model, size_t context, const void *caller)
{
    struct team_plan plan = plan_of(context, caller);
    return team_bytes(model, &plan);
}

enum status cli_eval(int argc, char **argv)
{
    struct eval_options options;
    enum status status = parse(argc, argv, &options);
    if (status != STATUS_OK) {
        return status;
    }
    struct dataset *data = NULL;
    struct loaded_model loaded = {0};
    struct windows windows = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct eval_result result = {0};
    struct team_plan team;
    const struct load_plan plan = {.folder = options.model,
                                   .backend_name = options.backend,
                                   .context_max = options.context,
                                   .pass_bytes = pass_bytes,
                                   .caller = &options};
    bool train = strcmp(options.split, "train") == 0;
    status = dataset_open(options.data, train ? DATASET_TRAIN : DATASET_VALIDATION, &data);
    if (status == STATUS_OK) {
        status = loaded_model_init(&loaded, &plan);
    }
    if (status == STATUS_OK) {
        status = check_vocab(&loaded, data);
    }
    if (status == STATUS_OK) {
        team = plan_of(loaded.context, &options);
        status = windows_init(&windows, data, loaded.context,
                              team.thread_count * team.workspace.sequence_count, &options);
    }
    if (status == STATUS_OK) {
        status = measure(&loaded, &windows, &team, &result);
    }
    if (status == STATUS_OK) {
        print_result(&options, &result, strcmp(dataset_tokenizer_name(data), "bytes") == 0);
    }
    windows_deinit(&windows);
    loaded_model_deinit(&loaded);
    dataset_close(data);
    return status;
}
