/* compute_bench - a tiny model's compute, what it is lent, and the same gradients computed alone.
 */
#ifndef DUGNAD_TESTS_UNIT_COMPUTE_BENCH_H
#define DUGNAD_TESTS_UNIT_COMPUTE_BENCH_H

#include "common/fault.h"
#include "peer/compute/compute.h"
#include "tests/unit/suite.h"
#include "trainer/optimizer/master.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { CONTEXT = 12, VOCAB = 40, SAMPLES = 24, TARGET_BATCH = 32 };

static const struct model_config CONFIG = {.kind = MODEL_LLAMA,
                                           .vocab_size = VOCAB,
                                           .width = 40,
                                           .layer_count = 2,
                                           .head_count = 4,
                                           .kv_head_count = 2,
                                           .head_size = 10,
                                           .ffn_width = 50,
                                           .context_max = 16,
                                           .tied_head = true,
                                           .norm_eps = 1e-5F,
                                           .rope_theta = 10000.0F,
                                           .init_std = 0.2F,
                                           .bos_id = -1,
                                           .eos_id = -1};

static const struct optimizer_settings ADAMW = {
    .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .grad_clip = 1.0};
static const struct schedule SCHEDULE = {
    .learning_rate = 0.01, .learning_rate_min = 0.001, .warmup_steps = 1, .step_count = 9};

/* A peer without a network: what the daemon owns, and a compute. */
struct bench {
    struct wire_welcome welcome;
    struct compute_settings settings;
    struct compute_shared shared;
    struct work work;
    struct compute *compute;
    struct layout *layout;
    float *params; /* (layout_value_count) */
};

