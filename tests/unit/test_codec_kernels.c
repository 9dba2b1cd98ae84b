/* Every set of kernels that this CPU has, compared with the plain one, bit for bit. */
#include "common/random.h"
#include "proto/codec/kernels.h"
#include "tests/unit/suite.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { COUNT = 1024, BLOCKS = COUNT / CODEC_BLOCK_VALUES, BYTES_MAX = COUNT * 4, ROUNDS = 300 };

static const enum codec codecs[] = {CODEC_FP32, CODEC_MX8, CODEC_BF16, CODEC_MX4};
enum { CODECS = sizeof codecs / sizeof codecs[0] };

static const struct codec_kernels *sets[CODEC_KERNELS_MAX];
static size_t set_count;

/* The storage begins at odd addresses in some rounds, as bytes from a message do. */
static float values[2][COUNT];
static float params[2][COUNT];
static int64_t sums[2][COUNT];
static uint8_t encoded[2][BYTES_MAX + 1];

static float any_bits(struct random *random)
{
    float value;
    uint32_t bits = (uint32_t)random_next(random);
    memcpy(&value, &bits, sizeof value);
    return isfinite(value) ? value : FLT_MAX;
}

/* One block: of one scale, of subnormals, of any bits, of zeros, or next to the places where
 * rounding turns. */
static void fill_block(struct random *random, float *block)
{
    uint64_t kind = random_below(random, 6);
    int scale = (int)random_below(random, 270) - 145;
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        float sign = random_below(random, 2) == 0 ? 1.0F : -1.0F;
        float half = (float)random_below(random, 257) * 0.5F;
        float near = random_below(random, 3) == 0 ? half : nextafterf(half, sign * 1e3F);
        switch (kind) {
        case 0:
            block[i] = (float)ldexp(random_normal(random), scale);
            break;
        case 1:
            block[i] = sign * (float)ldexp((double)random_below(random, 1 << 24), -149);
            break;
        case 2:
            block[i] = any_bits(random);
            break;
        case 3:
            block[i] = sign * 0.0F;
            break;
        case 4:
            block[i] = sign * ldexpf(near, scale < 120 ? scale : 120);
            break;
        default:
            block[i] = i == 7 ? sign * FLT_MAX : sign * (float)random_below(random, 2);
            break;
        }
    }
}

static void fill(struct random *random)
{
    for (int block = 0; block < BLOCKS; block++) {
        fill_block(random, values[0] + (size_t)block * CODEC_BLOCK_VALUES);
    }
    memcpy(values[1], values[0], sizeof values[0]);
    for (int i = 0; i < COUNT; i++) {
        params[0][i] = any_bits(random) * 0x1p-20F;
        sums[0][i] = (int64_t)random_next(random);
    }
    memcpy(params[1], params[0], sizeof params[0]);
    memcpy(sums[1], sums[0], sizeof sums[0]);
}

static int differs(const void *both, size_t each_bytes)
{
    return memcmp(both, (const char *)both + each_bytes, each_bytes) != 0;
}

static void encode_is_the_same_in_every_set(void)
{
    struct random random;
    random_init(&random, 21, 0);
    int bad = 0;
    for (size_t i = 0; i < (set_count - 1) * CODECS * ROUNDS; i++) {
        enum codec codec = codecs[i % CODECS];
        int lsb_exponent_min =
            i % 3 == 0 ? CODEC_EXPONENT_ANY : (int)random_below(&random, 270) - 149;
        size_t offset = i % 2;
        fill(&random);
        memset(encoded, 0xee, sizeof encoded);
        const struct codec_loops *some = &sets[i / CODECS / ROUNDS]->loops[codec];
        const struct codec_loops *plain = &codec_kernels_plain.loops[codec];
        bad += some->encode(lsb_exponent_min, values[0], BLOCKS, encoded[0] + offset) != BLOCKS;
        bad += plain->encode(lsb_exponent_min, values[1], BLOCKS, encoded[1] + offset) != BLOCKS;
        bad += differs(encoded, sizeof encoded[0]) || differs(values, sizeof values[0]);
    }
    CU_ASSERT_EQUAL(bad, 0);
}

