#include "common/fault.h"
#include "suite.h"
#include "trainer/sampling/token_choice.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB_MAX = 65536, ROUNDS = 3000 };

/* Which of V tokens are ever drawn, and how often. */
static void count_draws(const struct token_choice_settings *settings, const float *logits,
                        uint32_t vocab, size_t rounds, size_t *counts)
{
    struct token_choice *choice = NULL;
    struct random random;
    CU_ASSERT_EQUAL_FATAL(token_choice_new(settings, vocab, &choice), STATUS_OK);
    random_init(&random, 11, 0);
    memset(counts, 0, vocab * sizeof *counts);
    for (size_t i = 0; i < rounds; i++) {
        uint16_t token = 0;
        CU_ASSERT_EQUAL_FATAL(token_choice_draw(choice, logits, &random, &token), STATUS_OK);
        CU_ASSERT_TRUE_FATAL(token < vocab);
        counts[token]++;
    }
    token_choice_free(choice);
}

/* The tokens that can be drawn, as bits. */
static unsigned kept(const struct token_choice_settings *settings, const float *logits,
                     uint32_t vocab)
{
    size_t counts[8];
    unsigned bits = 0;
    count_draws(settings, logits, vocab, ROUNDS, counts);
    for (uint32_t i = 0; i < vocab; i++) {
        bits |= counts[i] > 0 ? 1U << i : 0U;
    }
    return bits;
}

static unsigned kept_top_k(uint32_t top_k, const float *logits, uint32_t vocab)
{
    return kept(&(struct token_choice_settings){.temperature = 1, .top_k = top_k, .top_p = 1},
                logits, vocab);
}

static unsigned kept_top_p(double top_p, const float *logits, uint32_t vocab)
{
    return kept(&(struct token_choice_settings){.temperature = 1, .top_p = top_p}, logits, vocab);
}

static unsigned kept_min_p(double min_p, const float *logits, uint32_t vocab)
{
    return kept(&(struct token_choice_settings){.temperature = 1, .top_p = 1, .min_p = min_p},
                logits, vocab);
}

static void temperature_zero_takes_first_of_the_largest(void)
{
    static const float LOGITS[] = {-1, 3, 2, 3, -INFINITY};
    struct token_choice *choice = NULL;
    const struct token_choice_settings settings = {.top_k = 3, .top_p = 0.5, .min_p = 0.5};
    struct random random;
    random_init(&random, 1, 0);
    struct random before = random;
    uint16_t token = 9;
    CU_ASSERT_EQUAL_FATAL(token_choice_new(&settings, 5, &choice), STATUS_OK);
    CU_ASSERT_EQUAL(token_choice_draw(choice, LOGITS, &random, &token), STATUS_OK);
    CU_ASSERT_EQUAL(token, 1);
    CU_ASSERT_EQUAL(random.state, before.state);
    token_choice_free(choice);
}

static void top_k_keeps_k_and_what_ties_with_the_last(void)
{
    static const float LOGITS[] = {0.5F, 1, -0.0F, 0.5F, 0.0F, -2};
    CU_ASSERT_EQUAL(kept_top_k(1, LOGITS, 6), 0x02);
    CU_ASSERT_EQUAL(kept_top_k(2, LOGITS, 6), 0x0b);
    CU_ASSERT_EQUAL(kept_top_k(3, LOGITS, 6), 0x0b);
    CU_ASSERT_EQUAL(kept_top_k(4, LOGITS, 6), 0x1f); /* both zeros are one value */
    CU_ASSERT_EQUAL(kept_top_k(6, LOGITS, 6), 0x3f);
    CU_ASSERT_EQUAL(kept_top_k(0, LOGITS, 6), 0x3f);
    CU_ASSERT_EQUAL(kept_top_k(60000, LOGITS, 6), 0x3f);
}

static void top_p_keeps_the_fewest_that_reach_the_mass(void)
{
    static const float EQUAL[] = {1, 1, 1, 1}; /* a quarter each, exactly */
    CU_ASSERT_EQUAL(kept_top_p(0.0, EQUAL, 4), 0x1);
    CU_ASSERT_EQUAL(kept_top_p(0.25, EQUAL, 4), 0x1);
    CU_ASSERT_EQUAL(kept_top_p(0.250001, EQUAL, 4), 0x3);
    CU_ASSERT_EQUAL(kept_top_p(0.5, EQUAL, 4), 0x3);
    CU_ASSERT_EQUAL(kept_top_p(0.75, EQUAL, 4), 0x7);
    CU_ASSERT_EQUAL(kept_top_p(0.751, EQUAL, 4), 0xf);
    CU_ASSERT_EQUAL(kept_top_p(1.0, EQUAL, 4), 0xf);
    /* e^2 and e^1 of e^2 + e^1 + e^0: 0.665, 0.245, 0.090 */
    static const float STEPS[] = {0, 2, 1};
    CU_ASSERT_EQUAL(kept_top_p(0.0, STEPS, 3), 0x2);
    CU_ASSERT_EQUAL(kept_top_p(0.66, STEPS, 3), 0x2);
    CU_ASSERT_EQUAL(kept_top_p(0.67, STEPS, 3), 0x6);
    CU_ASSERT_EQUAL(kept_top_p(0.90, STEPS, 3), 0x6);
    CU_ASSERT_EQUAL(kept_top_p(0.92, STEPS, 3), 0x7);
}

