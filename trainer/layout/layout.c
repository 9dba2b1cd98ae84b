#include "trainer/layout/layout.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LLAMA_LAYER_TENSORS = 9, GPT2_LAYER_TENSORS = 12, OUTER_TENSORS_MAX = 5 };

struct layout {
    struct tensor_spec *tensors;
    size_t tensor_count;
    size_t tensor_max;
    uint64_t value_count;
    uint64_t parameter_count;
};

/* Appends a tensor called `prefix` + `name`; columns 0 makes it a vector. The sizes are checked
 * ones, so no sum overflows: each tensor has at most 2^36 values and there are a few thousand. */
static void append(struct layout *self, const char *prefix, const char *name, uint64_t rows,
                   uint64_t columns)
{
    CHECK(self->tensor_count < self->tensor_max);
    struct tensor_spec *tensor = &self->tensors[self->tensor_count++];
    int length = snprintf(tensor->name, sizeof(tensor->name), "%s%s", prefix, name);
    CHECK(length > 0 && (size_t)length < sizeof(tensor->name));
    tensor->rank = columns == 0 ? 1 : 2;
    tensor->shape[0] = rows;
    tensor->shape[1] = columns;
    tensor->offset = (size_t)self->value_count;
    tensor->count = (size_t)(columns == 0 ? rows : rows * columns);
    tensor->decayed = columns != 0;
    self->parameter_count += tensor->count;
    self->value_count += (tensor->count + LAYOUT_ALIGN - 1) / LAYOUT_ALIGN * LAYOUT_ALIGN;
}

static void append_llama(struct layout *self, const struct model_config *config)
{
    uint64_t width = config->width;
    uint64_t ffn = config->ffn_width;
    uint64_t q_width = (uint64_t)config->head_count * config->head_size;
    uint64_t kv_width = (uint64_t)config->kv_head_count * config->head_size;
    append(self, "model.", "embed_tokens.weight", config->vocab_size, width);
    for (uint32_t i = 0; i < config->layer_count; i++) {
        char prefix[32];
        (void)snprintf(prefix, sizeof(prefix), "model.layers.%u.", i);
        append(self, prefix, "self_attn.q_proj.weight", q_width, width);
        append(self, prefix, "self_attn.k_proj.weight", kv_width, width);
        append(self, prefix, "self_attn.v_proj.weight", kv_width, width);
        append(self, prefix, "self_attn.o_proj.weight", width, q_width);
        append(self, prefix, "mlp.gate_proj.weight", ffn, width);
        append(self, prefix, "mlp.up_proj.weight", ffn, width);
        append(self, prefix, "mlp.down_proj.weight", width, ffn);
        append(self, prefix, "input_layernorm.weight", width, 0);
        append(self, prefix, "post_attention_layernorm.weight", width, 0);
    }
    append(self, "model.", "norm.weight", width, 0);
    if (!config->tied_head) {
        append(self, "", "lm_head.weight", config->vocab_size, width);
    }
}

static void append_gpt2(struct layout *self, const struct model_config *config)
{
    uint64_t width = config->width;
    uint64_t ffn = config->ffn_width;
    append(self, "transformer.", "wte.weight", config->vocab_size, width);
    append(self, "transformer.", "wpe.weight", config->context_max, width);
    for (uint32_t i = 0; i < config->layer_count; i++) {
        char prefix[32];
        (void)snprintf(prefix, sizeof(prefix), "transformer.h.%u.", i);
        append(self, prefix, "ln_1.weight", width, 0);
        append(self, prefix, "ln_1.bias", width, 0);
        append(self, prefix, "attn.c_attn.weight", width, 3 * width);
        append(self, prefix, "attn.c_attn.bias", 3 * width, 0);
        append(self, prefix, "attn.c_proj.weight", width, width);
        append(self, prefix, "attn.c_proj.bias", width, 0);
        append(self, prefix, "ln_2.weight", width, 0);
        append(self, prefix, "ln_2.bias", width, 0);
        append(self, prefix, "mlp.c_fc.weight", width, ffn);
        append(self, prefix, "mlp.c_fc.bias", ffn, 0);
        append(self, prefix, "mlp.c_proj.weight", ffn, width);
        append(self, prefix, "mlp.c_proj.bias", width, 0);
    }
    append(self, "transformer.", "ln_f.weight", width, 0);
    append(self, "transformer.", "ln_f.bias", width, 0);
    if (!config->tied_head) {
        append(self, "", "lm_head.weight", config->vocab_size, width);
    }
}