static void encode_stops_in_every_set_before_what_is_not_finite(void)
{
    const float strangers[] = {NAN, -NAN, INFINITY, -INFINITY};
    struct random random;
    random_init(&random, 22, 0);
    int bad = 0;
    for (size_t i = 0; i < set_count * CODECS * ROUNDS; i++) {
        enum codec codec = codecs[i % CODECS];
        const struct codec_loops *some = &sets[i / CODECS / ROUNDS]->loops[codec];
        size_t place = random_below(&random, COUNT);
        size_t block = place / CODEC_BLOCK_VALUES;
        fill(&random);
        values[0][place] = values[1][place] = strangers[i % 4];
        bad += some->encode(CODEC_EXPONENT_ANY, values[0], BLOCKS, encoded[0]) != block;
        size_t first = block * CODEC_BLOCK_VALUES;
        bad += memcmp(values[0] + first, values[1] + first, (COUNT - first) * 4) != 0;
    }
    CU_ASSERT_EQUAL(bad, 0);
}

/* What passes a check, and what does not: bytes of an encoder, a few of them changed. */
static void make_bytes(struct random *random, enum codec codec)
{
    fill(random);
    int lsb_exponent_min = random_below(random, 2) == 0 ? CODEC_EXPONENT_ANY : -40;
    (void)codec_kernels_plain.loops[codec].encode(lsb_exponent_min, values[0], BLOCKS, encoded[0]);
    size_t size_bytes = codec_encoded_bytes(codec, COUNT);
    for (uint64_t i = random_below(random, 3); i > 0; i--) {
        encoded[0][random_below(random, size_bytes)] = (uint8_t)random_next(random);
    }
}

/* Random limits by exponent, so that each block is at, below or above its own. */
static void make_limits(struct random *random, struct codec_limits *out)
{
    bool strict = random_below(random, 4) == 0;
    out->bits_max = strict ? (uint32_t)random_below(random, 0x7f800000) : 0x7f7fffff;
    out->exponent_max = (uint8_t)(255 - random_below(random, 5));
    for (int i = 0; i < 256; i++) {
        out->size_max[i] = (uint8_t)(strict ? random_below(random, 128) : 127);
    }
}

static void within_is_the_same_in_every_set(void)
{
    struct random random;
    random_init(&random, 23, 0);
    int bad = 0;
    size_t passed = 0;
    size_t all = (set_count - 1) * CODECS * ROUNDS;
    for (size_t i = 0; i < all; i++) {
        enum codec codec = codecs[i % CODECS];
        struct codec_limits limits;
        make_bytes(&random, codec);
        make_limits(&random, &limits);
        const struct codec_loops *some = &sets[i / CODECS / ROUNDS]->loops[codec];
        bool expected = codec_kernels_plain.loops[codec].within(&limits, encoded[0], BLOCKS);
        bad += some->within(&limits, encoded[0], BLOCKS) != expected;
        passed += expected;
    }
    CU_ASSERT_EQUAL(bad, 0);
    CU_ASSERT_TRUE(all == 0 || (passed > all / 10 && passed < all - all / 10));
}

static void add_is_the_same_in_every_set(void)
{
    struct random random;
    random_init(&random, 24, 0);
    int bad = 0;
    for (size_t i = 0; i < (set_count - 1) * CODECS * ROUNDS; i++) {
        enum codec codec = codecs[i % CODECS];
        do {
            make_bytes(&random, codec);
        } while (codec_check(codec, encoded[0], codec_encoded_bytes(codec, COUNT), COUNT) !=
                 STATUS_OK);
        sets[i / CODECS / ROUNDS]->loops[codec].add(encoded[0], BLOCKS, params[0]);
        codec_kernels_plain.loops[codec].add(encoded[0], BLOCKS, params[1]);
        bad += differs(params, sizeof params[0]);
    }
    CU_ASSERT_EQUAL(bad, 0);
}

