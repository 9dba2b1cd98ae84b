#include "common/fault.h"
#include "common/random.h"
#include "common/slices.h"
#include "coordinator/server/aggregate.h"
#include "coordinator/server/sessions.h"
#include "tests/unit/run_fixture.h"
#include "tests/unit/suite.h"

#include <math.h>
#include <pthread.h>

static const char *const codecs[] = {"fp32", "mx8"};

enum { COVERED_MAX = 5 * MASTER_SLICE_ALIGN + 32 };

struct cover {
    unsigned visits[COVERED_MAX];
    size_t value_count;
    unsigned slice_visits[SLICES_THREADS_MAX];
    pthread_t threads[SLICES_THREADS_MAX];
    bool other_thread[SLICES_THREADS_MAX];
    bool misaligned[SLICES_THREADS_MAX];
};

static void visit_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    struct cover *cover = context;
    bool whole = count % MASTER_SLICE_ALIGN == 0 || first + count == cover->value_count;
    if (first % MASTER_SLICE_ALIGN != 0 || count == 0 || !whole) {
        cover->misaligned[slice_index] = true;
    }
    for (size_t i = first; i < first + count; i++) {
        cover->visits[i]++;
    }
    if (cover->slice_visits[slice_index]++ == 0) {
        cover->threads[slice_index] = pthread_self();
    } else if (!pthread_equal(cover->threads[slice_index], pthread_self())) {
        cover->other_thread[slice_index] = true;
    }
}

static void slices_cover_each_value_once(void)
{
    static const size_t counts[] = {32,
                                    MASTER_SLICE_ALIGN - 32,
                                    MASTER_SLICE_ALIGN,
                                    MASTER_SLICE_ALIGN + 32,
                                    3 * MASTER_SLICE_ALIGN,
                                    COVERED_MAX};
    static const size_t thread_counts[] = {1, 2, 3, 5, SLICES_THREADS_MAX};
    for (size_t i = 0; i < 30; i++) {
        struct cover cover = {.value_count = counts[i / 5]};
        size_t thread_count = thread_counts[i % 5];
        struct slices *slices = NULL;
        CU_ASSERT_EQUAL_FATAL(
            slices_new(thread_count, cover.value_count, MASTER_SLICE_ALIGN, &slices), STATUS_OK);
        size_t blocks = (cover.value_count + MASTER_SLICE_ALIGN - 1) / MASTER_SLICE_ALIGN;
        CU_ASSERT_TRUE(slices_count(slices) >= 1 && slices_count(slices) <= thread_count);
        if (blocks % thread_count == 0 || blocks < thread_count) { /* nobody is idle for nothing */
            CU_ASSERT_EQUAL(slices_count(slices), blocks < thread_count ? blocks : thread_count);
        }
        for (int round = 0; round < 3; round++) {
            slices_run(slices, visit_slice, &cover);
        }
        size_t wrong = 0;
        for (size_t k = 0; k < COVERED_MAX; k++) {
            wrong += cover.visits[k] != (k < cover.value_count ? 3U : 0U);
        }
        CU_ASSERT_EQUAL(wrong, 0);
        for (size_t k = 0; k < SLICES_THREADS_MAX; k++) {
            CU_ASSERT_EQUAL(cover.slice_visits[k], k < slices_count(slices) ? 3U : 0U);
            CU_ASSERT_FALSE(cover.misaligned[k]);
            CU_ASSERT_FALSE(cover.other_thread[k]);
        }
        slices_free(slices);
    }
}

enum { CONTRIBUTIONS = 3, CONTRIBUTION_TOKENS = 32 }; /* a step is 8 * 16 = 128 tokens */

static struct aggregate *new_aggregate(const struct run_dir *run, size_t thread_count)
{
    struct aggregate *aggregate = NULL;
    CU_ASSERT_EQUAL_FATAL(aggregate_new(run, thread_count, &aggregate), STATUS_OK);
    struct master *master = aggregate_master(aggregate);
    layout_init_params(run->layout, &run->config.model, run->config.seed, master_params(master));
    master_set_params(master, master_params(master));
    return aggregate;
}

/* Small whole multiples of 2^-10, so that sums of them are exact in every codec. */
static float gradient_value(uint64_t contribution, size_t index)
{
    struct random random;
    random_init(&random, contribution, index);
    return ((float)random_below(&random, 41) - 20.0F) / 1024.0F;
}

