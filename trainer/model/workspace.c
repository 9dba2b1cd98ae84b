#include "common/check.h"
#include "common/fault.h"
#include "trainer/model/model_parts.h"

#include <stdlib.h>

/* Logits of about this many values exist at a time, but of 256 rows at least: fewer would make
 * the head's products slow. */
enum {
    LOGITS_VALUES = 1 << 23,
    HEAD_ROWS_MIN = 256,
    ROWS_WANTED = 1024, /* of a pass: products of this height run at full speed */
    BUFFER_ALIGN_BYTES = 128
};

size_t workspace_sequences(size_t context, size_t available)
{
    size_t wanted = (ROWS_WANTED + context - 1) / context;
    wanted = wanted < SEQUENCES_MAX ? wanted : SEQUENCES_MAX;
    return wanted < available ? wanted : available;
}

/* Hands out consecutive buffers. Without memory it only counts, so that the size of a workspace
 * is known before it is allocated, from the same code. */
struct arena {
    char *memory;
    size_t cell_bytes;
    uint64_t used;
};

static void *take(struct arena *arena, uint64_t size_bytes)
{
    void *buffer = arena->memory != NULL && size_bytes > 0 ? arena->memory + arena->used : NULL;
    arena->used += (size_bytes + BUFFER_ALIGN_BYTES - 1) / BUFFER_ALIGN_BYTES * BUFFER_ALIGN_BYTES;
    return buffer;
}

static float *take_floats(struct arena *arena, uint64_t count)
{
    return take(arena, count * sizeof(float));
}

static struct cells *take_cells(struct arena *arena, uint64_t count)
{
    return take(arena, count * arena->cell_bytes);
}

/* What the sizes of all buffers follow from. */
struct needs {
    const struct model *model;
    uint64_t rows;    /* R */
    uint64_t kv_rows; /* of k and v: R, or what a decoder keeps */
    uint64_t width, q_width, kv_width, ffn;
    bool decoder;
    bool backward;
    bool every_layer; /* each layer has its own activations */
    struct workspace_plan plan;
};

static struct needs needs_of(const struct model *model, const struct workspace_plan *plan,
                             size_t cached_rows)
{
    const struct model_config *config = &model->config;
    struct needs needs = {.model = model, .plan = *plan, .decoder = cached_rows > 0};
    needs.rows = (uint64_t)plan->context * plan->sequence_count;
    needs.kv_rows = needs.decoder ? cached_rows : needs.rows;
    needs.width = config->width;
    needs.q_width = (uint64_t)config->head_count * config->head_size;
    needs.kv_width = (uint64_t)config->kv_head_count * config->head_size;
    needs.ffn = config->ffn_width;
    needs.backward = plan->purpose == WORKSPACE_GRADIENT;
    needs.every_layer = needs.backward && plan->recompute == RECOMPUTE_NONE;
    return needs;
}

size_t head_rows(const struct model_config *config, size_t rows)
{
    size_t wanted = LOGITS_VALUES / config->vocab_size;
    wanted = wanted < HEAD_ROWS_MIN ? HEAD_ROWS_MIN : wanted;
    return wanted < rows ? wanted : rows;
}

/* A q of its own is only for a pass: with_q false keeps the one that is there. */
static void take_qkv(const struct needs *needs, struct arena *arena, bool with_q, struct cells **q,
                     struct cells **k, struct cells **v)
{
    if (needs->model->family->fused_qkv) {
        *q = take_cells(arena, needs->kv_rows * 3 * needs->q_width);
        if (*q != NULL) {
            *k = cells_at(needs->model->backend, *q, (size_t)needs->q_width);
            *v = cells_at(needs->model->backend, *q, 2 * (size_t)needs->q_width);
        }
        return;
    }
    if (with_q) {
        *q = take_cells(arena, needs->rows * needs->q_width);
    }
    *k = take_cells(arena, needs->kv_rows * needs->kv_width);
    *v = take_cells(arena, needs->kv_rows * needs->kv_width);
}

static struct layer_memory take_layer(const struct needs *needs, struct arena *arena)
{
    bool has_means = needs->model->family->final_bias != NULL;
    struct layer_memory layer = {0};
    layer.mean1 = take_floats(arena, has_means ? needs->rows : 0);
    layer.mean2 = take_floats(arena, has_means ? needs->rows : 0);
    layer.rstd1 = take_floats(arena, needs->rows);
    layer.rstd2 = take_floats(arena, needs->rows);
    layer.x_mid = take_floats(arena, needs->rows * needs->width);
    layer.log_sum =
        take_floats(arena, needs->backward ? needs->rows * needs->model->config.head_count : 0);
    layer.attention = take_cells(arena, needs->rows * needs->q_width);
    layer.gate = take_cells(arena, needs->rows * needs->ffn);
    layer.up = take_cells(arena, needs->model->family->gated ? needs->rows * needs->ffn : 0);
    take_qkv(needs, arena, true, &layer.q, &layer.k, &layer.v);
    return layer;
}

