#include "trainer/cli/trial_run.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/memory.h"
#include "trainer/data/sampler.h"
#include "trainer/model/team.h"
#include "trainer/optimizer/master_step.h"
#include "trainer/run/run_start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIN_LOSS_SHARE = 10, NANOSECONDS = 1000000000 };

/* Sequences on their way to the team's one thread. */
struct feed {
    struct team_item *items;
    size_t count;
    size_t taken;
    double loss;
};

struct run {
    const struct trial_setting *setting;
    const struct trial_variant *variant;
    struct run_config config; /* with this run's seed */
    uint64_t contributor_count;
    size_t value_count;
    struct exact_grid grid;
    struct sampler sampler;
    struct team_plan plan;
    struct model *model;
    struct team *team;
    struct weights *weights;
    struct gradient *gradients[TRIAL_CONTRIBUTORS_MAX];
    struct master *master;
    struct slices *slices;
    struct feed feed;
    uint16_t *tokens; /* (share, context + 1) */
    int64_t *sums;    /* (value_count) */
    uint8_t *encoded; /* a contribution */
    uint8_t *update;
    float *params; /* (value_count): P as the contributors have it */
    float *ahead;  /* (value_count): what the stale samples of the next step are computed on */
    float *latest; /* (value_count): the update that led to params, decoded */
    float *before; /* (value_count): and the one before it */
    uint64_t stale_count;
    double train_loss; /* sum over the last steps */
};

static size_t feed_take(void *context, struct team_item *out, size_t max)
{
    struct feed *self = context;
    size_t left = self->count - self->taken;
    size_t count = left < max ? left : max;
    memcpy(out, self->items + self->taken, count * sizeof *out);
    self->taken += count;
    return count;
}

static void feed_done(void *context, const struct team_item *item, double loss_sum)
{
    (void)item;
    struct feed *self = context;
    self->loss += loss_sum;
}

static void feed_begin(struct run *self)
{
    self->feed.count = 0;
    self->feed.taken = 0;
    self->feed.loss = 0;
}

static void feed_add(struct run *self, const struct dataset *data, uint64_t offset)
{
    size_t length = self->config.context;
    uint16_t *tokens = self->tokens + self->feed.count * (length + 1);
    dataset_read(data, offset, length + 1, tokens);
    self->feed.items[self->feed.count] =
        (struct team_item){.tokens = tokens, .token_count = length, .tag = self->feed.count};
    self->feed.count++;
}

/* What the feed holds on `params`; `gradient` NULL: its loss alone. */
static enum status compute(struct run *self, const float *params, struct gradient *gradient)
{
    const struct team_source source = {
        .context = &self->feed, .take = feed_take, .done = feed_done};
    if (self->feed.count == 0) {
        return STATUS_OK;
    }
    weights_load(self->weights, params);
    enum status status = team_start(self->team, self->weights, gradient, &source);
    if (status == STATUS_OK) {
        team_join(self->team);
    }
    return status;
}

/* The most samples that one contributor has. */
static size_t share_max(const struct run_config *config, uint64_t contributor_count)
{
    return (size_t)((config->target_batch + contributor_count - 1) / contributor_count);
}

static struct team_plan plan_of(const struct run_config *config, size_t share)
{
    return (struct team_plan){
        .thread_count = 1,
        .workspace = {.context = config->context,
                      .sequence_count = workspace_sequences(config->context, share),
                      .purpose = WORKSPACE_GRADIENT}};
}

static enum status allocate_arrays(struct run *self, size_t share)
{
    size_t count = self->value_count;
    self->feed.items = calloc(share, sizeof *self->feed.items);
    self->tokens = calloc(share * (self->config.context + 1), sizeof *self->tokens);
    self->sums = calloc(count, sizeof *self->sums);
    self->encoded = malloc(codec_encoded_bytes(CODEC_FP32, count)); /* no codec needs more */
    self->update = malloc(codec_encoded_bytes(CODEC_FP32, count));
    self->params = calloc(count, sizeof *self->params);
    self->ahead = calloc(count, sizeof *self->ahead);
    self->latest = calloc(count, sizeof *self->latest);
    self->before = calloc(count, sizeof *self->before);
    bool complete = self->feed.items != NULL && self->tokens != NULL && self->sums != NULL &&
                    self->encoded != NULL && self->update != NULL && self->params != NULL &&
                    self->ahead != NULL && self->latest != NULL && self->before != NULL;
    return complete ? STATUS_OK
                    : fault(STATUS_NO_MEMORY, "no memory for a trial; use fewer "
                                              "--threads");
}

/* Gradients, sums, contribution and update, parameters, what is ahead of them and what
 * led to them. */
