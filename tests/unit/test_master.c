#include "tests/unit/master_fixture.h"

static const struct optimizer_settings settings = {.kind = OPTIMIZER_ADAMW,
                                                   .beta1 = 0.9,
                                                   .beta2 = 0.95,
                                                   .eps = 1e-8,
                                                   .weight_decay = 0.1,
                                                   .grad_clip = 1.0};

static const struct model_config *const models[] = {&SMALL_LLAMA, &SMALL_GPT2};
static const enum codec codecs[] = {CODEC_FP32, CODEC_MX8, CODEC_MX4};

/* Calls `test` for every kind of optimizer, model and codec. */
static void for_each_kind(void (*test)(const struct model_config *model,
                                       const struct optimizer_settings *kind_settings,
                                       enum codec codec))
{
    for (int kind = 0; kind < OPTIMIZER_KIND_COUNT; kind++) {
        struct optimizer_settings defaults = optimizer_defaults((enum optimizer_kind)kind);
        for (size_t i = 0; i < 4; i++) {
            test(models[i / 2], &defaults, codecs[i % 2]);
        }
    }
}

/* Steps of one master uncut, of another in `cut` slices from behind. */
static void compare_cuts(const struct model_config *model,
                         const struct optimizer_settings *kind_settings, enum codec codec,
                         size_t slice)
{
    struct fixture whole;
    struct fixture cut;
    fixture_init(&whole, model, kind_settings, 1e-3, codec);
    fixture_init(&cut, model, kind_settings, 1e-3, codec);
    for (size_t step = 0; step < 4; step++) {
        fixture_fill_sums(&whole);
        fixture_fill_sums(&cut);
        double norm = fixture_step(&whole, whole.count, 0);
        CU_ASSERT_EQUAL(fixture_step(&cut, slice, step % 2 == 0), norm);
        CU_ASSERT_EQUAL(memcmp(whole.update, cut.update, whole.update_bytes), 0);
    }
    CU_ASSERT_TRUE(fixture_same_state(&whole, &cut));
    CU_ASSERT_EQUAL(master_version(cut.master), 4);
    fixture_deinit(&whole);
    fixture_deinit(&cut);
}

static void compare_all_cuts(const struct model_config *model,
                             const struct optimizer_settings *kind_settings, enum codec codec)
{
    for (size_t blocks = 1; blocks <= 7; blocks += 3) {
        compare_cuts(model, kind_settings, codec, blocks * MASTER_SLICE_ALIGN);
    }
    struct layout *layout = NULL;
    CU_ASSERT_EQUAL_FATAL(layout_new(model, &layout), STATUS_OK);
    size_t blocks = layout_value_count(layout) / MASTER_SLICE_ALIGN;
    layout_free(layout);
    for (size_t slices = 2; slices <= 7; slices += 5) {
        compare_cuts(model, kind_settings, codec, (blocks / slices + 1) * MASTER_SLICE_ALIGN);
    }
}

static void steps_in_any_slicing_give_the_same_bits(void)
{
    for_each_kind(compare_all_cuts);
}

/* The means of every codec, cut as above. */
static void means_in_any_slicing_give_the_same_bits(void)
{
    static const enum codec means[] = {CODEC_BF16, CODEC_MX8};
    const size_t slice = (size_t)3 * MASTER_SLICE_ALIGN;
    for (size_t m = 0; m < 2; m++) {
        struct fixture whole;
        struct fixture cut;
        fixture_init_with(&whole, &SMALL_GPT2, &settings, 1e-3, CODEC_BF16, means[m]);
        fixture_init_with(&cut, &SMALL_GPT2, &settings, 1e-3, CODEC_BF16, means[m]);
        for (int step = 0; step < 4; step++) {
            fixture_fill_sums(&whole);
            fixture_fill_sums(&cut);
            double norm = fixture_step(&whole, whole.count, 0);
            CU_ASSERT_EQUAL(fixture_step(&cut, slice, step % 2 == 0), norm);
            CU_ASSERT_EQUAL(memcmp(master_mean_encoded(whole.master),
                                   master_mean_encoded(cut.master),
                                   master_mean_bytes(whole.master)),
                            0);
            CU_ASSERT_TRUE(fixture_same_state(&whole, &cut));
        }
        fixture_deinit(&whole);
        fixture_deinit(&cut);
    }
}

