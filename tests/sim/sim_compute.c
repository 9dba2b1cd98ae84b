/* sim_compute - the functions of peer/compute/compute.h: real gradients of a tiny model, computed
 * by workers that take their time from the virtual clock. */
#include "tests/sim/sim_compute.h"

#include "common/fault.h"
#include "tests/sim/sim_shadow.h"
#include "tests/sim/sim_template.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"
#include "trainer/optimizer/master.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 4 };

struct worker {
    bool busy;
    struct work_item item;
};

struct compute {
    const struct sim_template *pattern;
    struct compute_shared *shared;
    struct sim_peer *peer;
    enum codec codec; /* of contributions */
    struct exact_grid grid;
    size_t value_count;
    uint32_t context;
    float *params;    /* (value_count) */
    float *predicted; /* (value_count) P and its last update once more; NULL: the run has no use for
                         it */
    bool has_update;  /* it holds that */
    bool predicts;
    bool ahead;      /* the weights are for samples of the step after P's */
    float *gradient; /* (value_count) the accumulator */
    struct digest digest;
    struct digest predicted_digest;
    struct sim_inside inside; /* what the accumulator holds */
    size_t worker_count;
    struct worker workers[WORKERS_MAX];
};

/* Which settings were in force when it was sent, who knows: what they make is compared. */
static void check_welcome(const struct wire_welcome *welcome)
{
    const struct run_config *config = &sim->pattern->config;
    bool same = sim->owner.same_until == UINT64_MAX;
    if (welcome->context != config->context || welcome->step_tokens % config->context != 0 ||
        (same && welcome->step_tokens != run_config_step_tokens(config))) {
        sim_fail("a welcome describes another run");
    }
}

enum status compute_new(const struct wire_welcome *welcome, const struct compute_settings *settings,
                        struct compute_shared *shared, struct compute **out)
{
    struct compute *self = calloc(1, sizeof *self);
    *out = NULL;
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the model");
    }
    self->pattern = sim->pattern;
    self->value_count = self->pattern->value_count;
    self->params = calloc(self->value_count, sizeof *self->params);
    self->gradient = calloc(self->value_count, sizeof *self->gradient);
    if (welcome->max_staleness > 0) {
        self->predicted = calloc(self->value_count, sizeof *self->predicted);
    }
    if (self->params == NULL || self->gradient == NULL ||
        (welcome->max_staleness > 0 && self->predicted == NULL)) {
        compute_free(self);
        return fault(STATUS_NO_MEMORY, "no memory for the model's parameters");
    }
    check_welcome(welcome);
    self->shared = shared;
    self->peer = &sim->peers[sim->running->index];
    self->codec = welcome->codec;
    self->predicts = welcome->predicts;
    self->grid = exact_grid_for(welcome->step_tokens);
    self->context = welcome->context;
    self->worker_count = settings->thread_count;
    self->peer->compute = self;
    *out = self;
    return STATUS_OK;
}

void compute_free(struct compute *self)
{
    if (self == NULL) {
        return;
    }
    if (self->peer != NULL) {
        self->peer->compute = NULL;
    }
    free(self->params);
    free(self->predicted);
    free(self->gradient);
    free(self);
}

void compute_follow(struct compute *self, const struct wire_welcome *welcome)
{
    check_welcome(welcome);
    self->codec = welcome->codec;
    self->predicts = welcome->predicts;
    self->grid = exact_grid_for(welcome->step_tokens);
}

size_t compute_value_count(const struct compute *self)
{
    return self->value_count;
}

uint32_t compute_vocab_size(const struct compute *self)
{
    return self->pattern->config.model.vocab_size;
}

size_t compute_encoded_bytes(const struct compute *self)
{
    return codec_encoded_bytes(self->codec, self->value_count);
}

enum status compute_allows(const struct compute *self, enum codec offers, enum codec updates,
                           bool predicts)
{
    (void)self;
    (void)offers;
    (void)updates;
    (void)predicts;
    return STATUS_OK;
}

