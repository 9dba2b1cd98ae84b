#include "common/random.h"
#include "tests/unit/suite.h"
#include "trainer/optimizer/master.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct adamw_settings settings = {
    .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .grad_clip = 1.0};

static void schedule_warms_up_then_falls_as_a_cosine(void)
{
    struct schedule schedule = {
        .learning_rate = 1.0, .learning_rate_min = 0.2, .warmup_steps = 10, .step_count = 110};
    CU_ASSERT_DOUBLE_EQUAL(schedule_learning_rate(&schedule, 0), 0.1, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_learning_rate(&schedule, 4), 0.5, 1e-15);
    CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, 9), 1.0);
    CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, 10), 1.0);
    CU_ASSERT_DOUBLE_EQUAL(schedule_learning_rate(&schedule, 60), 0.6, 1e-15);
    CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, 110), 0.2);
    CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, 1000000), 0.2);
    for (uint64_t step = 10; step <= 110; step++) {
        double cosine =
            0.2 + 0.8 * 0.5 * (1 + cos(3.14159265358979323846 * (double)(step - 10) / 100));
        CU_ASSERT_DOUBLE_EQUAL(schedule_learning_rate(&schedule, step), cosine, 1e-14);
    }
}

static void schedule_without_warm_up_starts_at_the_peak(void)
{
    struct schedule schedule = {.learning_rate = 0.5, .learning_rate_min = 0.5, .step_count = 4};
    for (uint64_t step = 0; step < 6; step++) {
        CU_ASSERT_EQUAL(schedule_learning_rate(&schedule, step), 0.5);
    }
    struct schedule only_warm_up = {.learning_rate = 1, .warmup_steps = 3, .step_count = 3};
    CU_ASSERT_EQUAL(schedule_learning_rate(&only_warm_up, 2), 1.0);
    CU_ASSERT_EQUAL(schedule_learning_rate(&only_warm_up, 3), 0.0);
}

