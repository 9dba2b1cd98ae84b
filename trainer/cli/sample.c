#include "trainer/cli/sample.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/random.h"
#include "trainer/cli/continuation.h"
#include "trainer/cli/interrupt.h"
#include "trainer/cli/options.h"
#include "trainer/cli/sample_output.h"
#include "trainer/cli/text_input.h"
#include "trainer/sampling/stop_text.h"
#include "trainer/sampling/token_choice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    TOKENS_MAX = 1 << 20,
    SAMPLES_MAX = 1 << 20,
    PROMPT_BYTES_MAX = 16 << 20,
    NANOSECONDS = 1000000000
};

/* Exact in every reader of JSON. */
static const uint64_t SEED_MAX = (UINT64_C(1) << 53) - 1;
static const uint64_t SEED_NONE = UINT64_MAX;

struct sample_options {
    const char *model;
    const char *prompt;
    const char *prompt_file;
    const char *precision;
    const char *backend; /* NULL: by the precision */
    struct cli_texts stops;
    uint64_t tokens;
    uint64_t top_k; /* 0: all */
    uint64_t seed;
    uint64_t count;
    double temperature; /* 0: the likeliest token */
    double top_p;
    double min_p;
    bool json;
};

struct sampling {
    const struct sample_options *options;
    uint8_t *prompt;
    size_t prompt_bytes;
    struct continuation *text;
    struct token_choice *choice;
    struct stop_text *stops;
    struct sample_output *output;
    enum status output_status; /* of what went through the stops' sink */
    struct random random;
};

/* Why a sample ended; NULL while it goes on. */
static const char REASON_LENGTH[] = "length";
static const char REASON_END[] = "end_of_text";
static const char REASON_STOP[] = "stop_string";
static const char REASON_INTERRUPT[] = "interrupted";

static void put_text(void *context, const uint8_t *bytes, size_t count)
{
    struct sampling *self = context;
    if (self->output_status == STATUS_OK) {
        self->output_status = sample_output_put(self->output, bytes, count);
    }
}

/* Chooses one token behind the logits and prints it. */
static enum status add_token(struct sampling *self, const float *logits, const char **reason)
{
    const struct stop_sink sink = {self, put_text};
    uint16_t token = 0;
    enum status status = token_choice_draw(self->choice, logits, &self->random, &token);
    if (status != STATUS_OK) {
        return status;
    }
    if (continuation_is_end(self->text, token)) {
        *reason = REASON_END;
        return STATUS_OK;
    }
    size_t length = 0;
    const uint8_t *bytes = continuation_bytes_of(self->text, token, &length);
    continuation_add(self->text, token);
    if (stop_text_put(self->stops, bytes, length, &sink)) {
        *reason = REASON_STOP;
    }
    return self->output_status;
}

/* Adds tokens until there is a reason to end. The speed counts passes behind the prompt's. */
static enum status generate(struct sampling *self, struct sample_facts *facts)
{
    uint64_t start_ns = 0;
    uint64_t passes = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && facts->stop_reason == NULL) {
        if (interrupt_came()) {
            facts->stop_reason = REASON_INTERRUPT;
            break;
        }
        const float *logits = continuation_logits(self->text);
        passes++;
        start_ns = start_ns == 0 ? clock_now_ns() : start_ns;
        status = add_token(self, logits, &facts->stop_reason);
        if (facts->stop_reason == NULL && passes == self->options->tokens) {
            facts->stop_reason = REASON_LENGTH;
        }
    }
    if (passes > 1) {
        facts->tokens_per_s =
            (double)(passes - 1) * NANOSECONDS / (double)(clock_now_ns() - start_ns + 1);
    }
    return status;
}

static enum status make_sample(struct sampling *self, uint64_t seed)
{
    const struct stop_sink sink = {self, put_text};
    struct sample_facts facts = {.prompt = self->prompt,
                                 .prompt_bytes = self->prompt_bytes,
                                 .prompt_tokens = continuation_prompt_count(self->text),
                                 .seed = seed};
    random_init(&self->random, seed, 0);
    stop_text_begin(self->stops);
    continuation_begin(self->text);
    enum status status = sample_output_begin(self->output, self->prompt, self->prompt_bytes);
    if (status == STATUS_OK) {
        status = generate(self, &facts);
    }
    stop_text_end(self->stops, &sink);
    if (status != STATUS_OK) {
        return status;
    }
    facts.tokens = continuation_added(self->text, &facts.token_count);
    facts.stop = stop_text_found(self->stops);
    status = sample_output_end(self->output, &facts);
    return status == STATUS_OK ? self->output_status : status;
}

