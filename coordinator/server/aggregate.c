#include "coordinator/server/aggregate.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/memory.h"
#include "proto/codec/chunks.h"
#include "trainer/optimizer/master_step.h"

#include <stdlib.h>

/* sums 8, the publisher's least number of updates 4 * 4 and its snapshot 4, one upload 4; the
 * master's come on top */
enum { BYTES_PER_VALUE = 32 };

struct aggregate {
    size_t value_count;
    struct exact_grid grid;
    struct master *master;
    int64_t *sums; /* (value_count) */
    struct slices *slices;
    uint64_t tokens;
    double loss_sum;
};

enum status aggregate_new(const struct run_dir *run, size_t thread_count, struct aggregate **out)
{
    *out = NULL;
    size_t value_count = layout_value_count(run->layout);
    const struct run_config *config = &run->config;
    enum status status = memory_check_fits(
        "coordinating this run",
        (uint64_t)value_count * BYTES_PER_VALUE +
            master_bytes(run->layout, &config->model, config->optimizer.kind, config->mean_codec),
        "choose a smaller model or a machine with more memory");
    if (status != STATUS_OK) {
        return status;
    }
    struct aggregate *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to coordinate this run");
    }
    self->value_count = value_count;
    self->grid = exact_grid_for(run_config_step_tokens(config));
    self->sums = calloc(value_count, sizeof *self->sums);
    status = self->sums != NULL ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory for the sums");
    if (status == STATUS_OK) {
        status =
            master_new(run->layout, &config->model, &config->optimizer, &config->schedule,
                       (struct master_codecs){.update = config->codec, .mean = config->mean_codec},
                       &self->master);
    }
    if (status == STATUS_OK) {
        status = slices_new(thread_count, value_count, MASTER_SLICE_ALIGN, &self->slices);
    }
    if (status != STATUS_OK) {
        aggregate_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void aggregate_free(struct aggregate *self)
{
    if (self == NULL) {
        return;
    }
    slices_free(self->slices);
    master_free(self->master);
    free(self->sums);
    free(self);
}

struct master *aggregate_master(struct aggregate *self)
{
    return self->master;
}

struct slices *aggregate_slices(struct aggregate *self)
{
    return self->slices;
}

void aggregate_set_step_tokens(struct aggregate *self, uint64_t tokens)
{
    CHECK(self->tokens == 0);
    self->grid = exact_grid_for(tokens);
}

size_t aggregate_encoded_bytes(const struct aggregate *self)
{
    return codec_encoded_bytes(master_codec(self->master), self->value_count);
}

/* One contribution on its way into the sums. */
struct addition {
    struct aggregate *self;
    enum codec codec;
    const uint8_t *data;
    uint64_t tokens;
    enum status checked[SLICES_THREADS_MAX];
};

static void check_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    struct addition *addition = context;
    enum codec codec = addition->codec;
    addition->checked[slice_index] = exact_sum_check(
        &addition->self->grid, codec, addition->data + codec_encoded_bytes(codec, first),
        codec_encoded_bytes(codec, count), count, addition->tokens);
}

static void add_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    struct addition *addition = context;
    enum codec codec = addition->codec;
    (void)slice_index;
    exact_sum_add(&addition->self->grid, codec, addition->data + codec_encoded_bytes(codec, first),
                  count, addition->self->sums + first);
}

uint64_t aggregate_tokens(const struct aggregate *self)
{
    return self->tokens;
}

bool aggregate_takes(const struct aggregate *self, uint64_t tokens, double loss_sum)
{
    /* A sum of losses that is not finite would spoil the journal and every peer's view. */
    return tokens > 0 && tokens <= self->grid.tokens_max - self->tokens && loss_sum >= 0.0 &&
           loss_sum <= (double)(tokens << EXACT_SUM_PER_TOKEN_LOG2_MAX);
}

enum status aggregate_count(struct aggregate *self, uint64_t tokens, double loss_sum)
{
    if (!aggregate_takes(self, tokens, loss_sum)) {
        return STATUS_OUT_OF_RANGE;
    }
    self->tokens += tokens;
    self->loss_sum += loss_sum;
    return STATUS_OK;
}

enum status aggregate_add(struct aggregate *self, enum codec codec, const uint8_t *data,
                          size_t size_bytes, uint64_t tokens, double loss_sum)
{
    if (size_bytes != codec_encoded_bytes(codec, self->value_count)) {
        return STATUS_BAD_SHAPE;
    }
    if (!aggregate_takes(self, tokens, loss_sum)) {
        return STATUS_OUT_OF_RANGE;
    }
    struct addition addition = {.self = self, .codec = codec, .data = data, .tokens = tokens};
    slices_run(self->slices, check_slice, &addition);
    for (size_t i = 0; i < slices_count(self->slices); i++) {
        if (addition.checked[i] != STATUS_OK) {
            return addition.checked[i];
        }
    }
    slices_run(self->slices, add_slice, &addition);
    return aggregate_count(self, tokens, loss_sum);
}

/* Sums of others on their way into ours. */
struct merger {
    struct aggregate *self;
    aggregate_merge_function *merge;
    const void *context;
};

/* Chunks are larger than what slices are cut at, so each thread takes its share of them. */
static void merge_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    const struct merger *merger = context;
    size_t chunks = chunks_count(merger->self->value_count);
    size_t slices = slices_count(merger->self->slices);
    size_t begin = chunks * slice_index / slices;
    size_t end = chunks * (slice_index + 1) / slices;
    (void)first;
    (void)count;
    if (end > begin) {
        merger->merge(merger->context, (uint32_t)begin, (uint32_t)(end - begin),
                      merger->self->sums);
    }
}

void aggregate_merge(struct aggregate *self, aggregate_merge_function *merge, const void *context)
{
    struct merger merger = {.self = self, .merge = merge, .context = context};
    slices_run(self->slices, merge_slice, &merger);
}

enum status aggregate_commit(struct aggregate *self, uint8_t *update, struct aggregate_result *out)
{
    CHECK(self->tokens > 0);
    struct master_step_result step;
    enum status status = master_step_from_sums(self->master, self->slices, self->sums, &self->grid,
                                               self->tokens, update, &step);
    if (status != STATUS_OK) {
        return status;
    }
    *out = (struct aggregate_result){.loss_sum = self->loss_sum,
                                     .tokens = self->tokens,
                                     .grad_l2 = step.grad_l2,
                                     .learning_rate = step.learning_rate,
                                     .digest = step.digest};
    self->tokens = 0;
    self->loss_sum = 0.0;
    return STATUS_OK;
}
