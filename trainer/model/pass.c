/* What every kind of model does in a pass. */
#include "trainer/model/model_parts.h"

const float *pass_param(const struct pass *pass, size_t tensor)
{
    return pass->weights->values + layout_tensor(pass->model->layout, tensor)->offset;
}

const struct cells *pass_weight(const struct pass *pass, size_t tensor)
{
    return cells_at_const(pass->backend, pass->weights->cells,
                          layout_tensor(pass->model->layout, tensor)->offset);
}

size_t pass_layer_tensor(const struct pass *pass, size_t layer, size_t which)
{
    return pass->model->layer_tensor[layer * LAYER_TENSORS_MAX + which];
}

struct cells *pass_cached(const struct pass *pass, struct cells *buffer, size_t width)
{
    return cells_at(pass->backend, buffer, pass->first * width);
}

static void embed(const struct pass *pass, const uint16_t *const *tokens)
{
    const struct model *model = pass->model;
    size_t width = model->config.width;
    const float *positions = NULL;
    if (model->family->positions != NULL) {
        positions = pass_param(pass, model->positions) + pass->first * width;
    }
    for (size_t s = 0; s < pass->sequence_count; s++) {
        pass->backend->embed(pass->workspace->x[0] + s * pass->length * width,
                             pass_param(pass, model->embedding), positions, tokens[s], pass->length,
                             width);
    }
}

void pass_forward(const struct pass *pass, const uint16_t *const *tokens)
{
    const struct model *model = pass->model;
    const struct model_config *config = &model->config;
    const struct workspace *workspace = pass->workspace;
    embed(pass, tokens);
    for (size_t i = 0; i < config->layer_count; i++) {
        model->family->layer_forward(pass, i);
    }
    const float *x = workspace->x[config->layer_count];
    const float *gain = pass_param(pass, model->final_gain);
    if (model->family->final_bias != NULL) {
        pass->backend->layernorm(workspace->norm, workspace->final_mean, workspace->final_rstd, x,
                                 gain, pass_param(pass, model->final_bias), pass->rows,
                                 config->width, config->norm_eps);
    } else {
        pass->backend->rmsnorm(workspace->norm, workspace->final_rstd, x, gain, pass->rows,
                               config->width, config->norm_eps);
    }
}

static struct attention_shape attention_shape_of(const struct pass *pass)
{
    const struct model_config *config = &pass->model->config;
    size_t q_width = (size_t)config->head_count * config->head_size;
    size_t kv_width = (size_t)config->kv_head_count * config->head_size;
    bool fused = pass->model->family->fused_qkv;
    return (struct attention_shape){.rows = pass->length,
                                    .first = pass->first,
                                    .head_count = config->head_count,
                                    .kv_head_count = config->kv_head_count,
                                    .head_size = config->head_size,
                                    .q_stride = fused ? 3 * q_width : q_width,
                                    .kv_stride = fused ? 3 * q_width : kv_width};
}

/* The same row of the buffers that attention works on. */
struct attention_at {
    size_t q;
    size_t kv;
    size_t out;
    size_t log_sum;
};

static struct attention_at attention_at(const struct attention_shape *shape, size_t sequence)
{
    size_t row = sequence * shape->rows;
    return (struct attention_at){.q = row * shape->q_stride,
                                 .kv = row * shape->kv_stride,
                                 .out = row * shape->head_count * shape->head_size,
                                 .log_sum = row * shape->head_count};
}

void pass_attention(const struct pass *pass, const struct layer_memory *layer)
{
    const struct backend *backend = pass->backend;
    struct attention_shape shape = attention_shape_of(pass);
    struct cells *q = layer->q;
    if (pass->model->family->fused_qkv) {
        q = pass_cached(pass, q, shape.q_stride);
    }
    for (size_t s = 0; s < pass->sequence_count; s++) {
        struct attention_at at = attention_at(&shape, s);
        backend->attention(cells_at(backend, layer->attention, at.out),
                           layer->log_sum != NULL ? layer->log_sum + at.log_sum : NULL,
                           cells_at(backend, q, at.q), cells_at(backend, layer->k, at.kv),
                           cells_at(backend, layer->v, at.kv), &shape, pass->workspace->attention);
    }
}

void pass_attention_backward(const struct pass *pass, const struct layer_memory *layer)
{
    const struct backend *backend = pass->backend;
    const struct workspace *workspace = pass->workspace;
    struct attention_shape shape = attention_shape_of(pass);
    for (size_t s = 0; s < pass->sequence_count; s++) {
        struct attention_at at = attention_at(&shape, s);
        backend->attention_backward(
            cells_at(backend, workspace->d_q, at.q), cells_at(backend, workspace->d_k, at.kv),
            cells_at(backend, workspace->d_v, at.kv),
            cells_at(backend, workspace->d_attention, at.out),
            cells_at(backend, layer->attention, at.out), layer->log_sum + at.log_sum,
            cells_at(backend, layer->q, at.q), cells_at(backend, layer->k, at.kv),
            cells_at(backend, layer->v, at.kv), &shape, workspace->attention);
    }
}

const struct cells *pass_d_x_cells(const struct pass *pass)
{
    return pass->backend->as_cells(pass->workspace->d_cells, pass->workspace->d_x,
                                   pass->rows * pass->model->config.width);
}