static enum status read_prompt(struct sampling *self)
{
    const struct sample_options *options = self->options;
    if (options->prompt_file != NULL) {
        return text_input_read(options->prompt_file, PROMPT_BYTES_MAX, &self->prompt,
                               &self->prompt_bytes);
    }
    const char *text = options->prompt != NULL ? options->prompt : "";
    self->prompt_bytes = strlen(text);
    self->prompt = (uint8_t *)strdup(text);
    return self->prompt != NULL ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory for the prompt");
}

static enum status prepare(struct sampling *self)
{
    const struct sample_options *options = self->options;
    const struct token_choice_settings settings = {.temperature = options->temperature,
                                                   .top_k = (uint32_t)options->top_k,
                                                   .top_p = options->top_p,
                                                   .min_p = options->min_p};
    enum status status = stop_text_new(options->stops.items, options->stops.count, &self->stops);
    if (status == STATUS_OK) {
        status = read_prompt(self);
    }
    if (status == STATUS_OK) {
        const struct continuation_plan plan = {.folder = options->model,
                                               .backend_name = options->backend,
                                               .precision = options->precision,
                                               .prompt = self->prompt,
                                               .prompt_bytes = self->prompt_bytes,
                                               .tokens_max = (size_t)options->tokens};
        status = continuation_new(&plan, &self->text);
    }
    if (status == STATUS_OK) {
        status = token_choice_new(&settings, continuation_vocab(self->text), &self->choice);
    }
    return status == STATUS_OK ? sample_output_new(options->json, &self->output) : status;
}

static enum status check(struct sample_options *options)
{
    if (options->prompt != NULL && options->prompt_file != NULL) {
        return fault(STATUS_USAGE, "give --prompt or --prompt-file, not both");
    }
    if (options->seed == SEED_NONE) {
        uint32_t seed = 0;
        if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
            return fault(STATUS_OS, "no random seed: %s; give a --seed", strerror(errno));
        }
        options->seed = seed;
    }
    return STATUS_OK;
}

static enum status parse(int argc, char **argv, struct sample_options *out)
{
    *out = (struct sample_options){.precision = "fp32",
                                   .tokens = 256,
                                   .seed = SEED_NONE,
                                   .count = 1,
                                   .temperature = 0.8,
                                   .top_p = 1.0};
    const struct cli_option table[] = {
        {.name = "model", .kind = CLI_TEXT, .target = &out->model, .required = true},
        {.name = "prompt", .kind = CLI_TEXT, .target = &out->prompt},
        {.name = "prompt-file", .kind = CLI_TEXT, .target = &out->prompt_file},
        {.name = "precision", .kind = CLI_TEXT, .target = &out->precision},
        {.name = "backend", .kind = CLI_TEXT, .target = &out->backend},
        {.name = "stop", .kind = CLI_TEXTS, .target = &out->stops},
        {.name = "tokens",
         .kind = CLI_COUNT,
         .target = &out->tokens,
         .count_min = 1,
         .count_max = TOKENS_MAX},
        {.name = "count",
         .kind = CLI_COUNT,
         .target = &out->count,
         .count_min = 1,
         .count_max = SAMPLES_MAX},
        {.name = "temperature", .kind = CLI_REAL, .target = &out->temperature, .real_max = 100},
        {.name = "top-k",
         .kind = CLI_COUNT,
         .target = &out->top_k,
         .count_max = TOKEN_CHOICE_VOCAB_MAX},
        {.name = "top-p", .kind = CLI_REAL, .target = &out->top_p, .real_max = 1},
        {.name = "min-p", .kind = CLI_REAL, .target = &out->min_p, .real_max = 1},
        {.name = "seed", .kind = CLI_COUNT, .target = &out->seed, .count_max = SEED_MAX},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("sample", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    if (status == STATUS_OK) {
        status = cli_options_expect_end("sample", rest, argc, argv);
    }
    return status == STATUS_OK ? check(out) : status;
}

enum status cli_sample(int argc, char **argv)
{
    struct sample_options options;
    enum status status = parse(argc, argv, &options);
    if (status != STATUS_OK) {
        return status;
    }
    struct sampling sampling = {.options = &options};
    status = prepare(&sampling);
    if (status == STATUS_OK) {
        interrupt_catch();
    }
    for (uint64_t i = 0; i < options.count && status == STATUS_OK; i++) {
        if (i > 0 && interrupt_came()) {
            break;
        }
        status = make_sample(&sampling, options.seed + i);
    }
    sample_output_free(sampling.output);
    token_choice_free(sampling.choice);
    continuation_free(sampling.text);
    stop_text_free(sampling.stops);
    free(sampling.prompt);
    return status;
}
