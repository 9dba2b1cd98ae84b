#include "trainer/cli/sample.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/random.h"
#include "trainer/cli/load.h"
#include "trainer/cli/options.h"
#include "trainer/cli/terminal_text.h"
#include "trainer/model/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 1 << 20, FIRST_TOKEN = '\n' };

struct sample_options {
    const char *model;
    const char *prompt;
    const char *backend;
    uint64_t tokens;
    uint64_t top_k; /* 0: all */
    uint64_t seed;
    double temperature; /* 0: the likeliest token */
};

struct sampling {
    struct loaded_model loaded;
    struct tokenizer *tokenizer;
    struct decoder *decoder;
    uint16_t *tokens; /* prompt and what was added */
    size_t token_count;
    size_t fed_first;    /* the token that the decoder holds first */
    size_t prompt_count; /* of the tokens, those to print */
    float *logits;       /* (V) */
    float *sorted;       /* (V), for top_k */
    struct random random;
};

static int compare_down(const void *left, const void *right)
{
    float a = *(const float *)left;
    float b = *(const float *)right;
    return (a < b) - (a > b);
}

static size_t find_largest(const float *values, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        best = values[i] > values[best] ? i : best;
    }
    return best;
}

/* Draws from softmax(logits / temperature), among those not below `floor_value`. */
static size_t draw(struct sampling *self, size_t vocab, double temperature, float floor_value)
{
    const float *logits = self->logits;
    double largest = (double)logits[find_largest(logits, vocab)];
    double total = 0.0;
    for (size_t i = 0; i < vocab; i++) {
        total += logits[i] >= floor_value ? exp(((double)logits[i] - largest) / temperature) : 0.0;
    }
    double left = random_uniform(&self->random) * total;
    size_t last = 0;
    for (size_t i = 0; i < vocab; i++) {
        if (logits[i] >= floor_value) {
            last = i;
            left -= exp(((double)logits[i] - largest) / temperature);
            if (left < 0.0) {
                break;
            }
        }
    }
    return last;
}

static enum status choose_token(struct sampling *self, const struct sample_options *options,
                                uint16_t *out)
{
    size_t vocab = model_config_of(self->loaded.model)->vocab_size;
    for (size_t i = 0; i < vocab; i++) {
        if (!isfinite(self->logits[i])) {
            return fault(STATUS_OUT_OF_RANGE,
                         "the model in %s computes values that are no numbers: its parameters are "
                         "broken; take an earlier checkpoint",
                         options->model);
        }
    }
    if (options->temperature == 0.0) {
        *out = (uint16_t)find_largest(self->logits, vocab);
        return STATUS_OK;
    }
    float floor_value = -INFINITY;
    if (options->top_k > 0 && options->top_k < vocab) {
        memcpy(self->sorted, self->logits, vocab * sizeof(*self->sorted));
        qsort(self->sorted, vocab, sizeof(*self->sorted), compare_down);
        floor_value = self->sorted[options->top_k - 1];
    }
    *out = (uint16_t)draw(self, vocab, options->temperature, floor_value);
    return STATUS_OK;
}

static void print_token(const struct sampling *self, struct terminal_text *text, uint16_t token)
{
    size_t length = 0;
    const uint8_t *bytes = tokenizer_bytes_of(self->tokenizer, token, &length);
    terminal_text_put(text, bytes, length);
}

/* Feeds what the decoder has not seen. When its context is full it goes on from the latter half
 * of the text. */
static void compute_logits(struct sampling *self)
{
    size_t seen = decoder_length(self->decoder);
    size_t first = self->fed_first + seen;
    if (self->token_count - self->fed_first > self->loaded.context) {
        decoder_cut(self->decoder, 0);
        first = self->token_count - (self->loaded.context + 1) / 2;
        self->fed_first = first;
    }
    decoder_feed(self->decoder, self->loaded.weights, self->tokens + first,
                 self->token_count - first, self->logits);
}

static enum status generate(struct sampling *self, const struct sample_options *options)
{
    struct terminal_text text;
    terminal_text_init(&text, stdout);
    for (size_t i = self->token_count - self->prompt_count; i < self->token_count; i++) {
        print_token(self, &text, self->tokens[i]);
    }
    int32_t eos_id = model_config_of(self->loaded.model)->eos_id;
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < options->tokens; i++) {
        uint16_t token = 0;
        compute_logits(self);
        status = choose_token(self, options, &token);
        if (status != STATUS_OK || (eos_id >= 0 && token == eos_id)) {
            break;
        }
        self->tokens[self->token_count++] = token;
        print_token(self, &text, token);
    }
    terminal_text_end(&text);
    (void)fputc('\n', stdout);
    return status;
}

