#include "tests/unit/suite.h"

#include "trainer/cli/trial_variant.h"

#include <string.h>

enum { STEPS = 100, BATCH = 32 };

static struct trial_variant parsed(const char *text)
{
    struct trial_variant variant;
    CU_ASSERT_EQUAL_FATAL(trial_variant_parse(text, &variant), STATUS_OK);
    return variant;
}

static void parse_every_known_name_gives_it_back(void)
{
    size_t count = 0;
    for (; trial_variant_name(count) != NULL; count++) {
        struct trial_variant variant = parsed(trial_variant_name(count));
        CU_ASSERT_STRING_EQUAL(variant.name, trial_variant_name(count));
    }
    CU_ASSERT(count > 10);
}

static void parse_a_codec_sets_all_but_an_mx4_mean(void)
{
    struct trial_variant variant = parsed("a:codec=mx4");
    CU_ASSERT_EQUAL(variant.gradient, CODEC_MX4);
    CU_ASSERT_EQUAL(variant.update, CODEC_MX4);
    CU_ASSERT_EQUAL(variant.slow, CODEC_MX4);
    CU_ASSERT_EQUAL(variant.mean, CODEC_BF16);
    variant = parsed("b:codec=fp32");
    CU_ASSERT_EQUAL(variant.mean, CODEC_FP32);
    variant = parsed("c:codec=mx8,gradient=mx4,mean=fp32");
    CU_ASSERT_EQUAL(variant.gradient, CODEC_MX4);
    CU_ASSERT_EQUAL(variant.update, CODEC_MX8);
    CU_ASSERT_EQUAL(variant.mean, CODEC_FP32);
}

static void parse_numbers_gives_them(void)
{
    struct trial_variant variant = parsed("n:stale=0.125,from=0.5,ahead=0.5,bend=2,rate=0.25,"
                                          "rotate=7,leave=9,contributors=64,slow_share=1");
    CU_ASSERT_EQUAL(variant.stale_share, 0.125);
    CU_ASSERT_EQUAL(variant.stale_from, 0.5);
    CU_ASSERT_EQUAL(variant.ahead, 0.5);
    CU_ASSERT_EQUAL(variant.bend, 2.0);
    CU_ASSERT_EQUAL(variant.rate, 0.25);
    CU_ASSERT_EQUAL(variant.rotate_steps, 7);
    CU_ASSERT_EQUAL(variant.leave_steps, 9);
    CU_ASSERT_EQUAL(variant.contributor_count, 64);
    CU_ASSERT_EQUAL(variant.slow_share, 1.0);
    variant = parsed("n:");
    CU_ASSERT_EQUAL(variant.ahead, 1.0);
    CU_ASSERT_EQUAL(variant.rate, 1.0);
}

static void parse_what_is_wrong_is_usage(void)
{
    static const char *const wrong[] = {
        "",
        "nobody",
        ":codec=mx8",
        "a b:codec=mx8",
        "a\":codec=mx8",
        "a:codec=mx9",
        "a:mean=mx4",
        "a:colour=red",
        "a:codec",
        "a:,",
        "a:stale=1.01",
        "a:stale=-0.1",
        "a:stale=nan",
        "a:stale=",
        "a:stale=0.5x",
        "a:ahead=11",
        "a:contributors=65",
        "a:rotate=-1",
        "a:leave=99999999999999999999",
        "a-name-of-more-than-forty-seven-characters-is-too-long:codec=mx8",
    };
    char settings[1024] = "a:";
    struct trial_variant variant;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        enum status status = trial_variant_parse(wrong[i], &variant);
        CU_ASSERT(status == STATUS_USAGE || status == STATUS_BAD_CONFIG);
    }
    for (size_t i = 0; i < 80; i++) {
        strncat(settings, "stale=0,", sizeof settings - strlen(settings) - 1);
    }
    CU_ASSERT_EQUAL(trial_variant_parse(settings, &variant), STATUS_USAGE);
}

/* Stale samples of the steps [first, end) of STEPS. */
static size_t stale_samples(const struct trial_variant *variant, uint64_t first, uint64_t end)
{
    size_t count = 0;
    for (uint64_t sample = first * BATCH; sample < end * BATCH; sample++) {
        count += trial_variant_is_stale(variant, sample / BATCH, STEPS, sample) ? 1 : 0;
    }
    return count;
}

static void stale_share_of_samples_is_even(void)
{
    struct trial_variant variant = parsed("a:stale=0.25");
    CU_ASSERT_EQUAL(stale_samples(&variant, 0, 1), 0);
    for (uint64_t step = 1; step < STEPS; step++) {
        CU_ASSERT_EQUAL(stale_samples(&variant, step, step + 1), BATCH / 4);
    }
    variant = parsed("a:stale=0.11");
    CU_ASSERT_EQUAL(stale_samples(&variant, 50, STEPS), 50 * BATCH * 11 / 100);
    variant = parsed("a:stale=1");
    CU_ASSERT_EQUAL(stale_samples(&variant, 0, STEPS), (STEPS - 1) * BATCH);
    variant = parsed("a:stale=0");
    CU_ASSERT_EQUAL(stale_samples(&variant, 0, STEPS), 0);
}

static void stale_before_from_is_none(void)
{
    struct trial_variant variant = parsed("a:stale=1,from=0.3");
    CU_ASSERT_EQUAL(stale_samples(&variant, 0, 30), 0);
    CU_ASSERT_EQUAL(stale_samples(&variant, 30, STEPS), 70 * BATCH);
}

static size_t slow_contributors(const struct trial_variant *variant, uint64_t step, uint64_t count)
{
    size_t slow = 0;
    for (uint64_t i = 0; i < count; i++) {
        slow += trial_variant_is_slow(variant, step, i, count) ? 1 : 0;
    }
    return slow;
}

static void slow_links_are_a_share_that_rotates(void)
{
    struct trial_variant variant = parsed("a:codec=mx8,slow=mx4,rotate=10");
    CU_ASSERT_EQUAL(slow_contributors(&variant, 0, 4), 1);
    CU_ASSERT_EQUAL(slow_contributors(&variant, 5, 5), 2);
    CU_ASSERT_TRUE(trial_variant_is_slow(&variant, 9, 0, 4));
    CU_ASSERT_FALSE(trial_variant_is_slow(&variant, 10, 0, 4));
    CU_ASSERT_TRUE(trial_variant_is_slow(&variant, 10, 3, 4));
    variant = parsed("a:codec=mx4,slow_share=1");
    CU_ASSERT_EQUAL(slow_contributors(&variant, 0, 4), 0);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(parse_every_known_name_gives_it_back),
        SUITE_TEST(parse_a_codec_sets_all_but_an_mx4_mean),
        SUITE_TEST(parse_numbers_gives_them),
        SUITE_TEST(parse_what_is_wrong_is_usage),
        SUITE_TEST(stale_share_of_samples_is_even),
        SUITE_TEST(stale_before_from_is_none),
        SUITE_TEST(slow_links_are_a_share_that_rotates),
    };
    return suite_run("trial_variant", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
