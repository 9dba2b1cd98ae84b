/* llama - the layers of Llama (Touvron et al., arXiv 2302.13971): pre-normalised attention with
 * rotary positions and grouped keys, and a SwiGLU feed-forward. Weights are stored (out, in). */
#include "trainer/model/model_parts.h"

enum tensor { WQ, WK, WV, WO, W_GATE, W_UP, W_DOWN, GAIN_ATTENTION, GAIN_FFN };

/* Kept per layer, for T rows. */
enum kept {
    NORM1,     /* (T,C) input of the attention */
    RSTD1,     /* (T) */
    Q,         /* (T,H*D), rotated */
    K,         /* (T,K*D), rotated */
    V,         /* (T,K*D) */
    ATTENTION, /* (T,H*D) */
    LOG_SUM,   /* (H,T) */
    X_MID,     /* (T,C) residual stream between the two halves */
    NORM2,     /* (T,C) input of the feed-forward */
    RSTD2,     /* (T) */
    GATE,      /* (T,F) */
    UP,        /* (T,F) */
    HIDDEN     /* (T,F) silu(gate) * up */
};

enum backward { D_Q, D_K, D_V, D_ATTENTION, D_GATE, D_UP, D_HIDDEN };

struct sizes {
    size_t rows, width, q_width, kv_width, ffn;
};

static struct sizes sizes_of(const struct model_config *config, size_t rows)
{
    return (struct sizes){.rows = rows,
                          .width = config->width,
                          .q_width = (size_t)config->head_count * config->head_size,
                          .kv_width = (size_t)config->kv_head_count * config->head_size,
                          .ffn = config->ffn_width};
}

static void llama_sizes(const struct model_config *config, size_t T, struct buffer_sizes *out)
{
    struct sizes n = sizes_of(config, T);
    out->kept[NORM1] = out->kept[NORM2] = out->kept[X_MID] = T * n.width;
    out->kept[RSTD1] = out->kept[RSTD2] = T;
    out->kept[Q] = out->kept[ATTENTION] = T * n.q_width;
    out->kept[K] = out->kept[V] = T * n.kv_width;
    out->kept[LOG_SUM] = T * config->head_count;
    out->kept[GATE] = out->kept[UP] = out->kept[HIDDEN] = T * n.ffn;
    out->backward[D_Q] = out->backward[D_ATTENTION] = T * n.q_width;
    out->backward[D_K] = out->backward[D_V] = T * n.kv_width;
    out->backward[D_GATE] = out->backward[D_UP] = out->backward[D_HIDDEN] = T * n.ffn;
}

static struct attention_shape attention_shape_of(const struct model_config *config, size_t rows)
{
    struct sizes n = sizes_of(config, rows);
    return (struct attention_shape){.rows = rows,
                                    .head_count = config->head_count,
                                    .kv_head_count = config->kv_head_count,
                                    .head_size = config->head_size,
                                    .q_stride = n.q_width,
                                    .kv_stride = n.kv_width};
}

/* out(T, out_width) = x(T, in_width) W^T */
static void project(const struct pass *pass, float *out, const float *x, size_t tensor,
                    size_t out_width, size_t in_width)
{
    pass->backend->matmul(out, x, false, pass_param(pass, tensor), true, pass->rows, out_width,
                          in_width, false);
}

static void rotate(const struct pass *pass, float *q, float *k, int direction)
{
    const struct model_config *config = &pass->model->config;
    struct sizes n = sizes_of(config, pass->rows);
    pass->backend->rope(q, n.rows, config->head_count, config->head_size, n.q_width,
                        config->rope_theta, 0, direction);
    pass->backend->rope(k, n.rows, config->kv_head_count, config->head_size, n.kv_width,
                        config->rope_theta, 0, direction);
}

static void attention_forward(const struct pass *pass, size_t layer)
{
    const struct model_config *config = &pass->model->config;
    const struct backend *backend = pass->backend;
    float *const *kept = pass->workspace->layer[layer];
    const float *x = pass->workspace->x[layer];
    struct sizes n = sizes_of(config, pass->rows);
    struct attention_shape shape = attention_shape_of(config, pass->rows);
    backend->rmsnorm(kept[NORM1], kept[RSTD1], x,
                     pass_param(pass, pass_layer_tensor(pass, layer, GAIN_ATTENTION)), n.rows,
                     n.width, config->norm_eps);
    project(pass, kept[Q], kept[NORM1], pass_layer_tensor(pass, layer, WQ), n.q_width, n.width);
    project(pass, kept[K], kept[NORM1], pass_layer_tensor(pass, layer, WK), n.kv_width, n.width);
    project(pass, kept[V], kept[NORM1], pass_layer_tensor(pass, layer, WV), n.kv_width, n.width);
    rotate(pass, kept[Q], kept[K], 1);
    backend->attention(kept[ATTENTION], kept[LOG_SUM], kept[Q], kept[K], kept[V], &shape,
                       pass->workspace->attention);
    project(pass, kept[X_MID], kept[ATTENTION], pass_layer_tensor(pass, layer, WO), n.width,
            n.q_width);
    backend->add(kept[X_MID], kept[X_MID], x, n.rows * n.width);
}