/* The encoding of the sum of contributions [first, end). The caller frees it. */
static uint8_t *encode_sum(const struct run_dir *run, uint64_t first, uint64_t end)
{
    size_t value_count = layout_value_count(run->layout);
    float *values = calloc(value_count, sizeof *values);
    uint8_t *data = malloc(codec_encoded_bytes(run->config.codec, value_count));
    CU_ASSERT_FATAL(values != NULL && data != NULL);
    struct exact_grid grid = exact_grid_for(run_config_step_tokens(&run->config));
    for (size_t i = 0; i < value_count; i++) {
        for (uint64_t k = first; k < end; k++) {
            values[i] += gradient_value(k, i);
        }
    }
    CU_ASSERT_EQUAL_FATAL(codec_encode(run->config.codec, -grid.shift, values, value_count, data),
                          STATUS_OK);
    size_t lost = 0;
    for (size_t i = 0; i < value_count; i++) {
        lost += values[i] != 0.0F;
    }
    CU_ASSERT_EQUAL_FATAL(lost, 0); /* the sum has no rounding of its own */
    free(values);
    return data;
}

static void add_range(struct aggregate *aggregate, const struct run_dir *run, uint64_t first,
                      uint64_t end)
{
    uint8_t *data = encode_sum(run, first, end);
    CU_ASSERT_EQUAL(
        aggregate_add(aggregate, run->config.codec, data, aggregate_encoded_bytes(aggregate),
                      CONTRIBUTION_TOKENS * (end - first), 100.0 * (double)(end - first)),
        STATUS_OK);
    free(data);
}

/* The caller frees the update. */
static uint8_t *commit(struct aggregate *aggregate, struct aggregate_result *out)
{
    uint8_t *update = calloc(aggregate_encoded_bytes(aggregate), 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(update);
    CU_ASSERT_EQUAL_FATAL(aggregate_commit(aggregate, update, out), STATUS_OK);
    return update;
}

static void any_cut_order_and_thread_count_gives_the_same_bits(void)
{
    static const size_t thread_counts[] = {1, 2, 5};
    static const uint64_t orders[][CONTRIBUTIONS] = {{0, 1, 2}, {2, 0, 1}, {1, 2, 0}};
    for (size_t c = 0; c < 2; c++) {
        struct run_dir run;
        struct aggregate_result single;
        run_fixture_open(&run, codecs[c], NULL, NULL);
        struct aggregate *aggregate = new_aggregate(&run, 1);
        add_range(aggregate, &run, 0, CONTRIBUTIONS);
        uint8_t *single_update = commit(aggregate, &single);
        size_t update_bytes = aggregate_encoded_bytes(aggregate);
        CU_ASSERT_EQUAL(single.tokens, CONTRIBUTIONS * CONTRIBUTION_TOKENS);
        CU_ASSERT_DOUBLE_EQUAL(single.loss_sum, 100.0 * CONTRIBUTIONS, 1e-9);
        CU_ASSERT(single.learning_rate == schedule_learning_rate(&run.config.schedule, 0));
        CU_ASSERT_TRUE(single.grad_l2 > 0.0);
        aggregate_free(aggregate);
        for (size_t t = 0; t < 3; t++) {
            struct aggregate_result result;
            aggregate = new_aggregate(&run, thread_counts[t]);
            for (size_t k = 0; k < CONTRIBUTIONS; k++) {
                add_range(aggregate, &run, orders[t][k], orders[t][k] + 1);
            }
            uint8_t *update = commit(aggregate, &result);
            CU_ASSERT_TRUE(digest_equal(&result.digest, &single.digest));
            CU_ASSERT_EQUAL(memcmp(update, single_update, update_bytes), 0);
            CU_ASSERT(result.grad_l2 == single.grad_l2 && result.tokens == single.tokens);
            free(update);
            aggregate_free(aggregate);
        }
        free(single_update);
        run_fixture_close(&run);
    }
}

/* The digest after one more step of `master`, made of contributions [first, end) uncut. */
static struct digest step_uncut(const struct run_dir *run, struct master *master, uint64_t first,
                                uint64_t end)
{
    size_t value_count = layout_value_count(run->layout);
    struct exact_grid grid = exact_grid_for(run_config_step_tokens(&run->config));
    uint8_t *data = encode_sum(run, first, end);
    int64_t *sums = calloc(value_count, sizeof *sums);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sums);
    exact_sum_add(&grid, run->config.codec, data, value_count, sums);
    master_take_mean(master, sums, &grid, CONTRIBUTION_TOKENS * (end - first), 0, value_count);
    (void)master_prepare(master);
    master_measure(master, 0, value_count);
    master_settle(master);
    CU_ASSERT_EQUAL(master_apply(master, data, 0, value_count), STATUS_OK);
    master_finish(master);
    free(sums);
    free(data);
    return params_digest(master_params(master), value_count);
}