bool compute_has_room(const struct compute *self)
{
    (void)self;
    return true;
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
    for (size_t i = 0; i < self->worker_count; i++) {
        if (self->workers[i].busy) {
            sim_fail("%s changes its parameters while a sample is being computed",
                     sim_process_name(self->peer->process.index));
        }
    }
    self->ahead = false;
    self->digest = params_digest(self->params, self->value_count);
    return self->digest;
}

struct digest compute_load(struct compute *self, const uint8_t *snapshot)
{
    memcpy(self->params, snapshot, self->value_count * sizeof *self->params);
    self->has_update = false;
    return publish(self);
}

struct digest compute_apply(struct compute *self, enum codec codec, const uint8_t *update)
{
    codec_add(codec, update, self->value_count, self->params);
    self->has_update = self->predicted != NULL;
    if (self->has_update) {
        memcpy(self->predicted, self->params, self->value_count * sizeof *self->params);
        codec_add(codec, update, self->value_count, self->predicted);
        self->predicted_digest = params_digest(self->predicted, self->value_count);
    }
    return publish(self);
}

void compute_open(struct compute *self, bool ahead)
{
    (void)publish(self);
    self->ahead = ahead;
}

/* What a hostile peer uploads instead: frames are right, content is not. */
static void spoil(const struct compute *self, uint8_t *out)
{
    size_t size_bytes = compute_encoded_bytes(self);
    uint64_t kind = sim_chance(3);
    if (self->codec == CODEC_FP32) {
        const float values[] = {NAN, -INFINITY, 3e38F};
        size_t at = (size_t)sim_chance(self->value_count) * sizeof values[0];
        memcpy(out + at, &values[kind], sizeof values[0]);
    } else if (self->codec == CODEC_BF16) {
        const uint16_t values[] = {0x7FC0, 0xFF80, 0x7F62}; /* the same three */
        size_t at = (size_t)sim_chance(self->value_count) * sizeof values[0];
        memcpy(out + at, &values[kind], sizeof values[0]);
    } else if (self->codec == CODEC_MX4) {
        size_t block = (size_t)sim_chance(size_bytes / CODEC_MX4_BLOCK_BYTES);
        out[block * CODEC_MX4_BLOCK_BYTES] = (uint8_t)(253 + kind);
    } else {
        size_t block = (size_t)sim_chance(size_bytes / CODEC_MX8_BLOCK_BYTES);
        uint8_t *bytes = out + block * CODEC_MX8_BLOCK_BYTES;
        bytes[0] = kind == 0 ? 255 : kind == 1 ? 254 : bytes[0];
        bytes[1] = kind == 2 ? 0x80 : 1;
    }
}

/* Error feedback: what was encoded and what is left are together what there was. `decoded` is
 * scratch. */
static void check_encoding(const struct compute *self, const float *before, const uint8_t *encoded,
                           float *decoded)
{
    memset(decoded, 0, self->value_count * sizeof *decoded);
    codec_add(self->codec, encoded, self->value_count, decoded);
    for (size_t i = 0; i < self->value_count; i++) {
        float lost = fabsf(before[i] - decoded[i] - self->gradient[i]);
        if (!(lost <= fabsf(before[i]) * 1e-6F)) {
            sim_fail("an encoding loses %g of %g", (double)lost, (double)before[i]);
            return;
        }
    }
}

static enum status encode(struct compute *self, uint8_t *out)
{
    size_t size_bytes = self->value_count * sizeof *self->gradient;
    struct sim_blocks *own = sim_blocks_use(NULL);
    float *before = sim_outer_alloc(2 * size_bytes);
    memcpy(before, self->gradient, size_bytes);
    enum status status =
        codec_encode(self->codec, -self->grid.shift, self->gradient, self->value_count, out);
    if (status == STATUS_OK) {
        check_encoding(self, before, out, before + self->value_count);
    }
    sim_outer_free(before);
    (void)sim_blocks_use(own);
    return status;
}

enum status compute_encode(struct compute *self, uint8_t *out)
{
    enum status status = encode(self, out);
    if (status == STATUS_OK && self->peer->plan->character == SIM_SPOILER) {
        spoil(self, out);
    }
    if (status == STATUS_OK) {
        struct sim_blocks *own = sim_blocks_use(NULL);
        sim_shadow_encoded(sim->shadow, self->shared->work, &self->inside, self->codec, out,
                           compute_encoded_bytes(self));
        self->inside = (struct sim_inside){0};
        (void)sim_blocks_use(own);
    }
    return status;
}

