/* Every operation of `bf16` but its products against `ref`. */
#include "bf16_fixture.h"
#include "common/fault.h"
#include "trainer/backend/cpu_features.h"

#include <sys/wait.h>
#include <unistd.h>

static const uint16_t IDS[] = {4, 1, 4, 0, 2};

static void narrow_rounds_as_common_half_does(void)
{
    enum { COUNT = 0x10000 * 4 };
    static const uint32_t LOW[] = {0, 0x7fff, 0x8000, 0x8001};
    float *x = take(COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        x[i] = half_float_of(i / 4 << 16 | LOW[i % 4]);
    }
    struct cells *out = take_bytes(COUNT * sizeof(uint16_t));
    CU_ASSERT_PTR_EQUAL(bf16->as_cells(out, x, COUNT), out);
    size_t wrong = 0;
    for (size_t i = 0; i < COUNT; i++) {
        wrong += halves(out)[i] != half_to_bf16(x[i]);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_FALSE(bf16->cells_are_floats);
    CU_ASSERT_EQUAL(bf16->cell_bytes, 2);
    release_all();
}

static void biases_equal_ref(void)
{
    size_t width = 67;
    struct tensor x = normal_tensor(5 * width, 1);
    const float *bias = take_normal(width, 2);
    float *expected = take_normal(width, 3);
    float *actual = take_copy(expected, width);
    backend_ref.bias_backward(expected, cells(x.values), 5, width);
    bf16->bias_backward(actual, x.cells, 5, width);
    assert_near(actual, expected, width, FLOAT_SUMS);
    backend_ref.add_bias(cells(x.values), bias, 5, width);
    bf16->add_bias(x.cells, bias, 5, width);
    assert_cells_near(x, ROUNDING);
    release_all();
}

static void norms_equal_ref(void)
{
    static const size_t SIZES[][2] = {{1, 2}, {3, 15}, {5, 16}, {7, 33}, {4, 131}};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        size_t rows = SIZES[i][0];
        size_t width = SIZES[i][1];
        const float *x = take_normal(rows * width, 1);
        const float *gain = take_normal(width, 2);
        const float *bias = take_normal(width, 3);
        struct tensor out = normal_tensor(rows * width, 4);
        float *expected[2] = {take(rows), take(rows)};
        float *actual[2] = {take(rows), take(rows)};
        backend_ref.rmsnorm(cells(out.values), expected[0], x, gain, rows, width, 1e-5F);
        bf16->rmsnorm(out.cells, actual[0], x, gain, rows, width, 1e-5F);
        assert_near(actual[0], expected[0], rows, FLOAT_SUMS);
        assert_cells_near(out, ROUNDING + FLOAT_SUMS);
        backend_ref.layernorm(cells(out.values), expected[0], expected[1], x, gain, bias, rows,
                              width, 1e-5F);
        bf16->layernorm(out.cells, actual[0], actual[1], x, gain, bias, rows, width, 1e-5F);
        assert_near(actual[0], expected[0], rows, FLOAT_SUMS);
        assert_near(actual[1], expected[1], rows, FLOAT_SUMS);
        assert_cells_near(out, ROUNDING + FLOAT_SUMS);
        release_all();
    }
}

enum { ACTIVATIONS = 1003 };

/* Also where exp and tanh saturate. */
static struct tensor wide_tensor(uint64_t stream)
{
    float *x = take_normal(ACTIVATIONS, stream);
    for (size_t i = 0; i < ACTIVATIONS; i++) {
        x[i] *= i % 3 == 0 ? 40.0F : 2.0F;
    }
    return tensor_of(x, ACTIVATIONS);
}

static void swiglu_equals_ref(void)
{
    struct tensor gate = wide_tensor(1);
    struct tensor up = normal_tensor(ACTIVATIONS, 2);
    struct tensor d_hidden = normal_tensor(ACTIVATIONS, 3);
    struct tensor hidden = normal_tensor(ACTIVATIONS, 4);
    backend_ref.swiglu(cells(hidden.values), cells(gate.values), cells(up.values), ACTIVATIONS);
    bf16->swiglu(hidden.cells, gate.cells, up.cells, ACTIVATIONS);
    assert_cells_near(hidden, ROUNDING + FLOAT_SUMS);
    struct tensor again = normal_tensor(ACTIVATIONS, 5);
    backend_ref.swiglu_backward(cells(again.values), cells(gate.values), cells(up.values),
                                cells(d_hidden.values), ACTIVATIONS);
    bf16->swiglu_backward(again.cells, gate.cells, up.cells, d_hidden.cells, ACTIVATIONS);
    CU_ASSERT_EQUAL(memcmp(again.cells, hidden.cells, ACTIVATIONS * sizeof(uint16_t)), 0);
    assert_cells_near(gate, ROUNDING + FLOAT_SUMS);
    assert_cells_near(up, ROUNDING + FLOAT_SUMS);
    release_all();
}

