#include "common/random.h"
#include "proto/codec/exact_sum.h"
#include "tests/unit/suite.h"

#include <math.h>
#include <string.h>

enum { COUNT = 512, CONTRIBUTIONS = 24, TOKENS_EACH = 1000 };

struct contribution {
    enum codec codec;
    size_t size_bytes;
    uint8_t data[COUNT * 4];
};

static const enum codec codecs[] = {CODEC_FP32, CODEC_MX8, CODEC_BF16};
static struct contribution contributions[CONTRIBUTIONS];
static int64_t sum[COUNT];
static int64_t expected[COUNT];
static float mean[COUNT];

/* A third in each codec, of sizes between 2^-40 and 2^10. */
static void make_contributions(const struct exact_grid *grid)
{
    struct random random;
    random_init(&random, 11, 0);
    for (int c = 0; c < CONTRIBUTIONS; c++) {
        struct contribution *self = &contributions[c];
        float values[COUNT];
        for (int i = 0; i < COUNT; i++) {
            values[i] = (float)ldexp(random_normal(&random), i * 50 / COUNT - 40);
        }
        self->codec = codecs[c % 3];
        self->size_bytes = codec_encoded_bytes(self->codec, COUNT);
        CU_ASSERT_EQUAL(codec_encode(self->codec, -grid->shift, values, COUNT, self->data),
                        STATUS_OK);
        CU_ASSERT_EQUAL(
            exact_sum_check(grid, self->codec, self->data, self->size_bytes, COUNT, TOKENS_EACH),
            STATUS_OK);
    }
}

static void add(const struct exact_grid *grid, const struct contribution *from, size_t first,
                size_t count)
{
    exact_sum_add(grid, from->codec, from->data + codec_encoded_bytes(from->codec, first), count,
                  sum + first);
}

static void grid_leaves_room_for_the_whole_batch(void)
{
    CU_ASSERT_EQUAL(exact_grid_for(1).shift, 52);
    CU_ASSERT_EQUAL(exact_grid_for(1024).shift, 42);
    CU_ASSERT_EQUAL(exact_grid_for(1025).shift, 41);
    CU_ASSERT_EQUAL(exact_grid_for(UINT64_C(1) << 40).shift, 12);
    for (uint64_t tokens = 1; tokens <= UINT64_C(1) << 39; tokens = tokens * 2 + 1) {
        int shift = exact_grid_for(tokens).shift;
        CU_ASSERT_TRUE(ldexp((double)tokens, 10 + shift) <= 0x1p62);
        CU_ASSERT_TRUE(ldexp((double)tokens, shift) > 0x1p51);
    }
}

static void add_in_any_order_and_sharding_gives_the_same_bits(void)
{
    struct exact_grid grid = exact_grid_for((uint64_t)CONTRIBUTIONS * TOKENS_EACH);
    make_contributions(&grid);
    memset(sum, 0, sizeof sum);
    for (int c = 0; c < CONTRIBUTIONS; c++) {
        add(&grid, &contributions[c], 0, COUNT);
    }
    memcpy(expected, sum, sizeof sum);
    struct random random;
    random_init(&random, 12, 0);
    for (int round = 0; round < 100; round++) {
        int order[CONTRIBUTIONS];
        for (int c = 0; c < CONTRIBUTIONS; c++) {
            int other = (int)random_below(&random, (uint64_t)c + 1);
            order[c] = order[other];
            order[other] = c;
        }
        memset(sum, 0, sizeof sum);
        /* Shards of random sizes, each with the whole list of contributions. */
        for (size_t first = 0; first < COUNT;) {
            size_t count = 32 * (1 + random_below(&random, (COUNT - first) / 32));
            for (int c = 0; c < CONTRIBUTIONS; c++) {
                add(&grid, &contributions[order[c]], first, count);
            }
            first += count;
        }
        CU_ASSERT_EQUAL(memcmp(sum, expected, sizeof sum), 0);
    }
    CU_ASSERT_NOT_EQUAL(sum[COUNT - 1], 0);
}

