/* The whole model's gradient against finite differences, and what its functions promise. */
#include "common/check.h"
#include "common/fault.h"
#include "common/random.h"
#include "suite.h"
#include "trainer/model/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_SKIPPED = 77 }; /* ctest's SKIP_RETURN_CODE */

enum {
    SEQUENCES = 4,
    CONTEXT_MAX = 80,
    TOKENS_MAX = 140,
    LOGITS = 9 * 11 /* 9 rows, the tiny vocabulary */
};

static struct model_config tiny_llama(bool tied)
{
    return (struct model_config){.kind = MODEL_LLAMA,
                                 .vocab_size = 11,
                                 .width = 6,
                                 .layer_count = 2,
                                 .head_count = 4,
                                 .kv_head_count = 2,
                                 .head_size = 4,
                                 .ffn_width = 7,
                                 .context_max = CONTEXT_MAX,
                                 .tied_head = tied,
                                 .norm_eps = 1e-5F,
                                 .rope_theta = 100.0F,
                                 .init_std = 0.4F,
                                 .bos_id = -1,
                                 .eos_id = -1};
}

static struct model_config tiny_gpt2(bool tied)
{
    return (struct model_config){.kind = MODEL_GPT2,
                                 .vocab_size = 11,
                                 .width = 6,
                                 .layer_count = 2,
                                 .head_count = 2,
                                 .kv_head_count = 2,
                                 .head_size = 3,
                                 .ffn_width = 13,
                                 .context_max = CONTEXT_MAX,
                                 .tied_head = tied,
                                 .norm_eps = 1e-5F,
                                 .init_std = 0.4F,
                                 .bos_id = -1,
                                 .eos_id = -1};
}

/* A model, random parameters, S sequences of T tokens, and the gradient's storage. */
struct bench {
    struct model *model;
    struct workspace *workspace;
    struct gradient *gradient;
    const struct layout *layout;
    float *params;
    struct weights *weights;
    uint16_t tokens[SEQUENCES][TOKENS_MAX + 1];
    size_t S;
    size_t T;
};

