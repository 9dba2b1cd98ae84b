#include "trainer/cli/oracle_logprobs.h"

#include "common/fault.h"
#include "trainer/cli/load.h"
#include "trainer/cli/options.h"
#include "trainer/cli/oracle_input.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/model/decoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDED_MAX = 100000 };

struct logprobs_options {
    const char *model;
    const char *ids;
    const char *text;
    const char *backend;
    uint64_t tokens; /* to add greedily */
    bool json;       /* always so; other verbs have the option */
};

/* Model, room for one row, and its logits. */
struct predictor {
    struct loaded_model loaded;
    struct workspace *workspace;
    struct decoder *decoder;
    size_t vocab;
    float *logits;    /* (rows_max, vocab) */
    uint16_t *tokens; /* a row and what is added to it */
};

static enum status parse(int argc, char **argv, struct logprobs_options *out)
{
    *out = (struct logprobs_options){.backend = "cpu"};
    const struct cli_option table[] = {
        {.name = "model", .kind = CLI_TEXT, .target = &out->model, .required = true},
        {.name = "ids", .kind = CLI_TEXT, .target = &out->ids},
        {.name = "text", .kind = CLI_TEXT, .target = &out->text},
        {.name = "backend", .kind = CLI_TEXT, .target = &out->backend},
        {.name = "tokens", .kind = CLI_COUNT, .target = &out->tokens, .count_max = ADDED_MAX},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("oracle", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    if (status == STATUS_OK && (out->ids == NULL) == (out->text == NULL)) {
        status = fault(STATUS_USAGE, "oracle logprobs needs one of --ids and --text");
    }
    return status == STATUS_OK ? cli_options_expect_end("oracle", rest, argc, argv) : status;
}

/* The text as a batch of one row. */
static enum status encode(const struct logprobs_options *options, const struct model_config *config,
                          struct oracle_batch *out)
{
    struct tokenizer *tokenizer = NULL;
    size_t count = 0;
    enum status status = hf_folder_read_tokenizer(options->model, &tokenizer);
    if (status == STATUS_OK) {
        status = tokenizer_encode(tokenizer, (const uint8_t *)options->text, strlen(options->text),
                                  &out->tokens, &count);
    }
    tokenizer_free(tokenizer);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (out->tokens[i] >= config->vocab_size) {
            return fault(STATUS_BAD_CONFIG, "%s: tokenizer and model do not belong together",
                         options->model);
        }
    }
    out->row_starts = calloc(2, sizeof(*out->row_starts));
    if (out->row_starts == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the text");
    }
    out->row_count = 1;
    out->row_starts[1] = count;
    return count > 0 ? STATUS_OK : fault(STATUS_USAGE, "oracle logprobs: the text is empty");
}

static size_t longest_row(const struct oracle_batch *batch)
{
    size_t longest = 0;
    for (size_t i = 0; i < batch->row_count; i++) {
        size_t length = batch->row_starts[i + 1] - batch->row_starts[i];
        longest = length > longest ? length : longest;
    }
    return longest;
}

static struct workspace_plan plan_of(size_t context)
{
    return (struct workspace_plan){
        .context = context, .sequence_count = 1, .purpose = WORKSPACE_LOSS};
}

static uint64_t pass_bytes(const struct model *model, size_t context, const void *caller)
{
    struct workspace_plan plan = plan_of(context);
    (void)caller;
    return workspace_bytes(model, &plan) + decoder_bytes(model, context);
}

/* End it with predictor_deinit, also after an error. */
static enum status predictor_init(struct predictor *self, const struct logprobs_options *options,
                                  size_t length_max)
{
    const struct load_plan plan = {.folder = options->model,
                                   .backend_name = options->backend,
                                   .context_max = length_max + (size_t)options->tokens,
                                   .pass_bytes = pass_bytes};
    enum status status = loaded_model_init(&self->loaded, &plan);
    if (status != STATUS_OK) {
        return status;
    }
    self->vocab = model_config_of(self->loaded.model)->vocab_size;
    self->logits = calloc(length_max * self->vocab + 1, sizeof(*self->logits));
    self->tokens = calloc(plan.context_max, sizeof(*self->tokens));
    if (self->logits == NULL || self->tokens == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for %zu x %zu logits", length_max, self->vocab);
    }
    const struct workspace_plan rows = plan_of(self->loaded.context);
    status = workspace_new(self->loaded.model, &rows, &self->workspace);
    return status == STATUS_OK
               ? decoder_new(self->loaded.model, self->loaded.context, &self->decoder)
               : status;
}

static void predictor_deinit(struct predictor *self)
{
    workspace_free(self->workspace);
    decoder_free(self->decoder);
    loaded_model_deinit(&self->loaded);
    free(self->logits);
    free(self->tokens);
}

static void print_logprobs(const float *logits, size_t vocab)
{
    double largest = -INFINITY;
    double sum = 0.0;
    for (size_t i = 0; i < vocab; i++) {
        largest = fmax(largest, (double)logits[i]);
    }
    for (size_t i = 0; i < vocab; i++) {
        sum += exp((double)logits[i] - largest);
    }
    for (size_t i = 0; i < vocab; i++) {
        (void)printf("%s%.9g", i > 0 ? "," : "[", (double)logits[i] - largest - log(sum));
    }
    (void)printf("]");
}

/* The likeliest token; *out_margin is by how much, in nats, it is ahead of the next. */
static uint16_t likeliest(const float *logits, size_t vocab, double *out_margin)
{
    size_t best = 0;
    double second = -INFINITY;
    for (size_t i = 1; i < vocab; i++) {
        bool better = logits[i] > logits[best];
        second = fmax(second, (double)logits[better ? best : i]);
        best = better ? i : best;
    }
    *out_margin = vocab > 1 ? (double)logits[best] - second : 0.0;
    return (uint16_t)best;
}

static void print_ids(const char *name, const uint16_t *ids, size_t count)
{
    (void)printf("\"%s\": [", name);
    for (size_t i = 0; i < count; i++) {
        (void)printf("%s%u", i > 0 ? "," : "", ids[i]);
    }
    (void)printf("]");
}

static void print_row(struct predictor *self, const uint16_t *ids, size_t count, size_t added)
{
    memcpy(self->tokens, ids, count * sizeof(*ids));
    (void)printf("{");
    print_ids("ids", ids, count);
    (void)printf(", \"logprobs\": [");
    model_logits(self->loaded.model, self->workspace, self->loaded.weights, self->tokens, count,
                 self->logits);
    for (size_t i = 0; i < count; i++) {
        (void)printf("%s", i > 0 ? "," : "");
        print_logprobs(self->logits + i * self->vocab, self->vocab);
    }
    (void)printf("], \"margins\": [");
    decoder_cut(self->decoder, 0);
    for (size_t i = 0; i < added; i++) {
        double margin = 0.0;
        size_t fed = decoder_length(self->decoder);
        decoder_feed(self->decoder, self->loaded.weights, self->tokens + fed, count + i - fed,
                     self->logits);
        self->tokens[count + i] = likeliest(self->logits, self->vocab, &margin);
        (void)printf("%s%.9g", i > 0 ? "," : "", margin);
    }
    (void)printf("], ");
    print_ids("continuation", self->tokens + count, added);
    (void)printf("}");
}

enum status oracle_logprobs(int argc, char **argv)
{
    struct logprobs_options options;
    struct model_config config;
    struct oracle_batch batch = {0};
    struct predictor predictor = {0};
    enum status status = parse(argc, argv, &options);
    if (status == STATUS_OK) {
        status = hf_folder_read_config(options.model, &config);
    }
    if (status == STATUS_OK) {
        status = options.ids != NULL ? oracle_read_ids(options.ids, &config, &batch)
                                     : encode(&options, &config, &batch);
    }
    if (status == STATUS_OK) {
        status = predictor_init(&predictor, &options, longest_row(&batch));
    }
    if (status == STATUS_OK) {
        (void)printf("{\"rows\": [");
        for (size_t i = 0; i < batch.row_count; i++) {
            (void)printf("%s", i > 0 ? ", " : "");
            print_row(&predictor, batch.tokens + batch.row_starts[i],
                      batch.row_starts[i + 1] - batch.row_starts[i], (size_t)options.tokens);
        }
        (void)printf("]}\n");
    }
    oracle_batch_deinit(&batch);
    predictor_deinit(&predictor);
    return status;
}
