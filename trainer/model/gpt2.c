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

/* A weight (in_width, out_width) and its bias (out_width), by their place in the layout. */
struct conv {
    size_t weight;
    size_t bias;
    size_t in_width;
    size_t out_width;
};

static struct conv conv_at(const struct pass *pass, size_t layer, enum tensor weight)
{
    const struct model_config *config = &pass->model->config;
    size_t width = config->width;
    struct conv conv = {.weight = pass_layer_tensor(pass, layer, weight),
                        .bias = pass_layer_tensor(pass, layer, (size_t)weight + 1),
                        .in_width = weight == W_PROJECT ? config->ffn_width : width,
                        .out_width = weight == W_FC ? config->ffn_width : width};
    conv.out_width = weight == W_QKV ? 3 * width : conv.out_width;
    return conv;
}

/* x(R, in_width) W */
static struct matmul convolution(const struct pass *pass, const struct cells *x,
                                 const struct conv *conv)
{
    return (struct matmul){.a = x,
                           .b = pass_weight(pass, conv->weight),
                           .m = pass->rows,
                           .n = conv->out_width,
                           .k = conv->in_width};
}

/* out(R, out_width) = residual + x W + b */
static void convolve_onto(const struct pass *pass, float *out, const float *residual,
                          const struct cells *x, const struct conv *conv)
{
    struct matmul product = convolution(pass, x, conv);
    pass->backend->start_residual(out, residual, pass_param(pass, conv->bias), pass->rows,
                                  conv->out_width);
    pass->backend->matmul_float(out, &product, true);
}

/* d_out(R, out_width) W^T */
static struct matmul convolution_backward(const struct pass *pass, const struct cells *d_out,
                                          const struct conv *conv)
{
    return (struct matmul){.a = d_out,
                           .b = pass_weight(pass, conv->weight),
                           .b_transposed = true,
                           .m = pass->rows,
                           .n = conv->in_width,
                           .k = conv->out_width};
}

struct norm {
    size_t gain;
    size_t bias;
    const float *x;
    float *mean;
    float *rstd;
};

static struct norm norm1_at(const struct pass *pass, size_t layer)
{
    const struct layer_memory *kept = &pass->workspace->layers[layer];
    return (struct norm){pass_layer_tensor(pass, layer, GAIN1),
                         pass_layer_tensor(pass, layer, BIAS1), pass->workspace->x[layer],
                         kept->mean1, kept->rstd1};
}

static struct norm norm2_at(const struct pass *pass, size_t layer)
{
    const struct layer_memory *kept = &pass->workspace->layers[layer];
    return (struct norm){pass_layer_tensor(pass, layer, GAIN2),
                         pass_layer_tensor(pass, layer, BIAS2), kept->x_mid, kept->mean2,
                         kept->rstd2};
}

/* To workspace->norm. */
static void normalise(const struct pass *pass, const struct norm *norm)
{
    const struct model_config *config = &pass->model->config;
    pass->backend->layernorm(pass->workspace->norm, norm->mean, norm->rstd, norm->x,
                             pass_param(pass, norm->gain), pass_param(pass, norm->bias), pass->rows,
                             config->width, config->norm_eps);
}

static void gpt2_layer_forward(const struct pass *pass, size_t layer)
{
    const struct backend *backend = pass->backend;
    const struct workspace *workspace = pass->workspace;
    const struct layer_memory *kept = &workspace->layers[layer];
    struct conv conv = conv_at(pass, layer, W_QKV);
    struct norm norm1 = norm1_at(pass, layer);
    struct norm norm2 = norm2_at(pass, layer);
    struct cells *qkv = pass_cached(pass, kept->q, conv.out_width);

    normalise(pass, &norm1);
    struct matmul product = convolution(pass, workspace->norm, &conv);
    backend->matmul(qkv, &product);
    backend->add_bias(qkv, pass_param(pass, conv.bias), pass->rows, conv.out_width);
    pass_attention(pass, kept);
    conv = conv_at(pass, layer, W_ATTENTION);
    convolve_onto(pass, kept->x_mid, workspace->x[layer], kept->attention, &conv);

    normalise(pass, &norm2);
    conv = conv_at(pass, layer, W_FC);
    product = convolution(pass, workspace->norm, &conv);
    backend->matmul(kept->gate, &product);
    backend->bias_gelu(workspace->hidden, kept->gate, pass_param(pass, conv.bias), pass->rows,
                       conv.out_width);
    if (!pass->recomputing) {
        conv = conv_at(pass, layer, W_PROJECT);
        convolve_onto(pass, workspace->x[layer + 1], kept->x_mid, workspace->hidden, &conv);
    }
}

