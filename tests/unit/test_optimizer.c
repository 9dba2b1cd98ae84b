#include "common/random.h"
#include "tests/unit/suite.h"
#include "trainer/optimizer/adamw.h"
#include "trainer/optimizer/rules.h"

#include <math.h>
#include <string.h>

static const struct optimizer_settings settings = {.kind = OPTIMIZER_ADAMW,
                                                   .beta1 = 0.9,
                                                   .beta2 = 0.95,
                                                   .eps = 1e-8,
                                                   .weight_decay = 0.1,
                                                   .grad_clip = 1.0};

static void first_step_moves_by_the_learning_rate(void)
{
    /* At step 1 the corrected moments are g and g^2, so the step is lr * sign(g). */
    struct optimizer_step step = optimizer_prepare(&settings, 0.01, 1, 0.5);
    float weights[2] = {1.0F, 1.0F};
    float m[2] = {0};
    float v[2] = {0};
    const float grad[2] = {0.5F, -0.25F};
    adamw_apply(&step, weights, m, v, grad, 2, false);
    CU_ASSERT_DOUBLE_EQUAL((double)weights[0], 0.99, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL((double)weights[1], 1.01, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL((double)m[0], 0.05, 1e-8);
    CU_ASSERT_DOUBLE_EQUAL((double)v[0], 0.0125, 1e-8);
    float decayed = 1.0F;
    float m2 = 0;
    float v2 = 0;
    adamw_apply(&step, &decayed, &m2, &v2, grad, 1, true);
    CU_ASSERT_DOUBLE_EQUAL((double)decayed, 1.0 * (1 - 0.01 * 0.1) - 0.01, 1e-6);
}

static void clip_scales_only_what_is_too_long(void)
{
    CU_ASSERT_EQUAL(optimizer_prepare(&settings, 0.1, 1, 0.999).clip_scale, 1.0F);
    CU_ASSERT_EQUAL(optimizer_prepare(&settings, 0.1, 1, 4.0).clip_scale, 0.25F);
    CU_ASSERT_EQUAL(optimizer_prepare(&settings, 0.1, 1, 0.0).clip_scale, 1.0F);
    struct optimizer_settings unclipped = settings;
    unclipped.grad_clip = 0;
    CU_ASSERT_EQUAL(optimizer_prepare(&unclipped, 0.1, 1, 1e9).clip_scale, 1.0F);
}

/* Algorithm 2 of the paper in double precision, one parameter. */
struct reference {
    double weight, m, v;
};

static void reference_step(struct reference *self, double grad, double learning_rate, int step,
                           bool decayed)
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
        struct optimizer_step prepared =
            optimizer_prepare(&settings, learning_rate, (uint64_t)step, norm);
        adamw_apply(&prepared, weights, m, v, grad, 40, true);
        adamw_apply(&prepared, weights + 40, m + 40, v + 40, grad + 40, PARAMS - 40, false);
    }
    for (int i = 0; i < PARAMS; i++) {
        CU_ASSERT_DOUBLE_EQUAL((double)weights[i], reference[i].weight, 3e-6);
        CU_ASSERT_DOUBLE_EQUAL((double)m[i], reference[i].m, fabs(reference[i].m) * 1e-4 + 1e-8);
        CU_ASSERT_DOUBLE_EQUAL((double)v[i], reference[i].v, reference[i].v * 1e-4 + 1e-12);
    }
}

/* What PyTorch 1.13.1 (float64) makes of this in 8 steps, where
 *   val(i, step) = ((37 i + 101 step + 11) % 64 - 32) / 256
 * is the gradient of element i at steps 1 to 8, 4 val(i, 0) the start, and the optimizers are
 *   AdamW([{params: 0..11, weight_decay: 0.1}, {params: 12..15}], lr=0.01, betas=(0.9, 0.95))
 *   SGD([{params: 0..11, weight_decay: 0.05}, {params: 12..15}], lr=0.1, momentum=0.9, nesterov)
 * and the latter without Nesterov's step, and without momentum. */
enum { GOLDEN_COUNT = 16, GOLDEN_DECAYED = 12, GOLDEN_STEPS = 8 };

struct golden {
    struct optimizer_settings settings;
    double learning_rate;
    double weights[GOLDEN_COUNT];
};

