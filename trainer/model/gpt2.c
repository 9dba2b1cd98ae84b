/* gpt2 - the layers of GPT-2 (Radford et al., 2019): pre-normalised attention and a GELU
 * feed-forward, all with biases. Weights are Conv1D ones, stored (in, out). */
#include "trainer/model/model_parts.h"

enum tensor {
    GAIN1,
    BIAS1,
    W_QKV,
    B_QKV,
    W_ATTENTION,
    B_ATTENTION,
    GAIN2,
    BIAS2,
    W_FC,
    B_FC,
    W_PROJECT,
    B_PROJECT
};

/* Kept per layer, for T rows. */
enum kept {
    NORM1,     /* (T,C) input of the attention */
    MEAN1,     /* (T) */
    RSTD1,     /* (T) */
    QKV,       /* (T,3*C) */
    ATTENTION, /* (T,C) */
    LOG_SUM,   /* (H,T) */
    X_MID,     /* (T,C) residual stream between the two halves */
    NORM2,     /* (T,C) input of the feed-forward */
    MEAN2,     /* (T) */
    RSTD2,     /* (T) */
    FC,        /* (T,F) before the activation */
    HIDDEN     /* (T,F) gelu(fc) */
};

enum backward { D_QKV, D_ATTENTION, D_FC, D_HIDDEN };

static void gpt2_sizes(const struct model_config *config, size_t T, struct buffer_sizes *out)
{
    size_t width = config->width;
    size_t ffn = config->ffn_width;
    out->kept[NORM1] = out->kept[NORM2] = out->kept[X_MID] = out->kept[ATTENTION] = T * width;
    out->kept[MEAN1] = out->kept[RSTD1] = out->kept[MEAN2] = out->kept[RSTD2] = T;
    out->kept[QKV] = 3 * T * width;
    out->kept[LOG_SUM] = T * config->head_count;
    out->kept[FC] = out->kept[HIDDEN] = T * ffn;
    out->backward[D_QKV] = 3 * T * width;
    out->backward[D_ATTENTION] = T * width;
    out->backward[D_FC] = out->backward[D_HIDDEN] = T * ffn;
}

static struct attention_shape attention_shape_of(const struct model_config *config, size_t rows)
{
    return (struct attention_shape){.rows = rows,
                                    .head_count = config->head_count,
                                    .kv_head_count = config->head_count,
                                    .head_size = config->head_size,
                                    .q_stride = 3 * (size_t)config->width,
                                    .kv_stride = 3 * (size_t)config->width};
}

/* A weight (in_width, out_width) and its bias (out_width), by their place in the layer. */
struct conv {
    size_t layer;
    enum tensor weight;
    enum tensor bias;
    size_t in_width;
    size_t out_width;
};

static const float *layer_param(const struct pass *pass, size_t layer, enum tensor which)
{
    return pass_param(pass, pass_layer_tensor(pass, layer, which));
}

/* out(T, out_width) = x(T, in_width) W + b */
static void convolve(const struct pass *pass, float *out, const float *x, const struct conv *conv)
{
    pass->backend->matmul(out, x, false, layer_param(pass, conv->layer, conv->weight), false,
                          pass->rows, conv->out_width, conv->in_width, false);
    pass->backend->add_bias(out, layer_param(pass, conv->layer, conv->bias), pass->rows,
                            conv->out_width);
}

/* d_x(T, in_width) = d_out(T, out_width) W^T, and the gradients of W and b. */
static void convolve_backward(const struct pass *pass, float *d_x, const float *d_out,
                              const float *x, const struct conv *conv)
{
    size_t weight = pass_layer_tensor(pass, conv->layer, conv->weight);
    size_t bias = pass_layer_tensor(pass, conv->layer, conv->bias);
    pass->backend->matmul(d_x, d_out, false, pass_param(pass, weight), true, pass->rows,
                          conv->in_width, conv->out_width, false);
    pass_weight_gradient(pass, weight, x, d_out, conv->in_width, conv->out_width);
    float *d_bias = gradient_lock(pass->gradient, bias);
    pass->backend->bias_backward(d_bias, d_out, pass->rows, conv->out_width);
    gradient_unlock(pass->gradient, bias);
}

static struct conv qkv_conv(const struct pass *pass, size_t layer)
{
    size_t width = pass->model->config.width;
    return (struct conv){layer, W_QKV, B_QKV, width, 3 * width};
}

static struct conv attention_conv(const struct pass *pass, size_t layer)
{
    size_t width = pass->model->config.width;
    return (struct conv){layer, W_ATTENTION, B_ATTENTION, width, width};
}

static struct conv fc_conv(const struct pass *pass, size_t layer)
{
    const struct model_config *config = &pass->model->config;
    return (struct conv){layer, W_FC, B_FC, config->width, config->ffn_width};
}

static struct conv project_conv(const struct pass *pass, size_t layer)
{
    const struct model_config *config = &pass->model->config;
    return (struct conv){layer, W_PROJECT, B_PROJECT, config->ffn_width, config->width};
}

