#include "trainer/optimizer/master.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/optimizer/mean.h"
#include "trainer/optimizer/rules.h"
#include "trainer/optimizer/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(MASTER_SLICE_ALIGN % CODEC_BLOCK_VALUES == 0, "slices hold whole codec blocks");
_Static_assert(MASTER_SLICE_ALIGN % MEAN_BLOCK_VALUES == 0, "slices hold whole blocks of the mean");
_Static_assert(LAYOUT_ALIGN % CODEC_BLOCK_VALUES == 0, "a layout holds whole codec blocks");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "digests are of little-endian bytes");

struct master {
    const struct optimizer_rules *rules;
    struct optimizer_settings settings;
    struct schedule schedule;
    double learning_rate_min; /* of the schedule, whatever the peak was changed to */
    bool has_rate;            /* the next step has `rate`, and not that of the schedule */
    double rate;
    enum codec codec; /* of updates */
    uint64_t version;
    struct blocks *blocks; /* NULL unless a state is per block */
    float *params;         /* (value_count) */
    struct mean mean;
    double *slice_squares; /* sum of mean^2 per MASTER_SLICE_ALIGN values */
    size_t slice_count;
    struct optimizer_work work; /* its step is that in progress, set by master_prepare */
};

static bool needs_blocks(const struct optimizer_rules *rules)
{
    bool needed = false;
    for (size_t i = 0; i < rules->state_count; i++) {
        needed = needed || rules->states[i].per_block;
    }
    return needed;
}

static size_t state_values(const struct master *self, size_t index)
{
    return self->rules->states[index].per_block ? blocks_count(self->blocks)
                                                : self->work.value_count;
}

static bool allocate_arrays(struct master *self)
{
    struct optimizer_work *work = &self->work;
    bool complete = true;
    work->weights = values_new(work->value_count);
    self->params = values_new(work->value_count);
    for (size_t i = 0; i < self->rules->state_count; i++) {
        work->states[i] = values_new(state_values(self, i));
        complete = complete && work->states[i] != NULL;
    }
    if (self->rules->scratch_count != NULL) {
        size_t count = self->rules->scratch_count(work->layout, work->blocks);
        work->scratch = calloc(count, sizeof *work->scratch);
        complete = complete && work->scratch != NULL;
    }
    self->slice_squares = calloc(self->slice_count, sizeof *self->slice_squares);
    return complete && work->weights != NULL && self->params != NULL && self->slice_squares != NULL;
}

enum status master_new(const struct layout *layout, const struct model_config *model,
                       const struct optimizer_settings *settings, const struct schedule *schedule,
                       struct master_codecs codecs, struct master **out)
{
    *out = NULL;
    struct master *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the optimizer");
    }
    size_t value_count = layout_value_count(layout);
    self->rules = optimizer_rules(settings->kind);
    self->settings = *settings;
    self->schedule = *schedule;
    self->learning_rate_min = schedule->learning_rate_min;
    self->codec = codecs.update;
    self->slice_count = (value_count + MASTER_SLICE_ALIGN - 1) / MASTER_SLICE_ALIGN;
    enum status status = mean_init(&self->mean, value_count, codecs.mean);
    if (status == STATUS_OK && needs_blocks(self->rules)) {
        status = blocks_new(layout, model, &self->blocks);
    }
    self->work.layout = layout;
    self->work.blocks = self->blocks;
    self->work.value_count = value_count;
    self->work.mean = self->mean.values;
    if (status == STATUS_OK && !allocate_arrays(self)) {
        status =
            fault(STATUS_NO_MEMORY,
                  "no memory for an optimizer of %zu values; choose a smaller model", value_count);
    }
    if (status != STATUS_OK) {
        master_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void master_free(struct master *self)
{
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < OPTIMIZER_STATES_MAX; i++) {
        free(self->work.states[i]);
    }
    free(self->work.weights);
    free(self->work.scratch);
    free(self->params);
    mean_deinit(&self->mean);
    free(self->slice_squares);
    blocks_free(self->blocks);
    free(self);
}

uint64_t master_bytes(const struct layout *layout, const struct model_config *model,
                      enum optimizer_kind kind, enum codec mean_codec)
{
    uint64_t bytes = (uint64_t)layout_value_count(layout) * 2 * sizeof(float) +
                     mean_memory_bytes(mean_codec, layout_value_count(layout));
    for (size_t i = 0; i < optimizer_state_count(kind); i++) {
        bytes += optimizer_state(kind, i)->per_block
                     ? (uint64_t)blocks_count_in(layout, model) * (sizeof(float) + sizeof(double))
                     : (uint64_t)layout_value_count(layout) * sizeof(float);
    }
    return bytes;
}

void master_set_params(struct master *self, const float *params)
{
    size_t size_bytes = self->work.value_count * sizeof *params;
    if (params != self->params) {
        memcpy(self->params, params, size_bytes);
    }
    memcpy(self->work.weights, self->params, size_bytes);
    for (size_t i = 0; i < self->rules->state_count; i++) {
        memset(self->work.states[i], 0, state_values(self, i) * sizeof(float));
    }
    mean_clear(&self->mean, 0, self->work.value_count);
    self->version = 0;
    self->has_rate = false;
}

enum status master_change(struct master *self, double learning_rate, enum codec codec,
                          enum codec mean_codec)
{
    enum status status = mean_change(&self->mean, mean_codec);
    if (status == STATUS_OK) {
        self->schedule.learning_rate = learning_rate;
        self->schedule.learning_rate_min = fmin(self->learning_rate_min, learning_rate);
        self->codec = codec;
    }
    return status;
}

size_t master_value_count(const struct master *self)
{
    return self->work.value_count;
}

