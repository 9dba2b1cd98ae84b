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

static void bench_init(struct bench *self, enum codec codec, size_t thread_count)
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

static void bench_start(struct bench *self)
{
    CU_ASSERT_EQUAL_FATAL(
        compute_new(&self->welcome, &self->settings, &self->shared, &self->compute), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(compute_value_count(self->compute), layout_value_count(self->layout));
    CU_ASSERT_EQUAL(compute_vocab_size(self->compute), VOCAB);
    (void)compute_load(self->compute, (const uint8_t *)self->params);
}

static void bench_deinit(struct bench *self)
{
    compute_free(self->compute);
    work_deinit(&self->work);
    (void)pthread_cond_destroy(&self->shared.changed);
    (void)pthread_mutex_destroy(&self->shared.lock);
    (void)close(self->shared.wake_fd);
    layout_free(self->layout);
    free(self->params);
}

static uint16_t token_of(uint64_t sample, size_t position)
{
    return (uint16_t)((sample * 31 + position * position * 7 + position / 3) % VOCAB);
}

/* Lends samples [first, first + count), as the session does. */
static void lend(struct bench *self, uint64_t id, uint64_t first, uint32_t count)
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
static void wait_held(struct bench *self, uint64_t count)
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
static float *gradient_on(const struct bench *self, const float *params, uint64_t first,
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

static float *gradient_alone(const struct bench *self, uint64_t first, uint64_t end,
                             double *loss_sum)
{
    return gradient_on(self, self->params, first, end, loss_sum);
}

/* Encodes the compute's gradient and adds the decoded values to `sum`. */
static void encode_into(struct bench *self, float *sum)
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

static bool all_zero(const float *values, size_t count)
{
    size_t i = 0;
    while (i < count && values[i] == 0.0F) {
        i++;
    }
    return i == count;
}

/* Relative L2 distance of `a` from `b`. */
static double distance(const float *a, const float *b, size_t count)
{
    double difference = 0.0;
    double size = 0.0;
    for (size_t i = 0; i < count; i++) {
        difference += pow((double)a[i] - (double)b[i], 2.0);
        size += pow((double)b[i], 2.0);
    }
    return sqrt(difference / size);
}

static void threads_compute_every_sample_into_one_gradient(void)
{
    struct bench bench;
    double loss_sum = 0.0;
    bench_init(&bench, CODEC_FP32, 3);
    bench.settings.cpu_percent = 50; /* each thread rests after each sample */
    size_t value_count = layout_value_count(bench.layout);
    float *expected = gradient_alone(&bench, 100, 100 + SAMPLES, &loss_sum);
    float *sum = calloc(value_count, sizeof *sum);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sum);
    bench_start(&bench);
    lend(&bench, 1, 100, 1);
    lend(&bench, 2, 101, SAMPLES - 1);
    wait_held(&bench, SAMPLES);
    CU_ASSERT_EQUAL(bench.work.held_count, 1);
    CU_ASSERT_EQUAL(bench.work.held[0].first, 100);
    CU_ASSERT_EQUAL(bench.work.held[0].count, SAMPLES);
    CU_ASSERT_EQUAL(work_running(&bench.work), 0);
    CU_ASSERT_DOUBLE_EQUAL(bench.work.held_loss_sum, loss_sum, 1e-5 * loss_sum);
    encode_into(&bench, sum);
    CU_ASSERT_TRUE(distance(sum, expected, value_count) < 1e-6);
    memset(sum, 0, value_count * sizeof *sum);
    encode_into(&bench, sum); /* fp32 leaves nothing behind */
    CU_ASSERT_TRUE(all_zero(sum, value_count));
    lend(&bench, 3, 300, 2);
    wait_held(&bench, SAMPLES + 2);
    compute_discard(bench.compute);
    encode_into(&bench, sum);
    CU_ASSERT_TRUE(all_zero(sum, value_count));
    free(sum);
    free(expected);
    bench_deinit(&bench);
}

static void what_mx8_loses_stays_for_the_next_contribution(void)
{
    struct bench bench;
    double loss_sum = 0.0;
    bench_init(&bench, CODEC_MX8, 2);
    size_t value_count = layout_value_count(bench.layout);
    float *expected = gradient_alone(&bench, 0, 4, &loss_sum);
    float *sum = calloc(value_count, sizeof *sum);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sum);
    bench_start(&bench);
    lend(&bench, 1, 0, 4);
    wait_held(&bench, 4);
    encode_into(&bench, sum);
    double first = distance(sum, expected, value_count);
    encode_into(&bench, sum);
    double second = distance(sum, expected, value_count);
    CU_ASSERT_TRUE(first > 1e-4 && first < 0.02);
    CU_ASSERT_TRUE(second < first / 50.0);
    free(sum);
    free(expected);
    bench_deinit(&bench);
}

