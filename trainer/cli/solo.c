#include "trainer/cli/solo.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/memory.h"
#include "trainer/data/sampler.h"
#include "trainer/model/team.h"
#include "trainer/optimizer/master_step.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* One step's samples on their way to the team: a slot of tokens for each that a thread may hold. */
struct feed {
    const struct dataset *data;
    struct sampler sampler;
    pthread_mutex_t lock; /* guards `taken` and `slot_taken` */
    uint64_t first;       /* sample number of the step's first sample */
    size_t sample_count;  /* B */
    size_t taken;         /* samples given out so far */
    size_t thread_count;
    size_t context;   /* T */
    bool *slot_taken; /* (slots) */
    uint16_t *tokens; /* (slots, T + 1) */
    double *losses;   /* (B), so that their sum has a fixed order */
};

struct solo {
    const struct run_config *config;
    struct team_plan plan;
    size_t value_count;
    struct exact_grid grid;
    struct model *model;
    struct weights *weights;
    struct team *team;
    struct gradient *gradient;
    struct master *master;
    struct slices *slices; /* of the master's vector */
    enum status taken[SLICES_THREADS_MAX];
    struct feed feed;
    float *residual; /* (value_count): what the codec lost; NULL when it loses nothing */
    uint8_t *update; /* codec_encoded_bytes(value_count) */
};

/* The threads' fair share of what is left, so that all end at about the same time. */
static size_t share_of(const struct feed *self, size_t max)
{
    size_t left = self->sample_count - self->taken;
    size_t share = (left + self->thread_count - 1) / self->thread_count;
    return share < max ? share : max;
}

static size_t feed_take(void *context, struct team_item *out, size_t max)
{
    struct feed *self = context;
    size_t slot = 0;
    CHECK(pthread_mutex_lock(&self->lock) == 0);
    size_t count = share_of(self, max);
    for (size_t i = 0; i < count; i++) {
        while (self->slot_taken[slot]) {
            slot++; /* a thread holds at most its share of slots, so one is free */
        }
        self->slot_taken[slot] = true;
        out[i] = (struct team_item){.tokens = self->tokens + slot * (self->context + 1),
                                    .token_count = self->context,
                                    .tag = self->taken++};
    }
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
    for (size_t i = 0; i < count; i++) {
        uint16_t *tokens = self->tokens + (out[i].tokens - self->tokens);
        uint64_t offset = sampler_offset(&self->sampler, self->first + out[i].tag);
        dataset_read(self->data, offset, self->context + 1, tokens);
    }
    return count;
}

static void feed_done(void *context, const struct team_item *item, double loss_sum)
{
    struct feed *self = context;
    self->losses[item->tag] = loss_sum; /* its own element: no lock needed */
    CHECK(pthread_mutex_lock(&self->lock) == 0);
    self->slot_taken[(size_t)(item->tokens - self->tokens) / (self->context + 1)] = false;
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
}

static enum status feed_init(struct feed *self, const struct run_config *config,
                             const struct dataset *data, const struct team_plan *plan)
{
    size_t slot_count = plan->thread_count * plan->workspace.sequence_count;
    self->data = data;
    self->thread_count = plan->thread_count;
    self->sample_count = config->target_batch;
    self->context = config->context;
    enum status status =
        sampler_init(&self->sampler, dataset_token_count(data), config->context, config->seed);
    if (status != STATUS_OK) {
        return status;
    }
    self->slot_taken = calloc(slot_count, sizeof *self->slot_taken);
    self->tokens = calloc(slot_count * (self->context + 1), sizeof *self->tokens);
    self->losses = calloc(self->sample_count, sizeof *self->losses);
    bool complete = self->slot_taken != NULL && self->tokens != NULL && self->losses != NULL;
    return complete ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory for a step's samples");
}