enum status layout_new(const struct model_config *config, struct layout **out)
{
    size_t per_layer = config->kind == MODEL_LLAMA ? LLAMA_LAYER_TENSORS : GPT2_LAYER_TENSORS;
    *out = NULL;
    struct layout *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        goto no_memory;
    }
    self->tensor_max = config->layer_count * per_layer + OUTER_TENSORS_MAX;
    self->tensors = calloc(self->tensor_max, sizeof(*self->tensors));
    if (self->tensors == NULL) {
        goto no_memory;
    }
    if (config->kind == MODEL_LLAMA) {
        append_llama(self, config);
    } else {
        append_gpt2(self, config);
    }
    if (self->value_count > (uint64_t)1 << LAYOUT_VALUES_MAX_LOG2) {
        uint64_t count = self->parameter_count;
        layout_free(self);
        return fault(STATUS_OUT_OF_RANGE,
                     "the model has %llu parameters, but at most 2^%d are supported",
                     (unsigned long long)count, (int)LAYOUT_VALUES_MAX_LOG2);
    }
    *out = self;
    return STATUS_OK;
no_memory:
    layout_free(self);
    return fault(STATUS_NO_MEMORY, "no memory for the model's layout");
}

void layout_free(struct layout *self)
{
    if (self != NULL) {
        free(self->tensors);
        free(self);
    }
}

size_t layout_tensor_count(const struct layout *self)
{
    return self->tensor_count;
}

const struct tensor_spec *layout_tensor(const struct layout *self, size_t index)
{
    CHECK(index < self->tensor_count);
    return &self->tensors[index];
}

size_t layout_find(const struct layout *self, const char *name)
{
    size_t i = 0;
    while (i < self->tensor_count && strcmp(self->tensors[i].name, name) != 0) {
        i++;
    }
    return i;
}

size_t layout_value_count(const struct layout *self)
{
    return (size_t)self->value_count;
}

size_t layout_parameter_count(const struct layout *self)
{
    return (size_t)self->parameter_count;
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_length = strlen(text);
    size_t end_length = strlen(end);
    return text_length >= end_length && strcmp(text + text_length - end_length, end) == 0;
}

static bool writes_to_residual(const char *name)
{
    return ends_with(name, ".o_proj.weight") || ends_with(name, ".down_proj.weight") ||
           ends_with(name, ".c_proj.weight");
}

void layout_init_params(const struct layout *self, const struct model_config *config, uint64_t seed,
                        float *params)
{
    memset(params, 0, layout_value_count(self) * sizeof(*params));
    for (size_t i = 0; i < self->tensor_count; i++) {
        const struct tensor_spec *tensor = &self->tensors[i];
        float *values = params + tensor->offset;
        if (tensor->rank == 1) {
            float start = ends_with(tensor->name, ".weight") ? 1.0F : 0.0F;
            for (size_t j = 0; j < tensor->count; j++) {
                values[j] = start;
            }
            continue;
        }
        double std = (double)config->init_std;
        if (writes_to_residual(tensor->name)) {
            std /= sqrt(2.0 * config->layer_count);
        }
        /* A stream per tensor: its start does not depend on the sizes of the others. */
        struct random random;
        random_init(&random, seed, i);
        for (size_t j = 0; j < tensor->count; j++) {
            values[j] = (float)(std * random_normal(&random));
        }
    }
}
