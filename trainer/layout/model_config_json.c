/* The config.json form of a model_config. */
#include "common/fault.h"
#include "trainer/layout/model_config.h"
#include "trainer/layout/model_config_keys.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A flag that our arithmetic fixes: another value is another model. */
struct fixed_flag {
    const char *key;
    bool expected; /* also what a missing key means */
};

static const struct fixed_flag LLAMA_FLAGS[] = {{"attention_bias", false}, {"mlp_bias", false}};
static const struct fixed_flag GPT2_FLAGS[] = {{"scale_attn_weights", true},
                                               {"scale_attn_by_inverse_layer_idx", false},
                                               {"add_cross_attention", false}};

static enum status read_flag(const json_t *root, const char *key, bool missing, bool *out)
{
    const json_t *value = json_object_get(root, key);
    if (value != NULL && !json_is_null(value) && !json_is_boolean(value)) {
        return fault(STATUS_BAD_DATA, "config.json: %s must be true or false", key);
    }
    *out = value == NULL || json_is_null(value) ? missing : json_is_true(value);
    return STATUS_OK;
}

static enum status check_flags(const json_t *root, const struct fixed_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool value = false;
        enum status status = read_flag(root, flags[i].key, flags[i].expected, &value);
        if (status != STATUS_OK) {
            return status;
        }
        if (value != flags[i].expected) {
            return fault(STATUS_BAD_CONFIG, "config.json: %s is %s, which is not supported",
                         flags[i].key, value ? "true" : "false");
        }
    }
    return STATUS_OK;
}

/* Absent and null leave *out as it is. */
static enum status read_number(const json_t *root, const char *key, float *out)
{
    const json_t *value = json_object_get(root, key);
    if (value == NULL || json_is_null(value)) {
        return STATUS_OK;
    }
    if (!json_is_number(value)) {
        return fault(STATUS_BAD_DATA, "config.json: %s must be a number", key);
    }
    *out = (float)json_number_value(value);
    return STATUS_OK;
}

/* An id, a list of ids (the first counts) or null. An id that the vocabulary does not have, as
 * cut-down gpt2 folders carry, is none. Run after the sizes. */
static enum status read_token_id(const json_t *root, const char *key, uint32_t vocab_size,
                                 int32_t *out)
{
    const json_t *value = json_object_get(root, key);
    if (json_is_array(value)) {
        value = json_array_get(value, 0);
    }
    *out = -1;
    if (value == NULL || json_is_null(value)) {
        return STATUS_OK;
    }
    if (!json_is_integer(value)) {
        return fault(STATUS_BAD_DATA, "config.json: %s must be a token id", key);
    }
    json_int_t id = json_integer_value(value);
    if (id >= 0 && id < (json_int_t)vocab_size) {
        *out = (int32_t)id;
    }
    return STATUS_OK;
}

static enum status read_sizes(const json_t *root, struct model_config *out)
{
    for (size_t i = 0; i < SIZE_KEY_COUNT; i++) {
        const char *name = size_key_name(&SIZE_KEYS[i], out->kind);
        bool optional =
            out->kind == MODEL_LLAMA ? SIZE_KEYS[i].llama_optional : SIZE_KEYS[i].gpt2_optional;
        const json_t *value = name != NULL ? json_object_get(root, name) : NULL;
        if (optional && (value == NULL || json_is_null(value))) {
            continue;
        }
        if (!json_is_integer(value)) {
            return fault(STATUS_BAD_DATA, "config.json: %s is missing or not a whole number", name);
        }
        json_int_t number = json_integer_value(value);
        if (number < 1 || number > (json_int_t)SIZE_KEYS[i].max) {
            return fault(STATUS_OUT_OF_RANGE,
                         "config.json: %s is %lld, but it must be from 1 to %u", name,
                         (long long)number, SIZE_KEYS[i].max);
        }
        uint32_t size = (uint32_t)number;
        memcpy((char *)out + SIZE_KEYS[i].offset, &size, sizeof(size));
    }
    return STATUS_OK;
}

/* One activation name must be what we compute; a missing key means the kind's usual one. */
static enum status check_activation(const json_t *root, const char *key, const char *name,
                                    const char *other_name)
{
    const json_t *value = json_object_get(root, key);
    const char *text = json_string_value(value);
    if (value == NULL ||
        (text != NULL && (strcmp(text, name) == 0 || strcmp(text, other_name) == 0))) {
        return STATUS_OK;
    }
    return fault(STATUS_BAD_CONFIG, "config.json: only %s %s is supported", key, name);
}