static void gelu_equals_ref(void)
{
    enum { ROWS = 17, WIDTH = 59 };
    CHECK(ROWS * WIDTH == ACTIVATIONS);
    struct tensor fc = wide_tensor(1);
    struct tensor d_hidden = normal_tensor(ACTIVATIONS, 2);
    struct tensor hidden = normal_tensor(ACTIVATIONS, 3);
    const float *bias = take_normal(WIDTH, 4);
    backend_ref.add_bias(cells(fc.values), bias, ROWS, WIDTH);
    bf16->bias_gelu(hidden.cells, fc.cells, bias, ROWS, WIDTH);
    assert_cells_near(fc, ROUNDING);
    for (size_t i = 0; i < ACTIVATIONS; i++) { /* the rounded sum is what the rest starts from */
        fc.values[i] = half_from_bf16(halves(fc.cells)[i]);
    }
    struct tensor again = normal_tensor(ACTIVATIONS, 5);
    memset(hidden.values, 0, ACTIVATIONS * sizeof(float));
    backend_ref.gelu_backward(cells(hidden.values), cells(fc.values), cells(d_hidden.values),
                              ACTIVATIONS);
    bf16->gelu_backward(again.cells, fc.cells, d_hidden.cells, ACTIVATIONS);
    CU_ASSERT_EQUAL(memcmp(again.cells, hidden.cells, ACTIVATIONS * sizeof(uint16_t)), 0);
    assert_cells_near(hidden, ROUNDING + FLOAT_SUMS);
    assert_cells_near(fc, ROUNDING + FLOAT_SUMS);
    release_all();
}

static void rope_equals_ref(void)
{
    static const size_t SIZES[][3] = {{1, 1, 2}, {9, 3, 14}, {130, 2, 64}, {17, 1, 130}};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        size_t rows = SIZES[i][0];
        size_t heads = SIZES[i][1];
        size_t size = SIZES[i][2];
        size_t stride = heads * size + 3;
        for (int direction = -1; direction <= 1; direction += 2) {
            struct tensor x = normal_tensor(rows * stride, 1);
            backend_ref.rope(cells(x.values), rows, heads, size, stride, 10000.0F, 5000, direction);
            bf16->rope(x.cells, rows, heads, size, stride, 10000.0F, 5000, direction);
            assert_cells_near(x, ROUNDING + FLOAT_SUMS);
        }
        release_all();
    }
}

struct attention_inputs {
    struct tensor q, k, v, d_out, out;
};

static struct attention_inputs attention_inputs(const struct attention_shape *shape)
{
    size_t keys = shape->first + shape->rows;
    size_t out_count = shape->rows * shape->head_count * shape->head_size;
    return (struct attention_inputs){.q = normal_tensor(shape->rows * shape->q_stride, 1),
                                     .k = normal_tensor(keys * shape->kv_stride, 2),
                                     .v = normal_tensor(keys * shape->kv_stride, 3),
                                     .d_out = normal_tensor(out_count, 4),
                                     .out = normal_tensor(out_count, 5)};
}

/* A row's probabilities are rounded and then its result: two roundings. d_scores is the difference
 * of two values that carry a rounding each, is rounded itself, and so is the product: four. */