uint64_t solo_bytes(const struct solo *self)
{
    const uint64_t gradient_bytes = 4;
    uint64_t bytes = self->value_count * gradient_bytes;
    bytes += master_bytes(model_layout(self->model), &self->config->model,
                          self->config->optimizer.kind, self->config->mean_codec);
    bytes += codec_encoded_bytes(self->config->codec, self->value_count);
    bytes += self->config->codec == CODEC_FP32 ? 0 : self->value_count * sizeof(float);
    bytes += self->config->target_batch * sizeof(double);
    return bytes + weights_bytes(self->model) + team_bytes(self->model, &self->plan);
}

static enum status allocate(struct solo *self)
{
    const struct run_config *config = self->config;
    enum status status = memory_check_fits(
        "this training", solo_bytes(self),
        "use fewer --threads, --recompute blocks, a shorter context or a smaller model");
    if (status == STATUS_OK) {
        status = master_new(
            model_layout(self->model), &config->model, &config->optimizer, &config->schedule,
            (struct master_codecs){.update = config->codec, .mean = config->mean_codec},
            &self->master);
    }
    if (status == STATUS_OK) {
        status = gradient_new(self->model, &self->gradient);
    }
    if (status == STATUS_OK) {
        status = weights_new(self->model, &self->weights);
    }
    if (status == STATUS_OK) {
        status = team_new(self->model, &self->plan, &self->team);
    }
    if (status != STATUS_OK) {
        return status;
    }
    size_t thread_count =
        self->plan.thread_count < SLICES_THREADS_MAX ? self->plan.thread_count : SLICES_THREADS_MAX;
    status = slices_new(thread_count, self->value_count, MASTER_SLICE_ALIGN, &self->slices);
    if (status != STATUS_OK) {
        return status;
    }
    bool lossy = config->codec != CODEC_FP32;
    self->update = malloc(codec_encoded_bytes(config->codec, self->value_count));
    self->residual = lossy ? calloc(self->value_count, sizeof *self->residual) : NULL;
    if (self->update == NULL || (lossy && self->residual == NULL)) {
        return fault(STATUS_NO_MEMORY, "no memory for this training; choose a smaller model");
    }
    return STATUS_OK;
}

/* The threads of a step share its samples: none needs room for more. */
static struct team_plan plan_of(const struct run_config *config, const struct solo_compute *compute)
{
    size_t share = (config->target_batch + compute->thread_count - 1) / compute->thread_count;
    return (struct team_plan){
        .thread_count = compute->thread_count,
        .pinned = compute->pinned,
        .workspace = {.context = config->context,
                      .sequence_count = workspace_sequences(config->context, share),
                      .purpose = WORKSPACE_GRADIENT,
                      .recompute = compute->recompute}};
}

