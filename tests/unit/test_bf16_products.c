/* Products of `bf16` against `ref`, by oneDNN, by our own loops, and on several threads. */
#include "bf16_fixture.h"

#include <pthread.h>

enum way { BY_TABLE, BY_ONEDNN, BY_LOOPS, WAY_COUNT };

static void multiply(enum way way, struct bf16_out out, const struct matmul *product)
{
    switch (way) {
    case BY_TABLE:
        if (out.form == BF16_CELLS) {
            bf16->matmul(out.to, product);
        } else {
            bf16->matmul_float(out.to, product, out.form == BF16_FLOAT_ADD);
        }
        break;
    case BY_ONEDNN:
        CU_ASSERT_TRUE(bf16_multiply_compiled(out, product));
        break;
    case BY_LOOPS:
        bf16_multiply_plain(out, product);
        break;
    case WAY_COUNT:
        break;
    }
}

/* Bits of flags: a transposed, b transposed, accumulate. */
static void compare_products(const size_t sizes[3], unsigned flags, enum way way)
{
    size_t count = sizes[0] * sizes[1];
    struct tensor a = normal_tensor(sizes[0] * sizes[2], 1);
    struct tensor b = normal_tensor(sizes[2] * sizes[1], 2);
    struct tensor out = normal_tensor(count, 3);
    float *sums = take_copy(out.values, count);
    struct matmul product = {.a = cells(a.values),
                             .a_transposed = flags & 1U,
                             .b = cells(b.values),
                             .b_transposed = flags & 2U,
                             .m = sizes[0],
                             .n = sizes[1],
                             .k = sizes[2]};
    struct matmul on_cells = product;
    on_cells.a = a.cells;
    on_cells.b = b.cells;
    bool accumulate = flags & 4U;
    multiply(way, (struct bf16_out){sums, accumulate ? BF16_FLOAT_ADD : BF16_FLOAT}, &on_cells);
    multiply(way, (struct bf16_out){out.cells, BF16_CELLS}, &on_cells);
    float *expected = take_copy(out.values, count);
    backend_ref.matmul_float(expected, &product, accumulate);
    assert_near(sums, expected, count, FLOAT_SUMS);
    backend_ref.matmul(cells(out.values), &product);
    assert_cells_near(out, ROUNDING + FLOAT_SUMS);
    release_all();
}

static const size_t PRODUCTS[][3] = {{1, 1, 1},    {2, 2, 1},    {3, 5, 7},      {1, 33, 20},
                                     {31, 1, 65},  {64, 48, 1},  {67, 129, 43},  {1, 1030, 65},
                                     {33, 65, 64}, {65, 64, 33}, {1, 7, 1031},   {2, 300, 517},
                                     {96, 96, 96}, {256, 7, 64}, {128, 257, 96}, {1, 64, 8}};

/* Columns of a wider matrix, transposed, as a stripe of a weight's gradient. */
static void products_of_a_part_equal_ref_in_every_way(void)
{
    enum { STRIDE = 131, FIRST = 3, N = 64, K = 96 };
    static const size_t PARTS[] = {1, 17, 64, 128};
    for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]) * WAY_COUNT; i++) {
        size_t m = PARTS[i / WAY_COUNT];
        struct tensor a = normal_tensor((size_t)STRIDE * K, 1);
        struct tensor b = normal_tensor((size_t)K * N, 2);
        float *sums = take_normal(m * N, 3);
        float *expected = take_copy(sums, m * N);
        struct matmul product = {.a = cells(a.values + FIRST),
                                 .a_transposed = true,
                                 .b = cells(b.values),
                                 .m = m,
                                 .n = N,
                                 .k = K,
                                 .a_stride = STRIDE};
        backend_ref.matmul_float(expected, &product, true);
        product.a = cells_at_const(bf16, a.cells, FIRST);
        product.b = b.cells;
        multiply((enum way)(i % WAY_COUNT), (struct bf16_out){sums, BF16_FLOAT_ADD}, &product);
        assert_near(sums, expected, m * N, FLOAT_SUMS);
        release_all();
    }
}

static void products_equal_ref_in_every_way(void)
{
    for (size_t i = 0; i < sizeof(PRODUCTS) / sizeof(PRODUCTS[0]); i++) {
        for (unsigned flags = 0; flags < 8; flags++) {
            for (unsigned way = 0; way < WAY_COUNT; way++) {
                compare_products(PRODUCTS[i], flags, (enum way)way);
            }
        }
    }
}

static void empty_product_is_zero(void)
{
    float out[4] = {1, 2, 3, 4};
    const struct matmul product = {.m = 2, .n = 2, .k = 0};
    bf16->matmul_float(out, &product, true);
    CU_ASSERT_TRUE(out[0] == 1 && out[3] == 4);
    bf16->matmul_float(out, &product, false);
    CU_ASSERT_TRUE(out[0] == 0 && out[1] == 0 && out[2] == 0 && out[3] == 0);
}

/* More sizes than a thread keeps, twice around. */
static void more_products_than_are_kept_stay_right(void)
{
    for (size_t i = 0; i < 2 * 400; i++) {
        const size_t sizes[3] = {2 + i % 400, 3, 5};
        compare_products(sizes, 4, BY_ONEDNN);
    }
}