static void commits_of_every_optimizer_are_those_of_an_uncut_master(void)
{
    for (int kind = 0; kind < OPTIMIZER_KIND_COUNT; kind++) {
        struct run_dir run;
        char type[64];
        (void)snprintf(type, sizeof type, "optimizer: {type: %s, ",
                       optimizer_name((enum optimizer_kind)kind));
        run_fixture_open(&run, codecs[kind % 2], "optimizer: {", type);
        struct aggregate *cut = new_aggregate(&run, 3);
        struct aggregate *uncut = new_aggregate(&run, 1); /* for its master alone */
        for (uint64_t step = 0; step < 3; step++) {
            struct aggregate_result result;
            add_range(cut, &run, 2 * step, 2 * step + 2);
            free(commit(cut, &result));
            struct digest expected =
                step_uncut(&run, aggregate_master(uncut), 2 * step, 2 * step + 2);
            CU_ASSERT_TRUE(digest_equal(&result.digest, &expected));
        }
        aggregate_free(cut);
        aggregate_free(uncut);
        run_fixture_close(&run);
    }
}

static void peer_that_applies_updates_agrees_on_every_digest(void)
{
    for (size_t c = 0; c < 2; c++) {
        struct run_dir run;
        run_fixture_open(&run, codecs[c], NULL, NULL);
        size_t value_count = layout_value_count(run.layout);
        struct aggregate *aggregate = new_aggregate(&run, 2);
        float *params = malloc(value_count * sizeof *params);
        CU_ASSERT_PTR_NOT_NULL_FATAL(params);
        memcpy(params, master_params(aggregate_master(aggregate)), value_count * sizeof *params);
        struct digest before = params_digest(params, value_count);
        for (uint64_t step = 0; step < 4; step++) {
            struct aggregate_result result;
            add_range(aggregate, &run, 2 * step, 2 * step + 2);
            uint8_t *update = commit(aggregate, &result);
            CU_ASSERT_EQUAL(codec_check(run.config.codec, update,
                                        aggregate_encoded_bytes(aggregate), value_count),
                            STATUS_OK);
            codec_add(run.config.codec, update, value_count, params);
            struct digest digest = params_digest(params, value_count);
            CU_ASSERT_TRUE(digest_equal(&digest, &result.digest));
            CU_ASSERT_FALSE(digest_equal(&digest, &before));
            CU_ASSERT_EQUAL(master_version(aggregate_master(aggregate)), step + 1);
            before = digest;
            free(update);
        }
        free(params);
        aggregate_free(aggregate);
        run_fixture_close(&run);
    }
}

/* Makes the very last value of an encoding bad. */
static void spoil_end(const struct run_dir *run, uint8_t *data, size_t size_bytes)
{
    if (run->config.codec == CODEC_FP32) {
        float bad = NAN;
        memcpy(data + size_bytes - sizeof bad, &bad, sizeof bad);
    } else {
        data[size_bytes - 1] = 0x80; /* q = -128 */
    }
}

