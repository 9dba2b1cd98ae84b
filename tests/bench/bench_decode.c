/* bench_decode - how fast a model of GPT-2 124M's sizes generates, and how fast the memory is.
 *
 *     bench_decode [BACKEND [TEXT_TOKENS]]      cpu, and 64 tokens before the measured ones
 *
 * A token reads every weight once, and the keys and values of all tokens up to it; so reading as
 * many bytes is the least time it can take. Both are measured in turn in one process and one
 * thread, and each figure is the best of several rounds: their ratio says more than either on a
 * machine that others use too. Random weights; prints JSON. choice_ms: temperature 0.8, top-p 0.95,
 * top-k 200 over the whole vocabulary. */
#include "common/clock.h"
#include "common/fault.h"
#include "common/vector_clones.h"
#include "trainer/cli/bench_model.h"
#include "trainer/model/decoder.h"
#include "trainer/sampling/token_choice.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 16, ROUND_TOKENS = 4, TEXT_TOKENS = 64 };

/* "gpt2-124m" of `dugnad bench`. */
static struct model_config config;

struct bench {
    struct model *model;
    float *params;
    struct weights *weights;
    struct decoder *decoder;
    struct token_choice *choice;
    float *logits;
    uint64_t weight_bytes; /* read per token */
    void *buffer;          /* of that size */
};

struct figures {
    uint64_t token_ns;
    uint64_t choice_ns;
    uint64_t read_ns;
};

/* Matrices in cells, but for the positions, of which one row is read; vectors in float32. */
static uint64_t count_weight_bytes(const struct model *model)
{
    const struct layout *layout = model_layout(model);
    uint64_t bytes = 0;
    for (size_t i = 0; i < layout_tensor_count(layout); i++) {
        const struct tensor_spec *tensor = layout_tensor(layout, i);
        if (tensor->rank == 1) {
            bytes += tensor->count * sizeof(float);
        } else if (strstr(tensor->name, "wpe") == NULL) {
            bytes += tensor->count * model_backend(model)->cell_bytes;
        }
    }
    return bytes;
}

/* Keys and values that a token reads, on average over a round. */
static uint64_t count_cache_bytes(const struct model *model, size_t text_tokens)
{
    uint64_t row_bytes = (uint64_t)2 * config.layer_count * config.kv_head_count *
                         config.head_size * model_backend(model)->cell_bytes;
    uint64_t rows = 0;
    for (size_t i = 0; i < ROUND_TOKENS; i++) {
        rows += text_tokens + i + 1; /* its own too */
    }
    return row_bytes * rows / ROUND_TOKENS;
}

static enum status prepare(struct bench *self, const char *backend_name)
{
    static const struct token_choice_settings SETTINGS = {
        .temperature = 0.8, .top_k = 200, .top_p = 0.95};
    const struct backend *backend = NULL;
    enum status status = backend_find(backend_name, &backend);
    if (status == STATUS_OK) {
        status = model_new(&config, backend, &self->model);
    }
    if (status == STATUS_OK) {
        status = weights_new(self->model, &self->weights);
    }
    if (status == STATUS_OK) {
        status = decoder_new(self->model, config.context_max, &self->decoder);
    }
    if (status == STATUS_OK) {
        status = token_choice_new(&SETTINGS, config.vocab_size, &self->choice);
    }
    if (status != STATUS_OK) {
        return status;
    }
    const struct layout *layout = model_layout(self->model);
    self->params = backend->allocate(layout_value_count(layout) * sizeof(float));
    self->weight_bytes = count_weight_bytes(self->model);
    self->buffer = backend->allocate(self->weight_bytes);
    self->logits = calloc(config.vocab_size, sizeof *self->logits);
    if (self->params == NULL || self->buffer == NULL || self->logits == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for a model of GPT-2 124M's sizes");
    }
    layout_init_params(layout, &config, 1, self->params);
    weights_load(self->weights, self->params);
    memset(self->buffer, 1, self->weight_bytes); /* pages of its own, not the zero page */
    return STATUS_OK;
}

static void finish(struct bench *self)
{
    token_choice_free(self->choice);
    decoder_free(self->decoder);
    weights_free(self->weights);
    if (self->model != NULL) {
        if (self->params != NULL) {
            model_backend(self->model)->release(self->params);
        }
        if (self->buffer != NULL) {
            model_backend(self->model)->release(self->buffer);
        }
    }
    model_free(self->model);
    free(self->logits);
}

typedef uint64_t line __attribute__((vector_size(64)));