static const struct golden goldens[] = {
    {{.kind = OPTIMIZER_ADAMW, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1},
     0.01,
     {-0.3457822616, 0.2574632940, -0.1861013857, 0.4309092843, 0.0067677118, -0.4518374659,
      0.1434420190, -0.3099237902, 0.2932292673, -0.1439181028, 0.4590105372, 0.0602358488,
      -0.3956244960, 0.2112849576, -0.2366411199, 0.3840424091}},
    {{.kind = OPTIMIZER_SGD, .momentum = 0.9, .nesterov = true, .weight_decay = 0.05},
     0.1,
     {-0.2992985055, 0.2265916367, -0.1710257216, 0.3642193594, 0.0218123083, -0.4020965348,
      0.1107240084, -0.2980326066, 0.2278575357, -0.1222598227, 0.4327840083, 0.1077702442,
      -0.3650227167, 0.2577915031, -0.2106432074, 0.4241284349}},
    {{.kind = OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 0.05},
     0.1,
     {-0.3055186557, 0.2291321465, -0.1665684806, 0.3795311979, 0.0185093432, -0.4081175218,
      0.1111407635, -0.2979119171, 0.2367388851, -0.1339617420, 0.4345129365, 0.0933917068,
      -0.3708585741, 0.2465044479, -0.2097424527, 0.4209065943}},
    {{.kind = OPTIMIZER_SGD, .weight_decay = 0.05},
     0.1,
     {-0.3197464203, 0.2448061721, -0.1759654731, 0.3884652132, -0.0074277286, -0.4279531020,
      0.1367226248, -0.2839265018, 0.2806260906, -0.1151455546, 0.4491601317, 0.0531428149,
      -0.3828125000, 0.2046875000, -0.2328125000, 0.3546875000}},
};

static float golden_value(int i, int step)
{
    return (float)((i * 37 + step * 101 + 11) % 64 - 32) / 256.0F;
}

static void run_golden(const struct golden *golden, float *weights)
{
    float mean[GOLDEN_COUNT];
    float states[OPTIMIZER_STATES_MAX][GOLDEN_COUNT] = {{0}};
    const struct segment segments[] = {{.end = GOLDEN_DECAYED, .decayed = true},
                                       {.first = GOLDEN_DECAYED, .end = GOLDEN_COUNT}};
    struct optimizer_work work = {.value_count = GOLDEN_COUNT,
                                  .mean = mean,
                                  .weights = weights,
                                  .states = {states[0], states[1]}};
    for (int i = 0; i < GOLDEN_COUNT; i++) {
        weights[i] = 4.0F * golden_value(i, 0);
    }
    for (int step = 1; step <= GOLDEN_STEPS; step++) {
        for (int i = 0; i < GOLDEN_COUNT; i++) {
            mean[i] = golden_value(i, step);
        }
        work.step =
            optimizer_prepare(&golden->settings, golden->learning_rate, (uint64_t)step, 1.0);
        for (int i = 0; i < 2; i++) {
            optimizer_rules(golden->settings.kind)->apply(&work, &segments[i]);
        }
    }
}

static void adamw_and_sgd_agree_with_pytorch(void)
{
    for (size_t g = 0; g < sizeof goldens / sizeof goldens[0]; g++) {
        float weights[GOLDEN_COUNT];
        run_golden(&goldens[g], weights);
        for (int i = 0; i < GOLDEN_COUNT; i++) {
            CU_ASSERT_DOUBLE_EQUAL((double)weights[i], goldens[g].weights[i], 2e-7);
        }
    }
}

static void names_come_back_and_states_have_names(void)
{
    static const char *const names[] = {"adamw", "lamb", "sgd", "adam_mini"};
    for (int i = 0; i < OPTIMIZER_KIND_COUNT; i++) {
        enum optimizer_kind kind = OPTIMIZER_KIND_COUNT;
        CU_ASSERT_EQUAL(optimizer_from_name(names[i], &kind), STATUS_OK);
        CU_ASSERT_EQUAL(kind, i);
        CU_ASSERT_STRING_EQUAL(optimizer_name(kind), names[i]);
        CU_ASSERT_EQUAL(optimizer_defaults(kind).kind, i);
        size_t count = optimizer_state_count(kind);
        CU_ASSERT_TRUE(count >= 1 && count <= OPTIMIZER_STATES_MAX);
        for (size_t s = 0; s < count; s++) {
            CU_ASSERT_TRUE(strlen(optimizer_state(kind, s)->name) > 0);
        }
    }
    enum optimizer_kind kind;
    CU_ASSERT_EQUAL(optimizer_from_name("adam", &kind), STATUS_BAD_CONFIG);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(first_step_moves_by_the_learning_rate),
        SUITE_TEST(clip_scales_only_what_is_too_long),
        SUITE_TEST(adamw_follows_a_double_precision_reference),
        SUITE_TEST(adamw_and_sgd_agree_with_pytorch),
        SUITE_TEST(names_come_back_and_states_have_names),
    };
    return suite_run("optimizer", tests, sizeof tests / sizeof tests[0]);
}