void compute_discard(struct compute *self)
{
    self->inside = (struct sim_inside){0};
    memset(self->gradient, 0, self->value_count * sizeof *self->gradient);
}

void sim_compute_begin(struct compute *self)
{
    uint32_t index = self->peer->process.index;
    for (size_t i = 0; i < self->worker_count; i++) {
        struct worker *worker = &self->workers[i];
        if (worker->busy || !work_begin(self->shared->work, &worker->item)) {
            continue;
        }
        worker->busy = true;
        sim_line("    %s begins sample %llu", sim_process_name(index),
                 (unsigned long long)worker->item.sample);
        uint64_t sample_us = self->peer->plan->sample_us;
        struct sim_event event = {.time_us = sim->now_us + sample_us / 2 + 1 +
                                             random_below(&sim->networks, sample_us),
                                  .tie = random_next(&sim->ties),
                                  .type = SIM_SAMPLE,
                                  .index = index,
                                  .worker = (uint32_t)i,
                                  .serial = self->peer->process.incarnation};
        sim_heap_push(&sim->heap, &event);
    }
}

/* Nothing but CURVE guards a lease's tokens, so they are compared with the data itself. */
static void check_tokens(const struct compute *self, const struct work_item *item)
{
    uint16_t tokens[64];
    struct sampler sampler;
    const struct run_config *config = &self->pattern->config;
    if (sampler_init(&sampler, dataset_token_count(self->pattern->data), config->context,
                     config->seed) != STATUS_OK) {
        sim_fail("the data cannot be sampled");
        return;
    }
    dataset_read(self->pattern->data, sampler_offset(&sampler, item->sample), self->context + 1U,
                 tokens);
    if (memcmp(tokens, item->tokens, (self->context + 1U) * sizeof *tokens) != 0) {
        sim_fail("sample %llu came with the wrong tokens", (unsigned long long)item->sample);
    }
}

/* Notes with which parameters the accumulator's next sample was computed. */
static void note(struct compute *self, const struct work_item *item, bool predicted)
{
    struct sim_inside *inside = &self->inside;
    uint64_t bit = UINT64_C(1) << item->sample;
    struct digest *digest = self->ahead ? &inside->stale_on : &inside->fresh_on;
    uint64_t before = self->ahead ? inside->stale : inside->samples & ~inside->stale;
    if (before != 0 && !digest_equal(digest, &self->digest)) {
        sim_fail("one accumulator holds samples of more versions than it may");
    }
    if (item->stale != self->ahead) {
        sim_fail("sample %llu is %s, and is computed with the weights of another step",
                 (unsigned long long)item->sample, item->stale ? "stale" : "fresh");
    }
    *digest = self->digest;
    inside->samples |= bit;
    inside->stale |= self->ahead ? bit : 0;
    inside->predicted |= predicted ? bit : 0;
}

void sim_compute_done(struct compute *self, size_t index)
{
    struct worker *worker = &self->workers[index];
    bool predicted = self->ahead && self->predicts && self->has_update;
    struct sim_blocks *own = sim_blocks_use(NULL);
    check_tokens(self, &worker->item);
    note(self, &worker->item, predicted);
    const struct sim_gradient *gradient = sim_gradient(
        self->pattern, predicted ? &self->predicted_digest : &self->digest,
        predicted ? self->predicted : self->params, worker->item.sample, worker->item.tokens);
    (void)sim_blocks_use(own);
    for (size_t i = 0; i < self->value_count; i++) {
        self->gradient[i] += gradient->values[i];
    }
    worker->busy = false;
    sim_line("    %s has computed sample %llu", sim_process_name(self->peer->process.index),
             (unsigned long long)worker->item.sample);
    sim->figures.samples_computed++;
    sim->computed[self->peer->identity - sim_identity(0)] |= UINT64_C(1) << worker->item.sample;
    work_done(self->shared->work, &worker->item, gradient->loss_sum);
}