static void compare_attention(const struct attention_shape *shape)
{
    struct attention_inputs in = attention_inputs(shape);
    size_t sums = shape->head_count * shape->rows;
    float *log_sum[2] = {take(sums), take(sums)};
    void *ref_scratch = take_bytes(backend_ref.attention_scratch(shape));
    void *scratch = take_bytes(bf16->attention_scratch(shape));
    backend_ref.attention(cells(in.out.values), log_sum[0], cells(in.q.values), cells(in.k.values),
                          cells(in.v.values), shape, ref_scratch);
    bf16->attention(in.out.cells, log_sum[1], in.q.cells, in.k.cells, in.v.cells, shape, scratch);
    assert_near(log_sum[1], log_sum[0], sums, FLOAT_SUMS);
    assert_cells_near(in.out, 2 * ROUNDING);
    if (shape->first == 0) {
        struct tensor d_q = normal_tensor(in.q.count, 6); /* what lies between heads must stay */
        struct tensor d_k = normal_tensor(in.k.count, 7);
        struct tensor d_v = normal_tensor(in.v.count, 8);
        backend_ref.attention_backward(cells(d_q.values), cells(d_k.values), cells(d_v.values),
                                       cells(in.d_out.values), cells(in.out.values), log_sum[0],
                                       cells(in.q.values), cells(in.k.values), cells(in.v.values),
                                       shape, ref_scratch);
        bf16->attention_backward(d_q.cells, d_k.cells, d_v.cells, in.d_out.cells, in.out.cells,
                                 log_sum[1], in.q.cells, in.k.cells, in.v.cells, shape, scratch);
        assert_cells_near(d_q, 4 * ROUNDING);
        assert_cells_near(d_k, 4 * ROUNDING);
        assert_cells_near(d_v, 2 * ROUNDING);
    }
    release_all();
}

static void attention_equals_ref(void)
{
    static const struct attention_shape SHAPES[] = {
        {1, 0, 1, 1, 2, 2, 2},        /* one row */
        {7, 0, 4, 4, 5, 20, 20},      /* as many key heads as heads */
        {13, 0, 6, 2, 3, 18, 6},      /* grouped */
        {33, 0, 2, 1, 7, 14, 7},      /* odd sizes */
        {65, 0, 4, 1, 8, 40, 12},     /* strides wider than needed, a block and a row */
        {130, 0, 3, 3, 16, 144, 144}, /* three blocks, q, k and v in one matrix's stride */
        {1, 40, 4, 2, 16, 64, 32},    /* one more row: decoding */
        {1, 1002, 2, 2, 64, 384, 384}, {1, 130, 6, 2, 70, 425, 141}, {1, 9, 70, 10, 2, 140, 20},
        {70, 61, 4, 2, 16, 64, 32}, /* more rows behind what is there */
    };
    for (size_t i = 0; i < sizeof(SHAPES) / sizeof(SHAPES[0]); i++) {
        compare_attention(&SHAPES[i]);
    }
}

static void attention_does_without_log_sum(void)
{
    const struct attention_shape shape = {9, 3, 2, 2, 8, 16, 16};
    struct attention_inputs in = attention_inputs(&shape);
    float *log_sum = take(18);
    void *scratch = take_bytes(bf16->attention_scratch(&shape));
    bf16->attention(in.out.cells, log_sum, in.q.cells, in.k.cells, in.v.cells, &shape, scratch);
    uint16_t kept[9 * 16];
    memcpy(kept, in.out.cells, sizeof(kept));
    memset(in.out.cells, 0, sizeof(kept));
    bf16->attention(in.out.cells, NULL, in.q.cells, in.k.cells, in.v.cells, &shape, scratch);
    CU_ASSERT_EQUAL(memcmp(kept, in.out.cells, sizeof(kept)), 0);
    release_all();
}

static void attention_scratch_never_grows_with_fewer_rows(void)
{
    for (size_t rows = 2; rows < 300; rows++) {
        for (size_t heads = 2; heads <= 100; heads += 98) {
            const struct attention_shape more = {rows, 0, heads, 2, 64, 128, 128};
            const struct attention_shape fewer = {rows - 1, 0, heads, 2, 64, 128, 128};
            CU_ASSERT_TRUE(bf16->attention_scratch(&fewer) <= bf16->attention_scratch(&more));
        }
    }
}