static enum status check_memory(const struct run *self)
{
    uint64_t vectors = (self->contributor_count + 6) * sizeof(float) + sizeof *self->sums;
    uint64_t need = self->value_count * vectors + weights_bytes(self->model) +
                    team_bytes(self->model, &self->plan) +
                    master_bytes(model_layout(self->model), &self->config.model,
                                 self->config.optimizer.kind, self->variant->mean);
    return memory_check_fits("one run of this trial", need,
                             "use fewer --threads and --contributors or a smaller model");
}

static enum status allocate(struct run *self)
{
    const struct run_config *config = &self->config;
    size_t share = share_max(config, self->contributor_count);
    self->plan = plan_of(config, share);
    enum status status = check_memory(self);
    if (status == STATUS_OK) {
        status = master_new(
            model_layout(self->model), &config->model, &config->optimizer, &config->schedule,
            (struct master_codecs){.update = self->variant->update, .mean = self->variant->mean},
            &self->master);
    }
    if (status == STATUS_OK) {
        status = weights_new(self->model, &self->weights);
    }
    if (status == STATUS_OK) {
        status = team_new(self->model, &self->plan, &self->team);
    }
    if (status == STATUS_OK) {
        status = slices_new(1, self->value_count, MASTER_SLICE_ALIGN, &self->slices);
    }
    for (uint64_t i = 0; i < self->contributor_count && status == STATUS_OK; i++) {
        status = gradient_new(self->model, &self->gradients[i]);
        if (status == STATUS_OK) {
            gradient_zero(self->gradients[i]);
        }
    }
    return status == STATUS_OK ? allocate_arrays(self, share) : status;
}

static enum status start(struct run *self)
{
    size_t size_bytes = self->value_count * sizeof *self->params;
    enum status status = sampler_init(&self->sampler, dataset_token_count(self->setting->train),
                                      self->config.context, self->config.seed);
    if (status == STATUS_OK) {
        status =
            run_start_params(&self->config, model_layout(self->model), master_params(self->master));
    }
    if (status == STATUS_OK) {
        master_set_params(self->master, master_params(self->master));
        memcpy(self->params, master_params(self->master), size_bytes);
        memcpy(self->ahead, self->params, size_bytes);
    }
    return status;
}

static enum status run_init(struct run *self, uint64_t seed)
{
    const struct trial_setting *setting = self->setting;
    uint64_t wanted = self->variant->contributor_count;
    self->config = *setting->config;
    self->config.seed = seed;
    self->config.schedule.learning_rate *= self->variant->rate;
    self->config.schedule.learning_rate_min *= self->variant->rate;
    self->contributor_count = wanted > 0 ? wanted : setting->contributor_count;
    self->grid = exact_grid_for(run_config_step_tokens(&self->config));
    enum status status = model_new(&self->config.model, setting->backend, &self->model);
    if (status != STATUS_OK) {
        return status;
    }
    self->value_count = layout_value_count(model_layout(self->model));
    status = allocate(self);
    return status == STATUS_OK ? start(self) : status;
}

static void run_deinit(struct run *self)
{
    for (uint64_t i = 0; i < self->contributor_count; i++) {
        gradient_free(self->gradients[i]);
    }
    free(self->feed.items);
    free(self->tokens);
    free(self->sums);
    free(self->encoded);
    free(self->update);
    free(self->params);
    free(self->ahead);
    free(self->latest);
    free(self->before);
    slices_free(self->slices);
    team_free(self->team);
    weights_free(self->weights);
    master_free(self->master);
    model_free(self->model);
}

/* The samples [first, end) of a step that are stale, or those that are not, on `params`. */
static enum status add_samples(struct run *self, uint64_t first, uint64_t end, bool stale,
                               struct gradient *gradient)
{
    const struct run_config *config = &self->config;
    uint64_t step = master_version(self->master);
    uint64_t step_first = step * config->target_batch;
    feed_begin(self);
    for (uint64_t i = first; i < end; i++) {
        uint64_t sample = step_first + i;
        if (trial_variant_is_stale(self->variant, step, config->step_count, sample) == stale) {
            feed_add(self, self->setting->train, sampler_offset(&self->sampler, sample));
        }
    }
    self->stale_count += stale ? self->feed.count : 0;
    enum status status = compute(self, stale ? self->ahead : self->params, gradient);
    bool is_last = step >= config->step_count - (config->step_count - 1) / TRAIN_LOSS_SHARE - 1;
    self->train_loss += is_last ? self->feed.loss : 0;
    return status;
}

/* What a peer hands in and the coordinator adds; what the codec loses stays in the gradient. */
static enum status hand_in(struct run *self, uint64_t index, uint64_t tokens)
{
    uint64_t step = master_version(self->master);
    bool slow = trial_variant_is_slow(self->variant, step, index, self->contributor_count);
    enum codec codec = slow ? self->variant->slow : self->variant->gradient;
    enum status status =
        codec_encode(codec, -self->grid.shift, gradient_values(self->gradients[index]),
                     self->value_count, self->encoded);
    return status == STATUS_OK
               ? exact_sum_check_and_add(&self->grid, codec, self->encoded,
                                         codec_encoded_bytes(codec, self->value_count),
                                         self->value_count, tokens, self->sums)
               : status;
}

