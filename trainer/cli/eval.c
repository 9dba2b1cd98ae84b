#include "trainer/cli/eval.h"

#include "common/clock.h"
#include "common/cores.h"
#include "common/fault.h"
#include "trainer/cli/eval_tokens.h"
#include "trainer/cli/load.h"
#include "trainer/cli/options.h"
#include "trainer/model/team.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOWS_MAX = 1 << 30, WINDOWS_DEFAULT = 256, NANOSECONDS = 1000000000 };

static const uint64_t WINDOWS_NONE = UINT64_MAX; /* not said */

struct eval_options {
    const char *model;
    const char *data; /* or text */
    const char *text;
    const char *split;
    const char *precision;
    const char *backend; /* NULL: by the precision */
    uint64_t context;
    uint64_t windows;
    uint64_t threads;
    bool json;
};

/* Windows handed to the team's threads, and the loss of each: summed in order at the end, so that
 * the result does not depend on the threads. */
struct windows {
    const struct eval_tokens *source;
    uint64_t in_split; /* whole windows of the split or text */
    uint64_t count;    /* windows to measure */
    size_t context;
    double *losses; /* (count) */
    pthread_mutex_t lock;
    uint64_t next;    /* guarded by lock, as all below */
    uint64_t bytes;   /* of text that the predicted tokens stand for */
    uint16_t *tokens; /* (row_count, context + 1) */
    uint16_t **idle;  /* (row_count): rows of tokens that no thread uses */
    size_t idle_count;
};

struct eval_result {
    double loss; /* nats per token */
    uint64_t token_count;
    uint64_t bytes;       /* of text that they stand for */
    double bits_per_byte; /* negative: not known */
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
        eval_tokens_read(self->source, window_place(self, out[i].tag) * self->context,
                         self->context + 1, tokens);
    }
    return count;
}

static void finish_window(void *context, const struct team_item *item, double loss_sum)
{
    struct windows *self = context;
    uint64_t bytes = eval_tokens_bytes(self->source, item->tokens + 1, item->token_count);
    self->losses[item->tag] = loss_sum;
    (void)pthread_mutex_lock(&self->lock);
    self->bytes += bytes;
    self->idle[self->idle_count++] = self->tokens + (item->tokens - self->tokens);
    (void)pthread_mutex_unlock(&self->lock);
}

/* row_count: windows that the threads hold at a time. */
static enum status windows_init(struct windows *self, const struct eval_tokens *source,
                                size_t context, size_t row_count,
                                const struct eval_options *options)
{
    uint64_t tokens = eval_tokens_count(source);
    uint64_t most = options->windows;
    if (most == WINDOWS_NONE) {
        most = options->text != NULL ? 0 : WINDOWS_DEFAULT;
    }
    self->source = source;
    self->context = context;
    self->in_split = tokens == 0 ? 0 : (tokens - 1) / context;
    if (self->in_split == 0) {
        return fault(STATUS_USAGE,
                     "the %s %s has %" PRIu64 " tokens, too few for a window of %zu + 1; give a "
                     "smaller --context",
                     options->text != NULL ? "text" : options->split,
                     options->text != NULL ? options->text : "split", tokens, context);
    }
    self->count = most == 0 ? WINDOWS_MAX : most;
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
    out->bytes = windows->bytes;
    out->bits_per_byte = -1.0;
    if (eval_tokens_knows_bytes(windows->source) && windows->bytes > 0) {
        out->bits_per_byte = sum / log(2.0) / (double)windows->bytes;
    }
    out->tokens_per_s = (double)out->token_count * NANOSECONDS / (double)(used_ns + 1);
    if (!isfinite(out->loss)) {
        return fault(STATUS_OUT_OF_RANGE, "the loss is not a number: the model's parameters are "
                                          "broken; take an earlier checkpoint");
    }
    return STATUS_OK;
}

/* Of a broken model it may exceed what a number of JSON can be. */
static double perplexity(const struct eval_result *result)
{
    return fmin(exp(result->loss), DBL_MAX);
}

static void print_json(const struct eval_result *result)
{
    (void)printf("{\"loss\":%.9g,\"perplexity\":%.9g", result->loss, perplexity(result));
    if (result->bits_per_byte >= 0.0) {
        (void)printf(",\"bits_per_byte\":%.9g,\"bytes\":%" PRIu64, result->bits_per_byte,
                     result->bytes);
    }
    (void)printf(",\"tokens\":%" PRIu64 ",\"tokens_per_s\":%.1f}\n", result->token_count,
                 result->tokens_per_s);
}

