#include "tests/sim/sim_reference.h"

#include "common/check.h"
#include "common/fault.h"
#include "tests/sim/sim_blocks.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"
#include "trainer/run/run_start.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "dugnad-sim: no reference: %s\n", fault_text());
        exit(EXIT_FAILURE);
    }
}

void sim_reference_start(const struct sim_template *pattern, struct master **out_master,
                         struct slices **out_slices)
{
    const struct run_config *config = &pattern->config;
    const struct layout *layout = model_layout(pattern->model);
    must(master_new(layout, &config->model, &config->optimizer, &config->schedule,
                    (struct master_codecs){.update = config->codec, .mean = config->mean_codec},
                    out_master));
    must(slices_new(1, pattern->value_count, MASTER_SLICE_ALIGN, out_slices));
    must(run_start_params(config, layout, master_params(*out_master)));
    master_set_params(*out_master, master_params(*out_master));
}

/* The gradients of the step's samples, each added to the sums by itself. */
static void add_samples(const struct sim_template *pattern, struct master *master,
                        const struct exact_grid *grid, int64_t *sums)
{
    const struct run_config *config = &pattern->config;
    struct sampler sampler;
    uint16_t tokens[SIM_CONTEXT_MAX + 1];
    uint64_t version = master_version(master);
    must(sampler_init(&sampler, dataset_token_count(pattern->data), config->context, config->seed));
    for (uint64_t i = 0; i < config->target_batch; i++) {
        uint64_t sample = version * config->target_batch + i;
        dataset_read(pattern->data, sampler_offset(&sampler, sample), config->context + 1U, tokens);
        const struct sim_gradient *gradient = sim_gradient(pattern, &pattern->digests[version],
                                                           master_params(master), sample, tokens);
        exact_sum_add(grid, CODEC_FP32, (const uint8_t *)gradient->values, pattern->value_count,
                      sums);
    }
}

/* What a step's mean gradient is before it is encoded. */
struct mean {
    float *values;   /* (value_count) from the sums */
    float *residual; /* (value_count) that the step before left */
    float largest;
};

static void take_mean(struct mean *self, struct master *master, const struct exact_grid *grid,
                      const int64_t *sums, uint64_t tokens)
{
    size_t count = master_value_count(master);
    const float *residual = master_residual(master);
    self->largest = 0.0F;
    exact_sum_mean(grid, sums, count, tokens, self->values);
    for (size_t i = 0; i < count; i++) {
        self->residual[i] = residual != NULL ? residual[i] : 0.0F;
        self->largest = fmaxf(self->largest, fabsf(self->values[i] + self->residual[i]));
    }
}

/* Error feedback: what the optimizer was given and what is left for the next step are together what
 * there was, whatever the encoding loses. The run's own arithmetic makes the reference as well, so
 * this is looked at here. */
static void check_mean(const struct mean *self, struct master *master)
{
    const float *given = master_mean_gradient(master);
    const float *residual = master_residual(master);
    enum codec codec = master_mean_codec(master);
    for (size_t i = 0; i < master_value_count(master); i++) {
        float left = residual != NULL ? residual[i] : 0.0F;
        float lost = fabsf(self->values[i] + self->residual[i] - given[i] - left);
        float allowed = codec == CODEC_FP32  ? 0.0F
                        : codec == CODEC_MX8 ? self->largest / 2000.0F
                                             : fabsf(self->values[i]) / 256.0F;
        if (!(lost <= allowed)) {
            must(fault(STATUS_OUT_OF_RANGE, "the mean gradient in %s loses %g of %g",
                       codec_name(codec), (double)lost, (double)self->values[i]));
        }
    }
}

void sim_reference_make(struct sim_template *pattern)
{
    const struct run_config *config = &pattern->config;
    struct master *master = NULL;
    struct slices *slices = NULL;
    struct exact_grid grid = exact_grid_for(run_config_step_tokens(config));
    size_t value_count = pattern->value_count;
    int64_t *sums = sim_outer_alloc(value_count * sizeof *sums);
    struct mean mean = {.values = sim_outer_alloc(value_count * sizeof(float)),
                        .residual = sim_outer_alloc(value_count * sizeof(float))};
    uint8_t *update = sim_outer_alloc(codec_encoded_bytes(config->codec, value_count));
    CHECK(config->step_count <= SIM_STEPS_MAX && config->context <= SIM_CONTEXT_MAX);
    CHECK(config->step_count * config->target_batch <= SIM_SAMPLES_MAX);
    sim_reference_start(pattern, &master, &slices);
    pattern->digests[0] = params_digest(master_params(master), value_count);
    for (uint64_t step = 0; step < config->step_count; step++) {
        struct master_step_result result;
        add_samples(pattern, master, &grid, sums);
        take_mean(&mean, master, &grid, sums, run_config_step_tokens(config));
        must(master_step_from_sums(master, slices, sums, &grid, run_config_step_tokens(config),
                                   update, &result));
        check_mean(&mean, master);
        pattern->digests[step + 1] = result.digest;
    }
    pattern->last = sim_outer_alloc(value_count * sizeof *pattern->last);
    memcpy(pattern->last, master_params(master), value_count * sizeof *pattern->last);
    sim_outer_free(mean.values);
    sim_outer_free(mean.residual);
    sim_outer_free(update);
    sim_outer_free(sums);
    slices_free(slices);
    master_free(master);
}