static enum status contribute(struct run *self, uint64_t index)
{
    uint64_t batch = self->config.target_batch;
    uint64_t step = master_version(self->master);
    uint64_t first = index * batch / self->contributor_count;
    uint64_t end = (index + 1) * batch / self->contributor_count;
    uint64_t leave = self->variant->leave_steps;
    if (leave > 0 && step % leave == 0 && step / leave % self->contributor_count == index) {
        gradient_zero(self->gradients[index]);
    }
    enum status status = add_samples(self, first, end, true, self->gradients[index]);
    if (status == STATUS_OK) {
        status = add_samples(self, first, end, false, self->gradients[index]);
    }
    return status == STATUS_OK && end > first
               ? hand_in(self, index, (end - first) * self->config.context)
               : status;
}

/* Before the step's update is there: what the contributors can compute on meanwhile. */
static void look_ahead(struct run *self)
{
    float ahead = (float)self->variant->ahead;
    float bend = (float)self->variant->bend;
    for (size_t i = 0; i < self->value_count; i++) {
        float turn = self->latest[i] - self->before[i];
        self->ahead[i] = self->params[i] + (ahead * self->latest[i] + bend * turn);
    }
}

static void apply(struct run *self)
{
    float *oldest = self->before;
    self->before = self->latest;
    self->latest = oldest;
    memset(oldest, 0, self->value_count * sizeof *oldest);
    codec_add(self->variant->update, self->update, self->value_count, self->latest);
    codec_add(self->variant->update, self->update, self->value_count, self->params);
}

static enum status make_step(struct run *self, struct digest *out_digest)
{
    struct master_step_result step;
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < self->contributor_count && status == STATUS_OK; i++) {
        status = contribute(self, i);
    }
    if (status != STATUS_OK) {
        return status;
    }
    look_ahead(self);
    status = master_step_from_sums(self->master, self->slices, self->sums, &self->grid,
                                   run_config_step_tokens(&self->config), self->update, &step);
    if (status != STATUS_OK) {
        return status;
    }
    apply(self);
    *out_digest = params_digest(self->params, self->value_count);
    return memcmp(out_digest, &step.digest, sizeof step.digest) == 0
               ? STATUS_OK
               : fault(STATUS_CORRUPT, "the contributors' parameters are not the master's; report "
                                       "this as a fault of dugnad");
}

/* Windows spread evenly over the split. */
static enum status validate(struct run *self, double *out_loss)
{
    const struct dataset *data = self->setting->validation;
    size_t length = self->config.context;
    size_t share = share_max(&self->config, self->contributor_count);
    uint64_t windows = (dataset_token_count(data) - 1) / length;
    uint64_t most = self->setting->windows_max;
    uint64_t count = most > 0 && most < windows ? most : windows;
    double loss = 0;
    for (uint64_t i = 0; i < count;) {
        feed_begin(self);
        for (; self->feed.count < share && i < count; i++) {
            feed_add(self, data, (i * windows / count) * length);
        }
        enum status status = compute(self, self->params, NULL);
        if (status != STATUS_OK) {
            return status;
        }
        loss += self->feed.loss;
    }
    *out_loss = loss / ((double)count * (double)length);
    return STATUS_OK;
}

static enum status train(struct run *self, struct trial_result *out)
{
    const struct run_config *config = &self->config;
    enum status status = STATUS_OK;
    uint64_t tail = (config->step_count - 1) / TRAIN_LOSS_SHARE + 1;
    for (uint64_t step = 0; step < config->step_count && status == STATUS_OK; step++) {
        status = make_step(self, &out->digest);
    }
    out->stale_share =
        (double)self->stale_count / ((double)config->step_count * (double)config->target_batch);
    out->train_loss = self->train_loss / ((double)tail * (double)run_config_step_tokens(config));
    if (status == STATUS_OK) {
        return validate(self, &out->loss);
    }
    if (status == STATUS_OUT_OF_RANGE) { /* it diverged: a result like others */
        out->loss = (double)NAN;
        out->train_loss = (double)NAN;
        return STATUS_OK;
    }
    return status;
}

enum status trial_run(const struct trial_setting *setting, const struct trial_variant *variant,
                      uint64_t seed, struct trial_result *out)
{
    struct run *self = calloc(1, sizeof *self);
    *out = (struct trial_result){0};
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for a trial");
    }
    uint64_t start_ns = clock_now_ns();
    self->setting = setting;
    self->variant = variant;
    enum status status = run_init(self, seed);
    if (status == STATUS_OK) {
        status = train(self, out);
    }
    out->seconds = (double)(clock_now_ns() - start_ns) / NANOSECONDS;
    run_deinit(self);
    free(self);
    return status;
}
