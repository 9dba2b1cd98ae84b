/* Every operation of `cpu` against `ref` with a bound on the normalised error, and what the
 * contract promises of both. */
#include "backend_fixture.h"
#include "common/fault.h"
#include "trainer/backend/lanes.h"

static const uint16_t IDS[] = {4, 1, 4, 0, 2};

static void rope_rotates_half_split_pairs(void)
{
    for (size_t b = 0; b < 2; b++) {
        const struct backend *backend = b == 0 ? &backend_ref : &backend_cpu;
        float *x = take(8);
        x[5] = 1.0F; /* row 1, pair 1 of 2, first element: position 1 turns it by 100^(-1/2) */
        backend->rope(x, 2, 1, 4, 4, 100.0F, 0, 1);
        CU_ASSERT_DOUBLE_EQUAL((double)x[5], cos(0.1), 1e-6);
        CU_ASSERT_DOUBLE_EQUAL((double)x[7], sin(0.1), 1e-6);
    }
    release_all();
}

static void cpu_matmul_equals_ref(void)
{
    static const size_t SIZES[][3] = {{1, 1, 1},   {3, 5, 7},   {1, 33, 20},
                                      {31, 1, 65}, {64, 48, 1}, {67, 129, 43}};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        size_t m = SIZES[i][0];
        size_t n = SIZES[i][1];
        size_t k = SIZES[i][2];
        const float *a = take_normal(m * k, 1);
        const float *b = take_normal(k * n, 2);
        float *expected = take(m * n);
        float *actual = take(m * n);
        for (unsigned flags = 0; flags < 8; flags++) {
            memcpy(expected, take_normal(m * n, 3), m * n * sizeof(float));
            memcpy(actual, expected, m * n * sizeof(float));
            backend_ref.matmul(expected, a, flags & 1, b, flags & 2, m, n, k, flags & 4);
            backend_cpu.matmul(actual, a, flags & 1, b, flags & 2, m, n, k, flags & 4);
            assert_near(actual, expected, m * n, 1e-6);
        }
        release_all();
    }
}

static void matmul_by_hand_is_right(void)
{
    static const float A[] = {1, 2, 3, 4, 5, 6}; /* (2,3), or (3,2) transposed */
    static const float B[] = {1, 0, 2, 1, 0, 3}; /* (3,2) */
    float *out = take(4);
    backend_ref.matmul(out, A, false, B, false, 2, 2, 3, false);
    CU_ASSERT_TRUE(out[0] == 5 && out[1] == 11 && out[2] == 14 && out[3] == 23);
    backend_ref.matmul(out, A, true, B, false, 2, 2, 3, false);
    CU_ASSERT_TRUE(out[0] == 7 && out[1] == 18 && out[2] == 10 && out[3] == 22);
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
            r[2 * count] = l[2 * count] = 1.0F; /* d_gain accumulates */
            backends[b]->rmsnorm(r, stats, x, gain, rows, width, 1e-5F);
            backends[b]->rmsnorm_backward(r + count, r + 2 * count, d_out, x, gain, stats, rows,
                                          width);
            backends[b]->layernorm(l, stats2, stats2 + rows, x, gain, bias, rows, width, 1e-5F);
            backends[b]->layernorm_backward(l + count, l + 2 * count, l + 2 * count + width, d_out,
                                            x, gain, stats2, stats2 + rows, rows, width);
        }
        assert_near(rms[1], rms[0], 2 * count + 2 * width + 2 * rows, 2e-6);
        assert_near(layer[1], layer[0], 2 * count + 2 * width + 2 * rows, 2e-6);
        release_all();
    }
}

static void cpu_activations_equal_ref(void)
{
    enum { COUNT = 1003 };
    float *x = take_normal(COUNT, 1);
    const float *y = take_normal(COUNT, 2);
    const float *d = take_normal(COUNT, 3);
    for (size_t i = 0; i < COUNT; i++) {
        x[i] *= i % 3 == 0 ? 40.0F : 2.0F; /* also where exp and tanh saturate */
    }
    float *expected[2] = {take(COUNT), take(COUNT)};
    float *actual[2] = {take(COUNT), take(COUNT)};
    backend_ref.swiglu(expected[0], x, y, COUNT);
    backend_cpu.swiglu(actual[0], x, y, COUNT);
    assert_near(actual[0], expected[0], COUNT, 1e-6);
    backend_ref.swiglu_backward(expected[0], expected[1], d, x, y, COUNT);
    backend_cpu.swiglu_backward(actual[0], actual[1], d, x, y, COUNT);
    assert_near(actual[0], expected[0], COUNT, 1e-6);
    assert_near(actual[1], expected[1], COUNT, 1e-6);
    backend_ref.gelu(expected[0], x, COUNT);
    backend_cpu.gelu(actual[0], x, COUNT);
    assert_near(actual[0], expected[0], COUNT, 1e-6);
    backend_ref.gelu_backward(expected[0], d, x, COUNT);
    backend_cpu.gelu_backward(actual[0], d, x, COUNT);
    assert_near(actual[0], expected[0], COUNT, 1e-6);
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
            backend_ref.rope(expected, rows, heads, size, stride, 10000.0F, 5000, direction);
            backend_cpu.rope(actual, rows, heads, size, stride, 10000.0F, 5000, direction);
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
    const float *q = take_normal(q_count, 1);
    const float *k = take_normal(kv_count, 2);
    const float *v = take_normal(kv_count, 3);
    const float *d_out = take_normal(out_count, 4);
    float *out[2];
    float *log_sum[2];
    float *d[2][3];
    for (size_t b = 0; b < 2; b++) {
        float *scratch = take(backends[b]->attention_scratch(shape));
        out[b] = take(out_count);
        log_sum[b] = take(shape->head_count * shape->rows);
        d[b][0] = take_normal(q_count, 5); /* what lies between the heads must stay */
        d[b][1] = take_normal(kv_count, 6);
        d[b][2] = take_normal(kv_count, 7);
        backends[b]->attention(out[b], log_sum[b], q, k, v, shape, scratch);
        backends[b]->attention_backward(d[b][0], d[b][1], d[b][2], d_out, out[b], log_sum[b], q, k,
                                        v, shape, scratch);
    }
    assert_near(out[1], out[0], out_count, 2e-6);
    assert_near(log_sum[1], log_sum[0], shape->head_count * shape->rows, 2e-6);
    assert_near(d[1][0], d[0][0], q_count, 2e-6);
    assert_near(d[1][1], d[0][1], kv_count, 2e-6);
    assert_near(d[1][2], d[0][2], kv_count, 2e-6);
    release_all();
}