static void row_product_takes_strides(void)
{
    static const size_t SIZES[][2] = {{1, 1}, {5, 9}, {64, 130}, {4133, 35}, {67, 256}};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        for (int transposed = 0; transposed < 2; transposed++) {
            size_t n = SIZES[i][0];
            size_t k = SIZES[i][1];
            size_t rows = transposed ? n : k;
            size_t width = transposed ? k : n;
            struct tensor x = normal_tensor(k, 1);
            struct tensor b = normal_tensor(rows * (width + 3), 2);
            struct tensor dense = normal_tensor(rows * width, 3);
            for (size_t at = 0; at < rows * width; at++) {
                dense.values[at] = b.values[at / width * (width + 3) + at % width];
            }
            const struct matmul product = {.a = cells(x.values),
                                           .b = cells(dense.values),
                                           .b_transposed = transposed,
                                           .m = 1,
                                           .n = n,
                                           .k = k};
            const struct bf16_row_product row = {
                halves(x.cells), halves(b.cells), width + 3, transposed, n, k};
            float *expected = take(n);
            float *actual = take(n);
            backend_ref.matmul_float(expected, &product, false);
            bf16_multiply_row((struct bf16_out){actual, BF16_FLOAT}, &row);
            assert_near(actual, expected, n, FLOAT_SUMS);
            release_all();
        }
    }
}

static void products_carry_what_is_not_finite(void)
{
    enum { SIZE = 20 };
    for (size_t m = 1; m <= SIZE; m += SIZE - 1) {
        struct tensor a = normal_tensor(SIZE * SIZE, 1);
        struct tensor b = normal_tensor(SIZE * SIZE, 2);
        struct tensor out = normal_tensor(SIZE * SIZE, 3);
        halves(a.cells)[3] = half_to_bf16(NAN);
        const struct matmul product = {.a = a.cells, .b = b.cells, .m = m, .n = SIZE, .k = SIZE};
        bf16->matmul(out.cells, &product);
        CU_ASSERT_TRUE(isnan(half_from_bf16(halves(out.cells)[5])));
        CU_ASSERT_TRUE(m == 1 || isfinite(half_from_bf16(halves(out.cells)[SIZE])));
        for (size_t i = 0; i < SIZE; i++) {
            halves(a.cells)[i] = half_to_bf16(1e30F);
        }
        halves(b.cells)[0] = half_to_bf16(3e38F);
        bf16->matmul(out.cells, &product);
        CU_ASSERT_EQUAL(halves(out.cells)[0], 0x7f80); /* infinite, not the largest number */
        release_all();
    }
}

struct worker {
    struct tensor a, b;
    float *out; /* (KINDS, SIDE, SIDE), summed over the rounds */
    size_t own;
    pthread_barrier_t *start;
};

enum { WORKERS = 3, ROUNDS = 1000, KINDS = 4, SIDE = 64 };

static void multiply_often(const struct worker *self)
{
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t kind = i % KINDS;
        const struct matmul product = {.a = self->a.cells,
                                       .b = self->b.cells,
                                       .b_transposed = kind % 2,
                                       .m = SIDE,
                                       .n = SIDE,
                                       .k = kind < 2 ? SIDE : self->own};
        bf16->matmul_float(self->out + kind * SIDE * SIDE, &product, true);
    }
}

static void *work(void *memory)
{
    const struct worker *self = memory;
    (void)pthread_barrier_wait(self->start);
    multiply_often(self);
    return NULL;
}

static void threads_multiply_beside_each_other(void)
{
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    pthread_barrier_t start;
    size_t count = (size_t)KINDS * SIDE * SIDE;
    CHECK(pthread_barrier_init(&start, NULL, WORKERS) == 0);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.a = normal_tensor(SIDE * SIDE, 2 * i),
                                     .b = normal_tensor(SIDE * SIDE, 2 * i + 1),
                                     .out = take(count),
                                     .own = 20 + i,
                                     .start = &start};
        CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        struct worker alone = workers[i];
        alone.out = take(count);
        multiply_often(&alone);
        CU_ASSERT_EQUAL(memcmp(alone.out, workers[i].out, count * sizeof(float)), 0);
        CU_ASSERT_TRUE(distance(alone.out, alone.out + SIDE * SIDE, SIDE * SIDE) > 0.5);
    }
    CHECK(pthread_barrier_destroy(&start) == 0);
    release_all();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(products_equal_ref_in_every_way),
        SUITE_TEST(products_of_a_part_equal_ref_in_every_way),
        SUITE_TEST(empty_product_is_zero),
        SUITE_TEST(more_products_than_are_kept_stay_right),
        SUITE_TEST(row_product_takes_strides),
        SUITE_TEST(products_carry_what_is_not_finite),
        SUITE_TEST(threads_multiply_beside_each_other),
    };
    const char *reason = NULL;
    bf16 = backend_bf16(&reason);
    if (bf16 != NULL) {
        return suite_run("bf16_products", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
    }
    printf("SKIPPED: %s\n", reason);
    return EXIT_SKIPPED;
}
