/* master_fixture - a small model's master with sums, an update buffer and a simulated peer. */
#ifndef DUGNAD_TESTS_UNIT_MASTER_FIXTURE_H
#define DUGNAD_TESTS_UNIT_MASTER_FIXTURE_H

#include "common/random.h"
#include "tests/unit/suite.h"
#include "trainer/optimizer/master.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 5000 };

/* Grouped heads, padding behind many tensors, some ten slices. */
__attribute__((unused)) static const struct model_config SMALL_LLAMA = {.kind = MODEL_LLAMA,
                                                                        .vocab_size = 100,
                                                                        .width = 40,
                                                                        .layer_count = 2,
                                                                        .head_count = 4,
                                                                        .kv_head_count = 2,
                                                                        .head_size = 10,
                                                                        .ffn_width = 91,
                                                                        .context_max = 64,
                                                                        .norm_eps = 1e-5F,
                                                                        .rope_theta = 10000,
                                                                        .init_std = 0.02F,
                                                                        .bos_id = -1,
                                                                        .eos_id = -1};

/* Fused query, key and value weights, Conv1D matrices, an output head of its own. */
__attribute__((unused)) static const struct model_config SMALL_GPT2 = {.kind = MODEL_GPT2,
                                                                       .vocab_size = 100,
                                                                       .width = 48,
                                                                       .layer_count = 2,
                                                                       .head_count = 3,
                                                                       .kv_head_count = 3,
                                                                       .head_size = 16,
                                                                       .ffn_width = 91,
                                                                       .context_max = 50,
                                                                       .norm_eps = 1e-5F,
                                                                       .init_std = 0.02F,
                                                                       .bos_id = -1,
                                                                       .eos_id = -1};

struct fixture {
    struct model_config model;
    struct layout *layout;
    struct master *master;
    enum codec codec;
    size_t count;
    uint8_t *update;
    size_t update_bytes;
    float *peer; /* its parameters */
    int64_t *sum;
    struct exact_grid grid;
    struct random random;
};