enum codec master_codec(const struct master *self)
{
    return self->codec;
}

enum codec master_mean_codec(const struct master *self)
{
    return self->mean.codec;
}

double master_learning_rate(const struct master *self)
{
    return self->has_rate ? self->rate : schedule_learning_rate(&self->schedule, self->version);
}

void master_set_learning_rate(struct master *self, double learning_rate)
{
    self->has_rate = true;
    self->rate = learning_rate;
}

float *master_params(struct master *self)
{
    return self->params;
}

float *master_weights(struct master *self)
{
    return self->work.weights;
}

enum optimizer_kind master_kind(const struct master *self)
{
    return self->settings.kind;
}

float *master_state(struct master *self, size_t index, size_t *out_count)
{
    CHECK(index < self->rules->state_count);
    *out_count = state_values(self, index);
    return self->work.states[index];
}

uint64_t master_version(const struct master *self)
{
    return self->version;
}

void master_set_version(struct master *self, uint64_t version)
{
    self->version = version;
    self->has_rate = false;
}

float *master_residual(struct master *self)
{
    return self->mean.residual;
}

const float *master_mean_gradient(const struct master *self)
{
    return self->mean.values;
}

size_t master_mean_bytes(const struct master *self)
{
    return mean_encoded_bytes(self->mean.codec, self->mean.value_count);
}

const uint8_t *master_mean_encoded(const struct master *self)
{
    return mean_encoded(&self->mean);
}

static void check_slice(const struct master *self, size_t first, size_t count)
{
    size_t value_count = self->work.value_count;
    CHECK(first % MASTER_SLICE_ALIGN == 0 && first <= value_count);
    CHECK(count <= value_count - first);
    CHECK(count % MASTER_SLICE_ALIGN == 0 || first + count == value_count);
}

static void take_squares(struct master *self, size_t first, size_t end)
{
    for (size_t block = first; block < end; block += MASTER_SLICE_ALIGN) {
        size_t length = end - block < MASTER_SLICE_ALIGN ? end - block : MASTER_SLICE_ALIGN;
        self->slice_squares[block / MASTER_SLICE_ALIGN] =
            segment_squares(self->mean.values + block, length);
    }
}

void master_take_mean(struct master *self, const int64_t *sum, const struct exact_grid *grid,
                      uint64_t tokens, size_t first, size_t count)
{
    check_slice(self, first, count);
    size_t end = first + count;
    size_t tensor = 0;
    for (size_t position = first; position < end;) {
        struct segment segment = segment_next(self->work.layout, &tensor, position, end);
        size_t length = segment.end - position;
        if (segment.padding) { /* what a peer put there is not a gradient */
            mean_clear(&self->mean, position, length);
        } else {
            exact_sum_mean(grid, sum + (position - first), length, tokens,
                           self->mean.values + position);
        }
        position = segment.end;
    }
    mean_encode(&self->mean, first, count);
    take_squares(self, first, end);
}

enum status master_check_mean(const struct master *self, const uint8_t *encoded, size_t first,
                              size_t count)
{
    check_slice(self, first, count);
    return mean_check(&self->mean, encoded, first, count);
}

void master_load_mean(struct master *self, const uint8_t *encoded, size_t first, size_t count)
{
    check_slice(self, first, count);
    mean_load(&self->mean, encoded, first, count);
    take_squares(self, first, first + count);
}

double master_prepare(struct master *self)
{
    double squares = 0;
    for (size_t i = 0; i < self->slice_count; i++) {
        squares += self->slice_squares[i];
    }
    double norm = sqrt(squares);
    self->work.step =
        optimizer_prepare(&self->settings, master_learning_rate(self), self->version + 1, norm);
    return norm;
}

bool master_measures(const struct master *self)
{
    return self->rules->measure != NULL;
}

void master_measure(struct master *self, size_t first, size_t count)
{
    check_slice(self, first, count);
    if (self->rules->measure != NULL) {
        self->rules->measure(&self->work, first, first + count);
    }
}

void master_settle(struct master *self)
{
    if (self->rules->settle != NULL) {
        self->rules->settle(&self->work);
    }
}

static void update_weights(struct master *self, size_t first, size_t end)
{
    size_t tensor = 0;
    for (size_t position = first; position < end;) {
        struct segment segment = segment_next(self->work.layout, &tensor, position, end);
        if (!segment.padding) {
            self->rules->apply(&self->work, &segment);
        }
        position = segment.end;
    }
}

enum status master_apply(struct master *self, uint8_t *update, size_t first, size_t count)
{
    check_slice(self, first, count);
    size_t end = first + count;
    update_weights(self, first, end);
    for (size_t block = first; block < end; block += MASTER_SLICE_ALIGN) {
        float difference[MASTER_SLICE_ALIGN];
        size_t length = end - block < MASTER_SLICE_ALIGN ? end - block : MASTER_SLICE_ALIGN;
        for (size_t i = 0; i < length; i++) {
            difference[i] = self->work.weights[block + i] - self->params[block + i];
        }
        uint8_t *encoded = update + codec_encoded_bytes(self->codec, block);
        /* The residual is not kept: it is still in weights - params. */
        if (codec_encode(self->codec, CODEC_EXPONENT_ANY, difference, length, encoded) !=
            STATUS_OK) {
            return fault(STATUS_OUT_OF_RANGE,
                         "a parameter is no longer a finite number; lower the learning rate");
        }
        codec_add(self->codec, encoded, length, self->params + block);
    }
    return STATUS_OK;
}

void master_finish(struct master *self)
{
    self->version++;
    self->has_rate = false;
}

struct digest params_digest(const float *params, size_t value_count)
{
    return digest_of(params, value_count * sizeof *params);
}
