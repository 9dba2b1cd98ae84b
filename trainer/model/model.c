#include "common/check.h"
#include "common/fault.h"
#include "trainer/model/model_parts.h"

#include <stdio.h>
#include <stdlib.h>

static size_t find_tensor(const struct model *self, const char *name)
{
    size_t index = layout_find(self->layout, name);
    CHECK(index < layout_tensor_count(self->layout));
    return index;
}

/* Looks up every tensor once, so that a pass compares no names. */
static void find_tensors(struct model *self)
{
    const struct family *family = self->family;
    self->embedding = find_tensor(self, family->embedding);
    self->final_gain = find_tensor(self, family->final_gain);
    if (family->positions != NULL) {
        self->positions = find_tensor(self, family->positions);
    }
    if (family->final_bias != NULL) {
        self->final_bias = find_tensor(self, family->final_bias);
    }
    self->head = self->config.tied_head ? self->embedding : find_tensor(self, "lm_head.weight");
    for (size_t i = 0; i < self->config.layer_count; i++) {
        for (size_t j = 0; j < LAYER_TENSORS_MAX && family->layer_tensors[j] != NULL; j++) {
            char name[LAYOUT_NAME_MAX];
            (void)snprintf(name, sizeof(name), "%s%zu.%s", family->layer_prefix, i,
                           family->layer_tensors[j]);
            self->layer_tensor[i * LAYER_TENSORS_MAX + j] = find_tensor(self, name);
        }
    }
}

enum status model_new(const struct model_config *config, const struct backend *backend,
                      struct model **out)
{
    *out = NULL;
    enum status status = model_config_check(config);
    if (status != STATUS_OK) {
        return status;
    }
    struct model *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for a model");
    }
    self->config = *config;
    self->backend = backend;
    self->family = config->kind == MODEL_LLAMA ? &family_llama : &family_gpt2;
    self->layer_tensor = calloc((size_t)config->layer_count * LAYER_TENSORS_MAX, sizeof(size_t));
    if (self->layer_tensor == NULL) {
        model_free(self);
        return fault(STATUS_NO_MEMORY, "no memory for a model");
    }
    status = layout_new(config, &self->layout);
    if (status != STATUS_OK) {
        model_free(self);
        return status;
    }
    find_tensors(self);
    *out = self;
    return STATUS_OK;
}

void model_free(struct model *self)
{
    if (self != NULL) {
        layout_free(self->layout);
        free(self->layer_tensor);
        free(self);
    }
}

const struct model_config *model_config_of(const struct model *self)
{
    return &self->config;
}

const struct layout *model_layout(const struct model *self)
{
    return self->layout;
}

const struct backend *model_backend(const struct model *self)
{
    return self->backend;
}

const float *pass_param(const struct pass *pass, size_t tensor)
{
    return pass->params + layout_tensor(pass->model->layout, tensor)->offset;
}

size_t pass_layer_tensor(const struct pass *pass, size_t layer, size_t which)
{
    return pass->model->layer_tensor[layer * LAYER_TENSORS_MAX + which];
}

static struct pass begin_pass(const struct model *self, const struct workspace *workspace,
                              const float *params, const uint16_t *tokens, size_t T)
{
    CHECK(T > 0 && T <= workspace->context);
    return (struct pass){.model = self,
                         .backend = self->backend,
                         .workspace = workspace,
                         .params = params,
                         .tokens = tokens,
                         .rows = T};
}

static void check_tokens(const struct model *self, const uint16_t *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(tokens[i] < self->config.vocab_size);
    }
}

/* Tokens to the output of the final norm. */
static void forward(const struct pass *pass)
{
    const struct model *model = pass->model;
    const struct model_config *config = &model->config;
    const struct workspace *workspace = pass->workspace;
    const float *positions =
        model->family->positions != NULL ? pass_param(pass, model->positions) : NULL;
    pass->backend->embed(workspace->x[0], pass_param(pass, model->embedding), positions,
                         pass->tokens, pass->rows, config->width);
    for (size_t i = 0; i < config->layer_count; i++) {
        model->family->layer_forward(pass, i);
    }
    const float *x = workspace->x[config->layer_count];
    const float *gain = pass_param(pass, model->final_gain);
    if (model->family->final_bias != NULL) {
        pass->backend->layernorm(
            workspace->final_norm, workspace->final_mean, workspace->final_rstd, x, gain,
            pass_param(pass, model->final_bias), pass->rows, config->width, config->norm_eps);
    } else {
        pass->backend->rmsnorm(workspace->final_norm, workspace->final_rstd, x, gain, pass->rows,
                               config->width, config->norm_eps);
    }
}

