#include "common/random.h"
#include "proto/codec/codec.h"
#include "tests/unit/suite.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { COUNT = 4096, BLOCKS = COUNT / CODEC_BLOCK_VALUES, BYTES_MAX = COUNT * 4 };

static float values[COUNT];
static float copy[COUNT];
static float decoded[COUNT];
static uint8_t encoded[BYTES_MAX];
static uint8_t encoded_again[BYTES_MAX];

/* Values of very different sizes: each block has its own magnitude, 2^-120 to 2^120. */
static void fill_random(uint64_t seed)
{
    struct random random;
    random_init(&random, seed, 0);
    for (int i = 0; i < COUNT; i++) {
        int exponent = (i / CODEC_BLOCK_VALUES * 7) % 240 - 120;
        values[i] = (float)ldexp(random_normal(&random), exponent);
    }
    memcpy(copy, values, sizeof copy);
}

/* Bits, not values: zeros of both signs differ. */
static int same_bits(const void *a, const void *b, size_t size_bytes)
{
    return memcmp(a, b, size_bytes) == 0;
}

static float max_of(const float *block)
{
    float max = 0;
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        max = fmaxf(max, fabsf(block[i]));
    }
    return max;
}

static void decode(enum codec codec)
{
    memset(decoded, 0, sizeof decoded);
    codec_add(codec, encoded, COUNT, decoded);
}

static void names_go_both_ways(void)
{
    enum codec codec = CODEC_FP32;
    CU_ASSERT_EQUAL(codec_from_name("mx8", &codec), STATUS_OK);
    CU_ASSERT_EQUAL(codec, CODEC_MX8);
    CU_ASSERT_STRING_EQUAL(codec_name(codec), "mx8");
    CU_ASSERT_EQUAL(codec_from_name("fp32", &codec), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(codec_name(codec), "fp32");
    CU_ASSERT_EQUAL(codec_from_name("bf16", &codec), STATUS_OK);
    CU_ASSERT_EQUAL(codec, CODEC_BF16);
    CU_ASSERT_STRING_EQUAL(codec_name(codec), "bf16");
    CU_ASSERT_EQUAL(codec_from_name("mx4", &codec), STATUS_OK);
    CU_ASSERT_EQUAL(codec, CODEC_MX4);
    CU_ASSERT_STRING_EQUAL(codec_name(codec), "mx4");
    CU_ASSERT_EQUAL(codec_from_name("mx6", &codec), STATUS_BAD_CONFIG);
    for (uint64_t number = 0; number < 6; number++) {
        CU_ASSERT_EQUAL(codec_is_known(number), number >= 1 && number <= 4);
    }
    CU_ASSERT_FALSE(codec_is_known(UINT64_C(1) << 32 | 1));
    CU_ASSERT_EQUAL(codec_encoded_bytes(CODEC_BF16, 64), 128);
    CU_ASSERT_EQUAL(codec_encoded_bytes(CODEC_MX8, 64), 66);
    CU_ASSERT_EQUAL(codec_encoded_bytes(CODEC_MX4, 64), 34);
    CU_ASSERT_EQUAL(codec_encoded_bytes(CODEC_FP32, 64), 256);
}

static void encode_fp32_is_lossless(void)
{
    fill_random(1);
    CU_ASSERT_EQUAL(codec_encode(CODEC_FP32, CODEC_EXPONENT_ANY, values, COUNT, encoded),
                    STATUS_OK);
    CU_ASSERT_EQUAL(codec_check(CODEC_FP32, encoded, BYTES_MAX, COUNT), STATUS_OK);
    decode(CODEC_FP32);
    CU_ASSERT_TRUE(same_bits(decoded, copy, sizeof copy));
    CU_ASSERT_EQUAL(max_of(values), 0.0F);
}

static void encode_mx8_errs_by_less_than_a_128th_of_the_block_maximum(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        fill_random(seed);
        CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, CODEC_EXPONENT_ANY, values, COUNT, encoded),
                        STATUS_OK);
        CU_ASSERT_EQUAL(
            codec_check(CODEC_MX8, encoded, codec_encoded_bytes(CODEC_MX8, COUNT), COUNT),
            STATUS_OK);
        decode(CODEC_MX8);
        int bad_bound = 0;
        int bad_residual = 0;
        for (int i = 0; i < COUNT; i++) {
            float max = max_of(copy + (size_t)(i / CODEC_BLOCK_VALUES) * CODEC_BLOCK_VALUES);
            bad_bound += fabsf(values[i]) > max / 128;
            /* Exact in double whenever it is exact in float, which is the claim. */
            bad_residual += (double)decoded[i] + (double)values[i] != (double)copy[i];
        }
        CU_ASSERT_EQUAL(bad_bound, 0);
        CU_ASSERT_EQUAL(bad_residual, 0);
    }
}

