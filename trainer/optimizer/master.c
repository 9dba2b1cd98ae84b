#include "trainer/optimizer/master.h"

#include "common/check.h"
#include "common/fault.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(MASTER_SLICE_ALIGN % CODEC_BLOCK_VALUES == 0, "slices hold whole codec blocks");
_Static_assert(LAYOUT_ALIGN % CODEC_BLOCK_VALUES == 0, "a layout holds whole codec blocks");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "digests are of little-endian bytes");

enum { NORM_LANES = 8, VALUE_BYTES_ALIGN = 64 };

struct master {
    const struct layout *layout;
    struct adamw_settings adamw;
    struct schedule schedule;
    enum codec codec;
    size_t value_count;
    uint64_t version;
    float *weights; /* all five: (value_count) */
    float *m;
    float *v;
    float *params;
    float *mean;
    double *block_squares; /* sum of mean^2 per MASTER_SLICE_ALIGN values */
    size_t block_count;
    struct adamw_step step; /* of the step in progress, set by master_prepare */
};

static float *new_values(size_t count)
{
    size_t size_bytes = (count * sizeof(float) + VALUE_BYTES_ALIGN - 1) & ~(size_t)63;
    float *values = aligned_alloc(VALUE_BYTES_ALIGN, size_bytes);
    if (values != NULL) {
        memset(values, 0, size_bytes);
    }
    return values;
}

enum status master_new(const struct layout *layout, const struct adamw_settings *adamw,
                       const struct schedule *schedule, enum codec codec, struct master **out)
{
    *out = NULL;
    struct master *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the optimizer");
    }
    self->layout = layout;
    self->adamw = *adamw;
    self->schedule = *schedule;
    self->codec = codec;
    self->value_count = layout_value_count(layout);
    self->block_count = (self->value_count + MASTER_SLICE_ALIGN - 1) / MASTER_SLICE_ALIGN;
    self->weights = new_values(self->value_count);
    self->m = new_values(self->value_count);
    self->v = new_values(self->value_count);
    self->params = new_values(self->value_count);
    self->mean = new_values(self->value_count);
    self->block_squares = calloc(self->block_count, sizeof *self->block_squares);
    if (self->weights == NULL || self->m == NULL || self->v == NULL || self->params == NULL ||
        self->mean == NULL || self->block_squares == NULL) {
        master_free(self);
        return fault(STATUS_NO_MEMORY,
                     "no memory for an optimizer of %zu values; choose a smaller model",
                     layout_value_count(layout));
    }
    *out = self;
    return STATUS_OK;
}

void master_free(struct master *self)
{
    if (self == NULL) {
        return;
    }
    free(self->weights);
    free(self->m);
    free(self->v);
    free(self->params);
    free(self->mean);
    free(self->block_squares);
    free(self);
}

void master_set_params(struct master *self, const float *params)
{
    size_t size_bytes = self->value_count * sizeof *params;
    if (params != self->params) {
        memcpy(self->params, params, size_bytes);
    }
    memcpy(self->weights, self->params, size_bytes);
    memset(self->m, 0, size_bytes);
    memset(self->v, 0, size_bytes);
    self->version = 0;
}

float *master_params(struct master *self)
{
    return self->params;
}

float *master_weights(struct master *self)
{
    return self->weights;
}

float *master_moment1(struct master *self)
{
    return self->m;
}

float *master_moment2(struct master *self)
{
    return self->v;
}

uint64_t master_version(const struct master *self)
{
    return self->version;
}

void master_set_version(struct master *self, uint64_t version)
{
    self->version = version;
}

const float *master_mean_gradient(const struct master *self)
{
    return self->mean;
}

static void check_slice(const struct master *self, size_t first, size_t count)
{
    CHECK(first % MASTER_SLICE_ALIGN == 0 && first <= self->value_count);
    CHECK(count <= self->value_count - first);
    CHECK(count % MASTER_SLICE_ALIGN == 0 || first + count == self->value_count);
}

/* A run of values of a slice that belong to one tensor, or to the padding between two. */
struct segment {
    size_t first;
    size_t end;
    bool padding;
    bool decayed;
};

/* The segment of [position, end) that begins at `position`. *tensor is where the search starts and
 * is moved along; begin with 0. */
static struct segment next_segment(const struct layout *layout, size_t *tensor, size_t position,
                                   size_t end)
{
    struct segment segment = {.first = position, .end = end, .padding = true};
    for (; *tensor < layout_tensor_count(layout); (*tensor)++) {
        const struct tensor_spec *spec = layout_tensor(layout, *tensor);
        if (position < spec->offset) { /* in front of this tensor */
            segment.end = spec->offset < end ? spec->offset : end;
            break;
        }
        size_t tensor_end = spec->offset + spec->count;
        if (position < tensor_end) {
            segment.end = tensor_end < end ? tensor_end : end;
            segment.padding = false;
            segment.decayed = spec->decayed;
            break;
        }
    }
    return segment;
}

/* In lanes, so that it vectorises; the order of additions does not depend on the machine. */
static double sum_of_squares(const float *values, size_t count)
{
    double lanes[NORM_LANES] = {0};
    for (size_t i = 0; i < count; i += NORM_LANES) {
        for (size_t lane = 0; lane < NORM_LANES; lane++) {
            double value = (double)values[i + lane];
            lanes[lane] += value * value;
        }
    }
    double sum = 0;
    for (size_t lane = 0; lane < NORM_LANES; lane++) {
        sum += lanes[lane];
    }
    return sum;
}

void master_take_mean(struct master *self, const int64_t *sum, const struct exact_grid *grid,
                      uint64_t tokens, size_t first, size_t count)
{
    check_slice(self, first, count);
    size_t end = first + count;
    size_t tensor = 0;
    for (size_t position = first; position < end;) {
        struct segment segment = next_segment(self->layout, &tensor, position, end);
        size_t length = segment.end - position;
        if (segment.padding) { /* what a peer put there is not a gradient */
            memset(self->mean + position, 0, length * sizeof *self->mean);
        } else {
            exact_sum_mean(grid, sum + (position - first), length, tokens, self->mean + position);
        }
        position = segment.end;
    }
    for (size_t block = first; block < end; block += MASTER_SLICE_ALIGN) {
        size_t length = end - block < MASTER_SLICE_ALIGN ? end - block : MASTER_SLICE_ALIGN;
        self->block_squares[block / MASTER_SLICE_ALIGN] =
            sum_of_squares(self->mean + block, length);
    }
}

double master_prepare(struct master *self)
{
    double squares = 0;
    for (size_t block = 0; block < self->block_count; block++) {
        squares += self->block_squares[block];
    }
    double norm = sqrt(squares);
    double learning_rate = schedule_learning_rate(&self->schedule, self->version);
    self->step = adamw_prepare(&self->adamw, learning_rate, self->version + 1, norm);
    return norm;
}

static void update_weights(struct master *self, size_t first, size_t end)
{
    size_t tensor = 0;
    for (size_t position = first; position < end;) {
        struct segment segment = next_segment(self->layout, &tensor, position, end);
        if (!segment.padding) {
            adamw_apply(&self->step, self->weights + position, self->m + position,
                        self->v + position, self->mean + position, segment.end - position,
                        segment.decayed);
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
            difference[i] = self->weights[block + i] - self->params[block + i];
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
}

struct digest params_digest(const float *params, size_t value_count)
{
    return digest_of(params, value_count * sizeof *params);
}
