#include "common/random.h"
#include "proto/codec/codec.h"
#include "proto/codec/exact_sum.h"
#include "proto/codec/sum_pack.h"
#include "tests/unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 256, BLOCKS = COUNT / CODEC_BLOCK_VALUES, HEADERS_BYTES = 2 * BLOCKS };

static int64_t sums[SUM_PACK_VALUES_MAX];
static int64_t unpacked[SUM_PACK_VALUES_MAX];

/* Packs into memory of exactly the size it may take, and hands it over in memory of exactly the
 * size it took, so that the address sanitizer sees every byte too many. The caller frees. */
static uint8_t *pack(const int64_t *from, size_t count, size_t *size_bytes)
{
    uint8_t *room = malloc(sum_pack_bytes_max(count));
    CU_ASSERT_PTR_NOT_NULL_FATAL(room);
    *size_bytes = sum_pack(from, count, room);
    CU_ASSERT_TRUE(*size_bytes <= sum_pack_bytes_max(count));
    uint8_t *packed = malloc(*size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
    memcpy(packed, room, *size_bytes);
    free(room);
    return packed;
}

/* Returns the bytes that the sums took. */
static size_t assert_round_trip(size_t count)
{
    size_t size_bytes = 0;
    uint8_t *packed = pack(sums, count, &size_bytes);
    memset(unpacked, 0, sizeof unpacked);
    CU_ASSERT_EQUAL(sum_pack_check(packed, size_bytes, count), STATUS_OK);
    CU_ASSERT_EQUAL(sum_unpack_add(packed, size_bytes, count, unpacked), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(unpacked, sums, count * sizeof *sums), 0);
    free(packed);
    return size_bytes;
}

static int64_t random_integer(struct random *random, int width)
{
    uint64_t bits = random_next(random) >> (64 - width);
    uint64_t sign = UINT64_C(1) << (width - 1);
    return (int64_t)((bits ^ sign) - sign);
}

/* One block that needs exactly this width and shift, in the midst of others. */
static void round_trip_of_every_width_and_shift_takes_that_many_bits(void)
{
    struct random random;
    random_init(&random, 31, 0);
    for (int width = 1; width <= 64; width++) {
        for (int shift = 0; shift + width <= 64; shift++) {
            memset(sums, 0, COUNT * sizeof *sums);
            for (int i = 32; i < 64; i++) {
                sums[i] = (int64_t)((uint64_t)random_integer(&random, width) << shift);
            }
            sums[40] = (int64_t)(UINT64_C(1) << (shift + width - 1)); /* for width 64: the least */
            sums[40] = shift + width < 64 ? -sums[40] : sums[40];
            sums[41] = (int64_t)(UINT64_MAX << shift); /* -1 */
            CU_ASSERT_EQUAL(assert_round_trip(COUNT), HEADERS_BYTES + 4 * (size_t)width);
        }
    }
}

static void round_trip_of_random_blocks_is_exact(void)
{
    struct random random;
    random_init(&random, 32, 0);
    for (int round = 0; round < 300; round++) {
        size_t count = 32 * (1 + random_below(&random, 64));
        for (size_t first = 0; first < count; first += 32) {
            int width = 1 + (int)random_below(&random, 64);
            int shift = (int)random_below(&random, (uint64_t)(65 - width));
            for (size_t i = first; i < first + 32; i++) {
                int zero = random_below(&random, 3) == 0;
                uint64_t integer = (uint64_t)random_integer(&random, width);
                sums[i] = zero ? 0 : (int64_t)(integer << shift);
            }
        }
        (void)assert_round_trip(count);
    }
}

static void pack_of_zeros_takes_the_headers_alone(void)
{
    memset(sums, 0, sizeof sums);
    CU_ASSERT_EQUAL(assert_round_trip(SUM_PACK_VALUES_MAX), SUM_PACK_VALUES_MAX / 16);
    CU_ASSERT_EQUAL(assert_round_trip(32), 2);
    CU_ASSERT_EQUAL(assert_round_trip(0), 0);
}

static void pack_of_extremes_keeps_all_64_bits(void)
{
    const int64_t extremes[] = {INT64_MIN, INT64_MAX, 0, 1, -1, INT64_MIN + 1};
    for (int i = 0; i < SUM_PACK_VALUES_MAX; i++) {
        sums[i] = extremes[i % 6];
    }
    CU_ASSERT_EQUAL(assert_round_trip(SUM_PACK_VALUES_MAX),
                    sum_pack_bytes_max(SUM_PACK_VALUES_MAX));
    memset(sums, 0, sizeof sums);
    sums[7] = INT64_MIN; /* alone it is -1 * 2^63 */
    CU_ASSERT_EQUAL(assert_round_trip(32), 2 + 4);
    sums[7] = INT64_MAX;
    CU_ASSERT_EQUAL(assert_round_trip(32), 2 + 32 * 8);
}

static void pack_takes_known_sums_to_known_bytes(void)
{
    memset(sums, 0, 64 * sizeof *sums);
    sums[32] = 8; /* 2 -1 1 0 times 4: three bits each */
    sums[33] = -4;
    sums[34] = 4;
    size_t size_bytes = 0;
    uint8_t *packed = pack(sums, 64, &size_bytes);
    const uint8_t known[16] = {0, 0, 2, 3, 0x7a};
    CU_ASSERT_EQUAL_FATAL(size_bytes, sizeof known);
    CU_ASSERT_EQUAL(memcmp(packed, known, sizeof known), 0);
    free(packed);
}

static void unpack_adds_and_wraps_around(void)
{
    memset(sums, 0, 32 * sizeof *sums);
    sums[0] = INT64_MAX;
    sums[1] = INT64_MIN;
    sums[2] = 5;
    size_t size_bytes = 0;
    uint8_t *packed = pack(sums, 32, &size_bytes);
    memset(unpacked, 0, sizeof unpacked);
    unpacked[0] = 1;
    unpacked[1] = -1;
    unpacked[2] = -7;
    unpacked[31] = 9;
    CU_ASSERT_EQUAL(sum_unpack_add(packed, size_bytes, 32, unpacked), STATUS_OK);
    CU_ASSERT_EQUAL(unpacked[0], INT64_MIN);
    CU_ASSERT_EQUAL(unpacked[1], INT64_MAX);
    CU_ASSERT_EQUAL(unpacked[2], -2);
    CU_ASSERT_EQUAL(unpacked[31], 9);
    free(packed);
}

static void fill_mixed(struct random *random)
{
    for (int i = 0; i < COUNT; i++) {
        sums[i] = random_integer(random, 1 + i / 32 * 9);
    }
}

/* Memory of exactly that size, so that a byte read behind it is seen. */
static enum status unpack_copy(const uint8_t *bytes, size_t size_bytes)
{
    uint8_t *copy = malloc(size_bytes + (size_bytes == 0));
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, bytes, size_bytes);
    enum status status = sum_unpack_add(copy, size_bytes, COUNT, unpacked);
    CU_ASSERT_EQUAL(sum_pack_check(copy, size_bytes, COUNT), status);
    free(copy);
    return status;
}