static void cross_entropy_equals_ref(void)
{
    static const size_t VOCABS[] = {7, 16, 300, 1027};
    for (size_t i = 0; i < sizeof(VOCABS) / sizeof(VOCABS[0]); i++) {
        size_t vocab = VOCABS[i];
        float *logits = take_normal(5 * vocab, i);
        logits[3] = 80.0F; /* a row whose softmax is nearly one-hot */
        struct tensor d_logits = normal_tensor(5 * vocab, 9);
        double losses[4][5];
        backend_ref.cross_entropy(losses[0], cells(d_logits.values), logits, IDS, 5, vocab);
        bf16->cross_entropy(losses[1], NULL, logits, IDS, 5, vocab);
        bf16->cross_entropy(losses[2], d_logits.cells, logits, IDS, 5, vocab);
        assert_cells_near(d_logits, ROUNDING + 2e-5); /* the exponent's rounding near 80 */
        bf16->cross_entropy(losses[3], cells(logits), logits, IDS, 5, vocab); /* in place */
        CU_ASSERT_EQUAL(memcmp(logits, d_logits.cells, 5 * vocab * sizeof(uint16_t)), 0);
        for (size_t t = 0; t < 5; t++) {
            CU_ASSERT_DOUBLE_EQUAL(losses[1][t], losses[0][t], 1e-6 * fabs(losses[0][t]) + 1e-6);
            CU_ASSERT_EQUAL(losses[2][t], losses[1][t]);
            CU_ASSERT_EQUAL(losses[3][t], losses[1][t]);
        }
        release_all();
    }
}

static void embed_and_norm_backward_are_float32(void)
{
    CU_ASSERT_TRUE(bf16->embed == backend_cpu.embed);
    CU_ASSERT_TRUE(bf16->rmsnorm_backward == backend_cpu.rmsnorm_backward);
    CU_ASSERT_TRUE(bf16->layernorm_backward == backend_cpu.layernorm_backward);
    CU_ASSERT_TRUE(bf16->start_residual == backend_cpu.start_residual);
}

/* A thread's share: many products, of sizes that others have too and of one of its own. */
static void find_knows_bf16(void)
{
    const struct backend *backend = NULL;
    const char *reason = NULL;
    if (backend_bf16(&reason) != NULL) {
        CU_ASSERT_EQUAL(backend_find("bf16", &backend), STATUS_OK);
        CU_ASSERT_PTR_EQUAL(backend, backend_bf16(&reason));
        struct cpu_features here = cpu_features_here();
        CU_ASSERT_TRUE(here.avx2 && here.fma && here.avx512);
        CU_ASSERT_TRUE(here.avx512_bf16 || here.amx_bf16);
        CU_ASSERT_EQUAL(here.avx512_bf16, __builtin_cpu_supports("avx512bf16") != 0);
    } else {
        CU_ASSERT_PTR_NOT_NULL_FATAL(reason);
        CU_ASSERT_EQUAL(backend_find("bf16", &backend), STATUS_USAGE);
        CU_ASSERT_PTR_NULL(backend);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), reason));
    }
}

/* oneDNN reads the variable once, so another process looks. */
static void limited_onednn_is_refused(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", 1);
        (void)execl("/proc/self/exe", "test_bf16", "refused", (char *)NULL);
        _exit(2);
    }
    int how = 0;
    CHECK(waitpid(child, &how, 0) == child);
    CU_ASSERT_TRUE(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static int expect_refusal(void)
{
    const char *reason = NULL;
    return backend_bf16(&reason) == NULL && strstr(reason, "ONEDNN_MAX_CPU_ISA") != NULL ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(find_knows_bf16),
        SUITE_TEST(limited_onednn_is_refused),
        SUITE_TEST(narrow_rounds_as_common_half_does),
        SUITE_TEST(biases_equal_ref),
        SUITE_TEST(norms_equal_ref),
        SUITE_TEST(swiglu_equals_ref),
        SUITE_TEST(gelu_equals_ref),
        SUITE_TEST(rope_equals_ref),
        SUITE_TEST(attention_equals_ref),
        SUITE_TEST(attention_does_without_log_sum),
        SUITE_TEST(attention_scratch_never_grows_with_fewer_rows),
        SUITE_TEST(cross_entropy_equals_ref),
        SUITE_TEST(embed_and_norm_backward_are_float32),
    };
    if (argc > 1 && strcmp(argv[1], "refused") == 0) {
        return expect_refusal();
    }
    const char *reason = NULL;
    bf16 = backend_bf16(&reason);
    if (bf16 != NULL) {
        return suite_run("bf16", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
    }
    int failed = suite_run("bf16", TESTS, 1);
    printf("SKIPPED the rest: %s\n", reason);
    return failed ? failed : EXIT_SKIPPED;
}