static void continue_from_copied_state(const struct model_config *model,
                                       const struct optimizer_settings *kind_settings,
                                       enum codec codec)
{
    struct fixture first;
    struct fixture second;
    fixture_init_with(&first, model, kind_settings, 1e-3, codec, CODEC_MX8);
    fixture_init_with(&second, model, kind_settings, 1e-3, codec, CODEC_MX8);
    for (int step = 0; step < 3; step++) {
        fixture_fill_sums(&first);
        (void)fixture_step(&first, first.count, 0);
    }
    fixture_copy_state(&second, &first);
    for (int step = 0; step < 3; step++) {
        fixture_fill_sums(&first);
        memcpy(second.sum, first.sum, first.count * sizeof *first.sum);
        (void)fixture_step(&first, first.count, 0);
        (void)fixture_step(&second, MASTER_SLICE_ALIGN, 0);
        CU_ASSERT_EQUAL(memcmp(second.update, first.update, first.update_bytes), 0);
    }
    CU_ASSERT_TRUE(fixture_same_state(&first, &second));
    fixture_deinit(&first);
    fixture_deinit(&second);
}

static void state_put_back_continues_with_the_same_bits(void)
{
    for_each_kind(continue_from_copied_state);
}

static void start_again(const struct model_config *model,
                        const struct optimizer_settings *kind_settings, enum codec codec)
{
    struct fixture first;
    struct fixture again;
    fixture_init_with(&first, model, kind_settings, 1e-3, codec, CODEC_MX8);
    fixture_init_with(&again, model, kind_settings, 1e-3, codec, CODEC_MX8);
    fixture_fill_sums(&first);
    memcpy(again.sum, first.sum, first.count * sizeof *first.sum);
    (void)fixture_step(&again, again.count, 0);
    master_set_params(again.master, first.peer);
    (void)fixture_step(&first, first.count, 0);
    (void)fixture_step(&again, again.count, 0);
    CU_ASSERT_TRUE(fixture_same_state(&first, &again));
    fixture_deinit(&first);
    fixture_deinit(&again);
}

static void parameters_that_are_set_begin_without_state(void)
{
    for_each_kind(start_again);
}

/* Half the squared distance to a far-away target, whose gradient is the distance. */
static double distance(const struct fixture *fixture, float target)
{
    double squares = 0;
    for (size_t i = 0; i < layout_tensor_count(fixture->layout); i++) {
        const struct tensor_spec *spec = layout_tensor(fixture->layout, i);
        for (size_t j = spec->offset; j < spec->offset + spec->count; j++) {
            double difference = (double)(fixture->peer[j] - target);
            squares += difference * difference;
            fixture->sum[j] = (int64_t)ldexp(difference * TOKENS, fixture->grid.shift);
        }
    }
    return squares / 2;
}

static void descend(const struct model_config *model,
                    const struct optimizer_settings *kind_settings, enum codec codec)
{
    struct fixture fixture;
    struct optimizer_settings unclipped = *kind_settings;
    unclipped.grad_clip = 0;
    unclipped.weight_decay = 0;
    fixture_init(&fixture, model, &unclipped, 0.02, codec);
    double start = distance(&fixture, 0.25F);
    for (int step = 0; step < 200; step++) {
        (void)fixture_step(&fixture, fixture.count, 0);
        (void)distance(&fixture, 0.25F);
    }
    double end = distance(&fixture, 0.25F);
    if (!(end < 0.05 * start)) {
        printf("%s, codec %d: from %g to %g\n", optimizer_name(unclipped.kind), (int)codec, start,
               end);
        CU_FAIL("the steps do not lead to the minimum");
    }
    fixture_deinit(&fixture);
}

static void every_kind_finds_the_minimum_of_a_bowl(void)
{
    for_each_kind(descend);
}

