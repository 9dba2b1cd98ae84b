#include "peer/compute/compute.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/memory.h"
#include "peer/daemon/offers.h"
#include "trainer/backend/blas_kernel.h"
#include "trainer/optimizer/master.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A sample that a worker has begun. */
struct running {
    bool used;
    struct work_item item;
    uint64_t began_ns;
    bool last; /* of those that its thread took together */
};

struct compute {
    struct compute_settings settings;
    struct compute_shared *shared;
    struct model *model;
    struct gradient *gradient;
    struct team *team;
    struct team_source source;
    bool started;
    uint32_t context;
    enum codec codec;   /* of contributions */
    uint64_t bytes_max; /* that may be used for all of this */
    struct exact_grid grid;
    size_t value_count;
    float *params;   /* P as the coordinator has it */
    bool predicts;   /* samples of the step after P's are computed on predicted parameters */
    uint8_t *update; /* the latest, which led to P; NULL: none, or it is not needed */
    enum codec update_codec;
    float *predicted; /* (value_count); NULL before it is needed */
    struct weights *weights;
    struct team_plan plan;
    struct running running[WORK_THREADS_MAX];
};

/* What this thread has computed so far: what it waited for a processor is no work. */
static uint64_t thread_ns(void)
{
    struct timespec used;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0);
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

static void begin_sample(struct compute *self, const struct work_item *item, struct team_item *out)
{
    size_t slot = 0;
    while (self->running[slot].used) {
        slot++;
    }
    CHECK(slot < WORK_THREADS_MAX);
    self->running[slot] = (struct running){.used = true, .item = *item, .began_ns = thread_ns()};
    *out = (struct team_item){.tokens = item->tokens, .token_count = self->context, .tag = slot};
}

/* A thread takes its fair share of what is waiting, so that all end at about the same time. */
static size_t take_samples(void *context, struct team_item *out, size_t max)
{
    struct compute *self = context;
    struct compute_shared *shared = self->shared;
    struct work_item item;
    size_t count = 0;
    (void)pthread_mutex_lock(&shared->lock);
    while (!shared->stopping && work_ready(shared->work) == 0) {
        (void)pthread_cond_wait(&shared->changed, &shared->lock);
    }
    size_t threads = self->settings.thread_count;
    size_t share = (work_ready(shared->work) + threads - 1) / threads;
    share = share < max ? share : max;
    while (!shared->stopping && count < share && work_begin(shared->work, &item)) {
        begin_sample(self, &item, &out[count++]);
    }
    if (count > 0) {
        self->running[out[count - 1].tag].last = true;
    }
    (void)pthread_mutex_unlock(&shared->lock);
    return count;
}