/* A decoder's layers share all but keys and values. */
static void take_layers(const struct needs *needs, struct arena *arena, struct workspace *out)
{
    size_t layer_count = needs->model->config.layer_count;
    struct layer_memory layer = take_layer(needs, arena);
    for (size_t i = 0; i < layer_count; i++) {
        if (i > 0 && needs->every_layer) {
            layer = take_layer(needs, arena);
        } else if (i > 0 && needs->decoder) {
            take_qkv(needs, arena, false, &layer.q, &layer.k, &layer.v);
        }
        if (out->layers != NULL) {
            out->layers[i] = layer;
        }
    }
}

static void take_residuals(const struct needs *needs, struct arena *arena, struct workspace *out)
{
    size_t stream_count = (size_t)needs->model->config.layer_count + 1;
    float *streams[2] = {NULL};
    for (size_t i = 0; i < stream_count; i++) {
        if (i < 2 || needs->backward) {
            streams[i % 2] = take_floats(arena, needs->rows * needs->width);
        }
        if (out->x != NULL) {
            out->x[i] = streams[i % 2];
        }
    }
}

static void take_backward(const struct needs *needs, struct arena *arena, struct workspace *out)
{
    bool floats = needs->model->backend->cells_are_floats;
    take_qkv(needs, arena, true, &out->d_q, &out->d_k, &out->d_v);
    out->d_attention = take_cells(arena, needs->rows * needs->q_width);
    out->d_hidden = take_cells(arena, needs->rows * needs->ffn);
    out->d_cells = take_cells(arena, floats ? 0 : needs->rows * needs->width);
    out->d_x = take_floats(arena, needs->rows * needs->width);
    out->d_norm = take_floats(arena, needs->rows * needs->width);
}

/* Points the fields of `out` into the arena; its x and layers may be NULL, to count only. */
static void lay_out(const struct needs *needs, struct arena *arena, struct workspace *out)
{
    const struct model_config *config = &needs->model->config;
    struct attention_shape shape = {
        .rows = needs->plan.context,
        .first = needs->decoder ? (size_t)needs->kv_rows - needs->plan.context : 0,
        .head_count = config->head_count,
        .kv_head_count = config->kv_head_count,
        .head_size = config->head_size};
    out->plan = needs->plan;
    out->head_rows = needs->decoder ? 1 : head_rows(config, (size_t)needs->rows);
    take_residuals(needs, arena, out);
    take_layers(needs, arena, out);
    out->norm = take_cells(arena, needs->rows * needs->width);
    out->hidden = take_cells(arena, needs->rows * needs->ffn);
    out->final_mean = take_floats(arena, needs->rows);
    out->final_rstd = take_floats(arena, needs->rows);
    out->logits = take_floats(arena, (uint64_t)out->head_rows * config->vocab_size);
    out->losses = take(arena, out->head_rows * sizeof(*out->losses));
    out->targets = take(arena, needs->rows * sizeof(*out->targets));
    out->attention = take(arena, needs->model->backend->attention_scratch(&shape));
    if (needs->backward) {
        take_backward(needs, arena, out);
    }
}

uint64_t workspace_bytes_cached(const struct model *model, const struct workspace_plan *plan,
                                size_t cached_rows)
{
    struct needs needs = needs_of(model, plan, cached_rows);
    struct arena arena = {.cell_bytes = model->backend->cell_bytes};
    struct workspace unused = {0};
    lay_out(&needs, &arena, &unused);
    return arena.used;
}

uint64_t workspace_bytes(const struct model *model, const struct workspace_plan *plan)
{
    return workspace_bytes_cached(model, plan, 0);
}

enum status workspace_new_cached(const struct model *model, const struct workspace_plan *plan,
                                 size_t cached_rows, struct workspace **out)
{
    const struct model_config *config = &model->config;
    *out = NULL;
    CHECK(plan->sequence_count > 0 && plan->sequence_count <= SEQUENCES_MAX);
    size_t context = cached_rows > 0 ? cached_rows : plan->context;
    if (plan->context == 0 || context > config->context_max) {
        return fault(STATUS_OUT_OF_RANGE,
                     "sequences of %zu tokens do not fit the model, which takes 1 to %u", context,
                     config->context_max);
    }
    uint64_t bytes = workspace_bytes_cached(model, plan, cached_rows);
    struct workspace *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        goto no_memory;
    }
    self->backend = model->backend;
    self->x = calloc((size_t)config->layer_count + 1, sizeof(*self->x));
    self->layers = calloc(config->layer_count, sizeof(*self->layers));
    self->memory = bytes <= SIZE_MAX ? model->backend->allocate((size_t)bytes) : NULL;
    if (self->x == NULL || self->layers == NULL || self->memory == NULL) {
        goto no_memory;
    }
    struct needs needs = needs_of(model, plan, cached_rows);
    struct arena arena = {.memory = self->memory, .cell_bytes = model->backend->cell_bytes};
    lay_out(&needs, &arena, self);
    *out = self;
    return STATUS_OK;
no_memory:
    workspace_free(self);
    return fault(STATUS_NO_MEMORY,
                 "no memory for a pass's activations (%llu MiB); use fewer threads or a "
                 "shorter context",
                 (unsigned long long)(bytes >> 20));
}

enum status workspace_new(const struct model *model, const struct workspace_plan *plan,
                          struct workspace **out)
{
    return workspace_new_cached(model, plan, 0, out);
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
    free(self->layers);
    free(self);
}
