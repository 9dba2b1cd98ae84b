/* llama - the layers of Llama (Touvron et al., arXiv 2302.13971): pre-normalised attention with
 * rotary positions and grouped keys, and a SwiGLU feed-forward. Weights are stored (out, in). */
#include "trainer/model/model_parts.h"

enum tensor { WQ, WK, WV, WO, W_GATE, W_UP, W_DOWN, GAIN_ATTENTION, GAIN_FFN };

struct sizes {
    size_t width, q_width, kv_width, ffn;
};

static struct sizes sizes_of(const struct pass *pass)
{
    const struct model_config *config = &pass->model->config;
    return (struct sizes){.width = config->width,
                          .q_width = (size_t)config->head_count * config->head_size,
                          .kv_width = (size_t)config->kv_head_count * config->head_size,
                          .ffn = config->ffn_width};
}

/* A weight (out_width, in_width) of a layer. */
struct linear {
    size_t tensor;
    size_t out_width;
    size_t in_width;
};

static struct linear linear_at(const struct pass *pass, size_t layer, enum tensor which,
                               size_t out_width, size_t in_width)
{
    return (struct linear){pass_layer_tensor(pass, layer, which), out_width, in_width};
}

/* x(R, in_width) W^T */
static struct matmul projection(const struct pass *pass, const struct cells *x,
                                const struct linear *linear)
{
    return (struct matmul){.a = x,
                           .b = pass_weight(pass, linear->tensor),
                           .b_transposed = true,
                           .m = pass->rows,
                           .n = linear->out_width,
                           .k = linear->in_width};
}

static void project(const struct pass *pass, struct cells *out, const struct cells *x,
                    struct linear linear)
{
    struct matmul product = projection(pass, x, &linear);
    pass->backend->matmul(out, &product);
}

/* out(R, out_width) = residual + x W^T */
static void project_onto(const struct pass *pass, float *out, const float *residual,
                         const struct cells *x, struct linear linear)
{
    struct matmul product = projection(pass, x, &linear);
    pass->backend->start_residual(out, residual, NULL, pass->rows, linear.out_width);
    pass->backend->matmul_float(out, &product, true);
}

static void norm(const struct pass *pass, size_t layer, enum tensor which, const float *x,
                 float *rstd)
{
    const struct model_config *config = &pass->model->config;
    pass->backend->rmsnorm(pass->workspace->norm, rstd, x,
                           pass_param(pass, pass_layer_tensor(pass, layer, which)), pass->rows,
                           config->width, config->norm_eps);
}

static void rotate(const struct pass *pass, struct cells *q, struct cells *k, int direction)
{
    const struct model_config *config = &pass->model->config;
    struct sizes n = sizes_of(pass);
    for (size_t s = 0; s < pass->sequence_count; s++) {
        size_t row = s * pass->length;
        pass->backend->rope(cells_at(pass->backend, q, row * n.q_width), pass->length,
                            config->head_count, config->head_size, n.q_width, config->rope_theta,
                            pass->first, direction);
        pass->backend->rope(cells_at(pass->backend, k, row * n.kv_width), pass->length,
                            config->kv_head_count, config->head_size, n.kv_width,
                            config->rope_theta, pass->first, direction);
    }
}

static void llama_layer_forward(const struct pass *pass, size_t layer)
{
    const struct workspace *workspace = pass->workspace;
    const struct layer_memory *kept = &workspace->layers[layer];
    const float *x = workspace->x[layer];
    struct sizes n = sizes_of(pass);
    struct cells *k = pass_cached(pass, kept->k, n.kv_width);

    norm(pass, layer, GAIN_ATTENTION, x, kept->rstd1);
    project(pass, kept->q, workspace->norm, linear_at(pass, layer, WQ, n.q_width, n.width));
    project(pass, k, workspace->norm, linear_at(pass, layer, WK, n.kv_width, n.width));
    project(pass, pass_cached(pass, kept->v, n.kv_width), workspace->norm,
            linear_at(pass, layer, WV, n.kv_width, n.width));
    rotate(pass, kept->q, k, 1);
    pass_attention(pass, kept);
    project_onto(pass, kept->x_mid, x, kept->attention,
                 linear_at(pass, layer, WO, n.width, n.q_width));

    norm(pass, layer, GAIN_FFN, kept->x_mid, kept->rstd2);
    project(pass, kept->gate, workspace->norm, linear_at(pass, layer, W_GATE, n.ffn, n.width));
    project(pass, kept->up, workspace->norm, linear_at(pass, layer, W_UP, n.ffn, n.width));
    if (!pass->recomputing) {
        pass->backend->swiglu(workspace->hidden, kept->gate, kept->up, pass->rows * n.ffn);
        project_onto(pass, workspace->x[layer + 1], kept->x_mid, workspace->hidden,
                     linear_at(pass, layer, W_DOWN, n.width, n.ffn));
    }
}