/* The larger the batch, the coarser the grid of the coordinator's sums. */
static void encoded_units_lie_on_the_grid_of_a_huge_batch(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_MX8, 1);
    bench.welcome.step_tokens = UINT64_C(1) << EXACT_SUM_TOKENS_LOG2_MAX;
    float *sum = calloc(layout_value_count(bench.layout), sizeof *sum);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sum);
    bench_start(&bench);
    lend(&bench, 1, 0, 4);
    wait_held(&bench, 4);
    for (int i = 0; i < 3; i++) {
        encode_into(&bench, sum); /* asks the grid's own check */
    }
    free(sum);
    bench_deinit(&bench);
}

/* On a slow link, as a plan says. What the coarse codec leaves comes with the next contributions.
 */
static void contributions_may_have_another_codec_than_updates(void)
{
    struct bench bench;
    double loss_sum = 0.0;
    bench_init(&bench, CODEC_MX8, 1);
    size_t value_count = layout_value_count(bench.layout);
    float *expected = gradient_alone(&bench, 100, 102, &loss_sum);
    float *sum = calloc(value_count, sizeof *sum);
    CU_ASSERT_FATAL(sum != NULL);
    bench_start(&bench);
    compute_offer_in(bench.compute, CODEC_MX4);
    lend(&bench, 1, 100, 2);
    wait_held(&bench, 2);
    encode_into(&bench, sum);
    double first = distance(sum, expected, value_count);
    encode_into(&bench, sum);
    CU_ASSERT_TRUE(first > 0.01 && distance(sum, expected, value_count) < first / 4);
    compute_follow(bench.compute, &bench.welcome); /* until the next plan */
    CU_ASSERT_EQUAL(compute_offer_codec(bench.compute), CODEC_MX8);
    free(sum);
    free(expected);
    bench_deinit(&bench);
}

/* A few steps of a made-up coordinator; the peer follows by its updates, which are encoded now as
 * the run's contributions and now otherwise. */
static void peer_follows_the_coordinators_digest(void)
{
    static const enum codec codecs[] = {CODEC_FP32, CODEC_MX8, CODEC_BF16};
    static const enum codec others[] = {CODEC_MX4, CODEC_MX4, CODEC_MX8};
    for (size_t c = 0; c < 3; c++) {
        struct bench bench;
        struct master *master = NULL;
        bench_init(&bench, codecs[c], 1);
        bench_start(&bench);
        size_t value_count = layout_value_count(bench.layout);
        size_t size_bytes = compute_encoded_bytes(bench.compute);
        CU_ASSERT_EQUAL(size_bytes, codec_encoded_bytes(codecs[c], value_count));
        CU_ASSERT_EQUAL_FATAL(
            master_new(bench.layout, &CONFIG, &ADAMW, &SCHEDULE,
                       (struct master_codecs){.update = codecs[c], .mean = CODEC_BF16}, &master),
            STATUS_OK);
        master_set_params(master, bench.params);
        struct digest mine = compute_load(bench.compute, (const uint8_t *)master_params(master));
        struct digest theirs = params_digest(master_params(master), value_count);
        CU_ASSERT_TRUE(digest_equal(&mine, &theirs));
        struct exact_grid grid = exact_grid_for(bench.welcome.step_tokens);
        int64_t *sums = calloc(value_count, sizeof *sums);
        uint8_t *update = malloc(size_bytes);
        CU_ASSERT_FATAL(sums != NULL && update != NULL);
        for (int64_t step = 1; step < 6; step++) {
            enum codec codec = step == 2 || step == 3 ? others[c] : codecs[c];
            CU_ASSERT_EQUAL(master_change(master, SCHEDULE.learning_rate, codec, CODEC_BF16),
                            STATUS_OK);
            size_bytes = codec_encoded_bytes(codec, value_count);
            for (size_t i = 0; i < value_count; i++) {
                sums[i] = (int64_t)(i % 97) * step * (INT64_C(1) << (grid.shift - 4));
            }
            master_take_mean(master, sums, &grid, 64, 0, value_count);
            (void)master_prepare(master);
            CU_ASSERT_EQUAL(master_apply(master, update, 0, value_count), STATUS_OK);
            master_finish(master);
            CU_ASSERT_EQUAL(compute_check_blob(bench.compute, codec, update, size_bytes),
                            STATUS_OK);
            mine = compute_apply(bench.compute, codec, update);
            CU_ASSERT_FALSE(digest_equal(&mine, &theirs));
            theirs = params_digest(master_params(master), value_count);
            CU_ASSERT_TRUE(digest_equal(&mine, &theirs));
        }
        free(sums);
        free(update);
        master_free(master);
        bench_deinit(&bench);
    }
}

