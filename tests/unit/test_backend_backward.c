/* Every backward operation of `ref` against finite differences of its forward operation. */
#include "backend_fixture.h"

enum { INPUTS_MAX = 4 };

/* A scalar function of several inputs: sum(weights . out) of one operation. */
struct probe {
    float *inputs[INPUTS_MAX];
    size_t counts[INPUTS_MAX];
    size_t input_count;
    float *out;
    size_t out_count;
    float *weights; /* (out_count): also d loss / d out */
    void (*forward)(const struct probe *probe);
    const void *extra;
};

static double probe_loss(const struct probe *probe)
{
    probe->forward(probe);
    double sum = 0.0;
    for (size_t i = 0; i < probe->out_count; i++) {
        sum += (double)probe->out[i] * (double)probe->weights[i];
    }
    return sum;
}

/* Fourth-order central difference: rounding allows a step of a few percent, at which the second
 * order's truncation error would show. */
static double derivative(const struct probe *probe, float *at)
{
    const float step = 0.03125F;
    float start = *at;
    double values[4];
    static const float STEPS[4] = {1.0F, -1.0F, 2.0F, -2.0F};
    for (size_t i = 0; i < 4; i++) {
        *at = start + STEPS[i] * step;
        values[i] = probe_loss(probe);
    }
    *at = start;
    return (8.0 * (values[0] - values[1]) - (values[2] - values[3])) / (12.0 * (double)step);
}

static void assert_gradient(const struct probe *probe, size_t input, const float *gradient)
{
    size_t count = probe->counts[input];
    float *expected = take(count);
    for (size_t i = 0; i < count; i++) {
        expected[i] = (float)derivative(probe, &probe->inputs[input][i]);
    }
    assert_near(gradient, expected, count, 1e-3);
}

/* The same of an operation that added the gradient to `start`. */
static void assert_gradient_from(const struct probe *probe, size_t input, const float *sum,
                                 float start)
{
    float *gradient = take_copy(sum, probe->counts[input]);
    for (size_t i = 0; i < probe->counts[input]; i++) {
        gradient[i] -= start;
    }
    assert_gradient(probe, input, gradient);
}

static float *take_of(size_t count, float value)
{
    float *values = take(count);
    for (size_t i = 0; i < count; i++) {
        values[i] = value;
    }
    return values;
}

struct norm_extra {
    size_t rows;
    size_t width;
    float *mean;
    float *rstd;
};

static void rmsnorm_forward(const struct probe *probe)
{
    const struct norm_extra *extra = probe->extra;
    backend_ref.rmsnorm(cells(probe->out), extra->rstd, probe->inputs[0], probe->inputs[1],
                        extra->rows, extra->width, 1e-5F);
}

static void layernorm_forward(const struct probe *probe)
{
    const struct norm_extra *extra = probe->extra;
    backend_ref.layernorm(cells(probe->out), extra->mean, extra->rstd, probe->inputs[0],
                          probe->inputs[1], probe->inputs[2], extra->rows, extra->width, 1e-5F);
}

static void ref_norms_agree_with_finite_differences(void)
{
    enum { ROWS = 3, WIDTH = 7 };
    struct norm_extra extra = {ROWS, WIDTH, take(ROWS), take(ROWS)};
    struct probe probe = {
        .inputs = {take_normal(21, 1), take_normal(WIDTH, 2), take_normal(WIDTH, 3)},
        .counts = {21, WIDTH, WIDTH},
        .out = take(21),
        .out_count = 21,
        .weights = take_normal(21, 4),
        .forward = rmsnorm_forward,
        .extra = &extra};
    float *d_x = take_of(21, 7.0F); /* d_x is added to */
    float *d_gain = take(WIDTH);
    float *d_bias = take(WIDTH);
    (void)probe_loss(&probe);
    backend_ref.rmsnorm_backward(d_x, d_gain, probe.weights, probe.inputs[0], probe.inputs[1],
                                 extra.rstd, ROWS, WIDTH);
    assert_gradient_from(&probe, 0, d_x, 7.0F);
    assert_gradient(&probe, 1, d_gain);

    probe.forward = layernorm_forward;
    d_x = take_of(21, -3.0F);
    memset(d_gain, 0, WIDTH * sizeof(*d_gain));
    (void)probe_loss(&probe);
    backend_ref.layernorm_backward(d_x, d_gain, d_bias, probe.weights, probe.inputs[0],
                                   probe.inputs[1], extra.mean, extra.rstd, ROWS, WIDTH);
    assert_gradient_from(&probe, 0, d_x, -3.0F);
    assert_gradient(&probe, 1, d_gain);
    assert_gradient(&probe, 2, d_bias);
    release_all();
}