static void cpu_attention_equals_ref(void)
{
    static const struct attention_shape SHAPES[] = {
        {1, 1, 1, 2, 2, 2},        /* one row */
        {7, 4, 4, 5, 20, 20},      /* as many key heads as heads */
        {13, 6, 2, 3, 18, 6},      /* grouped */
        {65, 4, 1, 8, 40, 12},     /* one key head, strides wider than needed, a block and a row */
        {130, 3, 3, 16, 144, 144}, /* three blocks, q, k and v in one matrix's stride */
    };
    for (size_t i = 0; i < sizeof(SHAPES) / sizeof(SHAPES[0]); i++) {
        compare_attention(&SHAPES[i]);
    }
}

static void attention_sees_no_later_row(void)
{
    const struct attention_shape shape = {3, 1, 1, 2, 2, 2};
    for (size_t b = 0; b < 2; b++) {
        const struct backend *backend = b == 0 ? &backend_ref : &backend_cpu;
        const float *q = take_normal(6, 1);
        const float *k = take_normal(6, 2);
        float *v = take_normal(6, 3);
        float *out = take(6);
        float *log_sum = take(3);
        float *scratch = take(backend->attention_scratch(&shape));
        backend->attention(out, log_sum, q, k, v, &shape, scratch);
        CU_ASSERT_DOUBLE_EQUAL((double)out[0], (double)v[0], 1e-6);
        float before = out[2];
        v[4] += 100.0F;
        backend->attention(out, log_sum, q, k, v, &shape, scratch);
        CU_ASSERT_EQUAL(out[2], before);
    }
    release_all();
}

static void cpu_cross_entropy_equals_ref(void)
{
    static const size_t VOCABS[] = {7, 16, 300, 1027};
    for (size_t i = 0; i < sizeof(VOCABS) / sizeof(VOCABS[0]); i++) {
        size_t count = 5 * VOCABS[i];
        float *logits = take_normal(count, i);
        logits[3] = 80.0F; /* a row whose softmax is nearly one-hot */
        float *expected = take(count);
        float *actual = take_copy(logits, count);
        double losses[3] = {0.5, 0.5, 0.5}; /* the sum is added to */
        backend_ref.cross_entropy(&losses[0], expected, logits, IDS, 5, VOCABS[i]);
        backend_cpu.cross_entropy(&losses[2], NULL, actual, IDS, 5, VOCABS[i]);
        backend_cpu.cross_entropy(&losses[1], actual, actual, IDS, 5, VOCABS[i]);
        CU_ASSERT_DOUBLE_EQUAL(losses[1], losses[0], 1e-6 * losses[0]);
        CU_ASSERT_EQUAL(losses[2], losses[1]);
        assert_near(actual, expected, count, 2e-6);
        release_all();
    }
}

static void lanes_exp_is_within_two_ulp(void)
{
    double worst = 0.0;
    for (int i = -63500; i < 64200; i++) {
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
    const float *a = take_normal(COUNT, 1);
    const float *b = take_normal(COUNT, 2);
    float *first = take(COUNT);
    float *second = take(COUNT);
    backend_cpu.matmul(first, a, false, b, true, 45, 45, 45, false);
    backend_cpu.matmul(second, a, false, b, true, 45, 45, 45, false);
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
    CU_ASSERT_EQUAL(backend_find("gpu", &backend), STATUS_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "gpu"));
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(rope_rotates_half_split_pairs), SUITE_TEST(matmul_by_hand_is_right),
        SUITE_TEST(cpu_matmul_equals_ref),         SUITE_TEST(cpu_norms_equal_ref),
        SUITE_TEST(cpu_activations_equal_ref),     SUITE_TEST(cpu_rope_equals_ref),
        SUITE_TEST(cpu_attention_equals_ref),      SUITE_TEST(attention_sees_no_later_row),
        SUITE_TEST(cpu_cross_entropy_equals_ref),  SUITE_TEST(lanes_exp_is_within_two_ulp),
        SUITE_TEST(same_call_gives_the_same_bits), SUITE_TEST(find_knows_its_backends),
    };
    return suite_run("backend", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