static void blobs_are_checked_by_their_codec(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_MX8, 1);
    bench_start(&bench);
    size_t size_bytes = layout_value_count(bench.layout) * sizeof(float);
    const uint8_t *snapshot = (const uint8_t *)bench.params;
    CU_ASSERT_EQUAL(compute_check_blob(bench.compute, CODEC_FP32, snapshot, size_bytes),
                    STATUS_OK);
    CU_ASSERT_EQUAL(compute_check_blob(bench.compute, CODEC_FP32, snapshot, size_bytes - 4),
                    STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(compute_check_blob(bench.compute, CODEC_MX8, snapshot, size_bytes),
                    STATUS_BAD_SHAPE);
    bench.params[size_bytes / sizeof(float) - 1] = NAN;
    CU_ASSERT_EQUAL(compute_check_blob(bench.compute, CODEC_FP32, snapshot, size_bytes),
                    STATUS_OUT_OF_RANGE);
    size_t update_bytes = compute_encoded_bytes(bench.compute);
    uint8_t *update = calloc(1, update_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(update);
    CU_ASSERT_EQUAL(compute_check_blob(bench.compute, CODEC_MX8, update, update_bytes),
                    STATUS_OK);
    update[update_bytes - CODEC_MX8_BLOCK_BYTES] = 255;
    CU_ASSERT_EQUAL(compute_check_blob(bench.compute, CODEC_MX8, update, update_bytes),
                    STATUS_OUT_OF_RANGE);
    free(update);
    bench_deinit(&bench);
}

static void gradient_that_is_not_finite_is_not_encoded(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_FP32, 1);
    bench_start(&bench);
    size_t value_count = layout_value_count(bench.layout);
    uint8_t *data = malloc(compute_encoded_bytes(bench.compute));
    float *sum = calloc(value_count, sizeof *sum);
    CU_ASSERT_FATAL(data != NULL && sum != NULL);
    float kept = bench.params[3];
    bench.params[3] = NAN;
    (void)compute_load(bench.compute, (const uint8_t *)bench.params);
    lend(&bench, 1, 0, 3);
    wait_held(&bench, 3);
    CU_ASSERT_EQUAL(compute_encode(bench.compute, data), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(compute_encode(bench.compute, data), STATUS_OUT_OF_RANGE); /* still there */
    compute_discard(bench.compute);
    bench.params[3] = kept;
    (void)compute_load(bench.compute, (const uint8_t *)bench.params);
    lend(&bench, 2, 3, 1);
    wait_held(&bench, 4);
    encode_into(&bench, sum);
    double loss_sum = 0.0;
    float *expected = gradient_alone(&bench, 3, 4, &loss_sum);
    CU_ASSERT_TRUE(distance(sum, expected, value_count) < 1e-6);
    free(expected);
    free(sum);
    free(data);
    bench_deinit(&bench);
}

static void free_ends_threads_that_wait_rest_or_have_work_left(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_MX8, 4);
    bench_start(&bench); /* no work at all */
    bench_deinit(&bench);
    bench_init(&bench, CODEC_MX8, 3);
    bench.settings.cpu_percent = 1; /* the first samples are followed by a long rest */
    bench_start(&bench);
    lend(&bench, 1, 0, 10000);
    wait_held(&bench, 1);
    compute_free(bench.compute);
    bench.compute = NULL;
    CU_ASSERT_EQUAL(work_running(&bench.work), 0); /* each ended the sample it had begun */
    CU_ASSERT_TRUE(work_waiting(&bench.work) > 0);
    CU_ASSERT_EQUAL(work_waiting(&bench.work) + bench.work.held_samples, 10000);
    bench_deinit(&bench);
}

static void assert_welcome_refused(struct bench *bench, enum status expected, const char *part)
{
    bench->compute = (struct compute *)bench; /* must become NULL */
    bench->shared.stopping = false;
    enum status status =
        compute_new(&bench->welcome, &bench->settings, &bench->shared, &bench->compute);
    CU_ASSERT_PTR_NULL(bench->compute);
    if (status != expected || strstr(fault_text(), part) == NULL) {
        CU_FAIL("another status or sentence was expected");
        (void)printf("\n    %s: '%s'; expected %s: '%s'\n", status_text(status), fault_text(),
                     status_text(expected), part);
    }
}

