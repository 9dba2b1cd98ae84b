/* LAMB and Adam-mini, which look at whole tensors and blocks, against their papers' equations in
 * double precision: written element by element, from names, rows and columns alone. */
#include "tests/unit/master_fixture.h"
#include "trainer/optimizer/blocks.h"

enum { STEPS = 6 };

static const double learning_rate = 0.01;

static double rate_at(int step)
{
    return step < 5 ? learning_rate * (step + 1) / 5 : learning_rate;
}

static const struct optimizer_settings lamb = {.kind = OPTIMIZER_LAMB,
                                               .beta1 = 0.9,
                                               .beta2 = 0.999,
                                               .eps = 1e-6,
                                               .weight_decay = 0.01,
                                               .grad_clip = 3.0};

static const struct optimizer_settings adam_mini = {.kind = OPTIMIZER_ADAM_MINI,
                                                    .beta1 = 0.9,
                                                    .beta2 = 0.95,
                                                    .eps = 1e-8,
                                                    .weight_decay = 0.1,
                                                    .grad_clip = 3.0};

/* The weights, moments and block moments of a paper's algorithm, shape (count) each. */
struct paper {
    const struct optimizer_settings *settings;
    const struct model_config *model;
    double *weights, *m, *v, *update;
    size_t count;
};

static void paper_init(struct paper *self, const struct fixture *fixture,
                       const struct optimizer_settings *settings)
{
    self->settings = settings;
    self->model = &fixture->model;
    self->count = fixture->count;
    self->weights = calloc(self->count, sizeof(double));
    self->m = calloc(self->count, sizeof(double));
    self->v = calloc(self->count, sizeof(double));
    self->update = calloc(self->count, sizeof(double));
    CU_ASSERT_FATAL(self->weights != NULL && self->m != NULL && self->v != NULL &&
                    self->update != NULL);
    for (size_t i = 0; i < self->count; i++) {
        self->weights[i] = (double)fixture->peer[i];
    }
}

static void paper_deinit(struct paper *self)
{
    free(self->weights);
    free(self->m);
    free(self->v);
    free(self->update);
}

static double norm_of(const double *values, size_t count)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        squares += values[i] * values[i];
    }
    return sqrt(squares);
}

/* You et al., algorithm 2, one tensor; `grad` is clipped. */
static void paper_lamb(struct paper *self, const struct tensor_spec *spec, const double *grad,
                       int step)
{
    const struct optimizer_settings *s = self->settings;
    double *w = self->weights + spec->offset;
    double *u = self->update + spec->offset;
    for (size_t i = 0; i < spec->count; i++) {
        double *m = &self->m[spec->offset + i];
        double *v = &self->v[spec->offset + i];
        *m = s->beta1 * *m + (1 - s->beta1) * grad[i];
        *v = s->beta2 * *v + (1 - s->beta2) * grad[i] * grad[i];
        double m_hat = *m / (1 - pow(s->beta1, step + 1));
        double v_hat = *v / (1 - pow(s->beta2, step + 1));
        u[i] = m_hat / (sqrt(v_hat) + s->eps) + (spec->rank == 2 ? s->weight_decay * w[i] : 0);
    }
    double ratio = spec->rank == 2 ? norm_of(w, spec->count) / norm_of(u, spec->count) : 1.0;
    for (size_t i = 0; i < spec->count; i++) {
        w[i] -= rate_at(step) * ratio * u[i];
    }
}

static bool named(const struct tensor_spec *spec, const char *part)
{
    return strstr(spec->name, part) != NULL;
}

/* A number below spec->count that only the elements of one block have. */
static size_t block_of(const struct model_config *model, const struct tensor_spec *spec, size_t row,
                       size_t column)
{
    size_t width = model->width;
    if (spec->rank == 1) {
        return named(spec, "c_attn.bias") ? row / width : 0; /* q, k or v */
    }
    if (named(spec, "c_attn.weight")) { /* [in, out]; out is q heads, k heads, v neurons */
        return column < 2 * width ? column / model->head_size : 1000 + column;
    }
    if (named(spec, "c_proj.weight") || named(spec, "c_fc.weight")) {
        return column; /* [in, out] */
    }
    if (named(spec, "q_proj") || named(spec, "k_proj")) {
        return row / model->head_size; /* [out, in] */
    }
    return row; /* tokens, positions, or output neurons of [out, in] */
}

