/* Every operation of `cpu` against `ref` with a bound on the normalised error, and what the
 * contract promises of both. */
#include "backend_fixture.h"
#include "common/fault.h"
#include "trainer/backend/lanes.h"

static const uint16_t IDS[] = {4, 1, 4, 0, 2};

static void buffers_of_every_size_are_aligned_and_zeroed(void)
{
    static const size_t SIZES[] = {0, 1, 64, 65, 8 << 20, (9 << 20) + 5};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        for (int again = 0; again < 2; again++) { /* in memory that was used before */
            unsigned char *buffer = backend_cpu.allocate(SIZES[i]);
            CHECK(buffer != NULL);
            CU_ASSERT_EQUAL((uintptr_t)buffer % 64, 0);
            size_t zeros = 0;
            while (zeros < SIZES[i] && buffer[zeros] == 0) {
                zeros++;
            }
            CU_ASSERT_EQUAL(zeros, SIZES[i]);
            memset(buffer, 255, SIZES[i]);
            backend_cpu.release(buffer);
        }
    }
    CU_ASSERT_PTR_NULL(backend_cpu.allocate(SIZE_MAX - 5));
}

static void rope_rotates_half_split_pairs(void)
{
    for (size_t b = 0; b < 2; b++) {
        const struct backend *backend = b == 0 ? &backend_ref : &backend_cpu;
        float *x = take(8);
        x[5] = 1.0F; /* row 1, pair 1 of 2, first element: position 1 turns it by 100^(-1/2) */
        backend->rope(cells(x), 2, 1, 4, 4, 100.0F, 0, 1);
        CU_ASSERT_DOUBLE_EQUAL((double)x[5], cos(0.1), 1e-6);
        CU_ASSERT_DOUBLE_EQUAL((double)x[7], sin(0.1), 1e-6);
    }
    release_all();
}

static void compare_products(size_t m, size_t n, size_t k)
{
    float *a = take_normal(m * k, 1);
    float *b = take_normal(k * n, 2);
    float *expected = take(m * n);
    float *actual = take(m * n);
    for (unsigned flags = 0; flags < 4; flags++) {
        const struct matmul product = {.a = cells(a),
                                       .a_transposed = flags & 1,
                                       .b = cells(b),
                                       .b_transposed = flags & 2,
                                       .m = m,
                                       .n = n,
                                       .k = k};
        float *start = take_normal(m * n, 3); /* what is accumulated to, or overwritten */
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            memcpy(expected, start, m * n * sizeof(float));
            memcpy(actual, start, m * n * sizeof(float));
            backend_ref.matmul_float(expected, &product, accumulate);
            backend_cpu.matmul_float(actual, &product, accumulate);
            assert_near(actual, expected, m * n, 1e-6);
        }
        backend_ref.matmul(cells(expected), &product);
        backend_cpu.matmul(cells(actual), &product);
        assert_near(actual, expected, m * n, 1e-6);
    }
    release_all();
}

static void cpu_matmul_equals_ref(void)
{
    static const size_t SIZES[][3] = {{1, 1, 1},    {3, 5, 7},    {1, 33, 20},   {1, 300, 517},
                                      {2, 67, 33},  {5, 100, 9},  {8, 1, 1030},  {1, 1030, 1},
                                      {31, 1, 65},  {64, 48, 1},  {67, 129, 43}, {1, 16, 16},
                                      {7, 2500, 9}, {1, 9001, 5}, {3, 9, 70}};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        compare_products(SIZES[i][0], SIZES[i][1], SIZES[i][2]);
    }
}