static void swiglu_forward(const struct probe *probe)
{
    backend_ref.swiglu(cells(probe->out), cells(probe->inputs[0]), cells(probe->inputs[1]),
                       probe->out_count);
}

static void ref_swiglu_agrees_with_finite_differences(void)
{
    enum { COUNT = 37 };
    struct probe probe = {.inputs = {take_normal(COUNT, 1), take_normal(COUNT, 2)},
                          .counts = {COUNT, COUNT},
                          .out = take(COUNT),
                          .out_count = COUNT,
                          .weights = take_normal(COUNT, 3),
                          .forward = swiglu_forward};
    float *hidden = take(COUNT);
    float *gate = take_copy(probe.inputs[0], COUNT); /* both become their own gradients */
    float *up = take_copy(probe.inputs[1], COUNT);
    backend_ref.swiglu_backward(cells(hidden), cells(gate), cells(up), cells(probe.weights), COUNT);
    assert_gradient(&probe, 0, gate);
    assert_gradient(&probe, 1, up);
    swiglu_forward(&probe);
    assert_near(hidden, probe.out, COUNT, 1e-6);
    release_all();
}

enum { GELU_ROWS = 5, GELU_WIDTH = 7, GELU_COUNT = GELU_ROWS * GELU_WIDTH };

static void bias_gelu_forward(const struct probe *probe)
{
    float fc[GELU_COUNT];
    memcpy(fc, probe->inputs[0], sizeof(fc));
    backend_ref.bias_gelu(cells(probe->out), cells(fc), probe->inputs[1], GELU_ROWS, GELU_WIDTH);
}

static void ref_bias_gelu_agrees_with_finite_differences(void)
{
    struct probe probe = {.inputs = {take_normal(GELU_COUNT, 1), take_normal(GELU_WIDTH, 2)},
                          .counts = {GELU_COUNT, GELU_WIDTH},
                          .out = take(GELU_COUNT),
                          .out_count = GELU_COUNT,
                          .weights = take_normal(GELU_COUNT, 3),
                          .forward = bias_gelu_forward};
    float *fc = take_copy(probe.inputs[0], GELU_COUNT);
    float *hidden = take(GELU_COUNT);
    float *again = take(GELU_COUNT);
    float *d_bias = take(GELU_WIDTH);
    backend_ref.bias_gelu(cells(hidden), cells(fc), probe.inputs[1], GELU_ROWS, GELU_WIDTH);
    backend_ref.gelu_backward(cells(again), cells(fc), cells(probe.weights), GELU_COUNT);
    backend_ref.bias_backward(d_bias, cells(fc), GELU_ROWS, GELU_WIDTH);
    assert_gradient(&probe, 0, fc);
    assert_gradient(&probe, 1, d_bias);
    assert_near(again, hidden, GELU_COUNT, 1e-6);
    release_all();
}

struct attention_extra {
    struct attention_shape shape;
    float *log_sum;
    void *scratch;
};

static void attention_forward(const struct probe *probe)
{
    const struct attention_extra *extra = probe->extra;
    backend_ref.attention(cells(probe->out), extra->log_sum, cells(probe->inputs[0]),
                          cells(probe->inputs[1]), cells(probe->inputs[2]), &extra->shape,
                          extra->scratch);
}

static void ref_attention_agrees_with_finite_differences(void)
{
    struct attention_extra extra = {.shape = {.rows = 5,
                                              .head_count = 4,
                                              .kv_head_count = 2,
                                              .head_size = 3,
                                              .q_stride = 12,
                                              .kv_stride = 6},
                                    .log_sum = take(20)};
    extra.scratch = take_bytes(backend_ref.attention_scratch(&extra.shape));
    struct probe probe = {.inputs = {take_normal(60, 1), take_normal(30, 2), take_normal(30, 3)},
                          .counts = {60, 30, 30},
                          .out = take(60),
                          .out_count = 60,
                          .weights = take_normal(60, 4),
                          .forward = attention_forward,
                          .extra = &extra};
    float *d_q = take_normal(60, 5); /* garbage: the operation overwrites */
    float *d_k = take_normal(30, 6);
    float *d_v = take_normal(30, 7);
    (void)probe_loss(&probe);
    backend_ref.attention_backward(cells(d_q), cells(d_k), cells(d_v), cells(probe.weights),
                                   cells(probe.out), extra.log_sum, cells(probe.inputs[0]),
                                   cells(probe.inputs[1]), cells(probe.inputs[2]), &extra.shape,
                                   extra.scratch);
    assert_gradient(&probe, 0, d_q);
    assert_gradient(&probe, 1, d_k);
    assert_gradient(&probe, 2, d_v);
    release_all();
}