/* Zhang et al., algorithm 1, one tensor; `grad` is clipped. */
static void paper_adam_mini(struct paper *self, const struct tensor_spec *spec, const double *grad,
                            int step)
{
    const struct optimizer_settings *s = self->settings;
    size_t columns = spec->rank == 2 ? (size_t)spec->shape[1] : 1;
    double *block_squares = calloc(spec->count, sizeof(double));
    double *block_sizes = calloc(spec->count, sizeof(double));
    CU_ASSERT_FATAL(block_squares != NULL && block_sizes != NULL);
    for (size_t i = 0; i < spec->count; i++) {
        size_t block = block_of(self->model, spec, i / columns, i % columns);
        block_squares[block] += grad[i] * grad[i];
        block_sizes[block] += 1;
    }
    for (size_t i = 0; i < spec->count; i++) {
        double *m = &self->m[spec->offset + i];
        double *v = &self->v[spec->offset + i]; /* the same for all of a block */
        double *w = &self->weights[spec->offset + i];
        size_t block = block_of(self->model, spec, i / columns, i % columns);
        *w -= spec->rank == 2 ? rate_at(step) * s->weight_decay * *w : 0;
        *m = s->beta1 * *m + (1 - s->beta1) * grad[i];
        *v = s->beta2 * *v + (1 - s->beta2) * block_squares[block] / block_sizes[block];
        double m_hat = *m / (1 - pow(s->beta1, step + 1));
        double v_hat = *v / (1 - pow(s->beta2, step + 1));
        *w -= rate_at(step) * m_hat / (sqrt(v_hat) + s->eps);
    }
    free(block_squares);
    free(block_sizes);
}

/* Gradients whose size differs between tensors, rows and columns, so that a wrong partition
 * shows. Multiples of 2^-20, which the sums hold exactly. */
static void fill_gradient(struct fixture *fixture, double *grad)
{
    memset(fixture->sum, 0, fixture->count * sizeof *fixture->sum);
    for (size_t t = 0; t < layout_tensor_count(fixture->layout); t++) {
        const struct tensor_spec *spec = layout_tensor(fixture->layout, t);
        size_t columns = spec->rank == 2 ? (size_t)spec->shape[1] : 1;
        for (size_t i = 0; i < spec->count; i++) {
            double scale = 0.01 * (double)(1 + t % 5) * (double)(1 + i / columns % 7) *
                           (double)(1 + i % columns % 11);
            double value = rint(scale * random_normal(&fixture->random) * 0x1p20) * 0x1p-20;
            grad[spec->offset + i] = value;
            fixture->sum[spec->offset + i] = (int64_t)ldexp(value * TOKENS, fixture->grid.shift);
        }
    }
}

static void clip(double *grad, size_t count, double max)
{
    double norm = norm_of(grad, count);
    CU_ASSERT_TRUE(norm > max); /* clipping is part of what is compared */
    for (size_t i = 0; i < count; i++) {
        grad[i] *= max / norm;
    }
}

typedef void paper_step(struct paper *self, const struct tensor_spec *spec, const double *grad,
                        int step);

static void compare(const struct model_config *model, const struct optimizer_settings *settings,
                    paper_step *run)
{
    struct fixture fixture;
    struct paper paper;
    fixture_init(&fixture, model, settings, learning_rate, CODEC_FP32);
    paper_init(&paper, &fixture, settings);
    double *grad = calloc(fixture.count, sizeof *grad);
    CU_ASSERT_PTR_NOT_NULL_FATAL(grad);
    for (int step = 0; step < STEPS; step++) {
        fill_gradient(&fixture, grad);
        clip(grad, fixture.count, settings->grad_clip);
        (void)fixture_step(&fixture, MASTER_SLICE_ALIGN, 0);
        for (size_t t = 0; t < layout_tensor_count(fixture.layout); t++) {
            const struct tensor_spec *spec = layout_tensor(fixture.layout, t);
            run(&paper, spec, grad + spec->offset, step);
        }
    }
    for (size_t t = 0; t < layout_tensor_count(fixture.layout); t++) {
        const struct tensor_spec *spec = layout_tensor(fixture.layout, t);
        double worst = 0;
        for (size_t i = spec->offset; i < spec->offset + spec->count; i++) {
            worst = fmax(worst, fabs((double)master_weights(fixture.master)[i] - paper.weights[i]));
        }
        if (!(worst < 5e-7)) {
            printf("%s: %g from the paper\n", spec->name, worst);
            CU_FAIL("the weights are elsewhere");
        }
    }
    free(grad);
    paper_deinit(&paper);
    fixture_deinit(&fixture);
}

static void lamb_follows_the_papers_equations(void)
{
    compare(&SMALL_LLAMA, &lamb, paper_lamb);
    compare(&SMALL_GPT2, &lamb, paper_lamb);
}

static void adam_mini_follows_the_papers_equations(void)
{
    compare(&SMALL_LLAMA, &adam_mini, paper_adam_mini);
    compare(&SMALL_GPT2, &adam_mini, paper_adam_mini);
}