/* Random parameters; a warm-up of 5 steps to `learning_rate`, constant from there. */
__attribute__((unused)) static void fixture_init_with(struct fixture *self,
                                                      const struct model_config *model,
                                                      const struct optimizer_settings *settings,
                                                      double learning_rate, enum codec codec,
                                                      enum codec mean_codec)
{
    const struct schedule schedule = {.learning_rate = learning_rate,
                                      .learning_rate_min = learning_rate,
                                      .warmup_steps = 5,
                                      .step_count = 1000};
    *self = (struct fixture){.model = *model, .codec = codec, .grid = exact_grid_for(TOKENS)};
    CU_ASSERT_EQUAL_FATAL(model_config_check(model), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(layout_new(model, &self->layout), STATUS_OK);
    self->count = layout_value_count(self->layout);
    CU_ASSERT_FATAL(self->count / MASTER_SLICE_ALIGN > 8);
    CU_ASSERT_FATAL(self->count > layout_parameter_count(self->layout));
    CU_ASSERT_EQUAL_FATAL(master_new(self->layout, model, settings, &schedule,
                                     (struct master_codecs){.update = codec, .mean = mean_codec},
                                     &self->master),
                          STATUS_OK);
    self->update_bytes = codec_encoded_bytes(codec, self->count);
    self->update = calloc(1, self->update_bytes);
    self->peer = calloc(self->count, sizeof *self->peer);
    self->sum = calloc(self->count, sizeof *self->sum);
    CU_ASSERT_FATAL(self->update != NULL && self->peer != NULL && self->sum != NULL);
    random_init(&self->random, 31, 0);
    for (size_t i = 0; i < layout_tensor_count(self->layout); i++) {
        const struct tensor_spec *spec = layout_tensor(self->layout, i);
        for (size_t j = 0; j < spec->count; j++) {
            self->peer[spec->offset + j] = (float)random_normal(&self->random) * 0.02F;
        }
    }
    master_set_params(self->master, self->peer);
}

/* The optimizer is given the mean gradient as it is. */
__attribute__((unused)) static void fixture_init(struct fixture *self,
                                                 const struct model_config *model,
                                                 const struct optimizer_settings *settings,
                                                 double learning_rate, enum codec codec)
{
    fixture_init_with(self, model, settings, learning_rate, codec, CODEC_FP32);
}

__attribute__((unused)) static void fixture_deinit(struct fixture *self)
{
    master_free(self->master);
    layout_free(self->layout);
    free(self->update);
    free(self->peer);
    free(self->sum);
}

/* Every value, padding too, gets noise around 0.02 per token. */
__attribute__((unused)) static void fixture_fill_sums(struct fixture *self)
{
    for (size_t i = 0; i < self->count; i++) {
        double mean = 0.02 + 0.02 * random_normal(&self->random);
        self->sum[i] = (int64_t)ldexp(mean * TOKENS, self->grid.shift);
    }
}

/* One step in slices of `slice` values, taken backwards when `reversed`. Returns the norm. */
__attribute__((unused)) static double fixture_step(struct fixture *self, size_t slice, int reversed)
{
    if (slice == 0) {
        CU_FAIL_FATAL("a slice holds values");
        return 0;
    }
    size_t slices = (self->count + slice - 1) / slice;
    double norm = 0;
    for (int phase = 1; phase <= 3; phase++) {
        for (size_t i = 0; i < slices; i++) {
            size_t first = (reversed ? slices - 1 - i : i) * slice;
            size_t count = self->count - first < slice ? self->count - first : slice;
            if (phase == 1) {
                master_take_mean(self->master, self->sum + first, &self->grid, TOKENS, first,
                                 count);
            } else if (phase == 2) {
                master_measure(self->master, first, count);
            } else {
                CU_ASSERT_EQUAL(master_apply(self->master, self->update, first, count), STATUS_OK);
            }
        }
        if (phase == 1) {
            norm = master_prepare(self->master);
        } else if (phase == 2) {
            master_settle(self->master);
        }
    }
    master_finish(self->master);
    CU_ASSERT_EQUAL(codec_check(self->codec, self->update, self->update_bytes, self->count),
                    STATUS_OK);
    codec_add(self->codec, self->update, self->count, self->peer);
    return norm;
}

/* Everything that a checkpoint holds has the same bits in both. */
__attribute__((unused)) static int fixture_same_state(const struct fixture *a,
                                                      const struct fixture *b)
{
    size_t bytes = a->count * sizeof(float);
    int same = master_kind(a->master) == master_kind(b->master) &&
               master_version(a->master) == master_version(b->master) &&
               memcmp(master_params(a->master), master_params(b->master), bytes) == 0 &&
               memcmp(master_weights(a->master), master_weights(b->master), bytes) == 0;
    const float *residual_a = master_residual(a->master);
    const float *residual_b = master_residual(b->master);
    same = same && (residual_a == NULL) == (residual_b == NULL);
    if (same && residual_a != NULL) {
        same = memcmp(residual_a, residual_b, bytes) == 0;
    }
    for (size_t i = 0; same && i < optimizer_state_count(master_kind(a->master)); i++) {
        size_t count_a = 0;
        size_t count_b = 0;
        const float *state_a = master_state(a->master, i, &count_a);
        const float *state_b = master_state(b->master, i, &count_b);
        same = count_a == count_b && memcmp(state_a, state_b, count_a * sizeof *state_a) == 0;
    }
    return same;
}

/* What loading a checkpoint does. */
__attribute__((unused)) static void fixture_copy_state(struct fixture *to,
                                                       const struct fixture *from)
{
    size_t bytes = from->count * sizeof(float);
    memcpy(master_params(to->master), master_params(from->master), bytes);
    memcpy(master_weights(to->master), master_weights(from->master), bytes);
    for (size_t i = 0; i < optimizer_state_count(master_kind(from->master)); i++) {
        size_t count = 0;
        const float *state = master_state(from->master, i, &count);
        memcpy(master_state(to->master, i, &count), state, count * sizeof *state);
    }
    if (master_residual(from->master) != NULL) {
        memcpy(master_residual(to->master), master_residual(from->master), bytes);
    }
    master_set_version(to->master, master_version(from->master));
}

#endif