static void top_p_counts_mass_among_the_top_k(void)
{
    /* 0.644, 0.237, 0.087, 0.032; the first of the top two has 0.731 of their mass. */
    static const float LOGITS[] = {3, 2, 1, 0};
    struct token_choice_settings settings = {.temperature = 1, .top_p = 0.7};
    CU_ASSERT_EQUAL(kept(&settings, LOGITS, 4), 0x3);
    settings.top_k = 2;
    CU_ASSERT_EQUAL(kept(&settings, LOGITS, 4), 0x1);
}

static void min_p_is_a_share_of_the_likeliest(void)
{
    static const float LOGITS[] = {0, -1, -2, -3}; /* 1, 0.368, 0.135, 0.0498 */
    CU_ASSERT_EQUAL(kept_min_p(0.0, LOGITS, 4), 0xf);
    CU_ASSERT_EQUAL(kept_min_p(0.05, LOGITS, 4), 0x7);
    CU_ASSERT_EQUAL(kept_min_p(0.0497, LOGITS, 4), 0xf);
    CU_ASSERT_EQUAL(kept_min_p(0.2, LOGITS, 4), 0x3);
    CU_ASSERT_EQUAL(kept_min_p(1.0, LOGITS, 4), 0x1);
}

static void likelihoods_are_exponentials_to_twelve_digits(void)
{
    for (int i = 1; i <= 60; i++) {
        float logits[] = {0, -0.05F * (float)i};
        double likelihood = exp((double)logits[1]);
        CU_ASSERT_EQUAL(kept_min_p(likelihood * (1.0 - 1e-12), logits, 2), 0x3);
        CU_ASSERT_EQUAL(kept_min_p(likelihood * (1.0 + 1e-12), logits, 2), 0x1);
    }
}

/* The temperature comes first: at 2 the likelihoods move together. */
static void filters_see_the_temperature(void)
{
    static const float LOGITS[] = {0, -1, -2, -3};
    struct token_choice_settings settings = {.temperature = 2, .top_p = 1, .min_p = 0.2};
    CU_ASSERT_EQUAL(kept(&settings, LOGITS, 4), 0xf);
    settings.temperature = 0.5;
    CU_ASSERT_EQUAL(kept(&settings, LOGITS, 4), 0x1);
    settings = (struct token_choice_settings){.temperature = 1e-300, .top_p = 1};
    CU_ASSERT_EQUAL(kept(&settings, LOGITS, 4), 0x1);
}

static void minus_infinity_is_never_chosen(void)
{
    static const float LOGITS[] = {-INFINITY, -90, -INFINITY, -90};
    CU_ASSERT_EQUAL(kept_top_k(0, LOGITS, 4), 0xa);
    CU_ASSERT_EQUAL(kept_top_k(3, LOGITS, 4), 0xa);
    CU_ASSERT_EQUAL(kept_top_p(0.999, LOGITS, 4), 0xa);
}

static enum status draw_one(float changed, double temperature)
{
    float logits[] = {1, changed, 2};
    struct token_choice *choice = NULL;
    const struct token_choice_settings settings = {.temperature = temperature, .top_p = 0.9};
    struct random random;
    random_init(&random, 1, 0);
    struct random before = random;
    uint16_t token = 0;
    CU_ASSERT_EQUAL_FATAL(token_choice_new(&settings, 3, &choice), STATUS_OK);
    enum status status = token_choice_draw(choice, logits, &random, &token);
    CU_ASSERT_TRUE(status == STATUS_OK || random.state == before.state);
    token_choice_free(choice);
    return status;
}

