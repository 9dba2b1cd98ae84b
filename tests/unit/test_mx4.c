#include "common/random.h"
#include "proto/codec/exact_sum.h"
#include "tests/unit/suite.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { COUNT = 4096, BLOCKS = COUNT / CODEC_BLOCK_VALUES, BYTES = BLOCKS * CODEC_MX4_BLOCK_BYTES };

static const double code_values[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
static float values[COUNT];
static float copy[COUNT];
static float decoded[COUNT];
static uint8_t encoded[BYTES];
static uint8_t encoded_again[BYTES];
static int64_t sum[COUNT];

/* Each block has a magnitude of its own, 2^-140 to 2^120. */
static void fill_random(uint64_t seed)
{
    struct random random;
    random_init(&random, seed, 0);
    for (int i = 0; i < COUNT; i++) {
        int exponent = (i / CODEC_BLOCK_VALUES * 7) % 260 - 140;
        values[i] = (float)ldexp(random_normal(&random), exponent);
    }
    memcpy(copy, values, sizeof copy);
}

static float max_of(const float *block)
{
    float max = 0;
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        max = fmaxf(max, fabsf(block[i]));
    }
    return max;
}

/* By comparing with all eight; a tie goes to the even code. */
static uint8_t nearest_code(double size)
{
    uint8_t best = 0;
    for (uint8_t code = 1; code < 8; code++) {
        double distance = fabs(size - code_values[code]);
        double least = fabs(size - code_values[best]);
        best = distance < least || (distance == least && code % 2 == 0) ? code : best;
    }
    return best;
}

static uint8_t code_at(const uint8_t *data, int index)
{
    uint8_t byte = data[index / 32 * CODEC_MX4_BLOCK_BYTES + 1 + index % 32 / 2];
    return index % 2 == 0 ? byte & 15 : byte >> 4;
}

static double value_at(const uint8_t *data, int index)
{
    uint8_t code = code_at(data, index);
    int exponent = data[index / 32 * CODEC_MX4_BLOCK_BYTES];
    return ldexp((code & 8) != 0 ? -code_values[code & 7] : code_values[code & 7], exponent - 127);
}

static void encode(int lsb_exponent_min)
{
    CU_ASSERT_EQUAL(codec_encode(CODEC_MX4, lsb_exponent_min, values, COUNT, encoded), STATUS_OK);
    CU_ASSERT_EQUAL(codec_check(CODEC_MX4, encoded, BYTES, COUNT), STATUS_OK);
    memset(decoded, 0, sizeof decoded);
    codec_add(CODEC_MX4, encoded, COUNT, decoded);
}

static void encode_takes_every_value_to_the_nearest(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        fill_random(seed);
        encode(CODEC_EXPONENT_ANY);
        int bad_code = 0;
        int bad_value = 0;
        int bad_bound = 0;
        for (int i = 0; i < COUNT; i++) {
            int exponent = encoded[i / 32 * CODEC_MX4_BLOCK_BYTES];
            uint8_t code = nearest_code(ldexp(fabs((double)copy[i]), 127 - exponent));
            bad_code += code_at(encoded, i) != (code | (code != 0 && copy[i] < 0 ? 8 : 0));
            bad_value += (double)decoded[i] != value_at(encoded, i);
            bad_value += (double)decoded[i] + (double)values[i] != (double)copy[i];
            float max = max_of(copy + (size_t)(i / CODEC_BLOCK_VALUES) * CODEC_BLOCK_VALUES);
            bad_bound += fabsf(values[i]) > fmaxf(max / 5, 0x1p-129F);
        }
        CU_ASSERT_EQUAL(bad_code, 0);
        CU_ASSERT_EQUAL(bad_value, 0);
        CU_ASSERT_EQUAL(bad_bound, 0);
    }
}

static void encode_takes_known_values_to_known_bytes(void)
{
    const float known[] = {6.0F, -0.5F, 0.25F, 0.75F, 1.25F, 1.75F, 2.5F,
                           3.5F, 5.0F,  -5.0F, 0.0F,  -0.0F, -0.25F};
    const uint8_t codes[] = {7, 9, 0, 2, 2, 4, 4, 6, 6, 14, 0, 0, 0};
    memset(values, 0, sizeof values);
    memcpy(values, known, sizeof known);
    values[32] = nextafterf(7.0F, 0.0F); /* still 6 times 1 */
    values[64] = 7.0F;                   /* 4 times 2 */
    values[96] = -1.0F;                  /* -4 times 1/4 */
    encode(CODEC_EXPONENT_ANY);
    CU_ASSERT_EQUAL(encoded[0], 127);
    for (size_t i = 0; i < sizeof codes; i++) {
        CU_ASSERT_EQUAL(code_at(encoded, (int)i), codes[i]);
    }
    CU_ASSERT_EQUAL(encoded[1], 0x97); /* the first in the low nibble */
    CU_ASSERT_EQUAL(encoded[17], 127);
    CU_ASSERT_EQUAL(encoded[18], 7);
    CU_ASSERT_EQUAL(encoded[34], 128);
    CU_ASSERT_EQUAL(encoded[35], 6);
    CU_ASSERT_EQUAL(values[64], -1.0F);
    CU_ASSERT_EQUAL(encoded[51], 125);
    CU_ASSERT_EQUAL(encoded[52], 14);
    for (int i = 0; i < CODEC_MX4_BLOCK_BYTES; i++) {
        CU_ASSERT_EQUAL(encoded[68 + i], 0); /* a block of zeros */
    }
}