static void encode_mx8_takes_known_values_to_known_bytes(void)
{
    memset(values, 0, sizeof values);
    values[0] = 1.0F;
    values[1] = -0.5F;
    values[2] = 1.5F / 64;    /* half to even: 2 */
    values[3] = 2.5F / 64;    /* half to even: 2 */
    values[32] = 127.5F / 64; /* half to even would be 128: saturates */
    values[64] = 127.25F / 64;
    CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, CODEC_EXPONENT_ANY, values, COUNT, encoded), STATUS_OK);
    CU_ASSERT_EQUAL(encoded[0], 127);
    CU_ASSERT_EQUAL(encoded[1], 64);
    CU_ASSERT_EQUAL((int8_t)encoded[2], -32);
    CU_ASSERT_EQUAL(encoded[3], 2);
    CU_ASSERT_EQUAL(encoded[4], 2);
    CU_ASSERT_EQUAL(values[2], -0.5F / 64);
    CU_ASSERT_EQUAL(values[3], 0.5F / 64);
    CU_ASSERT_EQUAL(encoded[33], 127);
    CU_ASSERT_EQUAL(encoded[34], 127);
    CU_ASSERT_EQUAL(values[32], 0.5F / 64);
    CU_ASSERT_EQUAL(encoded[66], 127);
    CU_ASSERT_EQUAL(encoded[67], 127);
    CU_ASSERT_EQUAL(encoded[99], 0); /* a block of zeros */
    CU_ASSERT_EQUAL(encoded[100], 0);
}

static void encode_mx8_saturates_the_largest_and_keeps_the_rest(void)
{
    memset(values, 0, sizeof values);
    values[0] = FLT_MAX;
    values[1] = -FLT_MAX;
    CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, CODEC_EXPONENT_ANY, values, COUNT, encoded), STATUS_OK);
    CU_ASSERT_EQUAL(encoded[0], 254);
    CU_ASSERT_EQUAL(encoded[1], 127);
    CU_ASSERT_EQUAL((int8_t)encoded[2], -127);
    decode(CODEC_MX8);
    CU_ASSERT_TRUE(isfinite(decoded[0]));
    CU_ASSERT_EQUAL(decoded[0] + values[0], FLT_MAX);
    CU_ASSERT_EQUAL(decoded[1] + values[1], -FLT_MAX);
}

static void encode_mx8_handles_subnormals(void)
{
    memset(values, 0, sizeof values);
    for (int i = 0; i < COUNT; i++) {
        values[i] = ldexpf(1.0F + (float)(i % 32) / 40, -149 + i / CODEC_BLOCK_VALUES % 30);
    }
    memcpy(copy, values, sizeof copy);
    CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, CODEC_EXPONENT_ANY, values, COUNT, encoded), STATUS_OK);
    decode(CODEC_MX8);
    int bad = 0;
    for (int i = 0; i < COUNT; i++) {
        bad += (double)decoded[i] + (double)values[i] != (double)copy[i];
        bad += fabsf(values[i]) > fmaxf(0x1p-134F, copy[i] / 64);
    }
    CU_ASSERT_EQUAL(bad, 0);
}