static void print_text(const struct eval_result *result)
{
    (void)printf("loss %.4f nats per token, perplexity %.4f", result->loss, perplexity(result));
    if (result->bits_per_byte >= 0.0) {
        (void)printf(", %.4f bits per byte", result->bits_per_byte);
    }
    (void)printf(" over %" PRIu64 " tokens, %.0f tokens/s\n", result->token_count,
                 result->tokens_per_s);
}

static enum status check(const struct eval_options *options)
{
    if ((options->data == NULL) == (options->text == NULL)) {
        return fault(STATUS_USAGE, "eval needs --data or --text, one of them; 'dugnad eval --help' "
                                   "lists the options");
    }
    if (strcmp(options->split, "validation") != 0 && strcmp(options->split, "train") != 0) {
        return fault(STATUS_USAGE, "--split must be validation or train, not '%.100s'",
                     options->split);
    }
    return STATUS_OK;
}

static enum status parse(int argc, char **argv, struct eval_options *out)
{
    *out = (struct eval_options){.split = "validation",
                                 .precision = "auto",
                                 .windows = WINDOWS_NONE,
                                 .threads = cores_usable(TEAM_THREADS_MAX)};
    const struct cli_option table[] = {
        {.name = "model", .kind = CLI_TEXT, .target = &out->model, .required = true},
        {.name = "data", .kind = CLI_TEXT, .target = &out->data},
        {.name = "text", .kind = CLI_TEXT, .target = &out->text},
        {.name = "split", .kind = CLI_TEXT, .target = &out->split},
        {.name = "precision", .kind = CLI_TEXT, .target = &out->precision},
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
    return status == STATUS_OK ? check(out) : status;
}

static enum status open_tokens(const struct eval_options *options, struct eval_tokens **out)
{
    if (options->text != NULL) {
        return eval_tokens_open_text(options->text, options->model, out);
    }
    bool train = strcmp(options->split, "train") == 0;
    return eval_tokens_open_data(options->data, train ? DATASET_TRAIN : DATASET_VALIDATION,
                                 options->model, out);
}

static enum status check_vocab(const struct loaded_model *loaded, const struct eval_tokens *tokens)
{
    uint32_t known = model_config_of(loaded->model)->vocab_size;
    if (eval_tokens_vocab(tokens) > known) {
        return fault(STATUS_BAD_CONFIG,
                     "the data has a vocabulary of %u and the model one of %u: they do not belong "
                     "together",
                     eval_tokens_vocab(tokens), known);
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

/* Windows of `tokens` through the model. */
static enum status evaluate(const struct loaded_model *loaded, const struct eval_tokens *tokens,
                            const struct eval_options *options, struct eval_result *out)
{
    struct windows windows = {.lock = PTHREAD_MUTEX_INITIALIZER};
    size_t context = loaded->context;
    uint64_t count = eval_tokens_count(tokens);
    if (options->text != NULL && options->context == 0 && count > 1 && count <= context) {
        context = (size_t)count - 1; /* a short text is one window */
    }
    enum status status = check_vocab(loaded, tokens);
    if (status == STATUS_OK) {
        struct team_plan team = plan_of(context, options);
        status = windows_init(&windows, tokens, context,
                              team.thread_count * team.workspace.sequence_count, options);
        if (status == STATUS_OK) {
            status = measure(loaded, &windows, &team, out);
        }
    }
    windows_deinit(&windows);
    return status;
}

enum status cli_eval(int argc, char **argv)
{
    struct eval_options options;
    enum status status = parse(argc, argv, &options);
    if (status != STATUS_OK) {
        return status;
    }
    struct eval_tokens *tokens = NULL;
    struct loaded_model loaded = {0};
    struct eval_result result = {0};
    const struct load_plan plan = {.folder = options.model,
                                   .backend_name = options.backend,
                                   .precision = options.precision,
                                   .context_max = options.context,
                                   .pass_bytes = pass_bytes,
                                   .caller = &options};
    status = open_tokens(&options, &tokens);
    if (status == STATUS_OK) {
        status = loaded_model_init(&loaded, &plan);
    }
    if (status == STATUS_OK) {
        status = evaluate(&loaded, tokens, &options, &result);
    }
    if (status == STATUS_OK) {
        if (options.json) {
            print_json(&result);
        } else {
            print_text(&result);
        }
    }
    loaded_model_deinit(&loaded);
    eval_tokens_close(tokens);
    return status;
}