static inline void bench_init(struct bench *self, enum codec codec, size_t thread_count)
{
    memset(self, 0, sizeof *self);
    char *json = NULL;
    CU_ASSERT_EQUAL_FATAL(model_config_to_json(&CONFIG, &json), STATUS_OK);
    self->welcome = (struct wire_welcome){.run_name = "tiny",
                                          .context = CONTEXT,
                                          .step_tokens = CONTEXT * TARGET_BATCH,
                                          .codec = codec};
    (void)snprintf(self->welcome.model_json, sizeof self->welcome.model_json, "%s", json);
    free(json);
    self->settings = (struct compute_settings){
        .backend = &backend_ref, .thread_count = thread_count, .cpu_percent = 100};
    work_init(&self->work, CONTEXT);
    pthread_condattr_t monotonic;
    CU_ASSERT_EQUAL_FATAL(pthread_condattr_init(&monotonic), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_mutex_init(&self->shared.lock, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_cond_init(&self->shared.changed, &monotonic), 0);
    (void)pthread_condattr_destroy(&monotonic);
    self->shared.work = &self->work;
    self->shared.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CU_ASSERT_FATAL(self->shared.wake_fd >= 0);
    CU_ASSERT_EQUAL_FATAL(layout_new(&CONFIG, &self->layout), STATUS_OK);
    self->params = calloc(layout_value_count(self->layout), sizeof *self->params);
    CU_ASSERT_PTR_NOT_NULL_FATAL(self->params);
    layout_init_params(self->layout, &CONFIG, 3, self->params);
}

static inline void bench_start(struct bench *self)
{
    CU_ASSERT_EQUAL_FATAL(
        compute_new(&self->welcome, &self->settings, &self->shared, &self->compute), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(compute_value_count(self->compute), layout_value_count(self->layout));
    CU_ASSERT_EQUAL(compute_vocab_size(self->compute), VOCAB);
    (void)compute_load(self->compute, (const uint8_t *)self->params);
}

static inline void bench_deinit(struct bench *self)
{
    compute_free(self->compute);
    work_deinit(&self->work);
    (void)pthread_cond_destroy(&self->shared.changed);
    (void)pthread_mutex_destroy(&self->shared.lock);
    (void)close(self->shared.wake_fd);
    layout_free(self->layout);
    free(self->params);
}

static inline uint16_t token_of(uint64_t sample, size_t position)
{
    return (uint16_t)((sample * 31 + position * position * 7 + position / 3) % VOCAB);
}

/* Lends samples [first, first + count), as the session does. */
static inline void lend(struct bench *self, uint64_t id, uint64_t first, uint32_t count)
{
    uint16_t *tokens = malloc((size_t)count * (CONTEXT + 1) * sizeof *tokens);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokens);
    for (size_t i = 0; i < (size_t)count * (CONTEXT + 1); i++) {
        tokens[i] = token_of(first + i / (CONTEXT + 1), i % (CONTEXT + 1));
    }
    (void)pthread_mutex_lock(&self->shared.lock);
    CU_ASSERT_EQUAL(work_add_lease(&self->work, id, 0, first, count, tokens), STATUS_OK);
    (void)pthread_cond_broadcast(&self->shared.changed);
    (void)pthread_mutex_unlock(&self->shared.lock);
}

/* Waits until `count` samples are held; woken by the workers alone. */
static inline void wait_held(struct bench *self, uint64_t count)
{
    uint64_t held = 0;
    while (held < count) {
        struct pollfd poll_fd = {.fd = self->shared.wake_fd, .events = POLLIN};
        CU_ASSERT_EQUAL_FATAL(poll(&poll_fd, 1, 60000), 1);
        uint64_t wakes = 0;
        CU_ASSERT_EQUAL(read(self->shared.wake_fd, &wakes, sizeof wakes), sizeof wakes);
        (void)pthread_mutex_lock(&self->shared.lock);
        held = self->work.held_samples;
        (void)pthread_mutex_unlock(&self->shared.lock);
    }
}

/* The sum of gradients of samples [first, end) on `params`, computed alone; the caller frees it. */
static inline float *gradient_on(const struct bench *self, const float *params, uint64_t first,
                                 uint64_t end, double *loss_sum)
{
    struct model *model = NULL;
    struct workspace *workspace = NULL;
    struct gradient *gradient = NULL;
    struct weights *weights = NULL;
    struct workspace_plan plan = {
        .context = CONTEXT, .sequence_count = 1, .purpose = WORKSPACE_GRADIENT};
    CU_ASSERT_EQUAL_FATAL(model_new(&CONFIG, &backend_ref, &model), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(workspace_new(model, &plan, &workspace), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(gradient_new(model, &gradient), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(weights_new(model, &weights), STATUS_OK);
    weights_load(weights, params);
    *loss_sum = 0.0;
    for (uint64_t sample = first; sample < end; sample++) {
        uint16_t tokens[CONTEXT + 1];
        for (size_t i = 0; i <= CONTEXT; i++) {
            tokens[i] = token_of(sample, i);
        }
        const uint16_t *row = tokens;
        struct sequences sequences = {.tokens = &row, .count = 1, .length = CONTEXT};
        double loss = 0.0;
        model_gradient(model, workspace, weights, &sequences, gradient, &loss);
        *loss_sum += loss;
    }
    size_t size_bytes = layout_value_count(self->layout) * sizeof(float);
    float *values = malloc(size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(values);
    memcpy(values, gradient_values(gradient), size_bytes);
    gradient_free(gradient);
    weights_free(weights);
    workspace_free(workspace);
    model_free(model);
    return values;
}

static inline float *gradient_alone(const struct bench *self, uint64_t first, uint64_t end,
                                    double *loss_sum)
{
    return gradient_on(self, self->params, first, end, loss_sum);
}

/* Encodes the compute's gradient and adds the decoded values to `sum`. */
static inline void encode_into(struct bench *self, float *sum)
{
    size_t size_bytes = compute_encoded_bytes(self->compute);
    uint8_t *data = malloc(size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    CU_ASSERT_EQUAL(compute_encode(self->compute, data), STATUS_OK);
    size_t value_count = layout_value_count(self->layout);
    struct exact_grid grid = exact_grid_for(self->welcome.step_tokens);
    enum codec codec = compute_offer_codec(self->compute);
    CU_ASSERT_EQUAL(
        exact_sum_check(&grid, codec, data, size_bytes, value_count, self->welcome.step_tokens),
        STATUS_OK);
    codec_add(codec, data, value_count, sum);
    free(data);
}

static inline bool all_zero(const float *values, size_t count)
{
    size_t i = 0;
    while (i < count && values[i] == 0.0F) {
        i++;
    }
    return i == count;
}

/* Relative L2 distance of `a` from `b`. */
static inline double distance(const float *a, const float *b, size_t count)
{
    double difference = 0.0;
    double size = 0.0;
    for (size_t i = 0; i < count; i++) {
        difference += pow((double)a[i] - (double)b[i], 2.0);
        size += pow((double)b[i], 2.0);
    }
    return sqrt(difference / size);
}

#endif