static void gpt2_layer_forward(const struct pass *pass, size_t layer)
{
    const struct model_config *config = &pass->model->config;
    const struct backend *backend = pass->backend;
    float *const *kept = pass->workspace->layer[layer];
    const float *x = pass->workspace->x[layer];
    float *x_out = pass->workspace->x[layer + 1];
    size_t rows = pass->rows;
    size_t width = config->width;
    struct attention_shape shape = attention_shape_of(config, rows);
    struct conv qkv = qkv_conv(pass, layer);
    struct conv attention = attention_conv(pass, layer);
    struct conv fc = fc_conv(pass, layer);
    struct conv project = project_conv(pass, layer);

    backend->layernorm(kept[NORM1], kept[MEAN1], kept[RSTD1], x, layer_param(pass, layer, GAIN1),
                       layer_param(pass, layer, BIAS1), rows, width, config->norm_eps);
    convolve(pass, kept[QKV], kept[NORM1], &qkv);
    backend->attention(kept[ATTENTION], kept[LOG_SUM], kept[QKV], kept[QKV] + width,
                       kept[QKV] + 2 * width, &shape, pass->workspace->attention);
    convolve(pass, kept[X_MID], kept[ATTENTION], &attention);
    backend->add(kept[X_MID], kept[X_MID], x, rows * width);

    backend->layernorm(kept[NORM2], kept[MEAN2], kept[RSTD2], kept[X_MID],
                       layer_param(pass, layer, GAIN2), layer_param(pass, layer, BIAS2), rows,
                       width, config->norm_eps);
    convolve(pass, kept[FC], kept[NORM2], &fc);
    backend->gelu(kept[HIDDEN], kept[FC], rows * config->ffn_width);
    convolve(pass, x_out, kept[HIDDEN], &project);
    backend->add(x_out, x_out, kept[X_MID], rows * width);
}

struct norm {
    size_t gain;
    size_t bias;
    const float *x;
    const float *mean;
    const float *rstd;
};

/* d_x += the norm's backward pass of workspace->d_norm. Both tensors are locked, gain first: no
 * thread takes them in another order. */
static void norm_backward(const struct pass *pass, const struct norm *norm)
{
    const struct workspace *workspace = pass->workspace;
    size_t width = pass->model->config.width;
    float *d_gain = gradient_lock(pass->gradient, norm->gain);
    float *d_bias = gradient_lock(pass->gradient, norm->bias);
    pass->backend->layernorm_backward(workspace->d_part, d_gain, d_bias, workspace->d_norm, norm->x,
                                      pass_param(pass, norm->gain), norm->mean, norm->rstd,
                                      pass->rows, width);
    gradient_unlock(pass->gradient, norm->bias);
    gradient_unlock(pass->gradient, norm->gain);
    pass->backend->add(workspace->d_x, workspace->d_x, workspace->d_part, pass->rows * width);
}

static void gpt2_layer_backward(const struct pass *pass, size_t layer)
{
    const struct model_config *config = &pass->model->config;
    const struct workspace *workspace = pass->workspace;
    float *const *kept = workspace->layer[layer];
    float *const *d = workspace->backward;
    size_t width = config->width;
    struct attention_shape shape = attention_shape_of(config, pass->rows);
    struct conv qkv = qkv_conv(pass, layer);
    struct conv attention = attention_conv(pass, layer);
    struct conv fc = fc_conv(pass, layer);
    struct conv project = project_conv(pass, layer);
    struct norm norm1 = {pass_layer_tensor(pass, layer, GAIN1),
                         pass_layer_tensor(pass, layer, BIAS1), workspace->x[layer], kept[MEAN1],
                         kept[RSTD1]};
    struct norm norm2 = {pass_layer_tensor(pass, layer, GAIN2),
                         pass_layer_tensor(pass, layer, BIAS2), kept[X_MID], kept[MEAN2],
                         kept[RSTD2]};

    convolve_backward(pass, d[D_HIDDEN], workspace->d_x, kept[HIDDEN], &project);
    pass->backend->gelu_backward(d[D_FC], d[D_HIDDEN], kept[FC], pass->rows * config->ffn_width);
    convolve_backward(pass, workspace->d_norm, d[D_FC], kept[NORM2], &fc);
    norm_backward(pass, &norm2);

    convolve_backward(pass, d[D_ATTENTION], workspace->d_x, kept[ATTENTION], &attention);
    pass->backend->attention_backward(d[D_QKV], d[D_QKV] + width, d[D_QKV] + 2 * width,
                                      d[D_ATTENTION], kept[ATTENTION], kept[LOG_SUM], kept[QKV],
                                      kept[QKV] + width, kept[QKV] + 2 * width, &shape,
                                      workspace->attention);
    convolve_backward(pass, workspace->d_norm, d[D_QKV], kept[NORM1], &qkv);
    norm_backward(pass, &norm1);
}

const struct family family_gpt2 = {
    .embedding = "transformer.wte.weight",
    .positions = "transformer.wpe.weight",
    .final_gain = "transformer.ln_f.weight",
    .final_bias = "transformer.ln_f.bias",
    .layer_prefix = "transformer.h.",
    .layer_tensors = {[GAIN1] = "ln_1.weight",
                      [BIAS1] = "ln_1.bias",
                      [W_QKV] = "attn.c_attn.weight",
                      [B_QKV] = "attn.c_attn.bias",
                      [W_ATTENTION] = "attn.c_proj.weight",
                      [B_ATTENTION] = "attn.c_proj.bias",
                      [GAIN2] = "ln_2.weight",
                      [BIAS2] = "ln_2.bias",
                      [W_FC] = "mlp.c_fc.weight",
                      [B_FC] = "mlp.c_fc.bias",
                      [W_PROJECT] = "mlp.c_proj.weight",
                      [B_PROJECT] = "mlp.c_proj.bias"},
    .sizes = gpt2_sizes,
    .layer_forward = gpt2_layer_forward,
    .layer_backward = gpt2_layer_backward,
};
