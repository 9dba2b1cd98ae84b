#include "common/check.h"
#include "suite.h"
#include "trainer/model/team.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const struct workspace_plan ONE = {
    .context = 19, .sequence_count = 1, .purpose = WORKSPACE_GRADIENT};

enum { ITEMS = 150, CONTEXT = 19, WIDTH = 64, VOCAB = 40 };

static const struct model_config CONFIG = {.kind = MODEL_LLAMA,
                                           .vocab_size = VOCAB,
                                           .width = WIDTH,
                                           .layer_count = 2,
                                           .head_count = 4,
                                           .kv_head_count = 2,
                                           .head_size = 16,
                                           .ffn_width = 100,
                                           .context_max = CONTEXT,
                                           .tied_head = true,
                                           .norm_eps = 1e-5F,
                                           .rope_theta = 10000.0F,
                                           .init_std = 0.1F,
                                           .bos_id = -1,
                                           .eos_id = -1};

/* Hands out ITEMS sequences, runs of five of the same length, once and notes what came back. The
 * first items wait until all threads have asked: otherwise one thread is done before the next has
 * started, and nothing would race. */
struct fixture {
    pthread_mutex_t lock;
    pthread_cond_t all_here;
    size_t thread_count;
    size_t arrived;
    uint16_t tokens[ITEMS][CONTEXT + 1];
    size_t lengths[ITEMS];
    size_t next;
    size_t limit;
    size_t visits[ITEMS];
    double losses[ITEMS];
};

