#include "common/half.h"
#include "common/random.h"
#include "tests/unit/suite.h"
#include "trainer/formats/ggml_type.h"

#include <math.h>

static void sizes_of_rows_are_the_format_s(void)
{
    CU_ASSERT_EQUAL(ggml_row_bytes(GGML_F32, 7), 28);
    CU_ASSERT_EQUAL(ggml_row_bytes(GGML_F16, 7), 14);
    CU_ASSERT_EQUAL(ggml_row_bytes(GGML_BF16, 7), 14);
    CU_ASSERT_EQUAL(ggml_row_bytes(GGML_Q8_0, 96), 102);
    CU_ASSERT_EQUAL(ggml_row_bytes(GGML_Q8_0, 0), 0);
}

static float decode(const uint8_t *block, size_t index)
{
    uint16_t scale;
    memcpy(&scale, block, sizeof scale);
    return half_from_f16(scale) * (float)(int8_t)block[2 + index];
}

/* Half a step of the block's scale, which is amax / 127 rounded to 11 bits (2^-11 relative, 2^-25
 * absolute below the normal numbers); at the largest values the scale's own error counts 127 fold.
 */
static void q8_0_errs_by_half_a_step_at_most(void)
{
    struct random random;
    random_init(&random, 11, 0);
    for (int block = 0; block < 20000; block++) {
        float values[GGML_BLOCK_VALUES];
        uint8_t out[GGML_BLOCK_BYTES];
        float largest = 0;
        for (size_t i = 0; i < GGML_BLOCK_VALUES; i++) {
            values[i] = ldexpf((float)random_normal(&random), block % 40 - 28);
            largest = fmaxf(largest, fabsf(values[i]));
        }
        CU_ASSERT_TRUE(ggml_row_encode(GGML_Q8_0, values, GGML_BLOCK_VALUES, out));
        float bound = largest / 254 * (1 + 0x1p-10F) + 127 * 0x1p-25F;
        for (size_t i = 0; i < GGML_BLOCK_VALUES; i++) {
            CU_ASSERT_TRUE(fabsf(decode(out, i) - values[i]) <= bound);
        }
    }
}

static void q8_0_of_whole_steps_is_exact(void)
{
    float values[2 * GGML_BLOCK_VALUES];
    uint8_t out[2 * GGML_BLOCK_BYTES];
    for (size_t i = 0; i < GGML_BLOCK_VALUES; i++) {
        values[i] = 0.25F * ((float)i * 8 - 127);
        values[GGML_BLOCK_VALUES + i] = 0;
    }
    CU_ASSERT_TRUE(ggml_row_encode(GGML_Q8_0, values, 2 * GGML_BLOCK_VALUES, out));
    for (size_t i = 0; i < GGML_BLOCK_VALUES; i++) {
        CU_ASSERT_EQUAL(decode(out, i), values[i]);
        CU_ASSERT_EQUAL(decode(out + GGML_BLOCK_BYTES, i), 0);
    }
    CU_ASSERT_EQUAL(out[2], (uint8_t)-127);
}

static void values_beyond_the_type_are_reported(void)
{
    float values[GGML_BLOCK_VALUES] = {0};
    uint8_t out[sizeof values];
    values[31] = -65519.0F;
    CU_ASSERT_TRUE(ggml_row_encode(GGML_F16, values, GGML_BLOCK_VALUES, out));
    values[31] = -65520.0F;
    CU_ASSERT_FALSE(ggml_row_encode(GGML_F16, values, GGML_BLOCK_VALUES, out));
    CU_ASSERT_TRUE(ggml_row_encode(GGML_BF16, values, GGML_BLOCK_VALUES, out));
    CU_ASSERT_TRUE(ggml_row_encode(GGML_Q8_0, values, GGML_BLOCK_VALUES, out));
    values[31] = 9e6F;
    CU_ASSERT_FALSE(ggml_row_encode(GGML_Q8_0, values, GGML_BLOCK_VALUES, out));
    CU_ASSERT_TRUE(ggml_row_encode(GGML_F32, values, GGML_BLOCK_VALUES, out));
    CU_ASSERT_EQUAL(memcmp(out, values, sizeof values), 0);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(sizes_of_rows_are_the_format_s),
        SUITE_TEST(q8_0_errs_by_half_a_step_at_most),
        SUITE_TEST(q8_0_of_whole_steps_is_exact),
        SUITE_TEST(values_beyond_the_type_are_reported),
    };
    return suite_run("ggml_type", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
