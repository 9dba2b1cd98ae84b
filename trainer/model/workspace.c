#include "common/fault.h"
#include "trainer/model/model_parts.h"

#include <stdlib.h>
#include <string.h>

/* Logits of at most this many values exist at a time, but of 64 to 256 rows. */
enum { LOGITS_VALUES = 1 << 22, HEAD_ROWS_MIN = 64, HEAD_ROWS_MAX = 256, BUFFER_ALIGN = 32 };

/* Hands out consecutive buffers. Without memory it only counts, so that the size of a workspace
 * is known before it is allocated, from the same code. */
struct arena {
    float *memory;
    uint64_t used;
};

static float *take(struct arena *arena, uint64_t count)
{
    float *buffer = arena->memory != NULL ? arena->memory + arena->used : NULL;
    arena->used += (count + BUFFER_ALIGN - 1) / BUFFER_ALIGN * BUFFER_ALIGN;
    return count > 0 ? buffer : NULL;
}

static size_t choose_head_rows(const struct model_config *config, size_t context)
{
    size_t rows = LOGITS_VALUES / config->vocab_size;
    rows = rows < HEAD_ROWS_MIN ? HEAD_ROWS_MIN : rows;
    rows = rows > HEAD_ROWS_MAX ? HEAD_ROWS_MAX : rows;
    return rows < context ? rows : context;
}

static struct attention_shape attention_shape_of(const struct model_config *config, size_t rows)
{
    return (struct attention_shape){.rows = rows,
                                    .head_count = config->head_count,
                                    .kv_head_count = config->kv_head_count,
                                    .head_size = config->head_size};
}

/* Points the fields of `self` into the arena; `self` may be NULL to count only. */
static void plan(const struct model *model, size_t context, struct arena *arena,
                 struct workspace *self)
{
    const struct model_config *config = &model->config;
    uint64_t residual = (uint64_t)context * config->width;
    struct workspace unused = {0};
    struct buffer_sizes sizes = {0};
    model->family->sizes(config, context, &sizes);
    for (size_t i = 0; i <= config->layer_count; i++) {
        float *x = take(arena, residual);
        if (self != NULL) {
            self->x[i] = x;
        }
    }
    for (size_t i = 0; i < config->layer_count; i++) {
        for (size_t j = 0; j < LAYER_BUFFERS_MAX; j++) {
            float *buffer = take(arena, sizes.kept[j]);
            if (self != NULL) {
                self->layer[i][j] = buffer;
            }
        }
    }
    self = self != NULL ? self : &unused;
    for (size_t j = 0; j < BACKWARD_BUFFERS_MAX; j++) {
        self->backward[j] = take(arena, sizes.backward[j]);
    }
    struct attention_shape shape = attention_shape_of(config, context);
    self->context = context;
    self->head_rows = choose_head_rows(config, context);
    self->attention = take(arena, model->backend->attention_scratch(&shape));
    self->final_norm = take(arena, residual);
    self->final_mean = take(arena, context);
    self->final_rstd = take(arena, context);
    self->logits = take(arena, (uint64_t)self->head_rows * config->vocab_size);
    self->d_x = take(arena, residual);
    self->d_norm = take(arena, residual);
    self->d_part = take(arena, residual);
}

uint64_t workspace_bytes(const struct model *model, size_t context)
{
    struct arena arena = {0};
    plan(model, context, &arena, NULL);
    return arena.used * sizeof(float);
}

enum status workspace_new(const struct model *model, size_t context, struct workspace **out)
{
    const struct model_config *config = &model->config;
    *out = NULL;
    if (context == 0 || context > config->context_max) {
        return fault(STATUS_OUT_OF_RANGE,
                     "sequences of %zu tokens do not fit the model, which takes 1 to %u", context,
                     config->context_max);
    }
    uint64_t bytes = workspace_bytes(model, context);
    struct workspace *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        goto no_memory;
    }
    self->backend = model->backend;
    self->x = calloc((size_t)config->layer_count + 1, sizeof(*self->x));
    self->layer = calloc(config->layer_count, sizeof(*self->layer));
    self->memory = model->backend->allocate((size_t)(bytes / sizeof(float)));
    if (self->x == NULL || self->layer == NULL || self->memory == NULL) {
        goto no_memory;
    }
    struct arena arena = {.memory = self->memory};
    plan(model, context, &arena, self);
    *out = self;
    return STATUS_OK;
no_memory:
    workspace_free(self);
    return fault(STATUS_NO_MEMORY,
                 "no memory for a sequence's activations (%llu MiB); use fewer threads or a "
                 "shorter context",
                 (unsigned long long)(bytes >> 20));
}

void workspace_free(struct workspace *self)
{
    if (self == NULL) {
        return;
    }
    if (self->memory != NULL) {
        self->backend->release(self->memory);
    }
    free(self->x);
    free(self->layer);
    free(self);
}