/* Columns [first, first + m) of a stored (k, STRIDE), transposed: the same as their copy. */
static void part_of_a_matrix_multiplies_like_its_copy(void)
{
    enum { STRIDE = 41, N = 13, K = 9, FIRST = 5 };
    static const size_t PARTS[] = {1, 7, 30};
    const struct backend *backends[] = {&backend_ref, &backend_cpu};
    float *a = take_normal((size_t)K * STRIDE, 1);
    float *b = take_normal((size_t)K * N, 2);
    for (size_t i = 0; i < 6; i++) {
        size_t m = PARTS[i / 2];
        float *copy = take(K * m);
        float *expected = take(m * N);
        float *actual = take(m * N);
        for (size_t row = 0; row < K; row++) {
            memcpy(copy + row * m, a + row * STRIDE + FIRST, m * sizeof(*a));
        }
        struct matmul product = {
            .a = cells(copy), .a_transposed = true, .b = cells(b), .m = m, .n = N, .k = K};
        backend_ref.matmul_float(expected, &product, false);
        product.a = cells(a + FIRST);
        product.a_stride = STRIDE;
        backends[i % 2]->matmul_float(actual, &product, false);
        assert_near(actual, expected, m * N, 1e-6);
    }
    release_all();
}

static void matmul_by_hand_is_right(void)
{
    float a[] = {1, 2, 3, 4, 5, 6}; /* (2,3), or (3,2) transposed */
    float b[] = {1, 0, 2, 1, 0, 3}; /* (3,2) */
    struct matmul product = {.a = cells(a), .b = cells(b), .m = 2, .n = 2, .k = 3};
    float *out = take(4);
    backend_ref.matmul(cells(out), &product);
    CU_ASSERT_TRUE(out[0] == 5 && out[1] == 11 && out[2] == 14 && out[3] == 23);
    product.a_transposed = true;
    backend_ref.matmul(cells(out), &product);
    CU_ASSERT_TRUE(out[0] == 7 && out[1] == 18 && out[2] == 10 && out[3] == 22);
    backend_ref.matmul_float(out, &product, true);
    CU_ASSERT_TRUE(out[0] == 14 && out[1] == 36 && out[2] == 20 && out[3] == 44);
    release_all();
}

static void cpu_rows_added_to_rows_equal_ref(void)
{
    enum { ROWS = 5, WIDTH = 37, COUNT = ROWS * WIDTH };
    const struct backend *backends[] = {&backend_ref, &backend_cpu};
    float *x = take_normal(COUNT, 1);
    const float *bias = take_normal(WIDTH, 2);
    const float *positions = take_normal(COUNT, 3);
    float *results[2];
    for (size_t b = 0; b < 2; b++) {
        /* start_residual twice, add_bias, embed twice; then the gradients, which add up */
        float *r = results[b] = take_normal(9 * COUNT, 4);
        backends[b]->start_residual(r, x, bias, ROWS, WIDTH);
        backends[b]->start_residual(r + COUNT, x, NULL, ROWS, WIDTH);
        backends[b]->add_bias(cells(r + 2 * COUNT), bias, ROWS, WIDTH);
        backends[b]->embed(r + 3 * COUNT, x, positions, IDS, ROWS, WIDTH);
        backends[b]->embed(r + 4 * COUNT, x, NULL, IDS, ROWS, WIDTH);
        backends[b]->embed_backward(r + 5 * COUNT, r + 6 * COUNT, x, IDS, ROWS, WIDTH);
        backends[b]->embed_backward(r + 7 * COUNT, NULL, x, IDS, ROWS, WIDTH);
        backends[b]->bias_backward(r + 8 * COUNT, cells(x), ROWS, WIDTH);
        backends[b]->residual_bias_backward(r + 8 * COUNT + WIDTH, x, ROWS, WIDTH);
    }
    for (size_t i = 0; i < 9; i++) {
        assert_near(results[1] + i * COUNT, results[0] + i * COUNT, COUNT, 1e-6);
    }
    CU_ASSERT_EQUAL(results[1][WIDTH + 1], x[WIDTH + 1] + bias[1]);
    CU_ASSERT_EQUAL(results[1][COUNT + 2], x[2]);
    release_all();
}

