#include "common/check.h"
#include "common/fault.h"
#include "trainer/model/model_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum status recompute_find(const char *name, enum recompute *out)
{
    *out = strcmp(name, "blocks") == 0 ? RECOMPUTE_BLOCKS : RECOMPUTE_NONE;
    if (*out == RECOMPUTE_NONE && strcmp(name, "none") != 0) {
        return fault(STATUS_USAGE, "recompute is '%s', but it must be none or blocks", name);
    }
    return STATUS_OK;
}

static struct pass begin_pass(const struct model *self, const struct workspace *workspace,
                              const struct weights *weights, const struct sequences *sequences)
{
    CHECK(sequences->length > 0 && sequences->length <= workspace->plan.context);
    CHECK(sequences->count > 0 && sequences->count <= workspace->plan.sequence_count);
    return (struct pass){.model = self,
                         .backend = self->backend,
                         .workspace = workspace,
                         .weights = weights,
                         .sequence_count = sequences->count,
                         .length = sequences->length,
                         .rows = sequences->count * sequences->length};
}

static void take_targets(const struct pass *pass, const struct sequences *sequences)
{
    for (size_t s = 0; s < sequences->count; s++) {
        const uint16_t *tokens = sequences->tokens[s];
        for (size_t i = 0; i <= sequences->length; i++) {
            CHECK(tokens[i] < pass->model->config.vocab_size);
        }
        memcpy(pass->workspace->targets + s * sequences->length, tokens + 1,
               sequences->length * sizeof(*tokens));
    }
}

static void final_norm_backward(const struct pass *pass)
{
    const struct model *model = pass->model;
    const struct workspace *workspace = pass->workspace;
    const float *x = workspace->x[model->config.layer_count];
    const float *gain = pass_param(pass, model->final_gain);
    size_t width = model->config.width;
    pass->backend->fill_zero(workspace->d_x, pass->rows * width);
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

static void embedding_backward(const struct pass *pass, const struct sequences *sequences)
{
    const struct model *model = pass->model;
    size_t width = model->config.width;
    bool has_positions = model->family->positions != NULL;
    float *d_table = gradient_lock(pass->gradient, model->embedding);
    float *d_positions = has_positions ? gradient_lock(pass->gradient, model->positions) : NULL;
    for (size_t s = 0; s < sequences->count; s++) {
        pass->backend->embed_backward(d_table, d_positions,
                                      pass->workspace->d_x + s * sequences->length * width,
                                      sequences->tokens[s], sequences->length, width);
    }
    if (has_positions) {
        gradient_unlock(pass->gradient, model->positions);
    }
    gradient_unlock(pass->gradient, model->embedding);
}

static void layer_backward(const struct pass *pass, size_t layer)
{
    if (pass->workspace->plan.recompute == RECOMPUTE_BLOCKS) {
        struct pass again = *pass;
        again.recomputing = true;
        pass->model->family->layer_forward(&again, layer);
    }
    pass->model->family->layer_backward(pass, layer);
}

void model_gradient(const struct model *self, struct workspace *workspace,
                    const struct weights *weights, const struct sequences *sequences,
                    struct gradient *gradient, double *loss_sums)
{
    struct pass pass = begin_pass(self, workspace, weights, sequences);
    CHECK(workspace->plan.purpose == WORKSPACE_GRADIENT);
    take_targets(&pass, sequences);
    pass.gradient = gradient;
    pass_forward(&pass, sequences->tokens);
    head_loss(&pass, loss_sums);
    final_norm_backward(&pass);
    for (size_t i = self->config.layer_count; i-- > 0;) {
        layer_backward(&pass, i);
    }
    embedding_backward(&pass, sequences);
}

void model_loss(const struct model *self, struct workspace *workspace,
                const struct weights *weights, const struct sequences *sequences, double *loss_sums)
{
    struct pass pass = begin_pass(self, workspace, weights, sequences);
    take_targets(&pass, sequences);
    pass_forward(&pass, sequences->tokens);
    head_loss(&pass, loss_sums);
}

void model_logits(const struct model *self, struct workspace *workspace,
                  const struct weights *weights, const uint16_t *tokens, size_t T, float *logits)
{
    struct sequences sequences = {.tokens = &tokens, .count = 1, .length = T};
    struct pass pass = begin_pass(self, workspace, weights, &sequences);
    size_t vocab = self->config.vocab_size;
    for (size_t i = 0; i < T; i++) {
        CHECK(tokens[i] < vocab);
    }
    pass_forward(&pass, &tokens);
    for (size_t first = 0; first < T; first += workspace->head_rows) {
        size_t count = T - first < workspace->head_rows ? T - first : workspace->head_rows;
        head_logits(&pass, first, count);
        self->backend->download(logits + first * vocab, workspace->logits, count * vocab);
    }
}