static void final_norm_backward(const struct pass *pass)
{
    const struct model *model = pass->model;
    const struct workspace *workspace = pass->workspace;
    const float *x = workspace->x[model->config.layer_count];
    const float *gain = pass_param(pass, model->final_gain);
    size_t width = model->config.width;
    float *d_gain = gradient_lock(pass->gradient, model->final_gain);
    if (model->family->final_bias != NULL) {
        float *d_bias = gradient_lock(pass->gradient, model->final_bias);
        pass->backend->layernorm_backward(workspace->d_x, d_gain, d_bias, workspace->d_norm, x,
                                          gain, workspace->final_mean, workspace->final_rstd,
                                          pass->rows, width);
        gradient_unlock(pass->gradient, model->final_bias);
    } else {
        pass->backend->rmsnorm_backward(workspace->d_x, d_gain, workspace->d_norm, x, gain,
                                        workspace->final_rstd, pass->rows, width);
    }
    gradient_unlock(pass->gradient, model->final_gain);
}

static void embedding_backward(const struct pass *pass)
{
    const struct model *model = pass->model;
    bool has_positions = model->family->positions != NULL;
    float *d_table = gradient_lock(pass->gradient, model->embedding);
    float *d_positions = has_positions ? gradient_lock(pass->gradient, model->positions) : NULL;
    pass->backend->embed_backward(d_table, d_positions, pass->workspace->d_x, pass->tokens,
                                  pass->rows, model->config.width);
    if (has_positions) {
        gradient_unlock(pass->gradient, model->positions);
    }
    gradient_unlock(pass->gradient, model->embedding);
}

void model_gradient(const struct model *self, struct workspace *workspace, const float *params,
                    const uint16_t *tokens, size_t T, struct gradient *gradient, double *loss_sum)
{
    struct pass pass = begin_pass(self, workspace, params, tokens, T);
    check_tokens(self, tokens, T + 1);
    pass.gradient = gradient;
    forward(&pass);
    head_loss(&pass, loss_sum);
    final_norm_backward(&pass);
    for (size_t i = self->config.layer_count; i-- > 0;) {
        self->family->layer_backward(&pass, i);
    }
    embedding_backward(&pass);
}

void model_loss(const struct model *self, struct workspace *workspace, const float *params,
                const uint16_t *tokens, size_t T, double *loss_sum)
{
    struct pass pass = begin_pass(self, workspace, params, tokens, T);
    check_tokens(self, tokens, T + 1);
    forward(&pass);
    head_loss(&pass, loss_sum);
}

void model_logits(const struct model *self, struct workspace *workspace, const float *params,
                  const uint16_t *tokens, size_t T, float *logits)
{
    struct pass pass = begin_pass(self, workspace, params, tokens, T);
    size_t vocab = self->config.vocab_size;
    check_tokens(self, tokens, T);
    forward(&pass);
    for (size_t first = 0; first < T; first += workspace->head_rows) {
        size_t count = T - first < workspace->head_rows ? T - first : workspace->head_rows;
        head_logits(&pass, first, count);
        self->backend->download(logits + first * vocab, workspace->logits, count * vocab);
    }
}

void model_next_logits(const struct model *self, struct workspace *workspace, const float *params,
                       const uint16_t *tokens, size_t T, float *logits)
{
    struct pass pass = begin_pass(self, workspace, params, tokens, T);
    check_tokens(self, tokens, T);
    forward(&pass);
    head_logits(&pass, T - 1, 1);
    self->backend->download(logits, workspace->logits, self->config.vocab_size);
}