static void cpu_norms_equal_ref(void)
{
    static const size_t SIZES[][2] = {{1, 2}, {3, 15}, {5, 16}, {7, 33}, {4, 131}};
    const struct backend *backends[] = {&backend_ref, &backend_cpu};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        size_t rows = SIZES[i][0];
        size_t width = SIZES[i][1];
        size_t count = rows * width;
        const float *x = take_normal(count, 1);
        const float *gain = take_normal(width, 2);
        const float *bias = take_normal(width, 3);
        const float *d_out = take_normal(count, 4);
        float *rms[2];
        float *layer[2];
        for (size_t b = 0; b < 2; b++) {
            /* out, d_x, d_gain, d_bias, rstd, mean, one behind the other */
            float *r = rms[b] = take(2 * count + 2 * width + 2 * rows);
            float *l = layer[b] = take(2 * count + 2 * width + 2 * rows);
            float *stats = r + 2 * count + 2 * width;
            float *stats2 = l + 2 * count + 2 * width;
            for (size_t j = count; j < 2 * count + 2 * width; j++) {
                r[j] = l[j] = 0.5F * (float)(j % 7); /* gradients accumulate */
            }
            backends[b]->rmsnorm(cells(r), stats, x, gain, rows, width, 1e-5F);
            backends[b]->rmsnorm_backward(r + count, r + 2 * count, d_out, x, gain, stats, rows,
                                          width);
            backends[b]->layernorm(cells(l), stats2, stats2 + rows, x, gain, bias, rows, width,
                                   1e-5F);
            backends[b]->layernorm_backward(l + count, l + 2 * count, l + 2 * count + width, d_out,
                                            x, gain, stats2, stats2 + rows, rows, width);
        }
        assert_near(rms[1], rms[0], 2 * count + 2 * width + 2 * rows, 2e-6);
        assert_near(layer[1], layer[0], 2 * count + 2 * width + 2 * rows, 2e-6);
        release_all();
    }
}

/* Also values at which exp and tanh saturate. */
static float *take_wide(size_t count, uint64_t stream)
{
    float *x = take_normal(count, stream);
    for (size_t i = 0; i < count; i++) {
        x[i] *= i % 3 == 0 ? 40.0F : 2.0F;
    }
    return x;
}

static void cpu_swiglu_equals_ref(void)
{
    enum { COUNT = 1003 };
    float *d = take_normal(COUNT, 3);
    float *forward[2];
    float *again[2];
    float *gate[2];
    float *up[2];
    for (size_t b = 0; b < 2; b++) {
        const struct backend *backend = b == 0 ? &backend_ref : &backend_cpu;
        gate[b] = take_wide(COUNT, 1);
        up[b] = take_normal(COUNT, 2);
        forward[b] = take(COUNT);
        again[b] = take(COUNT);
        backend->swiglu(cells(forward[b]), cells(gate[b]), cells(up[b]), COUNT);
        backend->swiglu_backward(cells(again[b]), cells(gate[b]), cells(up[b]), cells(d), COUNT);
    }
    assert_near(forward[1], forward[0], COUNT, 1e-6);
    assert_near(again[1], forward[1], COUNT, 1e-6);
    assert_near(gate[1], gate[0], COUNT, 1e-6);
    assert_near(up[1], up[0], COUNT, 1e-6);
    release_all();
}

static void cpu_gelu_equals_ref(void)
{
    enum { ROWS = 17, WIDTH = 59, COUNT = ROWS * WIDTH };
    const float *bias = take_normal(WIDTH, 2);
    float *d = take_normal(COUNT, 3);
    float *forward[2];
    float *again[2];
    float *fc[2];
    float *d_fc[2];
    for (size_t b = 0; b < 2; b++) {
        const struct backend *backend = b == 0 ? &backend_ref : &backend_cpu;
        fc[b] = take_wide(COUNT, 1);
        forward[b] = take(COUNT);
        again[b] = take(COUNT);
        backend->bias_gelu(cells(forward[b]), cells(fc[b]), bias, ROWS, WIDTH);
        d_fc[b] = take_copy(fc[b], COUNT);
        backend->gelu_backward(cells(again[b]), cells(d_fc[b]), cells(d), COUNT);
    }
    assert_near(fc[1], fc[0], COUNT, 1e-7);
    assert_near(forward[1], forward[0], COUNT, 1e-6);
    assert_near(again[1], forward[1], COUNT, 1e-6);
    assert_near(d_fc[1], d_fc[0], COUNT, 1e-6);
    release_all();
}