/* Adds up four streams of `count` cache lines that begin `stride` lines apart. */
VECTOR_CLONES static uint64_t add_streams(const line *lines, size_t count, size_t stride,
                                          size_t step)
{
    line sums[4] = {{0}};
    for (size_t i = 0; i < count; i++) {
        sums[0] += lines[i * step];
        sums[1] += lines[i * step + stride];
        sums[2] += lines[i * step + 2 * stride];
        sums[3] += lines[i * step + 3 * stride];
    }
    line sum = sums[0] + sums[1] + sums[2] + sums[3];
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

/* The whole buffer once, from front to back or as four quarters side by side: which is faster
 * depends on the machine. */
static uint64_t read_buffer(const struct bench *self, bool quarters)
{
    size_t count = self->weight_bytes / sizeof(line) / 4;
    return quarters ? add_streams(self->buffer, count, count, 1)
                    : add_streams(self->buffer, count, 1, 4);
}

static void keep_least(uint64_t *best, uint64_t value)
{
    *best = *best == 0 || value < *best ? value : *best;
}

/* One round behind a text of text_tokens. */
static enum status measure(struct bench *self, size_t text_tokens, struct random *random,
                           struct figures *best)
{
    uint16_t token = 0;
    uint64_t choice_ns = 0;
    decoder_cut(self->decoder, text_tokens);
    uint64_t start_ns = clock_now_ns();
    for (size_t i = 0; i < ROUND_TOKENS; i++) {
        uint64_t before_ns = clock_now_ns();
        enum status status = token_choice_draw(self->choice, self->logits, random, &token);
        if (status != STATUS_OK) {
            return status;
        }
        choice_ns += clock_now_ns() - before_ns;
        decoder_feed(self->decoder, self->weights, &token, 1, self->logits);
    }
    keep_least(&best->token_ns, (clock_now_ns() - start_ns) / ROUND_TOKENS);
    keep_least(&best->choice_ns, choice_ns / ROUND_TOKENS);
    for (int quarters = 0; quarters < 2; quarters++) {
        start_ns = clock_now_ns();
        volatile uint64_t sum = read_buffer(self, quarters != 0);
        (void)sum;
        keep_least(&best->read_ns, clock_now_ns() - start_ns);
    }
    return STATUS_OK;
}

static enum status run(struct bench *self, const char *backend_name, size_t text_tokens)
{
    uint16_t text[1024];
    struct random random;
    struct figures best = {0};
    enum status status = prepare(self, backend_name);
    random_init(&random, 1, 0);
    for (size_t i = 0; i < text_tokens; i++) {
        text[i] = (uint16_t)random_below(&random, config.vocab_size);
    }
    if (status == STATUS_OK) {
        decoder_feed(self->decoder, self->weights, text, text_tokens, self->logits);
    }
    for (size_t i = 0; i < ROUNDS && status == STATUS_OK; i++) {
        status = measure(self, text_tokens, &random, &best);
    }
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t cache_bytes = count_cache_bytes(self->model, text_tokens);
    double bytes_per_ns = (double)self->weight_bytes / (double)best.read_ns;
    double least_ns = (double)(self->weight_bytes + cache_bytes) / bytes_per_ns;
    (void)printf("{\"backend\":\"%s\",\"text_tokens\":%zu,\"tokens_per_s\":%.2f,"
                 "\"ms_per_token\":%.2f,\"choice_ms\":%.3f,\"weight_bytes_per_token\":%llu,"
                 "\"cache_bytes_per_token\":%llu,\"read_bandwidth_gb_per_s\":%.2f,"
                 "\"share_of_bandwidth\":%.3f}\n",
                 backend_name, text_tokens, 1e9 / (double)best.token_ns,
                 (double)best.token_ns / 1e6, (double)best.choice_ns / 1e6,
                 (unsigned long long)self->weight_bytes, (unsigned long long)cache_bytes,
                 bytes_per_ns, least_ns / (double)best.token_ns);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    unsigned long text_tokens = argc > 2 ? strtoul(argv[2], NULL, 10) : TEXT_TOKENS;
    enum status status = bench_model_find("gpt2-124m", &config);
    if (status == STATUS_OK &&
        (text_tokens < 1 || text_tokens > config.context_max - ROUND_TOKENS)) {
        status =
            fault(STATUS_USAGE, "the text has 1 to %u tokens", config.context_max - ROUND_TOKENS);
    }
    if (status == STATUS_OK) {
        status = run(&bench, argc > 1 ? argv[1] : "cpu", text_tokens);
    }
    finish(&bench);
    return status == STATUS_OK ? 0 : fault_report("bench_decode", status);
}