static void unpack_of_another_length_is_refused_and_adds_nothing(void)
{
    static const int64_t untouched[COUNT];
    struct random random;
    random_init(&random, 33, 0);
    fill_mixed(&random);
    uint8_t room[sizeof sums / 64];
    size_t size_bytes = sum_pack(sums, COUNT, room);
    memset(unpacked, 0, sizeof unpacked);
    memset(room + size_bytes, 0, 64);
    for (size_t length = 0; length < size_bytes + 64; length++) {
        if (length != size_bytes) {
            CU_ASSERT_EQUAL(unpack_copy(room, length), STATUS_BAD_SHAPE);
        }
    }
    CU_ASSERT_EQUAL(memcmp(unpacked, untouched, sizeof untouched), 0);
    CU_ASSERT_EQUAL(unpack_copy(room, size_bytes), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(unpacked, sums, sizeof untouched), 0);
}

static void unpack_of_an_impossible_header_is_refused_and_adds_nothing(void)
{
    static const int64_t untouched[COUNT];
    const uint8_t strangers[][2] = {{1, 0},  {63, 0},    {0, 65}, {1, 64},
                                    {64, 1}, {255, 255}, {64, 0}};
    struct random random;
    random_init(&random, 34, 0);
    memset(unpacked, 0, sizeof unpacked);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        for (int block = 0; block < BLOCKS; block++) {
            uint8_t room[sizeof sums / 64 + 1024] = {0};
            fill_mixed(&random);
            size_t size_bytes = sum_pack(sums, COUNT, room);
            size_bytes += 4 * (size_t)strangers[i][1];
            size_bytes -= 4 * (size_t)room[2 * block + 1];
            memcpy(room + (size_t)block * 2, strangers[i], 2);
            CU_ASSERT_EQUAL(unpack_copy(room, size_bytes), STATUS_OUT_OF_RANGE);
        }
    }
    CU_ASSERT_EQUAL(memcmp(unpacked, untouched, sizeof untouched), 0);
}