enum { ROPE_ROWS = 4, ROPE_HEADS = 2, ROPE_SIZE = 6, ROPE_STRIDE = 12 };

static void rope_forward(const struct probe *probe)
{
    memcpy(probe->out, probe->inputs[0], probe->out_count * sizeof(float));
    backend_ref.rope(cells(probe->out), ROPE_ROWS, ROPE_HEADS, ROPE_SIZE, ROPE_STRIDE, 100.0F, 3,
                     1);
}

static void ref_rope_agrees_with_finite_differences(void)
{
    enum { COUNT = ROPE_ROWS * ROPE_STRIDE };
    struct probe probe = {.inputs = {take_normal(COUNT, 1)},
                          .counts = {COUNT},
                          .out = take(COUNT),
                          .out_count = COUNT,
                          .weights = take_normal(COUNT, 2),
                          .forward = rope_forward};
    float *d_x = take_copy(probe.weights, COUNT);
    backend_ref.rope(cells(d_x), ROPE_ROWS, ROPE_HEADS, ROPE_SIZE, ROPE_STRIDE, 100.0F, 3, -1);
    assert_gradient(&probe, 0, d_x);
    release_all();
}

static const uint16_t IDS[] = {4, 1, 4, 0, 2};

static void embed_forward(const struct probe *probe)
{
    backend_ref.embed(probe->out, probe->inputs[0], probe->inputs[1], IDS, 5, 3);
    backend_ref.add_bias(cells(probe->out), probe->inputs[2], 5, 3);
}

static void ref_embedding_and_bias_agree_with_finite_differences(void)
{
    struct probe probe = {.inputs = {take_normal(15, 1), take_normal(18, 2), take_normal(3, 3)},
                          .counts = {15, 18, 3},
                          .out = take(15),
                          .out_count = 15,
                          .weights = take_normal(15, 4),
                          .forward = embed_forward};
    float *d_table = take(15);
    float *d_positions = take(18); /* one position more than there are rows */
    float *d_bias = take(3);
    backend_ref.embed_backward(d_table, d_positions, probe.weights, IDS, 5, 3);
    backend_ref.bias_backward(d_bias, cells(probe.weights), 5, 3);
    assert_gradient(&probe, 0, d_table);
    assert_gradient(&probe, 1, d_positions);
    assert_gradient(&probe, 2, d_bias);
    memset(d_bias, 0, 3 * sizeof(*d_bias));
    backend_ref.residual_bias_backward(d_bias, probe.weights, 5, 3);
    assert_gradient(&probe, 2, d_bias);
    release_all();
}

static void cross_entropy_forward(const struct probe *probe)
{
    double losses[5];
    backend_ref.cross_entropy(losses, NULL, probe->inputs[0], IDS, 5, 7);
    for (size_t t = 0; t < 5; t++) {
        /* In two floats, so that the difference does not lose the loss's digits. */
        probe->out[2 * t] = (float)losses[t];
        probe->out[2 * t + 1] = (float)(losses[t] - (double)probe->out[2 * t]);
    }
}

static void ref_cross_entropy_agrees_with_finite_differences(void)
{
    struct probe probe = {.inputs = {take_normal(35, 1)},
                          .counts = {35},
                          .out = take(10),
                          .out_count = 10,
                          .weights = take_of(10, 1.0F),
                          .forward = cross_entropy_forward};
    float *d_logits = take(35);
    double losses[5];
    backend_ref.cross_entropy(losses, cells(d_logits), probe.inputs[0], IDS, 5, 7);
    assert_gradient(&probe, 0, d_logits);
    release_all();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(ref_norms_agree_with_finite_differences),
        SUITE_TEST(ref_swiglu_agrees_with_finite_differences),
        SUITE_TEST(ref_bias_gelu_agrees_with_finite_differences),
        SUITE_TEST(ref_attention_agrees_with_finite_differences),
        SUITE_TEST(ref_rope_agrees_with_finite_differences),
        SUITE_TEST(ref_embedding_and_bias_agree_with_finite_differences),
        SUITE_TEST(ref_cross_entropy_agrees_with_finite_differences),
    };
    return suite_run("backend_backward", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