static void encode_mx8_keeps_units_on_the_grid(void)
{
    const int lsb_exponent_min = -20;
    fill_random(3);
    CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, lsb_exponent_min, values, COUNT, encoded), STATUS_OK);
    decode(CODEC_MX8);
    int bad = 0;
    int empty = 0;
    for (int block = 0; block < BLOCKS; block++) {
        const uint8_t *bytes = encoded + (size_t)block * CODEC_MX8_BLOCK_BYTES;
        float max = max_of(decoded + (size_t)block * CODEC_BLOCK_VALUES);
        empty += max == 0.0F;
        bad += max == 0.0F ? bytes[0] != 0 : (int)bytes[0] - 133 < lsb_exponent_min;
    }
    for (int i = 0; i < COUNT; i++) {
        bad += (double)decoded[i] + (double)values[i] != (double)copy[i];
    }
    CU_ASSERT_EQUAL(bad, 0);
    CU_ASSERT_TRUE(empty > 0 && empty < BLOCKS);
}

static void encode_bf16_errs_by_at_most_a_256th_and_keeps_the_rest(void)
{
    size_t size_bytes = codec_encoded_bytes(CODEC_BF16, COUNT);
    for (uint64_t seed = 0; seed < 20; seed++) {
        fill_random(seed);
        CU_ASSERT_EQUAL(codec_encode(CODEC_BF16, CODEC_EXPONENT_ANY, values, COUNT, encoded),
                        STATUS_OK);
        CU_ASSERT_EQUAL(codec_check(CODEC_BF16, encoded, size_bytes, COUNT), STATUS_OK);
        decode(CODEC_BF16);
        int bad = 0;
        int lossy = 0;
        for (int i = 0; i < COUNT; i++) {
            /* Half a place of 8 bits, or of the least subnormal. */
            bad += fabsf(values[i]) > fmaxf(fabsf(copy[i]) / 256, 0x1p-134F);
            bad += (double)decoded[i] + (double)values[i] != (double)copy[i];
            lossy += values[i] != 0.0F;
        }
        CU_ASSERT_EQUAL(bad, 0);
        CU_ASSERT_TRUE(lossy > COUNT / 2);
        memset(values, 0, sizeof values);
        memcpy(copy, decoded, sizeof copy);
        CU_ASSERT_EQUAL(codec_encode(CODEC_BF16, CODEC_EXPONENT_ANY, decoded, COUNT, encoded_again),
                        STATUS_OK);
        CU_ASSERT_EQUAL(memcmp(encoded, encoded_again, size_bytes), 0);
        CU_ASSERT_EQUAL(max_of(decoded), 0.0F);
    }
}

static void encode_bf16_takes_known_values_to_known_bytes(void)
{
    static const struct {
        float value;
        uint16_t bits;
    } known[] = {
        {1.0F, 0x3f80},          {-2.5F, 0xc020},
        {0x1.01p0F, 0x3f80},  /* half to even: down */
        {0x1.03p0F, 0x3f82},  /* half to even: up */
        {-0x1.01p0F, 0xbf80}, /* of both signs */
        {0x1.010002p0F, 0x3f81}, {0x1.fffffep0F, 0x4000},
        {-0.0F, 0x8000},         {0x1p-133F, 0x0001},   /* the least subnormal */
        {0x1p-134F, 0x0000},                            /* half of it: to even */
        {0x1.8p-133F, 0x0002},   {0x1.fep127F, 0x7f7f}, /* the largest */
        {FLT_MAX, 0x7f7f}, /* saturates where rounding gives infinity */
        {-FLT_MAX, 0xff7f},
    };
    enum { KNOWN = sizeof known / sizeof known[0] };
    memset(values, 0, sizeof values);
    for (size_t i = 0; i < KNOWN; i++) {
        values[i] = known[i].value;
    }
    CU_ASSERT_EQUAL(codec_encode(CODEC_BF16, 0, values, COUNT, encoded), STATUS_OK);
    decode(CODEC_BF16);
    for (size_t i = 0; i < KNOWN; i++) {
        CU_ASSERT_EQUAL(encoded[2 * i], known[i].bits & 0xff);
        CU_ASSERT_EQUAL(encoded[2 * i + 1], known[i].bits >> 8);
        CU_ASSERT_EQUAL((double)decoded[i] + (double)values[i], (double)known[i].value);
    }
}