static void ffn_forward(const struct pass *pass, size_t layer)
{
    const struct model_config *config = &pass->model->config;
    const struct backend *backend = pass->backend;
    float *const *kept = pass->workspace->layer[layer];
    float *x_out = pass->workspace->x[layer + 1];
    struct sizes n = sizes_of(config, pass->rows);
    backend->rmsnorm(kept[NORM2], kept[RSTD2], kept[X_MID],
                     pass_param(pass, pass_layer_tensor(pass, layer, GAIN_FFN)), n.rows, n.width,
                     config->norm_eps);
    project(pass, kept[GATE], kept[NORM2], pass_layer_tensor(pass, layer, W_GATE), n.ffn, n.width);
    project(pass, kept[UP], kept[NORM2], pass_layer_tensor(pass, layer, W_UP), n.ffn, n.width);
    backend->swiglu(kept[HIDDEN], kept[GATE], kept[UP], n.rows * n.ffn);
    project(pass, x_out, kept[HIDDEN], pass_layer_tensor(pass, layer, W_DOWN), n.width, n.ffn);
    backend->add(x_out, x_out, kept[X_MID], n.rows * n.width);
}

static void llama_layer_forward(const struct pass *pass, size_t layer)
{
    attention_forward(pass, layer);
    ffn_forward(pass, layer);
}

/* d_x(T, in_width) [+]= d_out(T, out_width) W, and the gradient of W += d_out^T x. */
static void project_backward(const struct pass *pass, float *d_x, const float *d_out,
                             const float *x, size_t tensor, size_t out_width, size_t in_width,
                             bool accumulate)
{
    pass->backend->matmul(d_x, d_out, false, pass_param(pass, tensor), false, pass->rows, in_width,
                          out_width, accumulate);
    pass_weight_gradient(pass, tensor, d_out, x, out_width, in_width);
}

/* d_x += the norm's backward pass of workspace->d_norm. */
static void norm_backward(const struct pass *pass, size_t tensor, const float *x, const float *rstd)
{
    const struct workspace *workspace = pass->workspace;
    size_t width = pass->model->config.width;
    float *d_gain = gradient_lock(pass->gradient, tensor);
    pass->backend->rmsnorm_backward(workspace->d_part, d_gain, workspace->d_norm, x,
                                    pass_param(pass, tensor), rstd, pass->rows, width);
    gradient_unlock(pass->gradient, tensor);
    pass->backend->add(workspace->d_x, workspace->d_x, workspace->d_part, pass->rows * width);
}

static void ffn_backward(const struct pass *pass, size_t layer)
{
    const struct workspace *workspace = pass->workspace;
    float *const *kept = workspace->layer[layer];
    float *const *d = workspace->backward;
    struct sizes n = sizes_of(&pass->model->config, pass->rows);
    project_backward(pass, d[D_HIDDEN], workspace->d_x, kept[HIDDEN],
                     pass_layer_tensor(pass, layer, W_DOWN), n.width, n.ffn, false);
    pass->backend->swiglu_backward(d[D_GATE], d[D_UP], d[D_HIDDEN], kept[GATE], kept[UP],
                                   n.rows * n.ffn);
    project_backward(pass, workspace->d_norm, d[D_GATE], kept[NORM2],
                     pass_layer_tensor(pass, layer, W_GATE), n.ffn, n.width, false);
    project_backward(pass, workspace->d_norm, d[D_UP], kept[NORM2],
                     pass_layer_tensor(pass, layer, W_UP), n.ffn, n.width, true);
    norm_backward(pass, pass_layer_tensor(pass, layer, GAIN_FFN), kept[X_MID], kept[RSTD2]);
}

static void attention_backward(const struct pass *pass, size_t layer)
{
    const struct workspace *workspace = pass->workspace;
    float *const *kept = workspace->layer[layer];
    float *const *d = workspace->backward;
    struct sizes n = sizes_of(&pass->model->config, pass->rows);
    struct attention_shape shape = attention_shape_of(&pass->model->config, pass->rows);
    project_backward(pass, d[D_ATTENTION], workspace->d_x, kept[ATTENTION],
                     pass_layer_tensor(pass, layer, WO), n.width, n.q_width, false);
    pass->backend->attention_backward(d[D_Q], d[D_K], d[D_V], d[D_ATTENTION], kept[ATTENTION],
                                      kept[LOG_SUM], kept[Q], kept[K], kept[V], &shape,
                                      workspace->attention);
    rotate(pass, d[D_Q], d[D_K], -1);
    project_backward(pass, workspace->d_norm, d[D_Q], kept[NORM1],
                     pass_layer_tensor(pass, layer, WQ), n.q_width, n.width, false);
    project_backward(pass, workspace->d_norm, d[D_K], kept[NORM1],
                     pass_layer_tensor(pass, layer, WK), n.kv_width, n.width, true);
    project_backward(pass, workspace->d_norm, d[D_V], kept[NORM1],
                     pass_layer_tensor(pass, layer, WV), n.kv_width, n.width, true);
    norm_backward(pass, pass_layer_tensor(pass, layer, GAIN_ATTENTION), workspace->x[layer],
                  kept[RSTD1]);
}

static void llama_layer_backward(const struct pass *pass, size_t layer)
{
    ffn_backward(pass, layer);
    attention_backward(pass, layer);
}

const struct family family_llama = {
    .embedding = "model.embed_tokens.weight",
    .final_gain = "model.norm.weight",
    .layer_prefix = "model.layers.",
    .layer_tensors = {[WQ] = "self_attn.q_proj.weight",
                      [WK] = "self_attn.k_proj.weight",
                      [WV] = "self_attn.v_proj.weight",
                      [WO] = "self_attn.o_proj.weight",
                      [W_GATE] = "mlp.gate_proj.weight",
                      [W_UP] = "mlp.up_proj.weight",
                      [W_DOWN] = "mlp.down_proj.weight",
                      [GAIN_ATTENTION] = "input_layernorm.weight",
                      [GAIN_FFN] = "post_attention_layernorm.weight"},
    .sizes = llama_sizes,
    .layer_forward = llama_layer_forward,
    .layer_backward = llama_layer_backward,
};