static void refused_contribution_changes_nothing(void)
{
    for (size_t c = 0; c < 2; c++) {
        struct run_dir run;
        struct aggregate_result clean;
        struct aggregate_result result;
        run_fixture_open(&run, codecs[c], NULL, NULL);
        struct aggregate *aggregate = new_aggregate(&run, 5);
        size_t size_bytes = aggregate_encoded_bytes(aggregate);
        add_range(aggregate, &run, 0, 1);
        free(commit(aggregate, &clean));
        aggregate_free(aggregate);

        aggregate = new_aggregate(&run, 5);
        add_range(aggregate, &run, 0, 1);
        uint8_t *data = encode_sum(&run, 5, 6);
        CU_ASSERT_EQUAL(aggregate_add(aggregate, run.config.codec, data, size_bytes - 1, 32, 1.0),
                        STATUS_BAD_SHAPE);
        CU_ASSERT_EQUAL(aggregate_add(aggregate, run.config.codec, data, size_bytes + 1, 32, 1.0),
                        STATUS_BAD_SHAPE);
        CU_ASSERT_EQUAL(aggregate_add(aggregate, run.config.codec, data, 0, 32, 1.0),
                        STATUS_BAD_SHAPE);
        static const uint64_t bad_tokens[] = {0, 128 - CONTRIBUTION_TOKENS + 1, UINT64_MAX};
        for (size_t i = 0; i < 3; i++) {
            CU_ASSERT_EQUAL(
                aggregate_add(aggregate, run.config.codec, data, size_bytes, bad_tokens[i], 1.0),
                STATUS_OUT_OF_RANGE);
        }
        const double bad_losses[] = {-1.0, NAN, INFINITY, 1e308, 32.0 * 1024.0 * 1.001};
        for (size_t i = 0; i < 5; i++) {
            CU_ASSERT_EQUAL(
                aggregate_add(aggregate, run.config.codec, data, size_bytes, 32, bad_losses[i]),
                STATUS_OUT_OF_RANGE);
        }
        spoil_end(&run, data, size_bytes);
        CU_ASSERT_EQUAL(aggregate_add(aggregate, run.config.codec, data, size_bytes, 32, 1.0),
                        STATUS_OUT_OF_RANGE);
        free(data);
        free(commit(aggregate, &result));
        CU_ASSERT_TRUE(digest_equal(&result.digest, &clean.digest));
        CU_ASSERT(result.loss_sum == clean.loss_sum && result.tokens == clean.tokens);
        aggregate_free(aggregate);
        run_fixture_close(&run);
    }
}

static void step_takes_its_batch_and_the_next_begins_at_zero(void)
{
    struct run_dir run;
    struct aggregate_result result;
    run_fixture_open(&run, "mx8", NULL, NULL);
    struct aggregate *aggregate = new_aggregate(&run, 2);
    add_range(aggregate, &run, 0, 3);
    add_range(aggregate, &run, 3, 4); /* 4 * 32 = 128: the step is full */
    uint8_t *data = encode_sum(&run, 4, 5);
    CU_ASSERT_EQUAL(aggregate_add(aggregate, run.config.codec, data,
                                  aggregate_encoded_bytes(aggregate), 1, 1.0),
                    STATUS_OUT_OF_RANGE);
    free(data);
    free(commit(aggregate, &result));
    CU_ASSERT_EQUAL(result.tokens, 128);
    float *zeros = calloc(layout_value_count(run.layout), sizeof *zeros);
    uint8_t *nothing = malloc(aggregate_encoded_bytes(aggregate));
    CU_ASSERT_FATAL(zeros != NULL && nothing != NULL);
    CU_ASSERT_EQUAL(codec_encode(run.config.codec, CODEC_EXPONENT_ANY, zeros,
                                 layout_value_count(run.layout), nothing),
                    STATUS_OK);
    CU_ASSERT_EQUAL(aggregate_add(aggregate, run.config.codec, nothing,
                                  aggregate_encoded_bytes(aggregate), 128, 0.0),
                    STATUS_OK);
    free(commit(aggregate, &result));
    CU_ASSERT(result.grad_l2 == 0.0 && result.loss_sum == 0.0 && result.tokens == 128);
    free(zeros);
    free(nothing);
    aggregate_free(aggregate);
    run_fixture_close(&run);
}

static void commit_of_parameters_that_are_not_finite_says_so(void)
{
    struct run_dir run;
    struct aggregate_result result;
    run_fixture_open(&run, "fp32", NULL, NULL);
    struct aggregate *aggregate = new_aggregate(&run, 3);
    uint8_t *update = malloc(aggregate_encoded_bytes(aggregate));
    CU_ASSERT_PTR_NOT_NULL_FATAL(update);
    master_weights(aggregate_master(aggregate))[5000] = INFINITY;
    add_range(aggregate, &run, 0, 1);
    CU_ASSERT_EQUAL(aggregate_commit(aggregate, update, &result), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "optimizer.learning_rate"));
    free(update);
    aggregate_free(aggregate);
    run_fixture_close(&run);
}

static struct session *add_session(struct sessions *sessions, uint32_t number)
{
    struct wire_hello hello = {.name = "kitchen", .thread_count = 3, .version_held = 9};
    uint8_t key[IDENTITY_KEY_BYTES] = {0};
    struct session *session = NULL;
    memcpy(key, &number, sizeof number);
    memcpy(hello.public_key, &number, sizeof number);
    CU_ASSERT_EQUAL_FATAL(sessions_add(sessions, &hello, key, &session), STATUS_OK);
    return session;
}