enum status solo_new(const struct run_config *config, const struct solo_compute *compute,
                     const struct dataset *data, struct solo **out)
{
    *out = NULL;
    if (dataset_vocab_size(data) > config->model.vocab_size) {
        return fault(STATUS_BAD_CONFIG,
                     "the data has %u tokens and the model's vocab_size is %u; set vocab_size to "
                     "at least %u",
                     dataset_vocab_size(data), config->model.vocab_size, dataset_vocab_size(data));
    }
    struct solo *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for this training");
    }
    CHECK(pthread_mutex_init(&self->feed.lock, NULL) == 0);
    self->config = config;
    self->plan = plan_of(config, compute);
    self->grid = exact_grid_for(run_config_step_tokens(config));
    enum status status = model_new(&config->model, compute->backend, &self->model);
    if (status == STATUS_OK) {
        self->value_count = layout_value_count(model_layout(self->model));
        status = feed_init(&self->feed, config, data, &self->plan);
    }
    if (status == STATUS_OK) {
        status = allocate(self);
    }
    if (status != STATUS_OK) {
        solo_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void solo_free(struct solo *self)
{
    if (self == NULL) {
        return;
    }
    free(self->residual);
    free(self->update);
    free(self->feed.slot_taken);
    free(self->feed.tokens);
    free(self->feed.losses);
    CHECK(pthread_mutex_destroy(&self->feed.lock) == 0);
    slices_free(self->slices);
    team_free(self->team);
    weights_free(self->weights);
    gradient_free(self->gradient);
    master_free(self->master);
    model_free(self->model);
    free(self);
}

float *solo_params(struct solo *self)
{
    return master_params(self->master);
}

const struct layout *solo_layout(const struct solo *self)
{
    return model_layout(self->model);
}

void solo_start(struct solo *self)
{
    master_set_params(self->master, master_params(self->master));
    weights_load(self->weights, master_params(self->master));
    if (self->residual != NULL) {
        memset(self->residual, 0, self->value_count * sizeof *self->residual);
    }
}

/* The step's gradient into self->gradient, and its mean loss. */
static enum status compute_gradient(struct solo *self, double *out_loss)
{
    struct feed *feed = &self->feed;
    feed->first = master_version(self->master) * feed->sample_count;
    feed->taken = 0;
    gradient_zero(self->gradient);
    const struct team_source source = {.context = feed, .take = feed_take, .done = feed_done};
    enum status status = team_start(self->team, self->weights, self->gradient, &source);
    if (status != STATUS_OK) {
        return status;
    }
    team_join(self->team);
    double loss = 0;
    for (size_t i = 0; i < feed->sample_count; i++) {
        loss += feed->losses[i];
    }
    *out_loss = loss / (double)run_config_step_tokens(self->config);
    return isfinite(*out_loss) ? STATUS_OK
                               : fault(STATUS_OUT_OF_RANGE, "the loss is no longer a finite "
                                                            "number; lower the learning rate");
}

/* What a peer, an aggregator and phase 1 of the master do with one block of the gradient. */
static enum status take_block(struct solo *self, size_t first, size_t count)
{
    enum codec codec = self->config->codec;
    uint64_t tokens = run_config_step_tokens(self->config);
    float values[MASTER_SLICE_ALIGN];
    int64_t sum[MASTER_SLICE_ALIGN] = {0};
    uint8_t encoded[MASTER_SLICE_ALIGN * sizeof(float)];
    size_t encoded_bytes = codec_encoded_bytes(codec, count);
    memcpy(values, gradient_values(self->gradient) + first, count * sizeof *values);
    for (size_t i = 0; self->residual != NULL && i < count; i++) {
        values[i] += self->residual[first + i];
    }
    enum status status = codec_encode(codec, -self->grid.shift, values, count, encoded);
    if (status == STATUS_OK) {
        status = exact_sum_check(&self->grid, codec, encoded, encoded_bytes, count, tokens);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (self->residual != NULL) {
        memcpy(self->residual + first, values, count * sizeof *values);
    }
    exact_sum_add(&self->grid, codec, encoded, count, sum);
    master_take_mean(self->master, sum, &self->grid, tokens, first, count);
    return STATUS_OK;
}

static void take_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    struct solo *self = context;
    size_t end = first + count;
    enum status status = STATUS_OK;
    for (size_t block = first; block < end && status == STATUS_OK; block += MASTER_SLICE_ALIGN) {
        size_t left = end - block;
        status = take_block(self, block, left < MASTER_SLICE_ALIGN ? left : MASTER_SLICE_ALIGN);
    }
    self->taken[slice_index] = status;
}

static enum status take_gradient(struct solo *self)
{
    slices_run(self->slices, take_slice, self);
    for (size_t i = 0; i < slices_count(self->slices); i++) {
        if (self->taken[i] != STATUS_OK) {
            return fault(STATUS_OUT_OF_RANGE, "a gradient is not a finite number or far too large; "
                                              "lower the learning rate");
        }
    }
    return STATUS_OK;
}

enum status solo_step(struct solo *self, struct solo_step_result *out)
{
    out->step = master_version(self->master);
    out->tokens = run_config_step_tokens(self->config);
    enum status status = compute_gradient(self, &out->loss);
    if (status != STATUS_OK) {
        return status;
    }
    status = take_gradient(self);
    if (status != STATUS_OK) {
        return status;
    }
    struct master_step_result step;
    status = master_step_after_mean(self->master, self->slices, self->update, &step);
    if (status != STATUS_OK) {
        return status;
    }
    out->grad_l2 = step.grad_l2;
    out->learning_rate = step.learning_rate;
    out->digest = step.digest;
    weights_load(self->weights, master_params(self->master));
    return STATUS_OK;
}