static void bench_init_plan(struct bench *self, const struct model_config *config,
                            const struct backend *backend, const struct workspace_plan *plan)
{
    memset(self, 0, sizeof(*self));
    self->S = plan->sequence_count;
    self->T = plan->context;
    CU_ASSERT_EQUAL_FATAL(model_new(config, backend, &self->model), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(workspace_new(self->model, plan, &self->workspace), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(gradient_new(self->model, &self->gradient), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(weights_new(self->model, &self->weights), STATUS_OK);
    self->layout = model_layout(self->model);
    self->params = backend->allocate(layout_value_count(self->layout) * sizeof(float));
    CHECK(self->params != NULL);
    layout_init_params(self->layout, config, 3, self->params);
    struct random random;
    random_init(&random, 5, 0);
    for (size_t i = 0; i < layout_tensor_count(self->layout); i++) {
        const struct tensor_spec *tensor = layout_tensor(self->layout, i);
        for (size_t j = 0; j < tensor->count; j++) { /* gains and biases move off 1 and 0 */
            self->params[tensor->offset + j] += (float)(0.1 * random_normal(&random));
        }
    }
    weights_load(self->weights, self->params);
    for (size_t s = 0; s < self->S; s++) {
        for (size_t i = 0; i <= self->T; i++) {
            self->tokens[s][i] = (uint16_t)random_below(&random, config->vocab_size);
        }
    }
}

static void bench_init(struct bench *self, const struct model_config *config,
                       const struct backend *backend, size_t T)
{
    struct workspace_plan plan = {.context = T, .sequence_count = 1, .purpose = WORKSPACE_GRADIENT};
    bench_init_plan(self, config, backend, &plan);
}

static void bench_deinit(struct bench *self)
{
    weights_free(self->weights);
    model_backend(self->model)->release(self->params);
    gradient_free(self->gradient);
    workspace_free(self->workspace);
    model_free(self->model);
}

/* Losses of S sequences from number `first` on, with gradients when `with_gradient`. */
static void bench_run(const struct bench *self, size_t first, size_t S, bool with_gradient,
                      double *losses)
{
    const uint16_t *tokens[SEQUENCES];
    struct sequences sequences = {.tokens = tokens, .count = S, .length = self->T};
    for (size_t s = 0; s < S; s++) {
        tokens[s] = self->tokens[first + s];
    }
    if (with_gradient) {
        model_gradient(self->model, self->workspace, self->weights, &sequences, self->gradient,
                       losses);
    } else {
        model_loss(self->model, self->workspace, self->weights, &sequences, losses);
    }
}

static double bench_gradient(const struct bench *self)
{
    double losses[SEQUENCES];
    double sum = 0.0;
    bench_run(self, 0, self->S, true, losses);
    for (size_t s = 0; s < self->S; s++) {
        sum += losses[s];
    }
    return sum;
}

static double bench_loss(const struct bench *self)
{
    double losses[SEQUENCES];
    double sum = 0.0;
    bench_run(self, 0, self->S, false, losses);
    for (size_t s = 0; s < self->S; s++) {
        sum += losses[s];
    }
    return sum;
}

/* |a - b| / |b| over the whole vector. */
static double distance(const float *a, const float *b, size_t count)
{
    double difference = 0.0;
    double norm = 0.0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    CU_ASSERT_TRUE(norm > 0.0);
    return sqrt(difference / norm);
}

/* Fourth-order central difference. */
static double derivative(const struct bench *bench, float *at)
{
    const float step = 0.015625F;
    static const float STEPS[4] = {1.0F, -1.0F, 2.0F, -2.0F};
    float start = *at;
    double losses[4];
    for (size_t i = 0; i < 4; i++) {
        *at = start + STEPS[i] * step;
        weights_load(bench->weights, bench->params);
        losses[i] = bench_loss(bench);
    }
    *at = start;
    weights_load(bench->weights, bench->params);
    return (8.0 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12.0 * (double)step);
}

/* Compares a tensor's gradient with finite differences in at most `count_max` of its elements,
 * spread evenly, or in rows of tokens of the sequence where the tensor has a row per token. */
static void assert_tensor_gradient(const struct bench *bench, size_t index, size_t count_max,
                                   double bound)
{
    const struct tensor_spec *tensor = layout_tensor(bench->layout, index);
    const float *gradient = gradient_values(bench->gradient) + tensor->offset;
    bool per_token = tensor->shape[0] == model_config_of(bench->model)->vocab_size;
    size_t count = tensor->count < count_max ? tensor->count : count_max;
    double difference = 0.0;
    double norm = 1e-30;
    for (size_t i = 0; i < count; i++) {
        size_t at = i * tensor->count / count;
        if (count < tensor->count && per_token) {
            at = bench->tokens[0][1 + i * (bench->T - 1) / count] * tensor->shape[1] + i % 3;
        }
        double expected = derivative(bench, bench->params + tensor->offset + at);
        difference += (expected - (double)gradient[at]) * (expected - (double)gradient[at]);
        norm += expected * expected;
    }
    double error = sqrt(difference / norm);
    if (!(error < bound)) {
        printf("\n    %s: %g ", tensor->name, error);
    }
    CU_ASSERT_TRUE(error < bound);
}

static void gradient_agrees_with_finite_differences(void)
{
    const struct model_config configs[] = {tiny_llama(true), tiny_llama(false), tiny_gpt2(true),
                                           tiny_gpt2(false)};
    for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
        struct bench bench;
        bench_init(&bench, &configs[i], &backend_ref, 5);
        (void)bench_gradient(&bench);
        for (size_t j = 0; j < layout_tensor_count(bench.layout); j++) {
            assert_tensor_gradient(&bench, j, SIZE_MAX, 1e-3);
        }
        bench_deinit(&bench);
    }
}

/* So large a vocabulary that the head goes over the rows of four sequences in two chunks. */
static void gradient_of_a_chunked_head_agrees_with_finite_differences(void)
{
    struct model_config config = tiny_llama(false);
    config.vocab_size = 16384;
    config.context_max = TOKENS_MAX;
    config.layer_count = 1;
    struct bench bench;
    struct workspace_plan plan = {
        .context = TOKENS_MAX, .sequence_count = SEQUENCES, .purpose = WORKSPACE_GRADIENT};
    bench_init_plan(&bench, &config, &backend_cpu, &plan);
    (void)bench_gradient(&bench);
    for (size_t j = 0; j < layout_tensor_count(bench.layout); j++) {
        assert_tensor_gradient(&bench, j, 2, 1e-2);
    }
    bench_deinit(&bench);
}

static void cpu_gradient_equals_ref(void)
{
    const struct model_config configs[] = {tiny_llama(true), tiny_gpt2(false)};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench[2];
        double losses[2] = {0.0, 0.0};
        bench_init(&bench[0], &configs[i], &backend_ref, 70);
        bench_init(&bench[1], &configs[i], &backend_cpu, 70);
        for (size_t b = 0; b < 2; b++) {
            losses[b] = bench_gradient(&bench[b]);
        }
        CU_ASSERT_DOUBLE_EQUAL(losses[0], losses[1], 1e-5 * losses[0]);
        CU_ASSERT_TRUE(distance(gradient_values(bench[1].gradient),
                                gradient_values(bench[0].gradient),
                                layout_value_count(bench[0].layout)) < 1e-5);
        bench_deinit(&bench[0]);
        bench_deinit(&bench[1]);
    }
}

/* Activations of 8 significant bits: the issue is whether the gradient as a whole survives. */
static void bf16_gradient_is_near_ref(void)
{
    const char *reason = NULL;
    const struct backend *bf16 = backend_bf16(&reason);
    const struct model_config configs[] = {tiny_llama(true), tiny_gpt2(true), tiny_llama(false),
                                           tiny_gpt2(false)};
    CHECK(bf16 != NULL);
    for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
        struct bench bench[2];
        double losses[2];
        struct workspace_plan plan = {
            .context = 70, .sequence_count = 2, .purpose = WORKSPACE_GRADIENT};
        struct model_config config = configs[i];
        config.width = config.kind == MODEL_LLAMA ? 48 : 96;
        config.head_size = config.kind == MODEL_LLAMA ? 12 : 48;
        config.ffn_width = 130;
        config.init_std = 0.1F;
        bench_init_plan(&bench[0], &config, &backend_ref, &plan);
        bench_init_plan(&bench[1], &config, bf16, &plan);
        for (size_t b = 0; b < 2; b++) {
            losses[b] = bench_gradient(&bench[b]);
        }
        double error =
            distance(gradient_values(bench[1].gradient), gradient_values(bench[0].gradient),
                     layout_value_count(bench[0].layout));
        printf("\n    relative L2 of the gradient in bf16: %.2g ", error);
        CU_ASSERT_TRUE(error > 1e-5 && error < 3e-2);
        CU_ASSERT_DOUBLE_EQUAL(losses[0], losses[1], 1e-2 * losses[0]);
        bench_deinit(&bench[0]);
        bench_deinit(&bench[1]);
    }
}