/* An owner's CPU limit: after each pass the thread rests in proportion. */
static void rest(struct compute *self, uint64_t busy_ns)
{
    uint64_t rest_ns = busy_ns * (100U - self->settings.cpu_percent) / self->settings.cpu_percent;
    if (rest_ns == 0) {
        return;
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t end_ns = (uint64_t)until.tv_nsec + rest_ns;
    until.tv_sec += (time_t)(end_ns / 1000000000U);
    until.tv_nsec = (long)(end_ns % 1000000000U);
    struct compute_shared *shared = self->shared;
    (void)pthread_mutex_lock(&shared->lock);
    while (!shared->stopping &&
           pthread_cond_timedwait(&shared->changed, &shared->lock, &until) != ETIMEDOUT) {
    }
    (void)pthread_mutex_unlock(&shared->lock);
}

static void sample_done(void *context, const struct team_item *item, double loss_sum)
{
    struct compute *self = context;
    struct compute_shared *shared = self->shared;
    struct running *running = &self->running[item->tag];
    (void)pthread_mutex_lock(&shared->lock);
    uint64_t busy_ns = running->last ? thread_ns() - running->began_ns : 0;
    work_done(shared->work, &running->item, loss_sum);
    running->used = false;
    (void)pthread_mutex_unlock(&shared->lock);
    uint64_t one = 1;
    ssize_t written = write(shared->wake_fd, &one, sizeof one);
    (void)written; /* a full counter wakes as well */
    rest(self, busy_ns);
}

/* All that is held at most, with what is on its way: a snapshot coming, or an update coming while
 * offers are kept. Both only where there is room (compute_has_room). */
static uint64_t need_bytes(const struct compute *self, enum codec offers, enum codec updates,
                           bool predicts)
{
    uint64_t values = self->value_count;
    uint64_t snapshot = values * sizeof(float);
    uint64_t encoded =
        codec_encoded_bytes(offers, values) * OFFERS_MAX + codec_encoded_bytes(updates, values);
    uint64_t predicted =
        predicts ? codec_encoded_bytes(updates, values) + values * sizeof(float) : 0;
    return values * (2 * sizeof(float)) + (snapshot > encoded ? snapshot : encoded) + predicted +
           weights_bytes(self->model) + team_bytes(self->model, &self->plan);
}

static enum status check_memory(struct compute *self)
{
    uint64_t need = need_bytes(self, self->codec, self->codec, self->predicts);
    uint64_t limit = self->settings.memory_bytes_max;
    self->bytes_max = limit > 0 ? limit : memory_available_bytes();
    log_info("compute", "plan", "memory_mb=%llu sequences_per_pass=%zu",
             (unsigned long long)need / 1000000, self->plan.workspace.sequence_count);
    if (limit > 0 && need > limit) {
        return fault(STATUS_NO_MEMORY,
                     "computing for this run needs %llu MiB of memory and --memory allows %llu; "
                     "use fewer --threads, --recompute blocks, or allow more",
                     (unsigned long long)(need >> 20) + 1, (unsigned long long)(limit >> 20));
    }
    return memory_check_fits("computing for this run", need,
                             "use fewer --threads, --recompute blocks, or another machine");
}

enum status compute_allows(const struct compute *self, enum codec offers, enum codec updates,
                           bool predicts)
{
    uint64_t need = need_bytes(self, offers, updates, predicts || self->predicts);
    if (need <= self->bytes_max) {
        return STATUS_OK;
    }
    return fault(STATUS_NO_MEMORY,
                 "the run's settings have changed: with contributions in %s it needs %llu MiB of "
                 "memory, and here are %llu; allow more with --memory, if there is more",
                 codec_name(offers), (unsigned long long)(need >> 20) + 1,
                 (unsigned long long)(self->bytes_max >> 20));
}

bool compute_has_room(const struct compute *self)
{
    /* A snapshot is as large as an update in the largest codec. */
    return need_bytes(self, CODEC_FP32, CODEC_FP32, self->predicts) <= self->bytes_max;
}

/* Measuring the backends already takes matrices of the model's sizes. */
static enum status check_parameters(const struct compute *self, const struct model_config *config)
{
    struct layout *layout = NULL;
    enum status status = layout_new(config, &layout);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t need = (uint64_t)layout_value_count(layout) * 3 * sizeof(float);
    uint64_t limit = self->settings.memory_bytes_max;
    layout_free(layout);
    if (limit > 0 && need > limit) {
        return fault(STATUS_NO_MEMORY,
                     "the parameters of this run alone need %llu MiB of memory and --memory allows "
                     "%llu; allow more, or join another run",
                     (unsigned long long)(need >> 20) + 1, (unsigned long long)(limit >> 20));
    }
    return memory_check_fits("holding this run's parameters", need, "join another run");
}

static enum status allocate(struct compute *self)
{
    self->params = calloc(self->value_count, sizeof *self->params);
    if (self->params == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the model's parameters");
    }
    enum status status = weights_new(self->model, &self->weights);
    if (status == STATUS_OK) {
        status = gradient_new(self->model, &self->gradient);
    }
    if (status == STATUS_OK) {
        status = team_new(self->model, &self->plan, &self->team);
    }
    return status;
}

static enum status start_team(struct compute *self)
{
    self->source = (struct team_source){.context = self, .take = take_samples, .done = sample_done};
    enum status status = team_start(self->team, self->weights, self->gradient, &self->source);
    self->started = status == STATUS_OK;
    return status;
}

static struct team_plan plan_of(const struct compute *self)
{
    const struct compute_settings *settings = &self->settings;
    struct workspace_plan workspace = {
        .context = self->context,
        .sequence_count =
            workspace_sequences(self->context, WORK_THREADS_MAX / settings->thread_count),
        .purpose = WORKSPACE_GRADIENT,
        .recompute = settings->recompute};
    return (struct team_plan){
        .thread_count = settings->thread_count, .pinned = settings->pinned, .workspace = workspace};
}

static enum status choose_backend(struct compute *self, const struct model_config *config)
{
    struct precision_choice choice = {.reason = "asked for"};
    if (self->settings.backend == NULL) {
        enum status status = precision_choose(self->settings.precision, config, &choice);
        if (status != STATUS_OK) {
            return status;
        }
        self->settings.backend = choice.backend;
    }
    log_info("compute", "backend",
             "backend=%s reason=\"%s\" kernel=%s kernel_chosen_by=%s threads=%zu",
             self->settings.backend->name, choice.reason, blas_kernel_name(),
             blas_kernel_chosen_by(), self->settings.thread_count);
    return STATUS_OK;
}

static enum status build(struct compute *self, const struct wire_welcome *welcome)
{
    struct model_config config;
    enum status status =
        model_config_from_json(welcome->model_json, strlen(welcome->model_json), &config);
    if (status != STATUS_OK) {
        return status;
    }
    if (welcome->context > config.context_max || welcome->step_tokens == 0 ||
        welcome->step_tokens > UINT64_C(1) << EXACT_SUM_TOKENS_LOG2_MAX) {
        return fault(STATUS_OUT_OF_RANGE, "the coordinator describes a run that cannot be: its "
                                          "context or target batch is out of range");
    }
    status = check_parameters(self, &config);
    if (status == STATUS_OK) {
        status = choose_backend(self, &config);
    }
    if (status == STATUS_OK) {
        status = model_new(&config, self->settings.backend, &self->model);
    }
    if (status != STATUS_OK) {
        return status;
    }
    self->context = welcome->context;
    compute_follow(self, welcome);
    self->value_count = layout_value_count(model_layout(self->model));
    self->plan = plan_of(self);
    status = check_memory(self);
    if (status == STATUS_OK) {
        status = allocate(self);
    }
    return status == STATUS_OK ? start_team(self) : status;
}

enum status compute_new(const struct wire_welcome *welcome, const struct compute_settings *settings,
                        struct compute_shared *shared, struct compute **out)
{
    *out = NULL;
    struct compute *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the model");
    }
    self->settings = *settings;
    self->shared = shared;
    enum status status = build(self, welcome);
    if (status != STATUS_OK) {
        compute_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void compute_free(struct compute *self)
{
    if (self == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&self->shared->lock);
    self->shared->stopping = true;
    (void)pthread_cond_broadcast(&self->shared->changed);
    (void)pthread_mutex_unlock(&self->shared->lock);
    if (self->started) {
        team_join(self->team);
    }
    team_free(self->team);
    gradient_free(self->gradient);
    model_free(self->model);
    weights_free(self->weights);
    free(self->params);
    free(self->predicted);
    free(self->update);
    free(self);
}

void compute_follow(struct compute *self, const struct wire_welcome *welcome)
{
    self->codec = welcome->codec;
    self->grid = exact_grid_for(welcome->step_tokens);
    self->predicts = welcome->max_staleness > 0 && welcome->predicts;
}

size_t compute_value_count(const struct compute *self)
{
    return self->value_count;
}

uint32_t compute_vocab_size(const struct compute *self)
{
    return model_config_of(self->model)->vocab_size;
}

size_t compute_encoded_bytes(const struct compute *self)
{
    return codec_encoded_bytes(self->codec, self->value_count);
}

void compute_offer_in(struct compute *self, enum codec codec)
{
    self->codec = codec;
}

enum codec compute_offer_codec(const struct compute *self)
{
    return self->codec;
}

enum status compute_check_blob(const struct compute *self, enum codec codec, const uint8_t *data,
                               size_t size_bytes)
{
    return codec_check(codec, data, size_bytes, self->value_count);
}

static struct digest publish(struct compute *self)
{
    weights_load(self->weights, self->params);
    return params_digest(self->params, self->value_count);
}

struct digest compute_load(struct compute *self, const uint8_t *snapshot)
{
    memcpy(self->params, snapshot, self->value_count * sizeof *self->params);
    free(self->update);
    self->update = NULL;
    return publish(self);
}

/* Without memory for it there is no prediction, and nothing else is wrong. */
static void keep_update(struct compute *self, enum codec codec, const uint8_t *update)
{
    size_t size_bytes = codec_encoded_bytes(codec, self->value_count);
    free(self->update);
    self->update = self->predicts ? malloc(size_bytes) : NULL;
    if (self->update != NULL) {
        memcpy(self->update, update, size_bytes);
        self->update_codec = codec;
    }
}

struct digest compute_apply(struct compute *self, enum codec codec, const uint8_t *update)
{
    codec_add(codec, update, self->value_count, self->params);
    keep_update(self, codec, update);
    return publish(self);
}

static const float *predict(struct compute *self)
{
    size_t size_bytes = self->value_count * sizeof *self->params;
    if (!self->predicts || self->update == NULL) {
        return self->params;
    }
    if (self->predicted == NULL) {
        self->predicted = malloc(size_bytes);
    }
    if (self->predicted == NULL) {
        return self->params;
    }
    memcpy(self->predicted, self->params, size_bytes);
    codec_add(self->update_codec, self->update, self->value_count, self->predicted);
    return self->predicted;
}

void compute_open(struct compute *self, bool ahead)
{
    weights_load(self->weights, ahead ? predict(self) : self->params);
}

enum status compute_encode(struct compute *self, uint8_t *out)
{
    return codec_encode(self->codec, -self->grid.shift, gradient_values(self->gradient),
                        self->value_count, out);
}

void compute_discard(struct compute *self)
{
    gradient_zero(self->gradient);
}