/* The prompt's tokens, with room for those to come. Without a prompt a text begins with the
 * model's own first token, or a new line. */
static enum status encode_prompt(struct sampling *self, const struct sample_options *options)
{
    uint16_t *prompt = NULL;
    size_t length = strlen(options->prompt);
    int32_t bos_id = model_config_of(self->loaded.model)->bos_id;
    enum status status = tokenizer_encode(self->tokenizer, (const uint8_t *)options->prompt, length,
                                          &prompt, &self->prompt_count);
    if (status != STATUS_OK) {
        return status;
    }
    self->tokens = calloc(self->prompt_count + options->tokens + 1, sizeof(*self->tokens));
    if (self->tokens == NULL) {
        free(prompt);
        return fault(STATUS_NO_MEMORY, "no memory for %zu tokens",
                     self->prompt_count + (size_t)options->tokens);
    }
    if (bos_id >= 0 || self->prompt_count == 0) {
        self->tokens[self->token_count++] = (uint16_t)(bos_id >= 0 ? bos_id : FIRST_TOKEN);
    }
    memcpy(self->tokens + self->token_count, prompt, self->prompt_count * sizeof(*prompt));
    self->token_count += self->prompt_count;
    free(prompt);
    return STATUS_OK;
}

static uint64_t pass_bytes(const struct model *model, size_t context, const void *caller)
{
    (void)caller;
    return decoder_bytes(model, context);
}

static enum status prepare(struct sampling *self, const struct sample_options *options)
{
    const struct load_plan plan = {.folder = options->model,
                                   .backend_name = options->backend,
                                   .context_max = strlen(options->prompt) + options->tokens + 1,
                                   .cut_context = true,
                                   .pass_bytes = pass_bytes};
    enum status status = tokenizer_new(options->model, &self->tokenizer);
    if (status == STATUS_OK) {
        status = loaded_model_init(&self->loaded, &plan);
    }
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t vocab = model_config_of(self->loaded.model)->vocab_size;
    if (tokenizer_vocab_size(self->tokenizer) > vocab) {
        return fault(STATUS_BAD_CONFIG,
                     "%s: tokenizer.json has %u tokens and the model knows %u: they do not belong "
                     "together",
                     options->model, tokenizer_vocab_size(self->tokenizer), vocab);
    }
    self->logits = calloc(vocab, sizeof(*self->logits));
    self->sorted = calloc(vocab, sizeof(*self->sorted));
    if (self->logits == NULL || self->sorted == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for %u logits", vocab);
    }
    status = decoder_new(self->loaded.model, self->loaded.context, &self->decoder);
    return status == STATUS_OK ? encode_prompt(self, options) : status;
}

static enum status parse(int argc, char **argv, struct sample_options *out)
{
    *out = (struct sample_options){
        .prompt = "", .backend = "cpu", .tokens = 256, .seed = clock_unix_ms(), .temperature = 0.8};
    const struct cli_option table[] = {
        {.name = "model", .kind = CLI_TEXT, .target = &out->model, .required = true},
        {.name = "prompt", .kind = CLI_TEXT, .target = &out->prompt},
        {.name = "backend", .kind = CLI_TEXT, .target = &out->backend},
        {.name = "tokens",
         .kind = CLI_COUNT,
         .target = &out->tokens,
         .count_min = 1,
         .count_max = TOKENS_MAX},
        {.name = "temperature", .kind = CLI_REAL, .target = &out->temperature, .real_max = 100},
        {.name = "top-k", .kind = CLI_COUNT, .target = &out->top_k, .count_max = MODEL_VOCAB_MAX},
        {.name = "seed", .kind = CLI_COUNT, .target = &out->seed, .count_max = UINT64_MAX},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("sample", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    return status == STATUS_OK ? cli_options_expect_end("sample", rest, argc, argv) : status;
}

enum status cli_sample(int argc, char **argv)
{
    struct sample_options options;
    struct sampling sampling = {0};
    enum status status = parse(argc, argv, &options);
    if (status != STATUS_OK) {
        return status;
    }
    random_init(&sampling.random, options.seed, 0);
    status = prepare(&sampling, &options);
    if (status == STATUS_OK) {
        status = generate(&sampling, &options);
    }
    decoder_free(sampling.decoder);
    loaded_model_deinit(&sampling.loaded);
    tokenizer_free(sampling.tokenizer);
    free(sampling.tokens);
    free(sampling.logits);
    free(sampling.sorted);
    return status;
}