static void cpu_rope_equals_ref(void)
{
    static const size_t SIZES[][3] = {{1, 1, 2}, {9, 3, 14}, {130, 2, 64}, {17, 1, 130}};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        size_t rows = SIZES[i][0];
        size_t heads = SIZES[i][1];
        size_t size = SIZES[i][2];
        size_t stride = heads * size + 3;
        float *expected = take_normal(rows * stride, 1);
        float *actual = take_copy(expected, rows * stride);
        for (int direction = -1; direction <= 1; direction += 2) {
            backend_ref.rope(cells(expected), rows, heads, size, stride, 10000.0F, 5000, direction);
            backend_cpu.rope(cells(actual), rows, heads, size, stride, 10000.0F, 5000, direction);
            assert_near(actual, expected, rows * stride, 1e-6);
        }
        release_all();
    }
}

static void compare_attention(const struct attention_shape *shape)
{
    const struct backend *backends[] = {&backend_ref, &backend_cpu};
    size_t out_count = shape->rows * shape->head_count * shape->head_size;
    size_t q_count = shape->rows * shape->q_stride;
    size_t kv_count = shape->rows * shape->kv_stride;
    float *q = take_normal(q_count, 1);
    float *k = take_normal(kv_count, 2);
    float *v = take_normal(kv_count, 3);
    float *d_out = take_normal(out_count, 4);
    float *out[2];
    float *log_sum[2];
    float *d[2][3];
    for (size_t b = 0; b < 2; b++) {
        void *scratch = take_bytes(backends[b]->attention_scratch(shape));
        out[b] = take(out_count);
        log_sum[b] = take(shape->head_count * shape->rows);
        d[b][0] = take_normal(q_count, 5); /* what lies between the heads must stay */
        d[b][1] = take_normal(kv_count, 6);
        d[b][2] = take_normal(kv_count, 7);
        backends[b]->attention(cells(out[b]), log_sum[b], cells(q), cells(k), cells(v), shape,
                               scratch);
        backends[b]->attention_backward(cells(d[b][0]), cells(d[b][1]), cells(d[b][2]),
                                        cells(d_out), cells(out[b]), log_sum[b], cells(q), cells(k),
                                        cells(v), shape, scratch);
    }
    assert_near(out[1], out[0], out_count, 2e-6);
    assert_near(log_sum[1], log_sum[0], shape->head_count * shape->rows, 2e-6);
    assert_near(d[1][0], d[0][0], q_count, 2e-6);
    assert_near(d[1][1], d[0][1], kv_count, 2e-6);
    assert_near(d[1][2], d[0][2], kv_count, 2e-6);
    release_all();
}

static const struct attention_shape ATTENTION_SHAPES[] = {
    {1, 0, 1, 1, 2, 2, 2},        /* one row */
    {7, 0, 4, 4, 5, 20, 20},      /* as many key heads as heads */
    {13, 0, 6, 2, 3, 18, 6},      /* grouped */
    {65, 0, 4, 1, 8, 40, 12},     /* one key head, strides wider than needed, a block and a row */
    {130, 0, 3, 3, 16, 144, 144}, /* three blocks, q, k and v in one matrix's stride */
    {300, 0, 2, 1, 64, 128, 64},  /* the usual head size, and blocks of keys below the diagonal */
    {70, 0, 6, 2, 70, 425, 141},  /* rows of no whole vector */
    {9, 0, 50, 10, 2, 100, 20},   /* more heads than numbers for each key otherwise */
};

static void cpu_attention_equals_ref(void)
{
    for (size_t i = 0; i < sizeof(ATTENTION_SHAPES) / sizeof(ATTENTION_SHAPES[0]); i++) {
        compare_attention(&ATTENTION_SHAPES[i]);
    }
}