static void welcome_that_cannot_be_is_refused(void)
{
    struct bench bench;
    char good[WIRE_MODEL_JSON_MAX];
    bench_init(&bench, CODEC_MX8, 2);
    memcpy(good, bench.welcome.model_json, sizeof good);
    char *json = bench.welcome.model_json;
    static const char *const malformed[] = {"{", "[]", "null", "\"x", "{\"model_type\":\"llama\"}"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        (void)snprintf(json, sizeof good, "%s", malformed[i]);
        assert_welcome_refused(&bench, STATUS_BAD_DATA, "config.json");
    }
    (void)snprintf(json, sizeof good, "{\"model_type\":\"bert\"}");
    assert_welcome_refused(&bench, STATUS_BAD_CONFIG, "model_type");
    memcpy(json, good, sizeof good);
    bench.welcome.context = 17; /* the model's is 16 */
    assert_welcome_refused(&bench, STATUS_OUT_OF_RANGE, "context");
    bench.welcome.context = CONTEXT;
    static const uint64_t bad_tokens[] = {0, (UINT64_C(1) << 40) + 1, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        bench.welcome.step_tokens = bad_tokens[i];
        assert_welcome_refused(&bench, STATUS_OUT_OF_RANGE, "target batch");
    }
    bench.welcome.step_tokens = CONTEXT * TARGET_BATCH;
    bench.settings.thread_count = TEAM_THREADS_MAX + 1;
    assert_welcome_refused(&bench, STATUS_OUT_OF_RANGE, "threads");
    bench_deinit(&bench);
}

static void model_that_is_too_large_is_refused_with_its_size(void)
{
    struct bench bench;
    struct model_config large = CONFIG;
    char *json = NULL;
    bench_init(&bench, CODEC_MX8, 2);
    large.width = 16384; /* 6e10 values: over a TiB */
    large.ffn_width = 65536;
    large.head_count = 128;
    large.kv_head_count = 128;
    large.head_size = 128;
    large.layer_count = 15;
    CU_ASSERT_EQUAL_FATAL(model_config_to_json(&large, &json), STATUS_OK);
    (void)snprintf(bench.welcome.model_json, sizeof bench.welcome.model_json, "%s", json);
    free(json);
    assert_welcome_refused(&bench, STATUS_NO_MEMORY, "MiB of memory");
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "--threads"));
    bench_deinit(&bench);
}

/* Computes sample 7 and compares with what it is on `params`. */
static void expect_sample_on(struct bench *bench, uint64_t id, const float *params, bool same)
{
    double loss_sum = 0.0;
    size_t value_count = layout_value_count(bench->layout);
    float *expected = gradient_on(bench, params, 7, 8, &loss_sum);
    float *sum = calloc(value_count, sizeof *sum);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sum);
    lend(bench, id, 7, 1);
    wait_held(bench, 1);
    encode_into(bench, sum);
    (void)pthread_mutex_lock(&bench->shared.lock);
    work_clear_held(&bench->work);
    struct work_report report;
    (void)work_report(&bench->work, true, &report);
    (void)pthread_mutex_unlock(&bench->shared.lock);
    compute_discard(bench->compute);
    double far = distance(sum, expected, value_count);
    CU_ASSERT_TRUE(same ? far < 1e-6 : far > 1e-3);
    free(sum);
    free(expected);
}

static void samples_ahead_are_computed_on_predicted_parameters(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_FP32, 1);
    bench.welcome.max_staleness = 1;
    bench.welcome.predicts = true;
    size_t value_count = layout_value_count(bench.layout);
    float *update = calloc(value_count, sizeof *update);
    float *before = calloc(value_count, sizeof *before);
    float *predicted = calloc(value_count, sizeof *predicted);
    CU_ASSERT_TRUE_FATAL(update != NULL && before != NULL && predicted != NULL);
    bench_start(&bench);
    memcpy(before, bench.params, value_count * sizeof *before);
    compute_open(bench.compute, true);
    expect_sample_on(&bench, 1, before, true); /* a snapshot tells of no update */
    for (size_t i = 0; i < value_count; i++) {
        update[i] = 0.02F * (float)((int)(i % 7) - 3);
        bench.params[i] = before[i] + update[i];
        predicted[i] = bench.params[i] + update[i];
    }
    struct digest applied = compute_apply(bench.compute, CODEC_FP32, (const uint8_t *)update);
    expect_sample_on(&bench, 2, bench.params, true);
    compute_open(bench.compute, true);
    expect_sample_on(&bench, 3, predicted, true);
    expect_sample_on(&bench, 4, bench.params, false);
    compute_open(bench.compute, false);
    expect_sample_on(&bench, 5, bench.params, true);
    compute_open(bench.compute, true);
    memset(update, 0, value_count * sizeof *update); /* P is as exact as before */
    struct digest again = compute_apply(bench.compute, CODEC_FP32, (const uint8_t *)update);
    CU_ASSERT_TRUE(digest_equal(&applied, &again));
    expect_sample_on(&bench, 6, bench.params, true);
    free(update);
    free(before);
    free(predicted);
    bench_deinit(&bench);
}

