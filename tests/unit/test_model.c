/* The whole model's gradient against finite differences, and what its functions promise. */
#include "common/check.h"
#include "common/fault.h"
#include "common/random.h"
#include "suite.h"
#include "trainer/model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 80, LOGITS = 9 * 11 /* 9 rows, the tiny vocabulary */ };

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
                                 .context_max = TOKENS_MAX,
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
                                 .context_max = TOKENS_MAX,
                                 .tied_head = tied,
                                 .norm_eps = 1e-5F,
                                 .init_std = 0.4F,
                                 .bos_id = -1,
                                 .eos_id = -1};
}

/* A model, random parameters, one sequence, and its gradient's storage. */
struct bench {
    struct model *model;
    struct workspace *workspace;
    struct gradient *gradient;
    const struct layout *layout;
    float *params;
    uint16_t tokens[TOKENS_MAX + 1];
    size_t T;
};

static void bench_init(struct bench *self, const struct model_config *config,
                       const struct backend *backend, size_t T)
{
    memset(self, 0, sizeof(*self));
    CU_ASSERT_EQUAL_FATAL(model_new(config, backend, &self->model), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(workspace_new(self->model, T, &self->workspace), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(gradient_new(self->model, &self->gradient), STATUS_OK);
    self->layout = model_layout(self->model);
    self->params = backend->allocate(layout_value_count(self->layout));
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
    self->T = T;
    for (size_t i = 0; i <= T; i++) {
        self->tokens[i] = (uint16_t)random_below(&random, config->vocab_size);
    }
}

static void bench_deinit(struct bench *self)
{
    model_backend(self->model)->release(self->params);
    gradient_free(self->gradient);
    workspace_free(self->workspace);
    model_free(self->model);
}

static double bench_loss(const struct bench *self)
{
    double loss = 0.0;
    model_loss(self->model, self->workspace, self->params, self->tokens, self->T, &loss);
    return loss;
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
        losses[i] = bench_loss(bench);
    }
    *at = start;
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
            at = bench->tokens[1 + i * (bench->T - 1) / count] * tensor->shape[1] + i % 3;
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
        double loss = 0.0;
        bench_init(&bench, &configs[i], &backend_ref, 5);
        model_gradient(bench.model, bench.workspace, bench.params, bench.tokens, bench.T,
                       bench.gradient, &loss);
        for (size_t j = 0; j < layout_tensor_count(bench.layout); j++) {
            assert_tensor_gradient(&bench, j, SIZE_MAX, 1e-3);
        }
        bench_deinit(&bench);
    }
}

/* A vocabulary so large that the head goes over the rows in two chunks. */
static void gradient_of_a_chunked_head_agrees_with_finite_differences(void)
{
    struct model_config config = tiny_llama(false);
    config.vocab_size = MODEL_VOCAB_MAX;
    config.layer_count = 1;
    struct bench bench;
    double loss = 0.0;
    bench_init(&bench, &config, &backend_cpu, 66);
    model_gradient(bench.model, bench.workspace, bench.params, bench.tokens, bench.T,
                   bench.gradient, &loss);
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
        double difference = 0.0;
        double norm = 0.0;
        for (size_t b = 0; b < 2; b++) {
            model_gradient(bench[b].model, bench[b].workspace, bench[b].params, bench[b].tokens,
                           bench[b].T, bench[b].gradient, &losses[b]);
        }
        for (size_t j = 0; j < layout_value_count(bench[0].layout); j++) {
            double expected = (double)gradient_values(bench[0].gradient)[j];
            double d = (double)gradient_values(bench[1].gradient)[j] - expected;
            difference += d * d;
            norm += expected * expected;
        }
        CU_ASSERT_DOUBLE_EQUAL(losses[0], losses[1], 1e-5 * losses[0]);
        CU_ASSERT_TRUE(sqrt(difference / norm) < 1e-5);
        bench_deinit(&bench[0]);
        bench_deinit(&bench[1]);
    }
}

static void gradient_and_loss_accumulate(void)
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
        model_gradient(bench.model, bench.workspace, bench.params, bench.tokens, bench.T,
                       bench.gradient, &loss);
        memcpy(once, values, count * sizeof(*once));
        CU_ASSERT_EQUAL(loss, bench_loss(&bench));
        model_gradient(bench.model, bench.workspace, bench.params, bench.tokens, bench.T,
                       bench.gradient, &loss);
        CU_ASSERT_DOUBLE_EQUAL(loss, 2.0 * bench_loss(&bench), 1e-9);
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
    double loss = 0.0;
    bench_init(&bench, &config, &backend_cpu, 9);
    model_gradient(bench.model, bench.workspace, bench.params, bench.tokens, bench.T,
                   bench.gradient, &loss);
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

static void logits_give_the_loss_and_the_last_row(void)
{
    const struct model_config configs[] = {tiny_llama(false), tiny_gpt2(true)};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, &configs[i], &backend_cpu, 9);
        float logits[LOGITS];
        float last[11];
        double loss = 0.0;
        model_logits(bench.model, bench.workspace, bench.params, bench.tokens, 9, logits);
        model_next_logits(bench.model, bench.workspace, bench.params, bench.tokens, 9, last);
        for (size_t t = 0; t < 9; t++) {
            loss += row_loss(logits + t * 11, 11, bench.tokens[t + 1]);
        }
        CU_ASSERT_DOUBLE_EQUAL(loss, bench_loss(&bench), 1e-4);
        for (size_t j = 0; j < 11; j++) {
            CU_ASSERT_DOUBLE_EQUAL((double)last[j], (double)logits[LOGITS - 11 + j], 1e-5);
        }
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
        model_logits(bench.model, bench.workspace, bench.params, bench.tokens, 9, before);
        bench.tokens[8] = (uint16_t)((bench.tokens[8] + 1) % 11);
        model_logits(bench.model, bench.workspace, bench.params, bench.tokens, 9, after);
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
    CU_ASSERT_EQUAL(workspace_new(model, TOKENS_MAX + 1, &workspace), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NULL(workspace);
    CU_ASSERT_EQUAL(workspace_new(model, 0, &workspace), STATUS_OUT_OF_RANGE);
    CU_ASSERT_TRUE(strlen(fault_text()) > 10);
    CU_ASSERT_TRUE(workspace_bytes(model, 2) < workspace_bytes(model, 60));
    /* At least the activations of 2 layers, C = 6, F = 7. */
    CU_ASSERT_TRUE(workspace_bytes(model, 60) > UINT64_C(60) * 4 * 2 * (5 * 6 + 3 * 7));
    model_free(model);
    config.width = 0;
    CU_ASSERT_EQUAL(model_new(&config, &backend_cpu, &model), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NULL(model);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(gradient_agrees_with_finite_differences),
        SUITE_TEST(gradient_of_a_chunked_head_agrees_with_finite_differences),
        SUITE_TEST(cpu_gradient_equals_ref),
        SUITE_TEST(gradient_and_loss_accumulate),
        SUITE_TEST(padding_gets_no_gradient),
        SUITE_TEST(logits_give_the_loss_and_the_last_row),
        SUITE_TEST(logits_do_not_depend_on_later_tokens),
        SUITE_TEST(shorter_sequences_fit_a_workspace),
        SUITE_TEST(workspace_is_refused_beyond_the_context),
    };
    return suite_run("model", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
