#include "trainer/cli/solo.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/memory.h"
#include "trainer/data/sampler.h"
#include "trainer/model/team.h"
#include "trainer/optimizer/master.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
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
    bytes +=
        master_bytes(model_layout(self->model), &self->config->model, self->config->optimizer.kind);
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
        status = master_new(model_layout(self->model), &config->model, &config->optimizer,
                            &config->schedule, config->codec, &self->master);
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

/* What a peer, an aggregator and phase 1 of the master do with one slice of the gradient. */
static enum status take_slice(struct solo *self, size_t first, size_t count)
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

static enum status apply_slice(struct solo *self, size_t first, size_t count)
{
    return master_apply(self->master, self->update, first, count);
}

static enum status measure_slice(struct solo *self, size_t first, size_t count)
{
    master_measure(self->master, first, count);
    return STATUS_OK;
}

/* One phase over all slices, shared by the threads. */
struct phase {
    struct solo *solo;
    enum status (*slice)(struct solo *self, size_t first, size_t count);
    _Atomic size_t next; /* the first value of the next slice */
    _Atomic int status;  /* of a slice that failed; sentences stay with their threads */
};

static void *phase_work(void *argument)
{
    struct phase *phase = argument;
    size_t end = phase->solo->value_count;
    for (;;) {
        size_t first = atomic_fetch_add(&phase->next, MASTER_SLICE_ALIGN);
        if (first >= end) {
            return NULL;
        }
        size_t count = end - first < MASTER_SLICE_ALIGN ? end - first : MASTER_SLICE_ALIGN;
        enum status status = phase->slice(phase->solo, first, count);
        if (status != STATUS_OK) {
            atomic_store(&phase->status, (int)status);
        }
    }
}

static enum status run_phase(struct solo *self, enum status (*slice)(struct solo *, size_t, size_t))
{
    struct phase phase = {.solo = self, .slice = slice};
    pthread_t threads[TEAM_THREADS_MAX];
    size_t started = 0;
    while (started + 1 < self->plan.thread_count &&
           pthread_create(&threads[started], NULL, phase_work, &phase) == 0) {
        started++; /* with fewer threads than asked for it is only slower */
    }
    (void)phase_work(&phase);
    for (size_t i = 0; i < started; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    return (enum status)atomic_load(&phase.status);
}

enum status solo_step(struct solo *self, struct solo_step_result *out)
{
    out->step = master_version(self->master);
    out->tokens = run_config_step_tokens(self->config);
    enum status status = compute_gradient(self, &out->loss);
    if (status != STATUS_OK) {
        return status;
    }
    if (run_phase(self, take_slice) != STATUS_OK) {
        return fault(STATUS_OUT_OF_RANGE, "a gradient is not a finite number or far too large; "
                                          "lower the learning rate");
    }
    out->grad_l2 = master_prepare(self->master);
    out->learning_rate = schedule_learning_rate(&self->config->schedule, out->step);
    if (master_measures(self->master)) {
        (void)run_phase(self, measure_slice); /* cannot fail */
        master_settle(self->master);
    }
    if (run_phase(self, apply_slice) != STATUS_OK) {
        return fault(STATUS_OUT_OF_RANGE, "a parameter is no longer a finite number; lower the "
                                          "learning rate");
    }
    master_finish(self->master);
    weights_load(self->weights, master_params(self->master));
    out->digest = params_digest(master_params(self->master), self->value_count);
    return STATUS_OK;
}