static void sum_is_the_sum_of_the_decoded_values(void)
{
    struct exact_grid grid = exact_grid_for((uint64_t)CONTRIBUTIONS * TOKENS_EACH);
    make_contributions(&grid);
    memset(sum, 0, sizeof sum);
    static long double truth[COUNT];
    memset(truth, 0, sizeof truth);
    for (int c = 0; c < CONTRIBUTIONS; c++) {
        float decoded[COUNT] = {0};
        codec_add(contributions[c].codec, contributions[c].data, COUNT, decoded);
        for (int i = 0; i < COUNT; i++) {
            truth[i] += (long double)decoded[i];
        }
        add(&grid, &contributions[c], 0, COUNT);
    }
    int bad = 0;
    for (int i = 0; i < COUNT; i++) {
        long double units = ldexpl(truth[i], grid.shift);
        bad += fabsl((long double)sum[i] - units) > 0.5L * CONTRIBUTIONS;
    }
    CU_ASSERT_EQUAL(bad, 0);
}

static void subtract_restores_the_bits(void)
{
    struct exact_grid grid = exact_grid_for((uint64_t)CONTRIBUTIONS * TOKENS_EACH);
    make_contributions(&grid);
    memset(sum, 0, sizeof sum);
    add(&grid, &contributions[0], 0, COUNT);
    add(&grid, &contributions[1], 0, COUNT);
    memcpy(expected, sum, sizeof sum);
    for (int c = 2; c < 6; c++) {
        add(&grid, &contributions[c], 0, COUNT);
    }
    CU_ASSERT_NOT_EQUAL(memcmp(sum, expected, sizeof sum), 0);
    for (int c = 2; c < 6; c++) {
        exact_sum_subtract(&grid, contributions[c].codec, contributions[c].data, COUNT, sum);
    }
    CU_ASSERT_EQUAL(memcmp(sum, expected, sizeof sum), 0);
}

static void put_float(uint8_t *data, size_t index, float value)
{
    memcpy(data + index * sizeof value, &value, sizeof value);
}

static void fp32_rounds_half_to_even_on_the_grid(void)
{
    struct exact_grid grid = exact_grid_for(UINT64_C(1) << 40); /* unit 2^-12 */
    const float units[] = {0.5F, 1.5F, -2.5F, 2.75F, -0.5F, 0x1p40F, -0x1.fffffep61F};
    const int64_t rounded[] = {0, 2, -2, 3, 0, INT64_C(1) << 40, -0x1fffffeLL * (1LL << 37)};
    uint8_t data[32 * 4] = {0};
    for (size_t i = 0; i < 7; i++) {
        put_float(data, i, ldexpf(units[i], -12));
    }
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, sizeof data, 32, UINT64_C(1) << 40),
                    STATUS_OK);
    memset(sum, 0, sizeof sum);
    exact_sum_add(&grid, CODEC_FP32, data, 32, sum);
    for (size_t i = 0; i < 7; i++) {
        CU_ASSERT_EQUAL(sum[i], rounded[i]);
    }
}

static void bf16_adds_what_its_values_in_fp32_would(void)
{
    struct exact_grid grid = exact_grid_for(1000);
    struct random random;
    random_init(&random, 14, 0);
    static float values[COUNT];
    static uint8_t bf16[COUNT * 2];
    static uint8_t fp32[COUNT * 4];
    for (int i = 0; i < COUNT; i++) { /* most of them with bits below the grid */
        values[i] = (float)ldexp(random_normal(&random), i * 50 / COUNT - 50);
    }
    CU_ASSERT_EQUAL(codec_encode(CODEC_BF16, -grid.shift, values, COUNT, bf16), STATUS_OK);
    memset(values, 0, sizeof values);
    codec_add(CODEC_BF16, bf16, COUNT, values);
    memcpy(fp32, values, sizeof fp32);
    memset(sum, 0, sizeof sum);
    memset(expected, 0, sizeof expected);
    exact_sum_add(&grid, CODEC_BF16, bf16, COUNT, sum);
    exact_sum_add(&grid, CODEC_FP32, fp32, COUNT, expected);
    CU_ASSERT_EQUAL(memcmp(sum, expected, sizeof sum), 0);
    CU_ASSERT_NOT_EQUAL(sum[COUNT - 1], 0);
    exact_sum_subtract(&grid, CODEC_BF16, bf16, COUNT, sum);
    memset(expected, 0, sizeof expected);
    CU_ASSERT_EQUAL(memcmp(sum, expected, sizeof sum), 0);
}