static void gradients_accumulate(void)
{
    const struct model_config configs[] = {tiny_llama(true), tiny_gpt2(true)};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, &configs[i], &backend_cpu, 9);
        size_t count = layout_value_count(bench.layout);
        float *values = gradient_values(bench.gradient);
        float *once = calloc(count, sizeof(*once));
        double loss = 0.0;
        CHECK(once != NULL);
        loss = bench_gradient(&bench);
        memcpy(once, values, count * sizeof(*once));
        CU_ASSERT_EQUAL(loss, bench_loss(&bench));
        (void)bench_gradient(&bench);
        for (size_t j = 0; j < count; j++) {
            CU_ASSERT_DOUBLE_EQUAL((double)values[j], 2.0 * (double)once[j], 1e-4);
        }
        gradient_zero(bench.gradient);
        CU_ASSERT_EQUAL(values[0], 0.0F);
        free(once);
        bench_deinit(&bench);
    }
}

static void padding_gets_no_gradient(void)
{
    struct model_config config = tiny_gpt2(true);
    struct bench bench;
    bench_init(&bench, &config, &backend_cpu, 9);
    (void)bench_gradient(&bench);
    const float *values = gradient_values(bench.gradient);
    size_t count = layout_tensor_count(bench.layout);
    size_t padding_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tensor_spec *tensor = layout_tensor(bench.layout, i);
        size_t end = i + 1 < count ? layout_tensor(bench.layout, i + 1)->offset
                                   : layout_value_count(bench.layout);
        for (size_t j = tensor->offset + tensor->count; j < end; j++) {
            CU_ASSERT_EQUAL(values[j], 0.0F);
            padding_count++;
        }
    }
    CU_ASSERT_TRUE(padding_count > 0);
    bench_deinit(&bench);
}

