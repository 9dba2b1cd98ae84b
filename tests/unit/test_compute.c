#include "tests/unit/compute_bench.h"

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
    CU_ASSERT_EQUAL(compute_check_blob(bench.compute, CODEC_FP32, snapshot, size_bytes), STATUS_OK);
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
    CU_ASSERT_EQUAL(compute_check_blob(bench.compute, CODEC_MX8, update, update_bytes), STATUS_OK);
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
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "join another run"));
    bench.settings.memory_bytes_max = 1 << 20;
    assert_welcome_refused(&bench, STATUS_NO_MEMORY, "--memory allows 1;");
    bench_deinit(&bench);
}

static void model_whose_threads_need_too_much_is_refused_with_its_size(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_MX8, 2);
    bench.settings.memory_bytes_max = layout_value_count(bench.layout) * 3 * sizeof(float);
    assert_welcome_refused(&bench, STATUS_NO_MEMORY, "MiB of memory");
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "--threads"));
    bench_deinit(&bench);
}

/* The least that is enough for the run as it is welcomed. */
static uint64_t least_memory(struct bench *self)
{
    uint64_t low = layout_value_count(self->layout);
    for (uint64_t high = UINT64_C(1) << 32; high - low > 1;) {
        uint64_t middle = low + (high - low) / 2;
        self->settings.memory_bytes_max = middle;
        enum status status =
            compute_new(&self->welcome, &self->settings, &self->shared, &self->compute);
        compute_free(self->compute);
        self->compute = NULL;
        self->shared.stopping = false;
        *(status == STATUS_OK ? &high : &low) = middle;
    }
    return low + 1;
}

/* The codec is a setting that may change while a run goes on; what the owner allows is none. */
static void codecs_that_need_more_than_the_owner_allows_are_refused(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_MX4, 1);
    bench.settings.memory_bytes_max = least_memory(&bench);
    bench_start(&bench);
    CU_ASSERT_EQUAL(compute_allows(bench.compute, CODEC_MX4, CODEC_MX4, false), STATUS_OK);
    CU_ASSERT_EQUAL(compute_allows(bench.compute, CODEC_FP32, CODEC_MX4, false), STATUS_NO_MEMORY);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "fp32"));
    CU_ASSERT_EQUAL(compute_allows(bench.compute, CODEC_MX4, CODEC_FP32, false), STATUS_NO_MEMORY);
    CU_ASSERT_EQUAL(compute_allows(bench.compute, CODEC_MX4, CODEC_MX4, true), STATUS_NO_MEMORY);
    bench_deinit(&bench);
}

/* Four contributions and a snapshot, in place of the larger of a snapshot, and four contributions
 * and an update. */
static void room_for_a_snapshot_beside_contributions_is_more_than_a_run_demands(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_MX4, 1);
    size_t values = layout_value_count(bench.layout);
    size_t encoded = 5 * codec_encoded_bytes(CODEC_MX4, values);
    size_t counted = encoded > values * sizeof(float) ? encoded : values * sizeof(float);
    uint64_t least = least_memory(&bench);
    for (uint64_t lacks = 0; lacks < 2; lacks++) {
        bench.settings.memory_bytes_max = least + 5 * values * sizeof(float) - counted - lacks;
        bench_start(&bench);
        CU_ASSERT_EQUAL(compute_has_room(bench.compute), lacks == 0);
        compute_free(bench.compute);
        bench.compute = NULL;
        bench.shared.stopping = false;
    }
    bench_deinit(&bench);
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    CU_ASSERT_EQUAL_FATAL(clock_gettime(clock, &now), 0);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* A busy machine only makes the share smaller. */
static void threads_rest_as_the_owner_wishes(void)
{
    struct bench bench;
    bench_init(&bench, CODEC_MX4, 1);
    bench.settings.cpu_percent = 20;
    bench_start(&bench);
    double wall = seconds_of(CLOCK_MONOTONIC);
    double used = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    lend(&bench, 1, 100, 600);
    wait_held(&bench, 600);
    used = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - used;
    wall = seconds_of(CLOCK_MONOTONIC) - wall;
    CU_ASSERT_TRUE(used < 0.35 * wall);
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
    (void)work_report(&bench->work, true, &(struct work_report){0});
    (void)pthread_mutex_unlock(&bench->shared.lock);
    compute_discard(bench->compute);
    CU_ASSERT_EQUAL(distance(sum, expected, value_count) < 1e-6, same);
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
    compute_offer_in(bench.compute, CODEC_MX4); /* contributions only: updates stay as they are */
    struct digest applied = compute_apply(bench.compute, CODEC_FP32, (const uint8_t *)update);
    compute_offer_in(bench.compute, CODEC_FP32);
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
        SUITE_TEST(model_whose_threads_need_too_much_is_refused_with_its_size),
        SUITE_TEST(codecs_that_need_more_than_the_owner_allows_are_refused),
        SUITE_TEST(room_for_a_snapshot_beside_contributions_is_more_than_a_run_demands),
        SUITE_TEST(threads_rest_as_the_owner_wishes),
        SUITE_TEST(samples_ahead_are_computed_on_predicted_parameters),
        SUITE_TEST(prediction_decodes_the_update_by_its_own_codec),
        SUITE_TEST(without_prediction_samples_ahead_are_computed_on_the_same_parameters),
    };
    return suite_run("compute", tests, sizeof tests / sizeof tests[0]);
}