static void check_refuses_bf16_that_could_overflow(void)
{
    struct exact_grid grid = exact_grid_for(1000);
    const uint16_t limit = 0x4620; /* 10 * 2^10 */
    const uint16_t strangers[] = {0x4621, 0xc621, 0x7f80, 0xff80, 0x7fc0};
    uint8_t data[32 * 2] = {0};
    memcpy(data + 62, &limit, 2);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_BF16, data, 64, 32, 10), STATUS_OK);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_BF16, data, 64, 32, 9), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_BF16, data, 63, 32, 10), STATUS_BAD_SHAPE);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        memcpy(data + 62, &strangers[i], 2);
        CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_BF16, data, 64, 32, 10), STATUS_OUT_OF_RANGE);
    }
}

static void check_refuses_values_that_could_overflow(void)
{
    struct exact_grid grid = exact_grid_for(1000);
    uint8_t data[32 * 4] = {0};
    put_float(data, 31, -10.0F * 1024);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, 10), STATUS_OK);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, 9), STATUS_OUT_OF_RANGE);
    put_float(data, 31, nextafterf(10.0F * 1024, 1e9F));
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, 10), STATUS_OUT_OF_RANGE);
    put_float(data, 31, NAN);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, 10), STATUS_OUT_OF_RANGE);
    put_float(data, 31, -INFINITY);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, 10), STATUS_OUT_OF_RANGE);
    put_float(data, 31, 1.0F);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, 0), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, 1001), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 127, 32, 10), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 64, 10), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 31, 10), STATUS_BAD_SHAPE);

    uint8_t block[CODEC_MX8_BLOCK_BYTES] = {0};
    block[0] = 133 + 10; /* unit 2^10: one unit is one token's limit */
    block[5] = 10;
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX8, block, 33, 32, 10), STATUS_OK);
    block[5] = 11;
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX8, block, 33, 32, 10), STATUS_OUT_OF_RANGE);
    block[5] = 1;
    for (int exponent = 133 + 14; exponent < 256; exponent++) {
        block[0] = (uint8_t)exponent;
        CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX8, block, 33, 32, 10), STATUS_OUT_OF_RANGE);
    }
}

/* (2^24 + 3) * 2^10 is no float32; the next one is above it. */
static void check_refuses_the_float_above_a_limit_that_is_none(void)
{
    const uint64_t tokens = (UINT64_C(1) << 24) + 3;
    struct exact_grid grid = exact_grid_for(tokens);
    uint8_t data[32 * 4] = {0};
    put_float(data, 3, 0x1.000004p34F);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, tokens), STATUS_OUT_OF_RANGE);
    put_float(data, 3, 0x1.000002p34F);
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, tokens), STATUS_OK);
}

static void check_refuses_mx8_units_finer_than_the_grid(void)
{
    struct exact_grid grid = exact_grid_for(1024); /* unit 2^-42 */
    uint8_t block[CODEC_MX8_BLOCK_BYTES] = {0};
    block[0] = 133 - 42;
    block[1] = 0xff; /* -1 */
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX8, block, 33, 32, 1), STATUS_OK);
    memset(sum, 0, sizeof sum);
    exact_sum_add(&grid, CODEC_MX8, block, 32, sum);
    CU_ASSERT_EQUAL(sum[0], -1);
    for (int exponent = 133 - 43; exponent >= 0; exponent--) {
        block[0] = (uint8_t)exponent;
        CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX8, block, 33, 32, 1), STATUS_OUT_OF_RANGE);
    }
    block[0] = 133;
    block[1] = 0x80; /* -128 */
    CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX8, block, 33, 32, 1000), STATUS_OUT_OF_RANGE);
    /* Zeros have no unit: any exponent that is allowed at all passes and adds nothing. */
    block[1] = 0;
    for (int exponent = 0; exponent < 256; exponent++) {
        block[0] = (uint8_t)exponent;
        CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX8, block, 33, 32, 1),
                        exponent == 255 ? STATUS_OUT_OF_RANGE : STATUS_OK);
        exact_sum_add(&grid, CODEC_MX8, block, 32, sum);
    }
    CU_ASSERT_EQUAL(sum[0], -1);
}