static void first_step_moves_by_the_learning_rate(void)
{
    /* At step 1 the corrected moments are g and g^2, so the step is lr * sign(g). */
    struct adamw_step step = adamw_prepare(&settings, 0.01, 1, 0.5);
    float weights[2] = {1.0F, 1.0F};
    float m[2] = {0};
    float v[2] = {0};
    const float grad[2] = {0.5F, -0.25F};
    adamw_apply(&step, weights, m, v, grad, 2, 0);
    CU_ASSERT_DOUBLE_EQUAL((double)weights[0], 0.99, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL((double)weights[1], 1.01, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL((double)m[0], 0.05, 1e-8);
    CU_ASSERT_DOUBLE_EQUAL((double)v[0], 0.0125, 1e-8);
    float decayed = 1.0F;
    float m2 = 0;
    float v2 = 0;
    adamw_apply(&step, &decayed, &m2, &v2, grad, 1, 1);
    CU_ASSERT_DOUBLE_EQUAL((double)decayed, 1.0 * (1 - 0.01 * 0.1) - 0.01, 1e-6);
}

static void clip_scales_only_what_is_too_long(void)
{
    CU_ASSERT_EQUAL(adamw_prepare(&settings, 0.1, 1, 0.999).clip_scale, 1.0F);
    CU_ASSERT_EQUAL(adamw_prepare(&settings, 0.1, 1, 4.0).clip_scale, 0.25F);
    CU_ASSERT_EQUAL(adamw_prepare(&settings, 0.1, 1, 0.0).clip_scale, 1.0F);
    struct adamw_settings unclipped = settings;
    unclipped.grad_clip = 0;
    CU_ASSERT_EQUAL(adamw_prepare(&unclipped, 0.1, 1, 1e9).clip_scale, 1.0F);
}

/* Algorithm 2 of the paper in double precision, one parameter. */
struct reference {
    double weight, m, v;
};

static void reference_step(struct reference *self, double grad, double learning_rate, int step,
                           int decayed)
{
    self->m = settings.beta1 * self->m + (1 - settings.beta1) * grad;
    self->v = settings.beta2 * self->v + (1 - settings.beta2) * grad * grad;
    double m_hat = self->m / (1 - pow(settings.beta1, step));
    double v_hat = self->v / (1 - pow(settings.beta2, step));
    double decay = decayed ? settings.weight_decay * self->weight : 0;
    self->weight -= learning_rate * (m_hat / (sqrt(v_hat) + settings.eps) + decay);
}

static void adamw_follows_a_double_precision_reference(void)
{
    enum { PARAMS = 67, STEPS = 100 };
    struct reference reference[PARAMS];
    float weights[PARAMS];
    float m[PARAMS] = {0};
    float v[PARAMS] = {0};
    struct random random;
    random_init(&random, 21, 0);
    for (int i = 0; i < PARAMS; i++) {
        weights[i] = (float)random_normal(&random);
        reference[i] = (struct reference){.weight = (double)weights[i]};
    }
    for (int step = 1; step <= STEPS; step++) {
        float grad[PARAMS];
        double norm = step % 3 == 0 ? 2.0 : 0.5; /* every third step is clipped by half */
        double learning_rate = 0.01 * step / STEPS;
        for (int i = 0; i < PARAMS; i++) {
            grad[i] = (float)(random_normal(&random) * pow(10, i % 7 - 5));
            reference_step(&reference[i], (double)grad[i] * (step % 3 == 0 ? 0.5 : 1.0),
                           learning_rate, step, i < 40);
        }
        struct adamw_step prepared = adamw_prepare(&settings, learning_rate, (uint64_t)step, norm);
        adamw_apply(&prepared, weights, m, v, grad, 40, 1);
        adamw_apply(&prepared, weights + 40, m + 40, v + 40, grad + 40, PARAMS - 40, 0);
    }
    for (int i = 0; i < PARAMS; i++) {
        CU_ASSERT_DOUBLE_EQUAL((double)weights[i], reference[i].weight, 3e-6);
        CU_ASSERT_DOUBLE_EQUAL((double)m[i], reference[i].m, fabs(reference[i].m) * 1e-4 + 1e-8);
        CU_ASSERT_DOUBLE_EQUAL((double)v[i], reference[i].v, reference[i].v * 1e-4 + 1e-12);
    }
}

/* A model with padding behind many tensors and some ten slices. */
static struct layout *new_layout(void)
{
    struct model_config config = {.kind = MODEL_LLAMA,
                                  .vocab_size = 100,
                                  .width = 40,
                                  .layer_count = 2,
                                  .head_count = 4,
                                  .kv_head_count = 2,
                                  .head_size = 10,
                                  .ffn_width = 91,
                                  .context_max = 64,
                                  .norm_eps = 1e-5F,
                                  .rope_theta = 10000,
                                  .init_std = 0.02F,
                                  .bos_id = -1,
                                  .eos_id = -1};
    struct layout *layout = NULL;
    CU_ASSERT_EQUAL_FATAL(model_config_check(&config), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(layout_new(&config, &layout), STATUS_OK);
    CU_ASSERT_FATAL(layout_value_count(layout) / MASTER_SLICE_ALIGN > 8);
    CU_ASSERT_FATAL(layout_value_count(layout) > layout_parameter_count(layout));
    return layout;
}

/* A master with its update buffer, the parameters of a simulated peer, and exact sums. */
struct fixture {
    struct layout *layout;
    struct master *master;
    enum codec codec;
    size_t count;
    uint8_t *update;
    size_t update_bytes;
    float *peer;
    int64_t *sum;
    struct exact_grid grid;
    struct random random;
};

enum { TOKENS = 5000 };

static void fixture_init(struct fixture *self, enum codec codec)
{
    const struct schedule schedule = {
        .learning_rate = 1e-3, .learning_rate_min = 1e-3, .warmup_steps = 5, .step_count = 1000};
    *self = (struct fixture){.codec = codec, .grid = exact_grid_for(TOKENS)};
    self->layout = new_layout();
    self->count = layout_value_count(self->layout);
    CU_ASSERT_EQUAL_FATAL(master_new(self->layout, &settings, &schedule, codec, &self->master),
                          STATUS_OK);
    self->update_bytes = codec_encoded_bytes(codec, self->count);
    self->update = calloc(1, self->update_bytes);
    self->peer = calloc(self->count, sizeof *self->peer);
    self->sum = calloc(self->count, sizeof *self->sum);
    CU_ASSERT_FATAL(self->update != NULL && self->peer != NULL && self->sum != NULL);
    random_init(&self->random, 31, 0);
    for (size_t i = 0; i < layout_tensor_count(self->layout); i++) {
        const struct tensor_spec *spec = layout_tensor(self->layout, i);
        for (size_t j = 0; j < spec->count; j++) {
            self->peer[spec->offset + j] = (float)random_normal(&self->random) * 0.02F;
        }
    }
    master_set_params(self->master, self->peer);
}

static void fixture_deinit(struct fixture *self)
{
    master_free(self->master);
    layout_free(self->layout);
    free(self->update);
    free(self->peer);
    free(self->sum);
}

/* Every value, padding too, gets noise around 0.02 per token. */
static void fill_sums(struct fixture *self)
{
    for (size_t i = 0; i < self->count; i++) {
        double mean = 0.02 + 0.02 * random_normal(&self->random);
        self->sum[i] = (int64_t)ldexp(mean * TOKENS, self->grid.shift);
    }
}

/* One step with slices of `slice` values, taken backwards when `reversed`. */
static double run_step(struct fixture *self, size_t slice, int reversed)
{
    size_t slices = (self->count + slice - 1) / slice;
    double norm = 0;
    for (int phase = 1; phase <= 2; phase++) {
        for (size_t i = 0; i < slices; i++) {
            size_t first = (reversed ? slices - 1 - i : i) * slice;
            size_t count = self->count - first < slice ? self->count - first : slice;
            if (phase == 1) {
                master_take_mean(self->master, self->sum + first, &self->grid, TOKENS, first,
                                 count);
            } else {
                CU_ASSERT_EQUAL(master_apply(self->master, self->update, first, count), STATUS_OK);
            }
        }
        norm = phase == 1 ? master_prepare(self->master) : norm;
    }
    master_finish(self->master);
    CU_ASSERT_EQUAL(codec_check(self->codec, self->update, self->update_bytes, self->count),
                    STATUS_OK);
    codec_add(self->codec, self->update, self->count, self->peer);
    return norm;
}

static void steps_in_any_slicing_give_the_same_bits(void)
{
    const enum codec codecs[] = {CODEC_FP32, CODEC_MX8};
    for (int c = 0; c < 2; c++) {
        struct fixture whole;
        struct fixture cut;
        fixture_init(&whole, codecs[c]);
        fixture_init(&cut, codecs[c]);
        size_t bytes = whole.count * sizeof(float);
        for (size_t step = 0; step < 5; step++) {
            fill_sums(&whole);
            fill_sums(&cut);
            double norm1 = run_step(&whole, whole.count, 0);
            double norm2 = run_step(&cut, MASTER_SLICE_ALIGN * (1 + step % 3), step % 2 == 0);
            CU_ASSERT_EQUAL(norm1, norm2);
            CU_ASSERT_EQUAL(memcmp(whole.update, cut.update, whole.update_bytes), 0);
        }
        CU_ASSERT_EQUAL(memcmp(master_params(whole.master), master_params(cut.master), bytes), 0);
        CU_ASSERT_EQUAL(memcmp(master_weights(whole.master), master_weights(cut.master), bytes), 0);
        CU_ASSERT_EQUAL(memcmp(master_moment1(whole.master), master_moment1(cut.master), bytes), 0);
        CU_ASSERT_EQUAL(memcmp(master_moment2(whole.master), master_moment2(cut.master), bytes), 0);
        CU_ASSERT_EQUAL(master_version(cut.master), 5);
        fixture_deinit(&whole);
        fixture_deinit(&cut);
    }
}

static void peer_that_applies_updates_has_the_same_digest(void)
{
    const enum codec codecs[] = {CODEC_FP32, CODEC_MX8};
    for (int c = 0; c < 2; c++) {
        struct fixture fixture;
        fixture_init(&fixture, codecs[c]);
        struct digest start = params_digest(fixture.peer, fixture.count);
        for (int step = 0; step < 10; step++) {
            fill_sums(&fixture);
            (void)run_step(&fixture, fixture.count, 0);
            struct digest ours = params_digest(master_params(fixture.master), fixture.count);
            struct digest theirs = params_digest(fixture.peer, fixture.count);
            CU_ASSERT_TRUE(digest_equal(&ours, &theirs));
            CU_ASSERT_FALSE(digest_equal(&ours, &start));
        }
        fixture_deinit(&fixture);
    }
}

static void public_parameters_follow_the_weights_with_mx8(void)
{
    struct fixture fixture;
    fixture_init(&fixture, CODEC_MX8);
    float first = master_weights(fixture.master)[0];
    double worst = 0;
    for (int step = 0; step < 200; step++) {
        fill_sums(&fixture);
        (void)run_step(&fixture, fixture.count, 0);
        for (size_t i = 0; i < fixture.count; i++) {
            worst = fmax(worst, fabs((double)master_params(fixture.master)[i] -
                                     (double)master_weights(fixture.master)[i]));
        }
    }
    /* An update is at most about 2e-3, so its error stays near 2e-3 / 128, however many steps. */
    CU_ASSERT_TRUE(worst > 0);
    CU_ASSERT_TRUE(worst < 2e-3 / 64);
    CU_ASSERT_TRUE(fabsf(master_weights(fixture.master)[0] - first) > 0.05F);
    fixture_deinit(&fixture);
}

static void padding_stays_zero_and_out_of_the_norm(void)
{
    struct fixture fixture;
    fixture_init(&fixture, CODEC_MX8);
    double norm = 0;
    for (int step = 0; step < 3; step++) {
        fill_sums(&fixture);
        norm = run_step(&fixture, (size_t)2 * MASTER_SLICE_ALIGN, 0);
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
    fixture_init(&fixture, CODEC_FP32);
    float *start = malloc(fixture.count * sizeof *start);
    if (start == NULL) {
        CU_FAIL_FATAL("no memory");
        return;
    }
    memcpy(start, fixture.peer, fixture.count * sizeof *start);
    (void)run_step(&fixture, fixture.count, 0); /* sums are zero: only decay acts */
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
    fixture_init(&fixture, CODEC_FP32);
    fill_sums(&fixture);
    float *start = malloc(fixture.count * sizeof *start);
    if (start == NULL) {
        CU_FAIL_FATAL("no memory");
        return;
    }
    memcpy(start, fixture.peer, fixture.count * sizeof *start);
    (void)run_step(&fixture, fixture.count, 0);
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

static void state_put_back_continues_with_the_same_bits(void)
{
    struct fixture first;
    struct fixture second;
    fixture_init(&first, CODEC_MX8);
    fixture_init(&second, CODEC_MX8);
    fill_sums(&first);
    (void)run_step(&first, first.count, 0);
    size_t bytes = first.count * sizeof(float);
    memcpy(master_params(second.master), master_params(first.master), bytes);
    memcpy(master_weights(second.master), master_weights(first.master), bytes);
    memcpy(master_moment1(second.master), master_moment1(first.master), bytes);
    memcpy(master_moment2(second.master), master_moment2(first.master), bytes);
    master_set_version(second.master, master_version(first.master));
    fill_sums(&first);
    memcpy(second.sum, first.sum, first.count * sizeof *first.sum);
    (void)run_step(&first, first.count, 0);
    (void)run_step(&second, second.count, 0);
    CU_ASSERT_EQUAL(memcmp(master_weights(second.master), master_weights(first.master), bytes), 0);
    CU_ASSERT_EQUAL(memcmp(second.update, first.update, first.update_bytes), 0);
    fixture_deinit(&first);
    fixture_deinit(&second);
}

static void apply_of_a_parameter_that_is_not_a_number_is_refused(void)
{
    struct fixture fixture;
    fixture_init(&fixture, CODEC_MX8);
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
        SUITE_TEST(schedule_warms_up_then_falls_as_a_cosine),
        SUITE_TEST(schedule_without_warm_up_starts_at_the_peak),
        SUITE_TEST(first_step_moves_by_the_learning_rate),
        SUITE_TEST(clip_scales_only_what_is_too_long),
        SUITE_TEST(adamw_follows_a_double_precision_reference),
        SUITE_TEST(steps_in_any_slicing_give_the_same_bits),
        SUITE_TEST(peer_that_applies_updates_has_the_same_digest),
        SUITE_TEST(public_parameters_follow_the_weights_with_mx8),
        SUITE_TEST(padding_stays_zero_and_out_of_the_norm),
        SUITE_TEST(weight_decay_applies_to_matrices_alone),
        SUITE_TEST(first_step_of_a_master_moves_by_the_learning_rate),
        SUITE_TEST(state_put_back_continues_with_the_same_bits),
        SUITE_TEST(apply_of_a_parameter_that_is_not_a_number_is_refused),
    };
    return suite_run("optimizer", tests, sizeof tests / sizeof tests[0]);
}