static void unpack_of_changed_bytes_is_refused_or_stays_in_bounds(void)
{
    struct random random;
    random_init(&random, 35, 0);
    int passed = 0;
    enum { ROUNDS = 20000 };
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t room[sizeof sums / 64];
        fill_mixed(&random);
        size_t size_bytes = sum_pack(sums, COUNT, room);
        for (uint64_t i = 1 + random_below(&random, 4); i > 0; i--) {
            uint64_t within = random_below(&random, 2) == 0 ? HEADERS_BYTES : size_bytes;
            room[random_below(&random, within)] = (uint8_t)random_next(&random);
        }
        memcpy(unpacked, sums, sizeof unpacked);
        unpacked[COUNT] = 77;
        enum status status = unpack_copy(room, size_bytes);
        CU_ASSERT_EQUAL(unpacked[COUNT], 77);
        CU_ASSERT_TRUE(status == STATUS_OK || memcmp(unpacked, sums, COUNT * sizeof *sums) == 0);
        passed += status == STATUS_OK;
    }
    CU_ASSERT_TRUE(passed > ROUNDS / 10 && passed < ROUNDS / 2);
}

static void sums_of_16_mx8_contributions_take_about_two_bytes_a_value(void)
{
    enum { PEERS = 16 };
    static float values[SUM_PACK_VALUES_MAX];
    static uint8_t encoded[SUM_PACK_VALUES_MAX * 2];
    struct exact_grid grid = exact_grid_for(1 << 20);
    struct random random;
    random_init(&random, 36, 0);
    memset(sums, 0, sizeof sums);
    for (int peer = 0; peer < PEERS; peer++) {
        double scale = exp2(0.5 * random_normal(&random));
        for (int i = 0; i < SUM_PACK_VALUES_MAX; i++) {
            values[i] = (float)(random_normal(&random) * scale);
        }
        CU_ASSERT_EQUAL(codec_encode(CODEC_MX8, -grid.shift, values, SUM_PACK_VALUES_MAX, encoded),
                        STATUS_OK);
        exact_sum_add(&grid, CODEC_MX8, encoded, SUM_PACK_VALUES_MAX, sums);
    }
    double bytes = (double)assert_round_trip(SUM_PACK_VALUES_MAX) / SUM_PACK_VALUES_MAX;
    printf(" %.2f bytes ", bytes);
    CU_ASSERT_TRUE(bytes > 1.4 && bytes < 2.1);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(round_trip_of_every_width_and_shift_takes_that_many_bits),
        SUITE_TEST(round_trip_of_random_blocks_is_exact),
        SUITE_TEST(pack_of_zeros_takes_the_headers_alone),
        SUITE_TEST(pack_of_extremes_keeps_all_64_bits),
        SUITE_TEST(pack_takes_known_sums_to_known_bytes),
        SUITE_TEST(unpack_adds_and_wraps_around),
        SUITE_TEST(unpack_of_another_length_is_refused_and_adds_nothing),
        SUITE_TEST(unpack_of_an_impossible_header_is_refused_and_adds_nothing),
        SUITE_TEST(unpack_of_changed_bytes_is_refused_or_stays_in_bounds),
        SUITE_TEST(sums_of_16_mx8_contributions_take_about_two_bytes_a_value),
    };
    return suite_run("sum_pack", tests, sizeof tests / sizeof tests[0]);
}