static void largest_contributions_do_not_overflow(void)
{
    const uint64_t tokens_max = 1000;
    struct exact_grid grid = exact_grid_for(tokens_max);
    uint8_t data[32 * 4] = {0};
    put_float(data, 0, 10 * 1024.0F);
    put_float(data, 1, -10 * 1024.0F);
    memset(sum, 0, sizeof sum);
    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_FP32, data, 128, 32, 10), STATUS_OK);
        exact_sum_add(&grid, CODEC_FP32, data, 32, sum);
    }
    CU_ASSERT_EQUAL(sum[0], (int64_t)(tokens_max << (10 + grid.shift)));
    CU_ASSERT_EQUAL(sum[1], -sum[0]);
    exact_sum_mean(&grid, sum, 2, tokens_max, mean);
    CU_ASSERT_EQUAL(mean[0], 1024.0F);
    CU_ASSERT_EQUAL(mean[1], -1024.0F);
}

static void mean_is_rounded_once(void)
{
    struct exact_grid grid = exact_grid_for(3); /* unit 2^-50 */
    const int64_t tie = (INT64_C(1) << 24) + 1; /* between two floats */
    sum[0] = 3 * tie;
    /* A third of a unit above and below a tie: both vanish in double arithmetic. */
    sum[1] = 3 * (tie << 30) + 1;
    sum[2] = -(3 * (tie << 30) + 1);
    sum[3] = 3 * (tie << 30) - 1;
    sum[4] = 0;
    sum[5] = 1;
    exact_sum_mean(&grid, sum, 6, 3, mean);
    CU_ASSERT_EQUAL(mean[0], ldexpf(0x1p24F, -50)); /* half to even */
    CU_ASSERT_EQUAL(mean[1], ldexpf(0x1p24F + 2, -20));
    CU_ASSERT_EQUAL(mean[2], -ldexpf(0x1p24F + 2, -20));
    CU_ASSERT_EQUAL(mean[3], ldexpf(0x1p24F, -20));
    CU_ASSERT_EQUAL(mean[4], 0.0F);
    CU_ASSERT_EQUAL(mean[5], (float)(0x1p-50 / 3));

    struct random random;
    random_init(&random, 13, 0);
    for (int round = 0; round < 200; round++) {
        uint64_t tokens = 1 + random_below(&random, UINT64_C(1) << 40);
        struct exact_grid wide_grid = exact_grid_for(tokens);
        for (int i = 0; i < COUNT; i++) {
            int drop = (int)random_below(&random, 60);
            sum[i] = (int64_t)(random_next(&random) >> 2 >> drop) * (i % 2 == 0 ? 1 : -1);
        }
        exact_sum_mean(&wide_grid, sum, COUNT, tokens, mean);
        int bad = 0;
        for (int i = 0; i < COUNT; i++) {
            double near = ldexp((double)sum[i] / (double)tokens, -wide_grid.shift);
            bad += fabs((double)mean[i] - near) > fabs(near) * 0x1.0001p-24;
        }
        CU_ASSERT_EQUAL(bad, 0);
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(grid_leaves_room_for_the_whole_batch),
        SUITE_TEST(add_in_any_order_and_sharding_gives_the_same_bits),
        SUITE_TEST(sum_is_the_sum_of_the_decoded_values),
        SUITE_TEST(subtract_restores_the_bits),
        SUITE_TEST(fp32_rounds_half_to_even_on_the_grid),
        SUITE_TEST(bf16_adds_what_its_values_in_fp32_would),
        SUITE_TEST(check_refuses_bf16_that_could_overflow),
        SUITE_TEST(check_refuses_values_that_could_overflow),
        SUITE_TEST(check_refuses_the_float_above_a_limit_that_is_none),
        SUITE_TEST(check_refuses_mx8_units_finer_than_the_grid),
        SUITE_TEST(largest_contributions_do_not_overflow),
        SUITE_TEST(mean_is_rounded_once),
    };
    return suite_run("exact_sum", tests, sizeof tests / sizeof tests[0]);
}