/* rope_parameters (transformers 5) and rope_scaling (before): only the plain rotation. */
static enum status read_rope(const json_t *root, struct model_config *out)
{
    static const char *const OBJECTS[] = {"rope_parameters", "rope_scaling"};
    out->rope_theta = 10000.0F;
    enum status status = read_number(root, "rope_theta", &out->rope_theta);
    for (size_t i = 0; status == STATUS_OK && i < 2; i++) {
        const json_t *rope = json_object_get(root, OBJECTS[i]);
        if (rope == NULL || json_is_null(rope)) {
            continue;
        }
        if (!json_is_object(rope)) {
            return fault(STATUS_BAD_DATA, "config.json: %s must be an object", OBJECTS[i]);
        }
        const json_t *type = json_object_get(rope, "rope_type");
        if (type == NULL) {
            type = json_object_get(rope, "type");
        }
        const char *type_text = type == NULL ? "default" : json_string_value(type);
        float part = 1.0F;
        status = read_number(rope, "partial_rotary_factor", &part);
        if (status == STATUS_OK &&
            (type_text == NULL || strcmp(type_text, "default") != 0 || part < 1.0F)) {
            return fault(STATUS_BAD_CONFIG,
                         "config.json: only %s of type default over whole heads is supported",
                         OBJECTS[i]);
        }
        if (status == STATUS_OK) {
            status = read_number(rope, "rope_theta", &out->rope_theta);
        }
    }
    return status;
}

static enum status read_llama(const json_t *root, struct model_config *out)
{
    if (out->kv_head_count == 0) {
        out->kv_head_count = out->head_count;
    }
    if (out->head_size == 0) {
        if (out->width % out->head_count != 0) {
            return fault(STATUS_OUT_OF_RANGE,
                         "config.json: num_attention_heads (%u) must divide hidden_size (%u)",
                         out->head_count, out->width);
        }
        out->head_size = out->width / out->head_count;
    }
    out->norm_eps = 1e-6F;
    enum status status = read_number(root, "rms_norm_eps", &out->norm_eps);
    if (status == STATUS_OK) {
        status = read_rope(root, out);
    }
    if (status == STATUS_OK) {
        status = check_activation(root, "hidden_act", "silu", "swish");
    }
    if (status == STATUS_OK) {
        status = check_flags(root, LLAMA_FLAGS, sizeof(LLAMA_FLAGS) / sizeof(LLAMA_FLAGS[0]));
    }
    return status;
}

static enum status read_gpt2(const json_t *root, struct model_config *out)
{
    out->kv_head_count = out->head_count;
    out->head_size = out->width / out->head_count;
    if (out->ffn_width == 0) {
        out->ffn_width = 4 * out->width;
    }
    out->norm_eps = 1e-5F;
    enum status status = read_number(root, "layer_norm_epsilon", &out->norm_eps);
    if (status == STATUS_OK) {
        status = check_activation(root, "activation_function", "gelu_new", "gelu_pytorch_tanh");
    }
    if (status == STATUS_OK) {
        status = check_flags(root, GPT2_FLAGS, sizeof(GPT2_FLAGS) / sizeof(GPT2_FLAGS[0]));
    }
    return status;
}

static enum status read_kind(const json_t *root, enum model_kind *out)
{
    const char *type = json_string_value(json_object_get(root, "model_type"));
    if (type != NULL && strcmp(type, "llama") == 0) {
        *out = MODEL_LLAMA;
    } else if (type != NULL && strcmp(type, "gpt2") == 0) {
        *out = MODEL_GPT2;
    } else {
        return fault(STATUS_BAD_CONFIG, "config.json: only model_type llama and gpt2 is supported");
    }
    return STATUS_OK;
}

static enum status read_config(const json_t *root, struct model_config *out)
{
    enum status status = read_kind(root, &out->kind);
    if (status == STATUS_OK) {
        status = read_sizes(root, out);
    }
    if (status == STATUS_OK) {
        status = out->kind == MODEL_LLAMA ? read_llama(root, out) : read_gpt2(root, out);
    }
    if (status == STATUS_OK) {
        status = read_flag(root, "tie_word_embeddings", out->kind == MODEL_GPT2, &out->tied_head);
    }
    out->init_std = 0.02F;
    if (status == STATUS_OK) {
        status = read_number(root, "initializer_range", &out->init_std);
    }
    if (status == STATUS_OK) {
        status = read_token_id(root, "bos_token_id", out->vocab_size, &out->bos_id);
    }
    if (status == STATUS_OK) {
        status = read_token_id(root, "eos_token_id", out->vocab_size, &out->eos_id);
    }
    return status == STATUS_OK ? model_config_check(out) : status;
}