/* -log softmax(row)[target] */
static double row_loss(const float *row, size_t vocab, uint16_t target)
{
    double sum = 0.0;
    for (size_t i = 0; i < vocab; i++) {
        sum += exp((double)row[i]);
    }
    return log(sum) - (double)row[target];
}

static void logits_give_the_loss(void)
{
    const struct model_config configs[] = {tiny_llama(false), tiny_gpt2(true)};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, &configs[i], &backend_cpu, 9);
        float logits[LOGITS];
        double loss = 0.0;
        model_logits(bench.model, bench.workspace, bench.weights, bench.tokens[0], 9, logits);
        for (size_t t = 0; t < 9; t++) {
            loss += row_loss(logits + t * 11, 11, bench.tokens[0][t + 1]);
        }
        CU_ASSERT_DOUBLE_EQUAL(loss, bench_loss(&bench), 1e-4);
        bench_deinit(&bench);
    }
}

static void logits_do_not_depend_on_later_tokens(void)
{
    const struct model_config configs[] = {tiny_llama(false), tiny_gpt2(true)};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, &configs[i], &backend_cpu, 9);
        float before[LOGITS];
        float after[LOGITS];
        model_logits(bench.model, bench.workspace, bench.weights, bench.tokens[0], 9, before);
        bench.tokens[0][8] = (uint16_t)((bench.tokens[0][8] + 1) % 11);
        model_logits(bench.model, bench.workspace, bench.weights, bench.tokens[0], 9, after);
        size_t same_count = 0;
        for (size_t j = 0; j < LOGITS; j++) {
            same_count += before[j] == after[j] ? 1U : 0U;
            CU_ASSERT_TRUE(before[j] == after[j] || j >= LOGITS - 11);
        }
        CU_ASSERT_TRUE(same_count < LOGITS);
        bench_deinit(&bench);
    }
}

static void shorter_sequences_fit_a_workspace(void)
{
    struct model_config config = tiny_llama(true);
    struct bench large;
    struct bench small;
    bench_init(&large, &config, &backend_cpu, 70);
    bench_init(&small, &config, &backend_cpu, 3);
    memcpy(large.tokens, small.tokens, sizeof(small.tokens));
    large.T = 3;
    CU_ASSERT_EQUAL(bench_loss(&large), bench_loss(&small));
    bench_deinit(&large);
    bench_deinit(&small);
}