static void encode_not_a_number_is_refused_and_leaves_the_values(void)
{
    const float strangers[] = {NAN, INFINITY, -INFINITY};
    const enum codec codecs[] = {CODEC_FP32, CODEC_MX8, CODEC_BF16, CODEC_MX4};
    const int places[] = {0, 31, 32 * 77 + 5, COUNT - 1};
    for (size_t i = 0; i < 48; i++) {
        fill_random(4);
        for (int zero = 0; zero < COUNT; zero += 5) {
            values[zero] = zero % 2 == 0 ? 0.0F : -0.0F;
        }
        values[places[i % 4]] = strangers[i / 4 % 3];
        memcpy(copy, values, sizeof copy);
        CU_ASSERT_EQUAL(codec_encode(codecs[i / 12], CODEC_EXPONENT_ANY, values, COUNT, encoded),
                        STATUS_OUT_OF_RANGE);
        CU_ASSERT_TRUE(same_bits(values, copy, sizeof copy));
    }
}

static void encode_of_decoded_gives_the_same_bytes(void)
{
    const int limits[] = {CODEC_EXPONENT_ANY, -20};
    for (size_t i = 0; i < 2; i++) {
        fill_random(5);
        CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, limits[i], values, COUNT, encoded), STATUS_OK);
        decode(CODEC_MX8);
        CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, limits[i], decoded, COUNT, encoded_again),
                        STATUS_OK);
        CU_ASSERT_EQUAL(memcmp(encoded, encoded_again, codec_encoded_bytes(CODEC_MX8, COUNT)), 0);
        CU_ASSERT_EQUAL(max_of(decoded), 0.0F); /* nothing was left over */
    }
}

static void residual_feedback_makes_sums_converge(void)
{
    static double truth[COUNT];
    static float feedback[COUNT];
    memset(truth, 0, sizeof truth);
    memset(feedback, 0, sizeof feedback);
    memset(decoded, 0, sizeof decoded);
    static double sent[COUNT];
    memset(sent, 0, sizeof sent);
    struct random random;
    random_init(&random, 6, 0);
    for (int step = 0; step < 300; step++) {
        for (int i = 0; i < COUNT; i++) {
            /* Most of a block is 1000 times smaller than its largest value: lost without feedback.
             */
            float input = (float)random_normal(&random) * 1e-4F + (i % 32 == 0 ? 1.0F : 1e-3F);
            truth[i] += (double)input;
            feedback[i] += input;
        }
        CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, CODEC_EXPONENT_ANY, feedback, COUNT, encoded),
                        STATUS_OK);
        decode(CODEC_MX8);
        for (int i = 0; i < COUNT; i++) {
            sent[i] += (double)decoded[i];
        }
    }
    double worst = 0;
    for (int i = 0; i < COUNT; i++) {
        worst = fmax(worst, fabs(sent[i] - truth[i]));
    }
    CU_ASSERT_TRUE(worst < 1.0 / 64); /* one unit, after 300 steps */
}