static void encode_saturates_the_largest_and_keeps_the_rest(void)
{
    memset(values, 0, sizeof values);
    values[0] = FLT_MAX;
    values[1] = -FLT_MAX;
    encode(CODEC_EXPONENT_ANY);
    CU_ASSERT_EQUAL(encoded[0], 252);
    CU_ASSERT_EQUAL(encoded[1], 0xf7);
    CU_ASSERT_EQUAL(decoded[0], 0x1.8p127F);
    CU_ASSERT_EQUAL(decoded[0] + values[0], FLT_MAX);
    CU_ASSERT_EQUAL(decoded[1] + values[1], -FLT_MAX);
}

static void encode_keeps_units_on_the_grid(void)
{
    const int lsb_exponent_min = -20;
    fill_random(3);
    encode(lsb_exponent_min);
    int bad = 0;
    int empty = 0;
    for (int i = 0; i < COUNT; i++) {
        bad += rint(ldexp((double)decoded[i], -lsb_exponent_min)) !=
               ldexp((double)decoded[i], -lsb_exponent_min);
        bad += (double)decoded[i] + (double)values[i] != (double)copy[i];
    }
    for (int block = 0; block < BLOCKS; block++) {
        int exponent = encoded[block * CODEC_MX4_BLOCK_BYTES];
        float max = max_of(decoded + (size_t)block * CODEC_BLOCK_VALUES);
        empty += max == 0.0F;
        bad += max == 0.0F ? exponent != 0 : exponent - 128 < lsb_exponent_min;
    }
    CU_ASSERT_EQUAL(bad, 0);
    CU_ASSERT_TRUE(empty > 0 && empty < BLOCKS);
}

static void encode_of_decoded_gives_the_same_bytes(void)
{
    const int limits[] = {CODEC_EXPONENT_ANY, -20, 121};
    for (size_t i = 0; i < 3; i++) {
        fill_random(5);
        encode(limits[i]);
        CU_ASSERT_EQUAL(codec_encode(CODEC_MX4, limits[i], decoded, COUNT, encoded_again),
                        STATUS_OK);
        CU_ASSERT_EQUAL(memcmp(encoded, encoded_again, BYTES), 0);
        CU_ASSERT_EQUAL(max_of(decoded), 0.0F);
    }
}

static void residual_feedback_makes_sums_converge(void)
{
    static double truth[COUNT];
    static double sent[COUNT];
    static float feedback[COUNT];
    memset(truth, 0, sizeof truth);
    memset(sent, 0, sizeof sent);
    memset(feedback, 0, sizeof feedback);
    struct random random;
    random_init(&random, 6, 0);
    for (int step = 0; step < 300; step++) {
        for (int i = 0; i < COUNT; i++) {
            float input = (float)random_normal(&random) * 1e-3F + (i % 32 == 0 ? 1.0F : 1e-2F);
            truth[i] += (double)input;
            feedback[i] += input;
        }
        memcpy(values, feedback, sizeof values);
        encode(CODEC_EXPONENT_ANY);
        memcpy(feedback, values, sizeof values);
        for (int i = 0; i < COUNT; i++) {
            sent[i] += (double)decoded[i];
        }
    }
    double worst = 0;
    for (int i = 0; i < COUNT; i++) {
        worst = fmax(worst, fabs(sent[i] - truth[i]));
    }
    CU_ASSERT_TRUE(worst < 0.5); /* of sums of 3 and 300 */
}

static void check_refuses_bad_bytes(void)
{
    fill_random(7);
    encode(CODEC_EXPONENT_ANY);
    CU_ASSERT_EQUAL(codec_check(CODEC_MX4, encoded, BYTES - 1, COUNT), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(codec_check(CODEC_MX4, encoded, BYTES, COUNT - 32), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(codec_check(CODEC_MX4, encoded, BYTES, COUNT - 1), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(codec_check(CODEC_MX4, encoded, 0, COUNT), STATUS_BAD_SHAPE);
    for (int exponent = 250; exponent < 256; exponent++) {
        encoded[BYTES - CODEC_MX4_BLOCK_BYTES] = (uint8_t)exponent;
        CU_ASSERT_EQUAL(codec_check(CODEC_MX4, encoded, BYTES, COUNT),
                        exponent <= 252 ? STATUS_OK : STATUS_OUT_OF_RANGE);
    }
}

static void random_bytes_that_pass_the_check_decode_to_finite_values(void)
{
    struct random random;
    random_init(&random, 8, 0);
    int passed = 0;
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < CODEC_MX4_BLOCK_BYTES; i++) {
            encoded[i] = (uint8_t)random_next(&random);
        }
        if (codec_check(CODEC_MX4, encoded, CODEC_MX4_BLOCK_BYTES, 32) != STATUS_OK) {
            continue;
        }
        passed++;
        float block[CODEC_BLOCK_VALUES] = {0};
        codec_add(CODEC_MX4, encoded, 32, block);
        int bad = 0;
        for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
            bad += !isfinite(block[i]) || (signbit(block[i]) != 0) != (value_at(encoded, i) < 0);
            bad += (double)block[i] != value_at(encoded, i);
        }
        CU_ASSERT_EQUAL(bad, 0);
    }
    CU_ASSERT_TRUE(passed > 900);
}