/* The update of a tensor without a gradient must not be a division by zero. */
static void rest_at_zero(const struct model_config *model,
                         const struct optimizer_settings *kind_settings, enum codec codec)
{
    struct fixture fixture;
    fixture_init(&fixture, model, kind_settings, 1e-3, codec);
    memset(fixture.peer, 0, fixture.count * sizeof *fixture.peer);
    master_set_params(fixture.master, fixture.peer);
    for (int step = 0; step < 2; step++) {
        (void)fixture_step(&fixture, fixture.count, 0);
    }
    size_t moved = 0;
    for (size_t i = 0; i < fixture.count; i++) {
        moved += fixture.peer[i] != 0.0F;
    }
    CU_ASSERT_EQUAL(moved, 0);
    fixture_deinit(&fixture);
}

static void zero_gradients_leave_zero_weights_in_place(void)
{
    for_each_kind(rest_at_zero);
}

static void peer_that_applies_updates_has_the_same_digest(void)
{
    for (int c = 0; c < 3; c++) {
        struct fixture fixture;
        fixture_init(&fixture, &SMALL_LLAMA, &settings, 1e-3, codecs[c]);
        struct digest start = params_digest(fixture.peer, fixture.count);
        for (int step = 0; step < 10; step++) {
            fixture_fill_sums(&fixture);
            (void)fixture_step(&fixture, fixture.count, 0);
            struct digest ours = params_digest(master_params(fixture.master), fixture.count);
            struct digest theirs = params_digest(fixture.peer, fixture.count);
            CU_ASSERT_TRUE(digest_equal(&ours, &theirs));
            CU_ASSERT_FALSE(digest_equal(&ours, &start));
        }
        fixture_deinit(&fixture);
    }
}

static void follow_the_weights(enum codec codec, double worst_allowed)
{
    struct fixture fixture;
    fixture_init(&fixture, &SMALL_LLAMA, &settings, 1e-3, codec);
    float first = master_weights(fixture.master)[0];
    double worst = 0;
    for (int step = 0; step < 200; step++) {
        fixture_fill_sums(&fixture);
        (void)fixture_step(&fixture, fixture.count, 0);
        for (size_t i = 0; i < fixture.count; i++) {
            worst = fmax(worst, fabs((double)master_params(fixture.master)[i] -
                                     (double)master_weights(fixture.master)[i]));
        }
    }
    CU_ASSERT_TRUE(worst > 0);
    CU_ASSERT_TRUE(worst < worst_allowed);
    CU_ASSERT_TRUE(fabsf(master_weights(fixture.master)[0] - first) > 0.05F);
    fixture_deinit(&fixture);
}

/* An update is at most about 2e-3, so its error stays near 2e-3 / 128 with mx8 and 2e-3 / 5 with
 * mx4, however many steps. */
static void public_parameters_follow_the_weights(void)
{
    follow_the_weights(CODEC_MX8, 2e-3 / 64);
    follow_the_weights(CODEC_MX4, 2e-3 / 3);
}

static void padding_stays_zero_and_out_of_the_norm(void)
{
    struct fixture fixture;
    fixture_init(&fixture, &SMALL_LLAMA, &settings, 1e-3, CODEC_MX8);
    double norm = 0;
    for (int step = 0; step < 3; step++) {
        fixture_fill_sums(&fixture);
        norm = fixture_step(&fixture, (size_t)2 * MASTER_SLICE_ALIGN, 0);
    }
    double squares = 0;
    size_t padding_bad = 0;
    size_t next = 0;
    for (size_t t = 0; t <= layout_tensor_count(fixture.layout); t++) {
        int last = t == layout_tensor_count(fixture.layout);
        const struct tensor_spec *spec = last ? NULL : layout_tensor(fixture.layout, t);
        for (size_t i = next; i < (last ? fixture.count : spec->offset); i++) {
            padding_bad += master_params(fixture.master)[i] != 0.0F;
            padding_bad += master_weights(fixture.master)[i] != 0.0F;
            padding_bad += master_mean_gradient(fixture.master)[i] != 0.0F;
        }
        for (size_t i = 0; !last && i < spec->count; i++) {
            double mean = (double)master_mean_gradient(fixture.master)[spec->offset + i];
            squares += mean * mean;
        }
        next = last ? next : spec->offset + spec->count;
    }
    CU_ASSERT_EQUAL(padding_bad, 0);
    CU_ASSERT_DOUBLE_EQUAL(norm, sqrt(squares), 1e-12 * norm);
    fixture_deinit(&fixture);
}