static void check_refuses_bad_bytes(void)
{
    size_t size_bytes = codec_encoded_bytes(CODEC_MX8, COUNT);
    fill_random(7);
    CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, CODEC_EXPONENT_ANY, values, COUNT, encoded), STATUS_OK);
    CU_ASSERT_EQUAL(codec_check(CODEC_MX8, encoded, size_bytes - 1, COUNT), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(codec_check(CODEC_MX8, encoded, size_bytes, COUNT - 32), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(codec_check(CODEC_MX8, encoded, size_bytes, COUNT - 1), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(codec_check(CODEC_MX8, encoded, 0, COUNT), STATUS_BAD_SHAPE);
    uint8_t *last = encoded + size_bytes - CODEC_MX8_BLOCK_BYTES;
    uint8_t kept = last[0];
    last[0] = 255;
    CU_ASSERT_EQUAL(codec_check(CODEC_MX8, encoded, size_bytes, COUNT), STATUS_OUT_OF_RANGE);
    last[0] = kept;
    CU_ASSERT_EQUAL(codec_check(CODEC_MX8, encoded, size_bytes, COUNT), STATUS_OK);
    last[32] = 0x80; /* q = -128 */
    CU_ASSERT_EQUAL(codec_check(CODEC_MX8, encoded, size_bytes, COUNT), STATUS_OUT_OF_RANGE);

    CU_ASSERT_EQUAL(codec_encode(CODEC_FP32, 0, copy, COUNT, encoded), STATUS_OK);
    CU_ASSERT_EQUAL(codec_check(CODEC_FP32, encoded, BYTES_MAX, COUNT), STATUS_OK);
    CU_ASSERT_EQUAL(codec_check(CODEC_FP32, encoded, BYTES_MAX - 4, COUNT), STATUS_BAD_SHAPE);
    memset(encoded + BYTES_MAX - 4, 0xff, 4);
    CU_ASSERT_EQUAL(codec_check(CODEC_FP32, encoded, BYTES_MAX, COUNT), STATUS_OUT_OF_RANGE);
}

static void check_refuses_bad_bf16(void)
{
    const uint16_t strangers[] = {0x7f80, 0xff80, 0x7fc0, 0xffff, 0x7f81};
    size_t size_bytes = codec_encoded_bytes(CODEC_BF16, COUNT);
    memset(encoded, 0, sizeof encoded);
    CU_ASSERT_EQUAL(codec_check(CODEC_BF16, encoded, size_bytes, COUNT), STATUS_OK);
    CU_ASSERT_EQUAL(codec_check(CODEC_BF16, encoded, size_bytes - 2, COUNT), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(codec_check(CODEC_BF16, encoded, BYTES_MAX, COUNT), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(codec_check(CODEC_BF16, encoded, 2, 1), STATUS_BAD_SHAPE);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        size_t place = i % 2 == 0 ? size_bytes - 2 : 0;
        memcpy(encoded + place, &strangers[i], 2);
        CU_ASSERT_EQUAL(codec_check(CODEC_BF16, encoded, size_bytes, COUNT), STATUS_OUT_OF_RANGE);
        memset(encoded + place, 0, 2);
    }
    memset(encoded, 0x7f, size_bytes); /* 0x7f7f, the largest */
    CU_ASSERT_EQUAL(codec_check(CODEC_BF16, encoded, size_bytes, COUNT), STATUS_OK);
}

static void random_bytes_that_pass_the_check_decode_to_finite_values(void)
{
    struct random random;
    random_init(&random, 8, 0);
    int passed = 0;
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < CODEC_MX8_BLOCK_BYTES; i++) {
            encoded[i] = (uint8_t)random_next(&random);
        }
        encoded[0] = (uint8_t)(round % 256);
        if (codec_check(CODEC_MX8, encoded, CODEC_MX8_BLOCK_BYTES, 32) != STATUS_OK) {
            continue;
        }
        passed++;
        float block[CODEC_BLOCK_VALUES] = {0};
        codec_add(CODEC_MX8, encoded, 32, block);
        int bad = 0;
        for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
            bad += !isfinite(block[i]);
            bad += (double)block[i] != ldexp((int8_t)encoded[1 + i], encoded[0] - 133);
        }
        CU_ASSERT_EQUAL(bad, 0);
    }
    CU_ASSERT_TRUE(passed > 1000);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(names_go_both_ways),
        SUITE_TEST(encode_fp32_is_lossless),
        SUITE_TEST(encode_mx8_errs_by_less_than_a_128th_of_the_block_maximum),
        SUITE_TEST(encode_mx8_takes_known_values_to_known_bytes),
        SUITE_TEST(encode_mx8_saturates_the_largest_and_keeps_the_rest),
        SUITE_TEST(encode_mx8_handles_subnormals),
        SUITE_TEST(encode_mx8_keeps_units_on_the_grid),
        SUITE_TEST(encode_bf16_errs_by_at_most_a_256th_and_keeps_the_rest),
        SUITE_TEST(encode_bf16_takes_known_values_to_known_bytes),
        SUITE_TEST(encode_not_a_number_is_refused_and_leaves_the_values),
        SUITE_TEST(encode_of_decoded_gives_the_same_bytes),
        SUITE_TEST(residual_feedback_makes_sums_converge),
        SUITE_TEST(check_refuses_bad_bytes),
        SUITE_TEST(check_refuses_bad_bf16),
        SUITE_TEST(random_bytes_that_pass_the_check_decode_to_finite_values),
    };
    return suite_run("codec", tests, sizeof tests / sizeof tests[0]);
}