static size_t take_items(void *context, struct team_item *out, size_t max)
{
    struct fixture *self = context;
    size_t count = 0;
    (void)pthread_mutex_lock(&self->lock);
    self->arrived++;
    (void)pthread_cond_broadcast(&self->all_here);
    while (self->arrived < self->thread_count) {
        (void)pthread_cond_wait(&self->all_here, &self->lock);
    }
    while (count < max && self->next < self->limit &&
           (count == 0 || self->lengths[self->next] == out[0].token_count)) {
        out[count++] = (struct team_item){.tokens = self->tokens[self->next],
                                          .token_count = self->lengths[self->next],
                                          .tag = self->next};
        self->next++;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return count;
}

static void note_done(void *context, const struct team_item *item, double loss_sum)
{
    struct fixture *self = context;
    (void)pthread_mutex_lock(&self->lock);
    self->visits[item->tag]++;
    self->losses[item->tag] = loss_sum;
    (void)pthread_mutex_unlock(&self->lock);
}

static void fixture_init(struct fixture *self, size_t thread_count, size_t limit)
{
    memset(self, 0, sizeof(*self));
    CU_ASSERT_EQUAL_FATAL(pthread_mutex_init(&self->lock, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_cond_init(&self->all_here, NULL), 0);
    self->thread_count = thread_count;
    self->limit = limit;
    for (size_t i = 0; i < ITEMS; i++) {
        self->lengths[i] = 1 + (i / 5 * 7) % CONTEXT;
        for (size_t j = 0; j <= CONTEXT; j++) {
            self->tokens[i][j] = (uint16_t)((i * 13 + j * j * 5 + 1) % VOCAB);
        }
    }
}

/* What one thread computes, without a team. */
struct expected {
    struct model *model;
    float *params;
    struct weights *weights;
    float *gradient;
    size_t value_count;
    double losses[ITEMS];
};

static void expected_init(struct expected *self)
{
    struct workspace *workspace = NULL;
    struct gradient *gradient = NULL;
    struct fixture fixture;
    memset(self, 0, sizeof(*self));
    fixture_init(&fixture, 1, ITEMS);
    CU_ASSERT_EQUAL_FATAL(model_new(&CONFIG, &backend_cpu, &self->model), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(workspace_new(self->model, &ONE, &workspace), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(gradient_new(self->model, &gradient), STATUS_OK);
    self->value_count = layout_value_count(model_layout(self->model));
    self->params = backend_cpu.allocate(self->value_count * sizeof(float));
    self->gradient = calloc(self->value_count, sizeof(float));
    CHECK(self->params != NULL && self->gradient != NULL);
    layout_init_params(model_layout(self->model), &CONFIG, 1, self->params);
    CU_ASSERT_EQUAL_FATAL(weights_new(self->model, &self->weights), STATUS_OK);
    weights_load(self->weights, self->params);
    for (size_t i = 0; i < ITEMS; i++) {
        const uint16_t *tokens = fixture.tokens[i];
        struct sequences sequences = {.tokens = &tokens, .count = 1, .length = fixture.lengths[i]};
        model_gradient(self->model, workspace, self->weights, &sequences, gradient,
                       &self->losses[i]);
    }
    memcpy(self->gradient, gradient_values(gradient), self->value_count * sizeof(float));
    gradient_free(gradient);
    workspace_free(workspace);
}

static void expected_deinit(struct expected *self)
{
    weights_free(self->weights);
    backend_cpu.release(self->params);
    free(self->gradient);
    model_free(self->model);
}

static void assert_visits(const struct fixture *fixture, const struct expected *expected)
{
    for (size_t i = 0; i < ITEMS; i++) {
        CU_ASSERT_EQUAL(fixture->visits[i], i < fixture->limit ? 1U : 0U);
        if (i < fixture->limit) {
            CU_ASSERT_DOUBLE_EQUAL(fixture->losses[i], expected->losses[i],
                                   1e-5 * expected->losses[i]);
        }
    }
}

static void assert_same_gradient(const float *actual, const struct expected *expected)
{
    double difference = 0.0;
    double norm = 0.0;
    for (size_t i = 0; i < expected->value_count; i++) {
        double d = (double)actual[i] - (double)expected->gradient[i];
        difference += d * d;
        norm += (double)expected->gradient[i] * (double)expected->gradient[i];
    }
    CU_ASSERT_TRUE(norm > 0.0);
    CU_ASSERT_TRUE(sqrt(difference / norm) < 1e-6);
}

static struct team_plan plan_of(size_t thread_count, size_t sequence_count)
{
    struct team_plan plan = {.thread_count = thread_count, .workspace = ONE};
    plan.workspace.sequence_count = sequence_count;
    return plan;
}

static void run_team_plan(struct team_plan plan)
{
    size_t thread_count = plan.thread_count;
    struct expected expected;
    struct fixture fixture;
    struct team *team = NULL;
    struct gradient *gradient = NULL;
    expected_init(&expected);
    CU_ASSERT_EQUAL_FATAL(team_new(expected.model, &plan, &team), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(gradient_new(expected.model, &gradient), STATUS_OK);
    for (size_t round = 0; round < 2; round++) { /* a team starts as often as it is asked to */
        fixture_init(&fixture, thread_count, ITEMS);
        gradient_zero(gradient);
        struct team_source source = {&fixture, take_items, note_done};
        CU_ASSERT_EQUAL_FATAL(team_start(team, expected.weights, gradient, &source), STATUS_OK);
        team_join(team);
        assert_visits(&fixture, &expected);
        assert_same_gradient(gradient_values(gradient), &expected);
    }
    gradient_free(gradient);
    team_free(team);
    expected_deinit(&expected);
}

static void run_team(size_t thread_count, size_t sequence_count)
{
    run_team_plan(plan_of(thread_count, sequence_count));
}

static void one_thread_computes_every_item_once(void)
{
    run_team(1, 1);
}

static void three_threads_compute_every_item_once(void)
{
    run_team(3, 1);
}

static void threads_compute_several_items_at_once(void)
{
    run_team(1, 3);
    run_team(3, 5);
}

static void pinned_threads_compute_the_same(void)
{
    struct team_plan plan = plan_of(3, 2);
    plan.pinned = true;
    run_team_plan(plan);
}

static void without_a_gradient_only_losses_come(void)
{
    struct expected expected;
    struct fixture fixture;
    struct team *team = NULL;
    struct team_plan plan = plan_of(2, 3);
    plan.workspace.purpose = WORKSPACE_LOSS;
    expected_init(&expected);
    CU_ASSERT_EQUAL_FATAL(team_new(expected.model, &plan, &team), STATUS_OK);
    fixture_init(&fixture, 2, 5);
    struct team_source source = {&fixture, take_items, note_done};
    CU_ASSERT_EQUAL_FATAL(team_start(team, expected.weights, NULL, &source), STATUS_OK);
    team_join(team);
    assert_visits(&fixture, &expected);
    team_free(team);
    expected_deinit(&expected);
}

static void team_refuses_impossible_sizes(void)
{
    struct model *model = NULL;
    struct team *team = NULL;
    CU_ASSERT_EQUAL_FATAL(model_new(&CONFIG, &backend_cpu, &model), STATUS_OK);
    struct team_plan plan = plan_of(0, 1);
    CU_ASSERT_EQUAL(team_new(model, &plan, &team), STATUS_OUT_OF_RANGE);
    plan.thread_count = TEAM_THREADS_MAX + 1;
    CU_ASSERT_EQUAL(team_new(model, &plan, &team), STATUS_OUT_OF_RANGE);
    plan.thread_count = 2;
    CU_ASSERT_EQUAL(team_bytes(model, &plan),
                    2 * (workspace_bytes(model, &plan.workspace) + backend_cpu.thread_bytes));
    plan.workspace.context = CONTEXT + 1;
    CU_ASSERT_EQUAL(team_new(model, &plan, &team), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NULL(team);
    team_free(NULL);
    model_free(model);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(one_thread_computes_every_item_once),
        SUITE_TEST(three_threads_compute_every_item_once),
        SUITE_TEST(threads_compute_several_items_at_once),
        SUITE_TEST(pinned_threads_compute_the_same),
        SUITE_TEST(without_a_gradient_only_losses_come),
        SUITE_TEST(team_refuses_impossible_sizes),
    };
    return suite_run("team", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