static void lamb_moves_a_matrix_by_a_share_of_its_norm(void)
{
    /* Whatever the gradient's size: ||step|| = lr ||w||, and lr ||u|| for vectors. */
    struct optimizer_settings plain = lamb;
    plain.grad_clip = 0;
    struct fixture fixture;
    fixture_init(&fixture, &SMALL_LLAMA, &plain, learning_rate, CODEC_FP32);
    double *start = calloc(fixture.count, sizeof *start);
    double *moved = calloc(fixture.count, sizeof *moved);
    CU_ASSERT_FATAL(start != NULL && moved != NULL);
    for (size_t i = 0; i < fixture.count; i++) {
        start[i] = (double)fixture.peer[i];
    }
    fill_gradient(&fixture, moved);
    (void)fixture_step(&fixture, fixture.count, 0);
    for (size_t t = 0; t < layout_tensor_count(fixture.layout); t++) {
        const struct tensor_spec *spec = layout_tensor(fixture.layout, t);
        for (size_t i = spec->offset; i < spec->offset + spec->count; i++) {
            moved[i] = (double)master_weights(fixture.master)[i] - start[i];
        }
        double step = norm_of(moved + spec->offset, spec->count);
        double expected = rate_at(0) * (spec->rank == 2 ? norm_of(start + spec->offset, spec->count)
                                                        : sqrt((double)spec->count));
        /* A gradient that is not far above eps makes its element of a vector move less. */
        CU_ASSERT_DOUBLE_EQUAL(step, expected, (spec->rank == 2 ? 1e-5 : 1e-2) * expected);
    }
    free(start);
    free(moved);
    fixture_deinit(&fixture);
}

static void lamb_trusts_zero_weights_by_one_and_caps_their_norm(void)
{
    struct optimizer_settings plain = lamb;
    plain.grad_clip = 0;
    struct fixture fixture;
    fixture_init(&fixture, &SMALL_LLAMA, &plain, learning_rate, CODEC_FP32);
    const struct tensor_spec *zero = layout_tensor(fixture.layout, 0);
    const struct tensor_spec *huge = layout_tensor(fixture.layout, 1);
    CU_ASSERT_FATAL(zero->rank == 2 && huge->rank == 2);
    for (size_t i = 0; i < zero->count; i++) {
        fixture.peer[zero->offset + i] = 0;
    }
    for (size_t i = 0; i < huge->count; i++) {
        fixture.peer[huge->offset + i] = 1e6F;
    }
    master_set_params(fixture.master, fixture.peer);
    for (size_t i = 0; i < fixture.count; i++) {
        fixture.sum[i] = (int64_t)ldexp(0.5 * TOKENS, fixture.grid.shift);
    }
    (void)fixture_step(&fixture, fixture.count, 0);
    /* Step 1 of Adam is lr * sign(g). */
    CU_ASSERT_DOUBLE_EQUAL((double)master_weights(fixture.master)[zero->offset], -rate_at(0), 1e-7);
    double step = 1e6 - (double)master_weights(fixture.master)[huge->offset];
    CU_ASSERT_DOUBLE_EQUAL(step, rate_at(0) * 10000 / sqrt((double)huge->count), 0.1);
    fixture_deinit(&fixture);
}

static void blocks_are_as_many_as_the_paper_counts(void)
{
    const struct model_config *l = &SMALL_LLAMA;
    const struct model_config *g = &SMALL_GPT2;
    /* Per layer: q and k heads, v, o, gate, up and down neurons, two norms. */
    size_t llama = 2 * (size_t)l->vocab_size + 1 +
                   l->layer_count *
                       (l->head_count + l->kv_head_count + (size_t)l->kv_head_count * l->head_size +
                        l->width + 2 * (size_t)l->ffn_width + l->width + 2);
    /* Per layer: q and k heads, v, attention and MLP neurons; 4 norm vectors, 3 + 1 + 1 + 1
     * biases. */
    size_t gpt2 = 2 * (size_t)g->vocab_size + g->context_max + 2 +
                  g->layer_count * (2 * (size_t)g->head_count + g->width + g->width + g->ffn_width +
                                    g->width + 4 + 6);
    const struct model_config *const models[] = {l, g};
    const size_t expected[] = {llama, gpt2};
    for (size_t i = 0; i < 2; i++) {
        struct layout *layout = NULL;
        struct blocks *blocks = NULL;
        CU_ASSERT_EQUAL_FATAL(layout_new(models[i], &layout), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(blocks_new(layout, models[i], &blocks), STATUS_OK);
        CU_ASSERT_EQUAL(blocks_count(blocks), expected[i]);
        CU_ASSERT_EQUAL(blocks_count_in(layout, models[i]), expected[i]);
        uint64_t full = (uint64_t)layout_value_count(layout) * 16;
        CU_ASSERT_EQUAL(master_bytes(layout, models[i], OPTIMIZER_SGD, CODEC_FP32), full);
        CU_ASSERT_EQUAL(master_bytes(layout, models[i], OPTIMIZER_ADAM_MINI, CODEC_FP32),
                        full + 12 * (uint64_t)expected[i]);
        CU_ASSERT_EQUAL(master_bytes(layout, models[i], OPTIMIZER_ADAMW, CODEC_FP32), full / 4 * 5);
        blocks_free(blocks);
        layout_free(layout);
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(lamb_follows_the_papers_equations),
        SUITE_TEST(lamb_moves_a_matrix_by_a_share_of_its_norm),
        SUITE_TEST(lamb_trusts_zero_weights_by_one_and_caps_their_norm),
        SUITE_TEST(adam_mini_follows_the_papers_equations),
        SUITE_TEST(blocks_are_as_many_as_the_paper_counts),
    };
    return suite_run("optimizer_blocks", tests, sizeof tests / sizeof tests[0]);
}