/* Attends to all rows at once, and then in calls of `step` rows that follow on kept keys. */
static void compare_attention_in_steps(const struct backend *backend,
                                       const struct attention_shape *shape, size_t step)
{
    size_t width = shape->head_count * shape->head_size;
    float *q = take_normal(shape->rows * shape->q_stride, 1);
    float *k = take_normal(shape->rows * shape->kv_stride, 2);
    float *v = take_normal(shape->rows * shape->kv_stride, 3);
    float *whole = take(shape->rows * width);
    float *stepped = take(shape->rows * width);
    float *log_sum = take(shape->rows * shape->head_count);
    void *scratch = take_bytes(backend->attention_scratch(shape));
    backend->attention(cells(whole), log_sum, cells(q), cells(k), cells(v), shape, scratch);
    for (size_t at = 0; at < shape->rows; at += step) {
        struct attention_shape part = *shape;
        part.first = at;
        part.rows = shape->rows - at < step ? shape->rows - at : step;
        CU_ASSERT_TRUE(backend->attention_scratch(&part) <= backend->attention_scratch(shape));
        backend->attention(cells(stepped + at * width), NULL, cells(q + at * shape->q_stride),
                           cells(k), cells(v), &part, scratch);
    }
    assert_near(stepped, whole, shape->rows * width, 2e-6);
    release_all();
}

static void attention_in_steps_equals_attention_at_once(void)
{
    for (size_t i = 0; i < sizeof(ATTENTION_SHAPES) / sizeof(ATTENTION_SHAPES[0]); i++) {
        compare_attention_in_steps(&backend_ref, &ATTENTION_SHAPES[i], 3);
        compare_attention_in_steps(&backend_cpu, &ATTENTION_SHAPES[i], 1);
        compare_attention_in_steps(&backend_cpu, &ATTENTION_SHAPES[i], 4);
        compare_attention_in_steps(&backend_cpu, &ATTENTION_SHAPES[i], 71);
    }
}

static void attention_sees_no_later_row(void)
{
    const struct attention_shape shape = {3, 0, 1, 1, 2, 2, 2};
    for (size_t b = 0; b < 2; b++) {
        const struct backend *backend = b == 0 ? &backend_ref : &backend_cpu;
        float *q = take_normal(6, 1);
        float *k = take_normal(6, 2);
        float *v = take_normal(6, 3);
        float *out = take(6);
        float *log_sum = take(3);
        void *scratch = take_bytes(backend->attention_scratch(&shape));
        backend->attention(cells(out), log_sum, cells(q), cells(k), cells(v), &shape, scratch);
        CU_ASSERT_DOUBLE_EQUAL((double)out[0], (double)v[0], 1e-6);
        float before = out[2];
        v[4] += 100.0F;
        backend->attention(cells(out), log_sum, cells(q), cells(k), cells(v), &shape, scratch);
        CU_ASSERT_EQUAL(out[2], before);
    }
    release_all();
}

static void cpu_cross_entropy_equals_ref(void)
{
    enum { ROWS = 5 };
    static const size_t VOCABS[] = {7, 16, 300, 1027};
    for (size_t i = 0; i < sizeof(VOCABS) / sizeof(VOCABS[0]); i++) {
        size_t count = ROWS * VOCABS[i];
        float *logits = take_normal(count, i);
        logits[3] = 80.0F; /* a row whose softmax is nearly one-hot */
        float *expected = take(count);
        float *actual = take_copy(logits, count);
        float *apart = take(count);
        double losses[4][ROWS];
        backend_ref.cross_entropy(losses[0], cells(expected), logits, IDS, ROWS, VOCABS[i]);
        backend_cpu.cross_entropy(losses[2], NULL, actual, IDS, ROWS, VOCABS[i]);
        backend_cpu.cross_entropy(losses[3], cells(apart), actual, IDS, ROWS, VOCABS[i]);
        backend_cpu.cross_entropy(losses[1], cells(actual), actual, IDS, ROWS, VOCABS[i]);
        for (size_t t = 0; t < ROWS; t++) {
            CU_ASSERT_DOUBLE_EQUAL(losses[1][t], losses[0][t], 1e-6 * losses[0][t]);
            CU_ASSERT_EQUAL(losses[2][t], losses[1][t]);
            CU_ASSERT_EQUAL(losses[3][t], losses[1][t]);
        }
        assert_near(actual, expected, count, 2e-6);
        CU_ASSERT_EQUAL(memcmp(apart, actual, count * sizeof(*apart)), 0);
        release_all();
    }
}