/* Values for which |value| * 2^shift < 2^63; those of mx8 and mx4 with other shifts are skipped by
 * all sets. */
static void make_summable(struct random *random, enum codec codec, int shift)
{
    fill(random);
    for (int i = 0; i < COUNT; i++) {
        int exponent = 0;
        float fraction = frexpf(values[0][i], &exponent);
        values[0][i] = exponent + shift > 60 ? fraction * ldexpf(1.0F, 60 - shift) : values[0][i];
    }
    int lsb_exponent_min = random_below(random, 2) == 0 ? CODEC_EXPONENT_ANY : -shift;
    (void)codec_kernels_plain.loops[codec].encode(lsb_exponent_min, values[0], BLOCKS, encoded[0]);
}

static void sum_is_the_same_in_every_set(void)
{
    struct random random;
    random_init(&random, 25, 0);
    int bad = 0;
    for (size_t i = 0; i < (set_count - 1) * CODECS * ROUNDS; i++) {
        enum codec codec = codecs[i % CODECS];
        int shift = (int)random_below(&random, 53);
        bool negate = i / CODECS % 2 == 0;
        make_summable(&random, codec, shift);
        sets[i / CODECS / ROUNDS]->loops[codec].sum(encoded[0], BLOCKS, shift, negate, sums[0]);
        codec_kernels_plain.loops[codec].sum(encoded[0], BLOCKS, shift, negate, sums[1]);
        bad += differs(sums, sizeof sums[0]);
    }
    CU_ASSERT_EQUAL(bad, 0);
}

/* fp32 in every set, the plain one too, against long double. */
static void sum_rounds_half_to_even_in_every_set(void)
{
    struct random random;
    random_init(&random, 26, 0);
    int bad = 0;
    for (size_t i = 0; i < set_count * ROUNDS; i++) {
        int shift = (int)random_below(&random, 53);
        fill(&random);
        for (int k = 0; k < COUNT; k++) { /* halves and near halves of the grid, and large ones */
            float size = (float)((int64_t)random_next(&random) >> random_below(&random, 63));
            values[0][k] = ldexpf(size, -(int)random_below(&random, 3) - shift);
        }
        memcpy(encoded[0], values[0], sizeof values[0]);
        memset(sums[0], 0, sizeof sums[0]);
        sets[i / ROUNDS]->loops[CODEC_FP32].sum(encoded[0], BLOCKS, shift, false, sums[0]);
        for (int k = 0; k < COUNT; k++) {
            long double units = rintl(ldexpl((long double)values[0][k], shift));
            bad += units < 0x1p63L && sums[0][k] != (int64_t)units;
        }
    }
    CU_ASSERT_EQUAL(bad, 0);
}

static void list_ends_with_the_plain_set(void)
{
    CU_ASSERT_TRUE(set_count >= 1 && set_count <= CODEC_KERNELS_MAX);
    CU_ASSERT_PTR_EQUAL(sets[set_count - 1], &codec_kernels_plain);
    CU_ASSERT_PTR_EQUAL(codec_loops(CODEC_MX4), &sets[0]->loops[CODEC_MX4]);
    for (size_t i = 0; i < set_count; i++) {
        printf(" %s", sets[i]->name);
    }
}

int main(void)
{
    set_count = codec_kernels_list(sets);
    static const struct suite_test tests[] = {
        SUITE_TEST(list_ends_with_the_plain_set),
        SUITE_TEST(encode_is_the_same_in_every_set),
        SUITE_TEST(encode_stops_in_every_set_before_what_is_not_finite),
        SUITE_TEST(within_is_the_same_in_every_set),
        SUITE_TEST(add_is_the_same_in_every_set),
        SUITE_TEST(sum_is_the_same_in_every_set),
        SUITE_TEST(sum_rounds_half_to_even_in_every_set),
    };
    return suite_run("codec_kernels", tests, sizeof tests / sizeof tests[0]);
}