/* Contributions may be encoded in fewer bytes, or more, than the update that is kept. */
static void prediction_decodes_the_update_by_its_own_codec(void)
{
    static const enum codec offered[] = {CODEC_MX4, CODEC_FP32};
    for (size_t c = 0; c < 2; c++) {
        struct bench bench;
        bench_init(&bench, CODEC_BF16, 1);
        bench.welcome.max_staleness = 1;
        bench.welcome.predicts = true;
        size_t value_count = layout_value_count(bench.layout);
        float *values = calloc(value_count, sizeof *values);
        float *predicted = calloc(value_count, sizeof *predicted);
        uint8_t *update = malloc(codec_encoded_bytes(CODEC_MX8, value_count));
        CU_ASSERT_TRUE_FATAL(update != NULL && values != NULL && predicted != NULL);
        bench_start(&bench);
        compute_offer_in(bench.compute, offered[c]);
        for (size_t i = 0; i < value_count; i++) {
            values[i] = 0.02F * (float)((int)(i % 7) - 3);
        }
        CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, CODEC_EXPONENT_ANY, values, value_count, update),
                        STATUS_OK);
        codec_add(CODEC_MX8, update, value_count, bench.params);
        memcpy(predicted, bench.params, value_count * sizeof *predicted);
        codec_add(CODEC_MX8, update, value_count, predicted);
        struct digest theirs = params_digest(bench.params, value_count);
        struct digest mine = compute_apply(bench.compute, CODEC_MX8, update);
        CU_ASSERT_TRUE(digest_equal(&mine, &theirs));
        compute_offer_in(bench.compute, CODEC_FP32); /* to see what is computed */
        compute_open(bench.compute, true);
        expect_sample_on(&bench, 3, predicted, true);
        free(values);
        free(predicted);
        free(update);
        bench_deinit(&bench);
    }
}

static void without_prediction_samples_ahead_are_computed_on_the_same_parameters(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_FP32, 1);
    bench.welcome.max_staleness = 1;
    size_t value_count = layout_value_count(bench.layout);
    float *update = calloc(value_count, sizeof *update);
    CU_ASSERT_PTR_NOT_NULL_FATAL(update);
    bench_start(&bench);
    for (size_t i = 0; i < value_count; i++) {
        update[i] = 0.02F * (float)((int)(i % 7) - 3);
        bench.params[i] += update[i];
    }
    (void)compute_apply(bench.compute, CODEC_FP32, (const uint8_t *)update);
    compute_open(bench.compute, true);
    expect_sample_on(&bench, 1, bench.params, true);
    free(update);
    bench_deinit(&bench);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(threads_compute_every_sample_into_one_gradient),
        SUITE_TEST(what_mx8_loses_stays_for_the_next_contribution),
        SUITE_TEST(encoded_units_lie_on_the_grid_of_a_huge_batch),
        SUITE_TEST(contributions_may_have_another_codec_than_updates),
        SUITE_TEST(peer_follows_the_coordinators_digest),
        SUITE_TEST(blobs_are_checked_by_their_codec),
        SUITE_TEST(gradient_that_is_not_finite_is_not_encoded),
        SUITE_TEST(free_ends_threads_that_wait_rest_or_have_work_left),
        SUITE_TEST(welcome_that_cannot_be_is_refused),
        SUITE_TEST(model_that_is_too_large_is_refused_with_its_size),
        SUITE_TEST(samples_ahead_are_computed_on_predicted_parameters),
        SUITE_TEST(prediction_decodes_the_update_by_its_own_codec),
        SUITE_TEST(without_prediction_samples_ahead_are_computed_on_the_same_parameters),
    };
    return suite_run("compute", tests, sizeof tests / sizeof tests[0]);
}