static void logits_that_are_no_numbers_are_refused(void)
{
    static const float NONE[] = {-INFINITY, -INFINITY};
    static const float FIRST_NAN[] = {NAN, 5};
    struct token_choice *choice = NULL;
    const struct token_choice_settings settings = {.temperature = 1, .top_p = 1};
    struct random random;
    uint16_t token = 0;
    random_init(&random, 1, 0);
    CU_ASSERT_EQUAL(draw_one(0, 1), STATUS_OK);
    CU_ASSERT_EQUAL(draw_one(NAN, 1), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "earlier checkpoint"));
    CU_ASSERT_EQUAL(draw_one(NAN, 0), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(draw_one(INFINITY, 1), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL_FATAL(token_choice_new(&settings, 2, &choice), STATUS_OK);
    CU_ASSERT_EQUAL(token_choice_draw(choice, NONE, &random, &token), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(token_choice_draw(choice, FIRST_NAN, &random, &token), STATUS_OUT_OF_RANGE);
    token_choice_free(choice);
}

/* Pearson's statistic against softmax(logits / 0.7), computed with libm. */
static void draws_follow_the_softmax(void)
{
    enum { V = 40, DRAWS = 200000 };
    float logits[V];
    size_t counts[V];
    double expected[V];
    double total = 0.0;
    struct random random;
    random_init(&random, 3, 0);
    for (size_t i = 0; i < V; i++) {
        logits[i] = (float)(1.5 * random_normal(&random) - 20.0);
        expected[i] = exp((double)logits[i] / 0.7);
        total += expected[i];
    }
    const struct token_choice_settings settings = {.temperature = 0.7, .top_p = 1};
    count_draws(&settings, logits, V, DRAWS, counts);
    double statistic = 0.0;
    double degrees = -1.0;
    for (size_t i = 0; i < V; i++) {
        expected[i] *= DRAWS / total;
        if (expected[i] >= 5.0) {
            double off = (double)counts[i] - expected[i];
            statistic += off * off / expected[i];
            degrees += 1.0;
        }
    }
    CU_ASSERT_TRUE(degrees > 20.0);
    /* Mean d, variance 2 d: five deviations above, and not suspiciously good either. */
    CU_ASSERT_TRUE(statistic < degrees + 5.0 * sqrt(2.0 * degrees));
    CU_ASSERT_TRUE(statistic > degrees - 4.0 * sqrt(2.0 * degrees));
}

struct ranked {
    double probability;
    uint16_t id;
};

static int compare_down(const void *left, const void *right)
{
    const struct ranked *a = left;
    const struct ranked *b = right;
    int by_probability = (a->probability < b->probability) - (a->probability > b->probability);
    return by_probability != 0 ? by_probability : (int)a->id - (int)b->id;
}

/* Against a plain sort: no token behind the cut is drawn, and the draw lies where the cumulated
 * probabilities of those before it, by id, say. */
static void large_vocabulary_agrees_with_sorting(void)
{
    static float logits[VOCAB_MAX];
    static struct ranked ranked[VOCAB_MAX];
    static bool stays[VOCAB_MAX];
    struct random random;
    random_init(&random, 5, 0);
    const struct token_choice_settings settings = {
        .temperature = 1.3, .top_k = 5000, .top_p = 0.6, .min_p = 1e-4};
    struct token_choice *choice = NULL;
    CU_ASSERT_EQUAL_FATAL(token_choice_new(&settings, VOCAB_MAX, &choice), STATUS_OK);
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < VOCAB_MAX; i++) {
            logits[i] = (float)(3.0 * random_normal(&random));
            ranked[i] = (struct ranked){exp((double)logits[i] / 1.3), (uint16_t)i};
        }
        qsort(ranked, VOCAB_MAX, sizeof ranked[0], compare_down);
        double mass = 0.0;
        for (size_t i = 0; i < 5000; i++) {
            mass += ranked[i].probability;
        }
        memset(stays, 0, sizeof stays);
        double before = 0.0;
        size_t count = 0;
        for (size_t i = 0; i < 5000 && before < 0.6 * mass; i++) {
            stays[ranked[i].id] = ranked[i].probability >= 1e-4 * ranked[0].probability;
            before += ranked[i].probability;
            count += stays[ranked[i].id] ? 1 : 0;
        }
        CU_ASSERT_TRUE(count > 100 && count < 5000);
        struct random copy = random;
        double total = 0.0;
        double sum = 0.0;
        uint16_t token = 0;
        CU_ASSERT_EQUAL(token_choice_draw(choice, logits, &random, &token), STATUS_OK);
        CU_ASSERT_TRUE(stays[token]);
        for (size_t i = 0; i < VOCAB_MAX; i++) {
            double probability = stays[i] ? exp((double)logits[i] / 1.3) : 0.0;
            sum += i < token ? probability : 0.0;
            total += probability;
        }
        double target = random_uniform(&copy) * total;
        CU_ASSERT_TRUE(sum <= target + 1e-9 * total);
        CU_ASSERT_TRUE(sum + exp((double)logits[token] / 1.3) >= target - 1e-9 * total);
    }
    token_choice_free(choice);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(temperature_zero_takes_first_of_the_largest),
        SUITE_TEST(top_k_keeps_k_and_what_ties_with_the_last),
        SUITE_TEST(top_p_keeps_the_fewest_that_reach_the_mass),
        SUITE_TEST(top_p_counts_mass_among_the_top_k),
        SUITE_TEST(min_p_is_a_share_of_the_likeliest),
        SUITE_TEST(likelihoods_are_exponentials_to_twelve_digits),
        SUITE_TEST(filters_see_the_temperature),
        SUITE_TEST(minus_infinity_is_never_chosen),
        SUITE_TEST(logits_that_are_no_numbers_are_refused),
        SUITE_TEST(draws_follow_the_softmax),
        SUITE_TEST(large_vocabulary_agrees_with_sorting),
    };
    return suite_run("token_choice", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