static void weight_decay_applies_to_matrices_alone(void)
{
    struct fixture fixture;
    fixture_init(&fixture, &SMALL_LLAMA, &settings, 1e-3, CODEC_FP32);
    float *start = malloc(fixture.count * sizeof *start);
    if (start == NULL) {
        CU_FAIL_FATAL("no memory");
        return;
    }
    memcpy(start, fixture.peer, fixture.count * sizeof *start);
    (void)fixture_step(&fixture, fixture.count, 0); /* sums are zero: only decay acts */
    size_t bad = 0;
    size_t vectors = 0;
    for (size_t t = 0; t < layout_tensor_count(fixture.layout); t++) {
        const struct tensor_spec *spec = layout_tensor(fixture.layout, t);
        vectors += spec->rank == 1;
        for (size_t i = spec->offset; i < spec->offset + spec->count; i++) {
            float decay = spec->rank == 2 ? (1e-3F / 5) * 0.1F * start[i] : 0.0F;
            bad += fabsf(master_weights(fixture.master)[i] - (start[i] - decay)) >
                   fabsf(start[i]) * 2e-7F;
        }
    }
    CU_ASSERT_EQUAL(bad, 0);
    CU_ASSERT_TRUE(vectors > 0);
    free(start);
    fixture_deinit(&fixture);
}

static void first_step_of_a_master_moves_by_the_learning_rate(void)
{
    struct fixture fixture;
    fixture_init(&fixture, &SMALL_LLAMA, &settings, 1e-3, CODEC_FP32);
    fixture_fill_sums(&fixture);
    float *start = malloc(fixture.count * sizeof *start);
    if (start == NULL) {
        CU_FAIL_FATAL("no memory");
        return;
    }
    memcpy(start, fixture.peer, fixture.count * sizeof *start);
    (void)fixture_step(&fixture, fixture.count, 0);
    size_t bad = 0;
    for (size_t t = 0; t < layout_tensor_count(fixture.layout); t++) {
        const struct tensor_spec *spec = layout_tensor(fixture.layout, t);
        for (size_t i = spec->offset; i < spec->offset + spec->count; i++) {
            float step = 1e-3F / 5; /* the first of five steps of warm-up */
            float decay = spec->decayed ? step * 0.1F * start[i] : 0.0F;
            float expected = start[i] - decay + (fixture.sum[i] < 0 ? step : -step);
            float grad = fabsf(master_mean_gradient(fixture.master)[i]);
            bad += grad > 1e-4F && fabsf(master_weights(fixture.master)[i] - expected) > 1e-6F;
        }
    }
    CU_ASSERT_EQUAL(bad, 0);
    free(start);
    fixture_deinit(&fixture);
}

static void apply_of_a_parameter_that_is_not_a_number_is_refused(void)
{
    struct fixture fixture;
    fixture_init(&fixture, &SMALL_LLAMA, &settings, 1e-3, CODEC_MX8);
    master_weights(fixture.master)[5] = NAN;
    master_take_mean(fixture.master, fixture.sum, &fixture.grid, TOKENS, 0, fixture.count);
    (void)master_prepare(fixture.master);
    CU_ASSERT_EQUAL(master_apply(fixture.master, fixture.update, 0, fixture.count),
                    STATUS_OUT_OF_RANGE);
    fixture_deinit(&fixture);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(steps_in_any_slicing_give_the_same_bits),
        SUITE_TEST(means_in_any_slicing_give_the_same_bits),
        SUITE_TEST(state_put_back_continues_with_the_same_bits),
        SUITE_TEST(parameters_that_are_set_begin_without_state),
        SUITE_TEST(every_kind_finds_the_minimum_of_a_bowl),
        SUITE_TEST(zero_gradients_leave_zero_weights_in_place),
        SUITE_TEST(peer_that_applies_updates_has_the_same_digest),
        SUITE_TEST(public_parameters_follow_the_weights),
        SUITE_TEST(padding_stays_zero_and_out_of_the_norm),
        SUITE_TEST(weight_decay_applies_to_matrices_alone),
        SUITE_TEST(first_step_of_a_master_moves_by_the_learning_rate),
        SUITE_TEST(apply_of_a_parameter_that_is_not_a_number_is_refused),
    };
    return suite_run("master", tests, sizeof tests / sizeof tests[0]);
}