static void exact_sum_adds_and_takes_back_the_decoded_values(void)
{
    struct exact_grid grid = exact_grid_for(3000); /* unit 2^-40 */
    static int64_t before[COUNT];
    struct random random;
    random_init(&random, 9, 0);
    for (int i = 0; i < COUNT; i++) {
        values[i] = (float)ldexp(random_normal(&random), i * 50 / COUNT - 45);
        sum[i] = (int64_t)random_next(&random) >> 2;
    }
    memcpy(before, sum, sizeof sum);
    encode(-grid.shift);
    CU_ASSERT_EQUAL(exact_sum_check_and_add(&grid, CODEC_MX4, encoded, BYTES, COUNT, 1000, sum),
                    STATUS_OK);
    int bad = 0;
    int nonzero = 0;
    for (int i = 0; i < COUNT; i++) {
        bad += (double)(sum[i] - before[i]) != ldexp((double)decoded[i], grid.shift);
        nonzero += decoded[i] != 0.0F;
    }
    CU_ASSERT_EQUAL(bad, 0);
    CU_ASSERT_TRUE(nonzero > COUNT / 2);
    exact_sum_subtract(&grid, CODEC_MX4, encoded, COUNT, sum);
    CU_ASSERT_EQUAL(memcmp(sum, before, sizeof sum), 0);
}

static void exact_sum_check_refuses_units_off_the_grid_and_large_values(void)
{
    struct exact_grid grid = exact_grid_for(1024); /* unit 2^-42 */
    uint8_t block[CODEC_MX4_BLOCK_BYTES] = {0};
    static const int64_t untouched[CODEC_BLOCK_VALUES];
    int64_t sums[CODEC_BLOCK_VALUES] = {0};
    block[16] = 0x90; /* -1 unit, the last */
    for (int exponent = 0; exponent < 256; exponent++) {
        block[0] = (uint8_t)exponent;
        /* From 2^-42 to 3 * 2^10: one unit of 2^11. */
        bool good = exponent >= 128 - 42 && exponent <= 128 + 11;
        CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX4, block, 17, 32, 3),
                        good ? STATUS_OK : STATUS_OUT_OF_RANGE);
    }
    CU_ASSERT_EQUAL(exact_sum_check_and_add(&grid, CODEC_MX4, block, 17, 32, 3, sums),
                    STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(memcmp(sums, untouched, sizeof sums), 0);
    block[0] = 128 + 9; /* 6 units are 3 * 2^10 */
    for (uint8_t code = 0; code < 16; code++) {
        block[16] = (uint8_t)(code << 4 | (code ^ 8));
        CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX4, block, 17, 32, 3),
                        (code & 7) <= 5 ? STATUS_OK : STATUS_OUT_OF_RANGE);
    }
    block[16] = 0x80; /* zeros of both signs */
    for (int exponent = 0; exponent < 256; exponent++) {
        block[0] = (uint8_t)exponent;
        CU_ASSERT_EQUAL(exact_sum_check(&grid, CODEC_MX4, block, 17, 32, 3),
                        exponent <= 252 ? STATUS_OK : STATUS_OUT_OF_RANGE);
        exact_sum_add(&grid, CODEC_MX4, block, 32, sums);
    }
    CU_ASSERT_EQUAL(memcmp(sums, untouched, sizeof sums), 0);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(encode_takes_every_value_to_the_nearest),
        SUITE_TEST(encode_takes_known_values_to_known_bytes),
        SUITE_TEST(encode_saturates_the_largest_and_keeps_the_rest),
        SUITE_TEST(encode_keeps_units_on_the_grid),
        SUITE_TEST(encode_of_decoded_gives_the_same_bytes),
        SUITE_TEST(residual_feedback_makes_sums_converge),
        SUITE_TEST(check_refuses_bad_bytes),
        SUITE_TEST(random_bytes_that_pass_the_check_decode_to_finite_values),
        SUITE_TEST(exact_sum_adds_and_takes_back_the_decoded_values),
        SUITE_TEST(exact_sum_check_refuses_units_off_the_grid_and_large_values),
    };
    return suite_run("mx4", tests, sizeof tests / sizeof tests[0]);
}