static void workspace_is_refused_beyond_the_context(void)
{
    struct model_config config = tiny_llama(true);
    struct model *model = NULL;
    struct workspace *workspace = NULL;
    CU_ASSERT_EQUAL_FATAL(model_new(&config, &backend_cpu, &model), STATUS_OK);
    struct workspace_plan plan = {
        .context = CONTEXT_MAX + 1, .sequence_count = 1, .purpose = WORKSPACE_GRADIENT};
    CU_ASSERT_EQUAL(workspace_new(model, &plan, &workspace), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NULL(workspace);
    plan.context = 0;
    CU_ASSERT_EQUAL(workspace_new(model, &plan, &workspace), STATUS_OUT_OF_RANGE);
    CU_ASSERT_TRUE(strlen(fault_text()) > 10);
    model_free(model);
    config.width = 0;
    CU_ASSERT_EQUAL(model_new(&config, &backend_cpu, &model), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NULL(model);
}

static void workspace_bytes_follow_the_plan(void)
{
    struct model_config config = tiny_llama(true);
    struct model *model = NULL;
    config.layer_count = 8;
    CU_ASSERT_EQUAL_FATAL(model_new(&config, &backend_cpu, &model), STATUS_OK);
    struct workspace_plan plan = {
        .context = 60, .sequence_count = 4, .purpose = WORKSPACE_GRADIENT};
    uint64_t all = workspace_bytes(model, &plan);
    /* At least the activations that a backward pass reads: x, x_mid, q, k, v, attention, gate and
     * up, of 8 layers, C = 6, q 16, kv 8, F = 7. */
    CU_ASSERT_TRUE(all > UINT64_C(60) * 4 * 4 * 8 * (2 * 6 + 2 * 16 + 2 * 8 + 2 * 7));
    plan.recompute = RECOMPUTE_BLOCKS;
    uint64_t inputs = workspace_bytes(model, &plan);
    CU_ASSERT_TRUE(inputs < all / 2);
    plan.recompute = RECOMPUTE_NONE;
    plan.purpose = WORKSPACE_LOSS;
    CU_ASSERT_TRUE(workspace_bytes(model, &plan) < inputs);
    plan.purpose = WORKSPACE_GRADIENT;
    plan.sequence_count = 1;
    CU_ASSERT_TRUE(workspace_bytes(model, &plan) < all / 2);
    model_free(model);
}

static void sequences_together_equal_sequences_alone(void)
{
    const struct model_config configs[] = {tiny_llama(false), tiny_gpt2(true)};
    for (size_t i = 0; i < 2; i++) {
        struct bench together;
        struct bench alone;
        struct workspace_plan plan = {
            .context = 70, .sequence_count = SEQUENCES, .purpose = WORKSPACE_GRADIENT};
        double losses[2][SEQUENCES];
        bench_init_plan(&together, &configs[i], &backend_cpu, &plan);
        bench_init_plan(&alone, &configs[i], &backend_cpu, &plan);
        bench_run(&together, 0, SEQUENCES, true, losses[0]);
        for (size_t s = 0; s < SEQUENCES; s++) {
            bench_run(&alone, s, 1, true, &losses[1][s]);
            CU_ASSERT_DOUBLE_EQUAL(losses[0][s], losses[1][s], 1e-5 * losses[1][s]);
        }
        CU_ASSERT_TRUE(losses[1][0] != losses[1][1]);
        CU_ASSERT_TRUE(distance(gradient_values(together.gradient), gradient_values(alone.gradient),
                                layout_value_count(alone.layout)) < 1e-5);
        bench_deinit(&together);
        bench_deinit(&alone);
    }
}

static void recomputing_gives_the_same_bits(void)
{
    const struct model_config configs[] = {tiny_llama(true), tiny_gpt2(true)};
    for (size_t i = 0; i < 2; i++) {
        struct bench kept;
        struct bench again;
        struct workspace_plan plan = {
            .context = 40, .sequence_count = 2, .purpose = WORKSPACE_GRADIENT};
        bench_init_plan(&kept, &configs[i], &backend_cpu, &plan);
        plan.recompute = RECOMPUTE_BLOCKS;
        bench_init_plan(&again, &configs[i], &backend_cpu, &plan);
        CU_ASSERT_EQUAL(bench_gradient(&kept), bench_gradient(&again));
        CU_ASSERT_EQUAL(memcmp(gradient_values(kept.gradient), gradient_values(again.gradient),
                               layout_value_count(kept.layout) * sizeof(float)),
                        0);
        bench_deinit(&kept);
        bench_deinit(&again);
    }
}

static void decoder_gives_the_logits_of_the_whole_text(void)
{
    enum { ROWS = 70, VOCAB = 11 };
    static const size_t PIECES[] = {1, 2, 7, 1, 30, 1, 1, 27}; /* 70 in all */
    const struct model_config configs[] = {tiny_llama(false), tiny_gpt2(true)};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        struct decoder *decoder = NULL;
        float logits[ROWS * VOCAB];
        float last[VOCAB];
        bench_init(&bench, &configs[i], &backend_cpu, ROWS);
        model_logits(bench.model, bench.workspace, bench.weights, bench.tokens[0], ROWS, logits);
        CU_ASSERT_EQUAL_FATAL(decoder_new(bench.model, ROWS, &decoder), STATUS_OK);
        for (size_t round = 0; round < 2; round++) { /* cut back and fed again: the same */
            for (size_t j = 0; j < sizeof(PIECES) / sizeof(PIECES[0]); j++) {
                size_t length = decoder_length(decoder);
                decoder_feed(decoder, bench.weights, bench.tokens[0] + length, PIECES[j], last);
                length += PIECES[j];
                CU_ASSERT_EQUAL(decoder_length(decoder), length);
                CU_ASSERT_TRUE(distance(last, logits + (length - 1) * VOCAB, VOCAB) < 1e-5);
            }
            decoder_cut(decoder, 0);
        }
        decoder_free(decoder);
        bench_deinit(&bench);
    }
}

/* Longer than one piece of the decoder's own. */
static void decoder_takes_a_long_text_at_once(void)
{
    enum { LONG = 300, VOCAB = 11 };
    struct model_config config = tiny_llama(true);
    struct decoder *decoders[2] = {NULL, NULL};
    struct bench bench;
    uint16_t tokens[LONG];
    float at_once[VOCAB];
    float one_by_one[VOCAB];
    config.context_max = LONG;
    bench_init(&bench, &config, &backend_cpu, 8);
    for (size_t i = 0; i < LONG; i++) {
        tokens[i] = (uint16_t)((i * i + 3) % VOCAB);
    }
    CU_ASSERT_EQUAL_FATAL(decoder_new(bench.model, LONG, &decoders[0]), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(decoder_new(bench.model, LONG, &decoders[1]), STATUS_OK);
    decoder_feed(decoders[0], bench.weights, tokens, LONG, at_once);
    for (size_t i = 0; i < LONG; i++) {
        decoder_feed(decoders[1], bench.weights, tokens + i, 1, one_by_one);
    }
    CU_ASSERT_TRUE(distance(at_once, one_by_one, VOCAB) < 1e-5);
    decoder_free(decoders[0]);
    decoder_free(decoders[1]);
    bench_deinit(&bench);
}

/* With the argument bf16: that alone, or 77 where there is none, so that ctest says it was skipped.
 */
static int run_bf16(void)
{
    static const struct suite_test TESTS[] = {SUITE_TEST(bf16_gradient_is_near_ref)};
    const char *reason = NULL;
    if (backend_bf16(&reason) != NULL) {
        return suite_run("model_bf16", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
    }
    printf("SKIPPED: %s\n", reason);
    return EXIT_SKIPPED;
}

int main(int argc, char **argv)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(gradient_agrees_with_finite_differences),
        SUITE_TEST(gradient_of_a_chunked_head_agrees_with_finite_differences),
        SUITE_TEST(cpu_gradient_equals_ref),
        SUITE_TEST(gradients_accumulate),
        SUITE_TEST(padding_gets_no_gradient),
        SUITE_TEST(logits_give_the_loss),
        SUITE_TEST(logits_do_not_depend_on_later_tokens),
        SUITE_TEST(shorter_sequences_fit_a_workspace),
        SUITE_TEST(workspace_is_refused_beyond_the_context),
        SUITE_TEST(workspace_bytes_follow_the_plan),
        SUITE_TEST(sequences_together_equal_sequences_alone),
        SUITE_TEST(recomputing_gives_the_same_bits),
        SUITE_TEST(decoder_gives_the_logits_of_the_whole_text),
        SUITE_TEST(decoder_takes_a_long_text_at_once),
    };
    if (argc > 1 && strcmp(argv[1], "bf16") == 0) {
        return run_bf16();
    }
    return suite_run("model", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
