#include "tests/unit/master_fixture.h"
#include "trainer/optimizer/master_step.h"

static const enum codec means[] = {CODEC_FP32, CODEC_BF16, CODEC_MX8};
enum { MEANS = sizeof means / sizeof means[0] };

static const struct optimizer_settings plain_sgd = {.kind = OPTIMIZER_SGD};

static struct slices *new_slices(const struct fixture *fixture, size_t thread_count)
{
    struct slices *slices = NULL;
    CU_ASSERT_EQUAL_FATAL(slices_new(thread_count, fixture->count, MASTER_SLICE_ALIGN, &slices),
                          STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(slices_count(slices), thread_count);
    return slices;
}

static float *new_copy(const float *values, size_t count)
{
    float *copy = malloc(count * sizeof *copy);
    if (copy == NULL) {
        CU_FAIL_FATAL("no memory");
        return NULL;
    }
    memcpy(copy, values, count * sizeof *copy);
    return copy;
}

static struct master_step_result step_from_sums(struct fixture *fixture, struct slices *slices)
{
    struct master_step_result result;
    CU_ASSERT_EQUAL_FATAL(master_step_from_sums(fixture->master, slices, fixture->sum,
                                                &fixture->grid, TOKENS, fixture->update, &result),
                          STATUS_OK);
    return result;
}

static struct master_step_result step_from_mean(struct fixture *fixture, struct slices *slices,
                                                const struct fixture *from)
{
    struct master_step_result result;
    CU_ASSERT_EQUAL_FATAL(
        master_step_from_mean(fixture->master, slices, master_mean_encoded(from->master),
                              master_mean_bytes(from->master), fixture->update, &result),
        STATUS_OK);
    return result;
}

static int same_result(const struct master_step_result *a, const struct master_step_result *b)
{
    return a->grad_l2 == b->grad_l2 && a->learning_rate == b->learning_rate &&
           digest_equal(&a->digest, &b->digest);
}

/* One master steps from sums uncut; others from sums in 3 slices and from its means. */
static void compare_ways(enum optimizer_kind kind, enum codec mean_codec)
{
    enum { WAYS = 4 };
    const struct optimizer_settings settings = optimizer_defaults(kind);
    struct fixture ways[WAYS];
    struct slices *slices[WAYS];
    for (size_t w = 0; w < WAYS; w++) {
        fixture_init_with(&ways[w], &SMALL_LLAMA, &settings, 1e-3, CODEC_MX8, mean_codec);
        slices[w] = new_slices(&ways[w], w % 2 == 0 ? 1 : 3);
    }
    for (int step = 0; step < 4; step++) {
        struct master_step_result results[WAYS];
        fixture_fill_sums(&ways[0]);
        memcpy(ways[1].sum, ways[0].sum, ways[0].count * sizeof *ways[0].sum);
        for (size_t w = 0; w < WAYS; w++) {
            results[w] = w < 2 ? step_from_sums(&ways[w], slices[w])
                               : step_from_mean(&ways[w], slices[w], &ways[0]);
            CU_ASSERT_TRUE(same_result(&results[w], &results[0]));
            CU_ASSERT_TRUE(fixture_same_state(&ways[w], &ways[0]));
            CU_ASSERT_EQUAL(memcmp(ways[w].update, ways[0].update, ways[0].update_bytes), 0);
            CU_ASSERT_EQUAL(memcmp(master_mean_encoded(ways[w].master),
                                   master_mean_encoded(ways[0].master),
                                   master_mean_bytes(ways[0].master)),
                            0);
        }
        for (size_t i = 0; i < ways[0].count; i += 97) {
            CU_ASSERT_EQUAL(ways[0].sum[i] | ways[1].sum[i], 0);
        }
        codec_add(CODEC_MX8, ways[0].update, ways[0].count, ways[0].peer);
        struct digest theirs = params_digest(ways[0].peer, ways[0].count);
        CU_ASSERT_TRUE(digest_equal(&theirs, &results[0].digest));
    }
    CU_ASSERT_EQUAL(master_version(ways[3].master), 4);
    for (size_t w = 0; w < WAYS; w++) {
        slices_free(slices[w]);
        fixture_deinit(&ways[w]);
    }
}

static void step_from_mean_is_the_step_from_sums_bit_for_bit(void)
{
    for (int kind = 0; kind < OPTIMIZER_KIND_COUNT; kind++) {
        for (size_t m = 0; m < MEANS; m++) {
            compare_ways((enum optimizer_kind)kind, means[m]);
        }
    }
}

/* The values that part `part` of a whole encoding holds; free(). */
static float *decoded(const struct fixture *fixture, enum codec codec, size_t part)
{
    float *values = calloc(fixture->count, sizeof *values);
    if (values == NULL) {
        CU_FAIL_FATAL("no memory");
        return NULL;
    }
    codec_add(codec,
              master_mean_encoded(fixture->master) +
                  part * codec_encoded_bytes(codec, fixture->count),
              fixture->count, values);
    return values;
}

/* What the phases of `fixture` get from its sums, computed here: mean and residual. */
static void expect_mean(const struct fixture *fixture, enum codec codec, float *mean,
                        float *residual)
{
    uint8_t *encoded = malloc(codec_encoded_bytes(codec, fixture->count));
    float *rest = malloc(fixture->count * sizeof *rest);
    CU_ASSERT_FATAL(encoded != NULL && rest != NULL);
    memset(mean, 0, fixture->count * sizeof *mean);
    for (size_t i = 0; i < layout_tensor_count(fixture->layout); i++) {
        const struct tensor_spec *spec = layout_tensor(fixture->layout, i);
        exact_sum_mean(&fixture->grid, fixture->sum + spec->offset, spec->count, TOKENS,
                       mean + spec->offset);
    }
    for (size_t i = 0; i < fixture->count; i++) {
        rest[i] = mean[i] + residual[i];
    }
    memset(mean, 0, fixture->count * sizeof *mean);
    memset(residual, 0, fixture->count * sizeof *residual);
    CU_ASSERT_EQUAL(codec_encode(codec, CODEC_EXPONENT_ANY, rest, fixture->count, encoded),
                    STATUS_OK);
    codec_add(codec, encoded, fixture->count, mean);
    if (codec == CODEC_MX8) {
        CU_ASSERT_EQUAL(codec_encode(codec, CODEC_EXPONENT_ANY, rest, fixture->count, encoded),
                        STATUS_OK);
        codec_add(codec, encoded, fixture->count, residual);
    }
    free(encoded);
    free(rest);
}

/* Means and residuals of some steps, against codecs and arithmetic of the test's own. */
static void check_means(enum codec codec)
{
    const struct optimizer_settings settings = optimizer_defaults(OPTIMIZER_ADAMW);
    struct fixture fixture;
    fixture_init_with(&fixture, &SMALL_LLAMA, &settings, 1e-3, CODEC_MX8, codec);
    struct slices *slices = new_slices(&fixture, 3);
    size_t bytes = fixture.count * sizeof(float);
    float *mean = calloc(fixture.count, sizeof *mean);
    float *residual = calloc(fixture.count, sizeof *residual);
    CU_ASSERT_FATAL(mean != NULL && residual != NULL);
    CU_ASSERT_EQUAL(master_mean_codec(fixture.master), codec);
    CU_ASSERT_EQUAL(master_mean_bytes(fixture.master),
                    (codec == CODEC_MX8 ? 2U : 1U) * codec_encoded_bytes(codec, fixture.count));
    for (int step = 0; step < 5; step++) {
        fixture_fill_sums(&fixture);
        expect_mean(&fixture, codec, mean, residual);
        struct master_step_result result = step_from_sums(&fixture, slices);
        const float *given = master_mean_gradient(fixture.master);
        float *held = decoded(&fixture, codec, 0);
        CU_ASSERT_EQUAL(memcmp(given, held, bytes), 0);
        CU_ASSERT_EQUAL(memcmp(given, mean, bytes), 0);
        free(held);
        double squares = 0;
        for (size_t i = 0; i < fixture.count; i++) {
            squares += (double)mean[i] * (double)mean[i];
        }
        CU_ASSERT_DOUBLE_EQUAL(result.grad_l2, sqrt(squares), 1e-12 * result.grad_l2);
        CU_ASSERT_EQUAL(master_residual(fixture.master) != NULL, codec == CODEC_MX8);
        if (codec == CODEC_MX8) {
            held = decoded(&fixture, codec, 1);
            CU_ASSERT_EQUAL(memcmp(master_residual(fixture.master), held, bytes), 0);
            CU_ASSERT_EQUAL(memcmp(master_residual(fixture.master), residual, bytes), 0);
            free(held);
        }
    }
    free(mean);
    free(residual);
    slices_free(slices);
    fixture_deinit(&fixture);
}

static void optimizer_is_given_exactly_what_the_encoding_holds(void)
{
    for (size_t m = 0; m < MEANS; m++) {
        check_means(means[m]);
    }
}

/* Plain descent adds up what the optimizer was given; here the test does. */
static void what_mx8_leaves_is_given_later(void)
{
    struct fixture fixture;
    fixture_init_with(&fixture, &SMALL_LLAMA, &plain_sgd, 1e-3, CODEC_FP32, CODEC_MX8);
    struct slices *slices = new_slices(&fixture, 1);
    double *given = calloc(fixture.count, sizeof *given);
    int64_t *constant = malloc(fixture.count * sizeof *constant);
    float *truth = NULL;
    CU_ASSERT_FATAL(given != NULL && constant != NULL);
    fixture_fill_sums(&fixture);
    memcpy(constant, fixture.sum, fixture.count * sizeof *constant);
    enum { STEPS = 100 };
    double quantum = 0; /* of the largest block, so of all */
    for (int step = 0; step < STEPS; step++) {
        memcpy(fixture.sum, constant, fixture.count * sizeof *constant);
        (void)step_from_sums(&fixture, slices);
        const uint8_t *encoded = master_mean_encoded(fixture.master);
        for (size_t i = 0; i < fixture.count; i++) {
            given[i] += (double)master_mean_gradient(fixture.master)[i];
            int exponent = encoded[i / CODEC_BLOCK_VALUES * CODEC_MX8_BLOCK_BYTES];
            quantum = fmax(quantum, ldexp(1.0, exponent - 133));
        }
    }
    memcpy(fixture.sum, constant, fixture.count * sizeof *constant);
    CU_ASSERT_EQUAL(master_change(fixture.master, 1e-3, CODEC_FP32, CODEC_FP32), STATUS_OK);
    (void)step_from_sums(&fixture, slices);
    truth = new_copy(master_mean_gradient(fixture.master), fixture.count);
    double worst = 0;
    for (size_t i = 0; i < fixture.count; i++) {
        worst = fmax(worst, fabs(given[i] - STEPS * (double)truth[i]));
    }
    CU_ASSERT_TRUE(worst > 0);
    CU_ASSERT_TRUE(worst < quantum);
    free(given);
    free(constant);
    free(truth);
    slices_free(slices);
    fixture_deinit(&fixture);
}

static void padding_of_an_encoding_is_zero(void)
{
    struct fixture fixture;
    fixture_init_with(&fixture, &SMALL_LLAMA, &plain_sgd, 1e-3, CODEC_FP32, CODEC_MX8);
    struct slices *slices = new_slices(&fixture, 3);
    for (size_t i = 0; i < fixture.count; i++) { /* as no step of ours would leave it */
        master_residual(fixture.master)[i] = 1.0F;
    }
    fixture_fill_sums(&fixture);
    (void)step_from_sums(&fixture, slices);
    float *parts[] = {decoded(&fixture, CODEC_MX8, 0), decoded(&fixture, CODEC_MX8, 1)};
    size_t bad = 0;
    size_t next = 0;
    for (size_t t = 0; t < layout_tensor_count(fixture.layout); t++) {
        const struct tensor_spec *spec = layout_tensor(fixture.layout, t);
        for (size_t i = next; i < spec->offset; i++) {
            bad += parts[0][i] != 0.0F || parts[1][i] != 0.0F;
        }
        next = spec->offset + spec->count;
    }
    CU_ASSERT_EQUAL(bad, 0);
    CU_ASSERT_TRUE(parts[0][0] > 0.9F);
    free(parts[0]);
    free(parts[1]);
    slices_free(slices);
    fixture_deinit(&fixture);
}

/* Bytes that no value of the codec has. */
static void spoil(enum codec codec, uint8_t *encoded, size_t size_bytes)
{
    uint8_t *end = encoded + size_bytes;
    if (codec == CODEC_MX8) {
        end[-CODEC_MX8_BLOCK_BYTES] = 255;
    } else {
        end[-1] = 0x7f;
        end[-2] = 0xff;
    }
}

static void mean_that_is_none_is_refused_and_changes_nothing(void)
{
    const struct optimizer_settings settings = optimizer_defaults(OPTIMIZER_ADAMW);
    for (size_t m = 0; m < MEANS; m++) {
        struct fixture fixture;
        struct fixture before;
        struct master_step_result result;
        fixture_init_with(&fixture, &SMALL_LLAMA, &settings, 1e-3, CODEC_MX8, means[m]);
        fixture_init_with(&before, &SMALL_LLAMA, &settings, 1e-3, CODEC_MX8, means[m]);
        struct slices *slices = new_slices(&fixture, 3);
        fixture_fill_sums(&fixture);
        (void)step_from_sums(&fixture, slices);
        fixture_copy_state(&before, &fixture);
        size_t size_bytes = master_mean_bytes(fixture.master);
        size_t part_bytes = codec_encoded_bytes(means[m], fixture.count);
        uint8_t *encoded = malloc(size_bytes);
        CU_ASSERT_FATAL(encoded != NULL);
        for (size_t bytes = part_bytes; bytes <= size_bytes; bytes += part_bytes) {
            memcpy(encoded, master_mean_encoded(fixture.master), size_bytes);
            spoil(means[m], encoded, bytes);
            CU_ASSERT_EQUAL(master_step_from_mean(fixture.master, slices, encoded, size_bytes,
                                                  fixture.update, &result),
                            STATUS_OUT_OF_RANGE);
            CU_ASSERT_EQUAL(master_step_from_mean(fixture.master, slices, encoded, bytes - 1,
                                                  fixture.update, &result),
                            STATUS_BAD_SHAPE);
        }
        CU_ASSERT_EQUAL(
            master_step_from_mean(fixture.master, slices, encoded, 0, fixture.update, &result),
            STATUS_BAD_SHAPE);
        CU_ASSERT_TRUE(fixture_same_state(&fixture, &before));
        free(encoded);
        slices_free(slices);
        fixture_deinit(&fixture);
        fixture_deinit(&before);
    }
}

static void residual_that_is_too_large_is_refused(void)
{
    struct fixture fixture;
    struct master_step_result result;
    fixture_init_with(&fixture, &SMALL_LLAMA, &plain_sgd, 1e-3, CODEC_FP32, CODEC_MX8);
    struct slices *slices = new_slices(&fixture, 3);
    master_residual(fixture.master)[layout_tensor(fixture.layout, 1)->offset] = INFINITY;
    CU_ASSERT_EQUAL(master_step_from_sums(fixture.master, slices, fixture.sum, &fixture.grid,
                                          TOKENS, fixture.update, &result),
                    STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(master_version(fixture.master), 0);
    slices_free(slices);
    fixture_deinit(&fixture);
}

static void parameters_that_are_not_numbers_end_the_step(void)
{
    struct fixture fixture;
    struct master_step_result result;
    fixture_init(&fixture, &SMALL_LLAMA, &plain_sgd, 1e-3, CODEC_FP32);
    struct slices *slices = new_slices(&fixture, 3);
    master_weights(fixture.master)[5] = NAN;
    CU_ASSERT_EQUAL(master_step_from_sums(fixture.master, slices, fixture.sum, &fixture.grid,
                                          TOKENS, fixture.update, &result),
                    STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(master_version(fixture.master), 0);
    slices_free(slices);
    fixture_deinit(&fixture);
}

/* A master that was changed steps on as one that was made so. */
static void change_is_as_if_it_had_been_made_so(void)
{
    const struct optimizer_settings settings = optimizer_defaults(OPTIMIZER_ADAMW);
    for (size_t from = 0; from < MEANS; from++) {
        for (size_t to = 0; to < MEANS; to++) {
            struct fixture changed;
            struct fixture made;
            fixture_init_with(&changed, &SMALL_LLAMA, &settings, 1e-3, CODEC_FP32, means[from]);
            fixture_init_with(&made, &SMALL_LLAMA, &settings, 5e-4, CODEC_BF16, means[to]);
            struct slices *slices = new_slices(&changed, 3);
            fixture_fill_sums(&changed);
            (void)step_from_sums(&changed, slices);
            CU_ASSERT_EQUAL(master_change(changed.master, 5e-4, CODEC_BF16, means[to]), STATUS_OK);
            CU_ASSERT_EQUAL(master_codec(changed.master), CODEC_BF16);
            CU_ASSERT_EQUAL(master_learning_rate(changed.master), 5e-4 * 2 / 5);
            if (from == to) { /* what mx8 left stays */
                fixture_copy_state(&made, &changed);
            } else {
                float *zeros = master_residual(changed.master);
                size_t left = 0;
                for (size_t i = 0; zeros != NULL && i < changed.count; i++) {
                    left += zeros[i] != 0.0F;
                }
                CU_ASSERT_EQUAL(left, 0);
                size_t bytes = changed.count * sizeof(float);
                memcpy(master_params(made.master), master_params(changed.master), bytes);
                memcpy(master_weights(made.master), master_weights(changed.master), bytes);
                for (size_t s = 0; s < optimizer_state_count(settings.kind); s++) {
                    size_t count = 0;
                    const float *state = master_state(changed.master, s, &count);
                    memcpy(master_state(made.master, s, &count), state, count * sizeof *state);
                }
                master_set_version(made.master, 1);
            }
            for (int step = 0; step < 2; step++) {
                fixture_fill_sums(&changed);
                memcpy(made.sum, changed.sum, made.count * sizeof *made.sum);
                struct master_step_result a = step_from_sums(&changed, slices);
                struct master_step_result b = step_from_sums(&made, slices);
                CU_ASSERT_TRUE(same_result(&a, &b));
                CU_ASSERT_TRUE(fixture_same_state(&changed, &made));
            }
            slices_free(slices);
            fixture_deinit(&changed);
            fixture_deinit(&made);
        }
    }
}

static void peak_below_the_least_learning_rate_takes_it_down_and_up_again(void)
{
    struct fixture fixture;
    fixture_init(&fixture, &SMALL_LLAMA, &plain_sgd, 1e-3, CODEC_FP32); /* least: 1e-3 */
    master_set_version(fixture.master, 900);
    CU_ASSERT_EQUAL(master_change(fixture.master, 1e-4, CODEC_FP32, CODEC_FP32), STATUS_OK);
    CU_ASSERT_EQUAL(master_learning_rate(fixture.master), 1e-4);
    master_set_version(fixture.master, 2000);
    CU_ASSERT_EQUAL(master_learning_rate(fixture.master), 1e-4);
    CU_ASSERT_EQUAL(master_change(fixture.master, 2e-3, CODEC_FP32, CODEC_FP32), STATUS_OK);
    CU_ASSERT_EQUAL(master_learning_rate(fixture.master), 1e-3);
    fixture_deinit(&fixture);
}

static void memory_of_each_mean_codec_is_counted(void)
{
    struct fixture fixture;
    fixture_init(&fixture, &SMALL_LLAMA, &plain_sgd, 1e-3, CODEC_FP32);
    uint64_t count = fixture.count;
    uint64_t bytes[MEANS];
    for (size_t m = 0; m < MEANS; m++) {
        bytes[m] = master_bytes(fixture.layout, &SMALL_LLAMA, OPTIMIZER_SGD, means[m]);
    }
    CU_ASSERT_EQUAL(bytes[0], 16 * count);
    CU_ASSERT_EQUAL(bytes[1], 18 * count);
    CU_ASSERT_EQUAL(bytes[2], 20 * count + 66 * (count / 32));
    fixture_deinit(&fixture);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(step_from_mean_is_the_step_from_sums_bit_for_bit),
        SUITE_TEST(optimizer_is_given_exactly_what_the_encoding_holds),
        SUITE_TEST(what_mx8_leaves_is_given_later),
        SUITE_TEST(padding_of_an_encoding_is_zero),
        SUITE_TEST(mean_that_is_none_is_refused_and_changes_nothing),
        SUITE_TEST(residual_that_is_too_large_is_refused),
        SUITE_TEST(parameters_that_are_not_numbers_end_the_step),
        SUITE_TEST(change_is_as_if_it_had_been_made_so),
        SUITE_TEST(peak_below_the_least_learning_rate_takes_it_down_and_up_again),
        SUITE_TEST(memory_of_each_mean_codec_is_counted),
    };
    return suite_run("master_step", tests, sizeof tests / sizeof tests[0]);
}