static void lanes_exp_is_within_two_ulp(void)
{
    double worst = 0.0;
    for (int i = -63500; i < 63700; i++) {
        float x = (float)i * 0.00137F;
        double exact = exp((double)x);
        float nearest = (float)exact;
        double ulp = (double)(nextafterf(nearest, INFINITY) - nearest);
        double error = fabs((double)lanes_exp(x) - exact) / ulp;
        worst = error > worst ? error : worst;
    }
    printf("\n    largest error %.2f ulp ", worst);
    CU_ASSERT_TRUE(worst < 2.0);
    CU_ASSERT_TRUE(lanes_exp(-1e30F) > 0.0F && lanes_exp(-1e30F) < 2e-38F);
    CU_ASSERT_TRUE(isfinite(lanes_exp(1e30F)));
    CU_ASSERT_TRUE(isnan(lanes_exp(NAN)));
}

static void same_call_gives_the_same_bits(void)
{
    enum { COUNT = 45 * 45 };
    const struct matmul product = {.a = cells(take_normal(COUNT, 1)),
                                   .b = cells(take_normal(COUNT, 2)),
                                   .b_transposed = true,
                                   .m = 45,
                                   .n = 45,
                                   .k = 45};
    float *first = take(COUNT);
    float *second = take(COUNT);
    backend_cpu.matmul_float(first, &product, false);
    backend_cpu.matmul_float(second, &product, false);
    for (size_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL(first[i], second[i]);
    }
    release_all();
}

static void find_knows_its_backends(void)
{
    const struct backend *backend = NULL;
    CU_ASSERT_EQUAL(backend_find("ref", &backend), STATUS_OK);
    CU_ASSERT_PTR_EQUAL(backend, &backend_ref);
    CU_ASSERT_EQUAL(backend_find("cpu", &backend), STATUS_OK);
    CU_ASSERT_PTR_EQUAL(backend, &backend_cpu);
    const char *reason = NULL;
    const struct backend *bf16 = backend_bf16(&reason);
    CU_ASSERT_EQUAL(backend_find("bf16", &backend), bf16 != NULL ? STATUS_OK : STATUS_USAGE);
    CU_ASSERT_PTR_EQUAL(backend, bf16);
    CU_ASSERT_TRUE(bf16 != NULL || strstr(fault_text(), reason) != NULL);
    CU_ASSERT_EQUAL(backend_find("gpu", &backend), STATUS_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "gpu"));
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(buffers_of_every_size_are_aligned_and_zeroed),
        SUITE_TEST(rope_rotates_half_split_pairs),
        SUITE_TEST(cpu_matmul_equals_ref),
        SUITE_TEST(part_of_a_matrix_multiplies_like_its_copy),
        SUITE_TEST(matmul_by_hand_is_right),
        SUITE_TEST(cpu_rows_added_to_rows_equal_ref),
        SUITE_TEST(cpu_norms_equal_ref),
        SUITE_TEST(cpu_swiglu_equals_ref),
        SUITE_TEST(cpu_gelu_equals_ref),
        SUITE_TEST(cpu_rope_equals_ref),
        SUITE_TEST(cpu_attention_equals_ref),
        SUITE_TEST(attention_in_steps_equals_attention_at_once),
        SUITE_TEST(attention_sees_no_later_row),
        SUITE_TEST(cpu_cross_entropy_equals_ref),
        SUITE_TEST(lanes_exp_is_within_two_ulp),
        SUITE_TEST(same_call_gives_the_same_bits),
        SUITE_TEST(find_knows_its_backends),
    };
    return suite_run("backend", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