/* d_x += the backward pass of a norm whose output's gradient is d_out W^T. Both tensors are
 * locked, gain first: no thread takes them in another order. */
static void norm_backward(const struct pass *pass, const struct norm *norm,
                          const struct cells *d_out, const struct conv *conv)
{
    const struct workspace *workspace = pass->workspace;
    struct matmul product = convolution_backward(pass, d_out, conv);
    pass->backend->matmul_float(workspace->d_norm, &product, false);
    float *d_gain = gradient_lock(pass->gradient, norm->gain);
    float *d_bias = gradient_lock(pass->gradient, norm->bias);
    pass->backend->layernorm_backward(workspace->d_x, d_gain, d_bias, workspace->d_norm, norm->x,
                                      pass_param(pass, norm->gain), norm->mean, norm->rstd,
                                      pass->rows, pass->model->config.width);
    gradient_unlock(pass->gradient, norm->bias);
    gradient_unlock(pass->gradient, norm->gain);
}

/* The gradients of a weight that met the norm's output, and of its bias. */
static void norm_conv_gradient(const struct pass *pass, const struct norm *norm,
                               const struct cells *d_out, const struct conv *conv)
{
    float *d_bias = gradient_lock(pass->gradient, conv->bias);
    pass->backend->bias_backward(d_bias, d_out, pass->rows, conv->out_width);
    gradient_unlock(pass->gradient, conv->bias);
    normalise(pass, norm);
    pass_weight_gradient(pass, conv->weight, pass->workspace->norm, d_out, conv->in_width,
                         conv->out_width);
}

/* The gradient of a bias that was added to the residual stream. */
static void residual_bias_gradient(const struct pass *pass, const struct conv *conv)
{
    float *d_bias = gradient_lock(pass->gradient, conv->bias);
    pass->backend->residual_bias_backward(d_bias, pass->workspace->d_x, pass->rows,
                                          conv->out_width);
    gradient_unlock(pass->gradient, conv->bias);
}

static void ffn_backward(const struct pass *pass, size_t layer)
{
    const struct workspace *workspace = pass->workspace;
    const struct layer_memory *kept = &workspace->layers[layer];
    struct conv fc = conv_at(pass, layer, W_FC);
    struct conv project = conv_at(pass, layer, W_PROJECT);
    struct norm norm2 = norm2_at(pass, layer);
    const struct cells *d_x = pass_d_x_cells(pass);
    struct matmul to_hidden = convolution_backward(pass, d_x, &project);

    residual_bias_gradient(pass, &project);
    pass->backend->matmul(workspace->d_hidden, &to_hidden);
    pass->backend->gelu_backward(workspace->hidden, kept->gate, workspace->d_hidden,
                                 pass->rows * fc.out_width);
    pass_weight_gradient(pass, project.weight, workspace->hidden, d_x, project.in_width,
                         project.out_width);
    norm_conv_gradient(pass, &norm2, kept->gate, &fc);
    norm_backward(pass, &norm2, kept->gate, &fc);
}

static void attention_backward(const struct pass *pass, size_t layer)
{
    const struct workspace *workspace = pass->workspace;
    const struct layer_memory *kept = &workspace->layers[layer];
    struct conv qkv = conv_at(pass, layer, W_QKV);
    struct conv attention = conv_at(pass, layer, W_ATTENTION);
    struct norm norm1 = norm1_at(pass, layer);
    const struct cells *d_x = pass_d_x_cells(pass);
    struct matmul to_attention = convolution_backward(pass, d_x, &attention);

    residual_bias_gradient(pass, &attention);
    pass->backend->matmul(workspace->d_attention, &to_attention);
    pass_weight_gradient(pass, attention.weight, kept->attention, d_x, attention.in_width,
                         attention.out_width);
    pass_attention_backward(pass, kept);
    norm_conv_gradient(pass, &norm1, workspace->d_q, &qkv);
    norm_backward(pass, &norm1, workspace->d_q, &qkv);
}

static void gpt2_layer_backward(const struct pass *pass, size_t layer)
{
    ffn_backward(pass, layer);
    attention_backward(pass, layer);
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
    .fused_qkv = true,
    .layer_forward = gpt2_layer_forward,
    .layer_backward = gpt2_layer_backward,
};