static struct session *find_session(struct sessions *sessions, uint32_t number)
{
    uint8_t key[IDENTITY_KEY_BYTES] = {0};
    memcpy(key, &number, sizeof number);
    return sessions_find(sessions, key);
}

static void session_is_found_until_removed_and_its_place_reused(void)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sessions);
    CU_ASSERT_PTR_NULL(find_session(sessions, 0)); /* zeros are no key of an unused place */
    struct session *a = add_session(sessions, 1);
    struct session *b = add_session(sessions, 2);
    struct session *c = add_session(sessions, 3);
    CU_ASSERT_PTR_EQUAL(find_session(sessions, 2), b);
    CU_ASSERT_STRING_EQUAL(b->name, "kitchen");
    CU_ASSERT_STRING_EQUAL(b->id, "020000000000");
    CU_ASSERT_EQUAL(b->threads, 3);
    CU_ASSERT_EQUAL(sessions_index(sessions, c), 2);
    b->offer = calloc(1, sizeof *b->offer);
    b->upload = UPLOAD_RUNNING;
    struct blob_ref ref = blob_describe(BLOB_CONTRIBUTION, 1, (const uint8_t *)"abc", 3, 2, NULL);
    CU_ASSERT_EQUAL(blob_receiver_new(&ref, 3, &b->receiver), STATUS_OK);
    sessions_remove(sessions, b); /* frees both: the sanitizer watches */
    CU_ASSERT_PTR_NULL(find_session(sessions, 2));
    CU_ASSERT_EQUAL(sessions->count, 2);
    CU_ASSERT_EQUAL(sessions->end, 3);
    struct session *d = add_session(sessions, 4);
    CU_ASSERT_PTR_EQUAL(d, b);
    CU_ASSERT_PTR_EQUAL(find_session(sessions, 3), c);
    CU_ASSERT_PTR_NULL(d->offer);
    CU_ASSERT_PTR_NULL(d->receiver);
    CU_ASSERT_EQUAL(d->upload, UPLOAD_NONE);
    sessions_remove(sessions, c);
    CU_ASSERT_EQUAL(sessions->end, 2);
    sessions_remove(sessions, a);
    CU_ASSERT_PTR_EQUAL(find_session(sessions, 4), d);
    CU_ASSERT_EQUAL(sessions->end, 2);
    sessions_remove(sessions, d);
    CU_ASSERT_EQUAL(sessions->end, 0);
    CU_ASSERT_EQUAL(sessions->count, 0);
    (void)add_session(sessions, 1); /* seen before */
    CU_ASSERT_EQUAL(sessions->seen_count, 4);
    sessions_deinit(sessions);
    free(sessions);
}

static void sessions_are_full_at_the_limit(void)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sessions);
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        (void)add_session(sessions, i);
    }
    struct wire_hello hello = {.name = "late"};
    uint8_t key[IDENTITY_KEY_BYTES];
    struct session *session = NULL;
    memset(key, 0xff, sizeof key);
    CU_ASSERT_EQUAL(sessions_add(sessions, &hello, key, &session), STATUS_FULL);
    CU_ASSERT_EQUAL(sessions->count, SESSIONS_MAX);
    CU_ASSERT_EQUAL(sessions->seen_count, SESSIONS_MAX);
    sessions_remove(sessions, &sessions->items[77]);
    CU_ASSERT_EQUAL(sessions_add(sessions, &hello, key, &session), STATUS_OK);
    CU_ASSERT_EQUAL(sessions_index(sessions, session), 77);
    sessions_deinit(sessions);
    CU_ASSERT_EQUAL(sessions->seen_count, 0);
    free(sessions);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(slices_cover_each_value_once),
        SUITE_TEST(any_cut_order_and_thread_count_gives_the_same_bits),
        SUITE_TEST(commits_of_every_optimizer_are_those_of_an_uncut_master),
        SUITE_TEST(peer_that_applies_updates_agrees_on_every_digest),
        SUITE_TEST(refused_contribution_changes_nothing),
        SUITE_TEST(step_takes_its_batch_and_the_next_begins_at_zero),
        SUITE_TEST(commit_of_parameters_that_are_not_finite_says_so),
        SUITE_TEST(session_is_found_until_removed_and_its_place_reused),
        SUITE_TEST(sessions_are_full_at_the_limit),
    };
    return suite_run("coordinator_server", tests, sizeof tests / sizeof tests[0]);
}