/* d_out(R, out_width) W */
static struct matmul projection_backward(const struct pass *pass, const struct cells *d_out,
                                         const struct linear *linear)
{
    return (struct matmul){.a = d_out,
                           .b = pass_weight(pass, linear->tensor),
                           .m = pass->rows,
                           .n = linear->in_width,
                           .k = linear->out_width};
}

/* From the gradient of a projection of the norm's output: d_norm [+]= d_out W, and the gradient
 * of W. */
static void project_norm_backward(const struct pass *pass, const struct cells *d_out,
                                  struct linear linear, bool accumulate)
{
    struct matmul product = projection_backward(pass, d_out, &linear);
    pass->backend->matmul_float(pass->workspace->d_norm, &product, accumulate);
    pass_weight_gradient(pass, linear.tensor, d_out, pass->workspace->norm, linear.out_width,
                         linear.in_width);
}

/* d_x += the norm's backward pass of workspace->d_norm. */
static void norm_backward(const struct pass *pass, size_t layer, enum tensor which, const float *x,
                          const float *rstd)
{
    const struct workspace *workspace = pass->workspace;
    size_t tensor = pass_layer_tensor(pass, layer, which);
    float *d_gain = gradient_lock(pass->gradient, tensor);
    pass->backend->rmsnorm_backward(workspace->d_x, d_gain, workspace->d_norm, x,
                                    pass_param(pass, tensor), rstd, pass->rows,
                                    pass->model->config.width);
    gradient_unlock(pass->gradient, tensor);
}

static void ffn_backward(const struct pass *pass, size_t layer)
{
    const struct workspace *workspace = pass->workspace;
    const struct layer_memory *kept = &workspace->layers[layer];
    struct sizes n = sizes_of(pass);
    struct linear down = linear_at(pass, layer, W_DOWN, n.width, n.ffn);
    const struct cells *d_x = pass_d_x_cells(pass);
    struct matmul to_hidden = projection_backward(pass, d_x, &down);

    pass->backend->matmul(workspace->d_hidden, &to_hidden);
    pass->backend->swiglu_backward(workspace->hidden, kept->gate, kept->up, workspace->d_hidden,
                                   pass->rows * n.ffn);
    pass_weight_gradient(pass, down.tensor, d_x, workspace->hidden, n.width, n.ffn);
    norm(pass, layer, GAIN_FFN, kept->x_mid, kept->rstd2);
    project_norm_backward(pass, kept->gate, linear_at(pass, layer, W_GATE, n.ffn, n.width), false);
    project_norm_backward(pass, kept->up, linear_at(pass, layer, W_UP, n.ffn, n.width), true);
    norm_backward(pass, layer, GAIN_FFN, kept->x_mid, kept->rstd2);
}

static void attention_backward(const struct pass *pass, size_t layer)
{
    const struct workspace *workspace = pass->workspace;
    const struct layer_memory *kept = &workspace->layers[layer];
    struct sizes n = sizes_of(pass);
    struct linear out = linear_at(pass, layer, WO, n.width, n.q_width);
    const struct cells *d_x = pass_d_x_cells(pass);
    struct matmul to_attention = projection_backward(pass, d_x, &out);

    pass->backend->matmul(workspace->d_attention, &to_attention);
    pass_weight_gradient(pass, out.tensor, d_x, kept->attention, n.width, n.q_width);
    pass_attention_backward(pass, kept);
    rotate(pass, workspace->d_q, workspace->d_k, -1);
    norm(pass, layer, GAIN_ATTENTION, workspace->x[layer], kept->rstd1);
    project_norm_backward(pass, workspace->d_q, linear_at(pass, layer, WQ, n.q_width, n.width),
                          false);
    project_norm_backward(pass, workspace->d_k, linear_at(pass, layer, WK, n.kv_width, n.width),
                          true);
    project_norm_backward(pass, workspace->d_v, linear_at(pass, layer, WV, n.kv_width, n.width),
                          true);
    norm_backward(pass, layer, GAIN_ATTENTION, workspace->x[layer], kept->rstd1);
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
    .gated = true,
    .layer_forward = llama_layer_forward,
    .layer_backward = llama_layer_backward,
};