enum status model_config_from_json(const char *text, size_t length, struct model_config *out)
{
    memset(out, 0, sizeof(*out));
    if (length > MODEL_CONFIG_JSON_MAX) {
        return fault(STATUS_BAD_DATA, "config.json has %zu bytes, but at most %d are read", length,
                     (int)MODEL_CONFIG_JSON_MAX);
    }
    json_error_t error;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root)) {
        json_decref(root);
        return fault(STATUS_BAD_DATA, "config.json does not hold one JSON object (line %d)",
                     error.line);
    }
    enum status status = read_config(root, out);
    json_decref(root);
    return status;
}

/* The double with the fewest digits that is this float, so that 1e-5 is not written as
 * 9.99999975e-06. */
static json_t *short_real(float value)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) {
            break;
        }
    }
    return json_real(strtod(text, NULL));
}

static json_t *token_id(int32_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

/* Reports whether all of the kind's own keys were set. */
static bool set_llama(json_t *root, const struct model_config *self)
{
    json_t *rope =
        json_pack("{s:o, s:s}", "rope_theta", short_real(self->rope_theta), "rope_type", "default");
    return json_object_set_new(root, "rope_parameters", rope) == 0 &&
           json_object_set_new(root, "rope_theta", short_real(self->rope_theta)) == 0 &&
           json_object_set_new(root, "architectures", json_pack("[s]", "LlamaForCausalLM")) == 0 &&
           json_object_set_new(root, "model_type", json_string("llama")) == 0 &&
           json_object_set_new(root, "hidden_act", json_string("silu")) == 0 &&
           json_object_set_new(root, "rms_norm_eps", short_real(self->norm_eps)) == 0 &&
           json_object_set_new(root, "attention_dropout", json_real(0.0)) == 0 &&
           json_object_set_new(root, "attention_bias", json_false()) == 0 &&
           json_object_set_new(root, "mlp_bias", json_false()) == 0;
}

static bool set_gpt2(json_t *root, const struct model_config *self)
{
    return json_object_set_new(root, "architectures", json_pack("[s]", "GPT2LMHeadModel")) == 0 &&
           json_object_set_new(root, "model_type", json_string("gpt2")) == 0 &&
           json_object_set_new(root, "activation_function", json_string("gelu_new")) == 0 &&
           json_object_set_new(root, "layer_norm_epsilon", short_real(self->norm_eps)) == 0 &&
           json_object_set_new(root, "attn_pdrop", json_real(0.0)) == 0 &&
           json_object_set_new(root, "embd_pdrop", json_real(0.0)) == 0 &&
           json_object_set_new(root, "resid_pdrop", json_real(0.0)) == 0;
}

static bool set_common(json_t *root, const struct model_config *self)
{
    bool done = true;
    for (size_t i = 0; i < SIZE_KEY_COUNT; i++) {
        const char *name = size_key_name(&SIZE_KEYS[i], self->kind);
        uint32_t value;
        memcpy(&value, (const char *)self + SIZE_KEYS[i].offset, sizeof(value));
        done = done && (name == NULL || json_object_set_new(root, name, json_integer(value)) == 0);
    }
    return done &&
           json_object_set_new(root, "initializer_range", short_real(self->init_std)) == 0 &&
           json_object_set_new(root, "tie_word_embeddings", json_boolean(self->tied_head)) == 0 &&
           json_object_set_new(root, "bos_token_id", token_id(self->bos_id)) == 0 &&
           json_object_set_new(root, "eos_token_id", token_id(self->eos_id)) == 0 &&
           json_object_set_new(root, "torch_dtype", json_string("float32")) == 0 &&
           json_object_set_new(root, "use_cache", json_true()) == 0;
}

/* Without memory jansson 2.14 leaves a sorted key out of its text and goes on. */
static bool says(const char *text, const json_t *root)
{
    json_t *read = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    size_t found = json_object_size(read);
    const char *key = NULL;
    const json_t *value = NULL;
    bool whole = found == json_object_size(root);
    json_object_foreach(read, key, value)
    {
        whole = whole && json_typeof(json_object_get(root, key)) == json_typeof(value) &&
                json_object_size(value) == json_object_size(json_object_get(root, key));
    }
    json_decref(read);
    return whole;
}

enum status model_config_to_json(const struct model_config *self, char **out)
{
    json_t *root = json_object();
    bool done = root != NULL && set_common(root, self) &&
                (self->kind == MODEL_LLAMA ? set_llama(root, self) : set_gpt2(root, self));
    *out = done ? json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(9)) : NULL;
    if (*out != NULL && !says(*out, root)) {
        free(*out);
        *out = NULL;
    }
    json_decref(root);
    return *out != NULL ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory for a config.json");
}
