#include "trainer/layout/model_config.h"

#include "common/fault.h"
#include "trainer/layout/model_config_keys.h"

#include <math.h>
#include <string.h>

enum { FFN_WIDTH_MAX = 4 * MODEL_WIDTH_MAX };

#define FIELD(member) offsetof(struct model_config, member)

const struct size_key SIZE_KEYS[SIZE_KEY_COUNT] = {
    {"vocab_size", "vocab_size", FIELD(vocab_size), MODEL_VOCAB_MAX, false, false},
    {"hidden_size", "n_embd", FIELD(width), MODEL_WIDTH_MAX, false, false},
    {"num_hidden_layers", "n_layer", FIELD(layer_count), MODEL_LAYERS_MAX, false, false},
    {"num_attention_heads", "n_head", FIELD(head_count), MODEL_HEADS_MAX, false, false},
    {"num_key_value_heads", NULL, FIELD(kv_head_count), MODEL_HEADS_MAX, true, true},
    {"head_dim", NULL, FIELD(head_size), MODEL_WIDTH_MAX, true, true},
    {"intermediate_size", "n_inner", FIELD(ffn_width), FFN_WIDTH_MAX, false, true},
    {"max_position_embeddings", "n_positions", FIELD(context_max), MODEL_CONTEXT_MAX, false, false},
};

const char *size_key_name(const struct size_key *key, enum model_kind kind)
{
    return kind == MODEL_LLAMA ? key->llama : key->gpt2;
}

static enum status check_sizes(const struct model_config *self)
{
    for (size_t i = 0; i < SIZE_KEY_COUNT; i++) {
        const struct size_key *key = &SIZE_KEYS[i];
        uint32_t value;
        memcpy(&value, (const char *)self + key->offset, sizeof(value));
        if (value == 0 || value > key->max) {
            const char *name = size_key_name(key, self->kind);
            return fault(STATUS_OUT_OF_RANGE, "%s is %u, but it must be from 1 to %u",
                         name != NULL ? name : key->llama, value, key->max);
        }
    }
    return STATUS_OK;
}

static enum status check_llama(const struct model_config *self)
{
    if (self->head_count % self->kv_head_count != 0) {
        return fault(STATUS_OUT_OF_RANGE,
                     "num_key_value_heads (%u) must divide num_attention_heads (%u)",
                     self->kv_head_count, self->head_count);
    }
    if (self->head_size % 2 != 0) {
        return fault(STATUS_OUT_OF_RANGE,
                     "head_dim is %u, but rotary position embedding needs an even number",
                     self->head_size);
    }
    if ((uint64_t)self->head_count * self->head_size > FFN_WIDTH_MAX) {
        return fault(STATUS_OUT_OF_RANGE,
                     "num_attention_heads times head_dim is %llu, but at most %d is supported",
                     (unsigned long long)self->head_count * self->head_size, (int)FFN_WIDTH_MAX);
    }
    if (!(self->rope_theta >= 1.0F) || !isfinite(self->rope_theta)) {
        return fault(STATUS_OUT_OF_RANGE, "rope_theta is %g, but it must be 1 or more",
                     (double)self->rope_theta);
    }
    return STATUS_OK;
}

static enum status check_gpt2(const struct model_config *self)
{
    if (self->width % self->head_count != 0) {
        return fault(STATUS_OUT_OF_RANGE, "n_head (%u) must divide n_embd (%u)", self->head_count,
                     self->width);
    }
    if (self->kv_head_count != self->head_count ||
        self->head_size != self->width / self->head_count) {
        return fault(STATUS_OUT_OF_RANGE, "gpt2 has n_head key/value heads of n_embd / n_head");
    }
    return STATUS_OK;
}

static enum status check_token_id(const char *key, int32_t id, uint32_t vocab_size)
{
    if (id < -1 || (id >= 0 && (uint32_t)id >= vocab_size)) {
        return fault(STATUS_OUT_OF_RANGE, "%s is %d, but vocab_size is %u", key, id, vocab_size);
    }
    return STATUS_OK;
}

enum status model_config_check(const struct model_config *self)
{
    if (self->kind != MODEL_LLAMA && self->kind != MODEL_GPT2) {
        return fault(STATUS_OUT_OF_RANGE, "model_type must be llama or gpt2");
    }
    enum status status = check_sizes(self);
    if (status == STATUS_OK) {
        status = self->kind == MODEL_LLAMA ? check_llama(self) : check_gpt2(self);
    }
    if (status == STATUS_OK && !(self->norm_eps > 0.0F && self->norm_eps < 1.0F)) {
        status = fault(STATUS_OUT_OF_RANGE, "%s is %g, but it must be between 0 and 1",
                       self->kind == MODEL_LLAMA ? "rms_norm_eps" : "layer_norm_epsilon",
                       (double)self->norm_eps);
    }
    if (status == STATUS_OK && !(self->init_std >= 0.0F && self->init_std <= 10.0F)) {
        status = fault(STATUS_OUT_OF_RANGE, "initializer_range is %g, but it must be from 0 to 10",
                       (double)self->init_std);
    }
    if (status == STATUS_OK) {
        status = check_token_id("bos_token_id", self->bos_id, self->vocab_size);
    }
    if (status == STATUS_OK) {
        status = check_token_id("eos_token_id", self->eos_id, self->vocab_size);
    }
    return status;
}
