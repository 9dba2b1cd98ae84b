#include "common/half.h"
#include "common/random.h"
#include "tests/unit/suite.h"

#include <math.h>

enum { HALF_COUNT = 65536, DRAW_COUNT = 200000 };

static void f16_round_trip_keeps_every_number(void)
{
    size_t failures = 0;
    for (uint32_t i = 0; i < HALF_COUNT; i++) {
        float value = half_from_f16((uint16_t)i);
        uint16_t back = half_to_f16(value);
        failures += isnan(value) != isnan(half_from_f16(back)) || (!isnan(value) && back != i);
    }
    CU_ASSERT_EQUAL(failures, 0);
}

static void bf16_round_trip_keeps_every_number(void)
{
    size_t failures = 0;
    for (uint32_t i = 0; i < HALF_COUNT; i++) {
        float value = half_from_bf16((uint16_t)i);
        uint16_t back = half_to_bf16(value);
        failures += isnan(value) != isnan(half_from_bf16(back)) || (!isnan(value) && back != i);
    }
    CU_ASSERT_EQUAL(failures, 0);
}

static void f16_values_are_those_of_ieee_754(void)
{
    CU_ASSERT_EQUAL(half_from_f16(0x3c00), 1.0F);
    CU_ASSERT_EQUAL(half_from_f16(0xc000), -2.0F);
    CU_ASSERT_EQUAL(half_from_f16(0x7bff), 65504.0F);
    CU_ASSERT_EQUAL(half_from_f16(0x0400), 0x1p-14F);
    CU_ASSERT_EQUAL(half_from_f16(0x0001), 0x1p-24F);
    CU_ASSERT_EQUAL(half_from_f16(0x3555), 0x1.554p-2F); /* a third */
    CU_ASSERT(isinf(half_from_f16(0x7c00)));
    CU_ASSERT_EQUAL(half_to_f16(65519.0F), 0x7bff);
    CU_ASSERT_EQUAL(half_to_f16(65520.0F), 0x7c00);
    CU_ASSERT_EQUAL(half_to_f16(-1e30F), 0xfc00);
}

/* Ties: 1 + 2^-11 lies between two halves, 1 + 2^-8 between two bfloats. */
static void ties_round_to_even(void)
{
    CU_ASSERT_EQUAL(half_to_f16(1.0F + 0x1p-11F), 0x3c00);
    CU_ASSERT_EQUAL(half_to_f16(1.0F + 0x3p-11F), 0x3c02);
    CU_ASSERT_EQUAL(half_to_f16(0x1p-25F), 0x0000);
    CU_ASSERT_EQUAL(half_to_f16(0x3p-25F), 0x0002);
    CU_ASSERT_EQUAL(half_to_bf16(1.0F + 0x1p-8F), 0x3f80);
    CU_ASSERT_EQUAL(half_to_bf16(1.0F + 0x3p-8F), 0x3f82);
    CU_ASSERT_EQUAL(half_to_bf16(0x1.fffffep127F), 0x7f80);
}

/* No neighbour of the chosen number lies nearer. */
static void rounding_is_to_nearest(void)
{
    struct random random;
    size_t failures = 0;
    random_init(&random, 3, 0);
    for (size_t i = 0; i < DRAW_COUNT; i++) {
        float value = (float)ldexp(random_uniform(&random) - 0.5, (int)(i % 40) - 26);
        uint16_t half = half_to_f16(value);
        uint16_t bfloat = half_to_bf16(value);
        float half_error = fabsf(half_from_f16(half) - value);
        float bfloat_error = fabsf(half_from_bf16(bfloat) - value);
        for (int step = -1; step <= 1; step += 2) {
            uint16_t near_half = (uint16_t)(half + step);
            uint16_t near_bfloat = (uint16_t)(bfloat + step);
            failures += fabsf(half_from_f16(near_half) - value) < half_error;
            failures += fabsf(half_from_bf16(near_bfloat) - value) < bfloat_error;
        }
    }
    CU_ASSERT_EQUAL(failures, 0);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(f16_round_trip_keeps_every_number),
        SUITE_TEST(bf16_round_trip_keeps_every_number),
        SUITE_TEST(f16_values_are_those_of_ieee_754),
        SUITE_TEST(ties_round_to_even),
        SUITE_TEST(rounding_is_to_nearest),
    };
    return suite_run("half", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
