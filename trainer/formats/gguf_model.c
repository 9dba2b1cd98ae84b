#include "trainer/formats/gguf_model.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/formats/gguf_tokenizer.h"
#include "trainer/formats/gguf_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 96 };

/* How the rows of a tensor come from those of the layout. */
enum row_order { ROWS_AS_THEY_ARE, ROWS_TRANSPOSED, ROWS_ROTARY };

struct name_rule {
    const char *from; /* behind the layer's number, or the whole name */
    const char *to;
    enum row_order order;
};

static const struct name_rule OUTER[] = {
    {"model.embed_tokens.weight", "token_embd.weight", ROWS_AS_THEY_ARE},
    {"model.norm.weight", "output_norm.weight", ROWS_AS_THEY_ARE},
    {"lm_head.weight", "output.weight", ROWS_AS_THEY_ARE},
    {"transformer.wte.weight", "token_embd.weight", ROWS_AS_THEY_ARE},
    {"transformer.wpe.weight", "position_embd.weight", ROWS_AS_THEY_ARE},
    {"transformer.ln_f.weight", "output_norm.weight", ROWS_AS_THEY_ARE},
    {"transformer.ln_f.bias", "output_norm.bias", ROWS_AS_THEY_ARE},
};

static const struct name_rule LAYER[] = {
    {"self_attn.q_proj.weight", "attn_q.weight", ROWS_ROTARY},
    {"self_attn.k_proj.weight", "attn_k.weight", ROWS_ROTARY},
    {"self_attn.v_proj.weight", "attn_v.weight", ROWS_AS_THEY_ARE},
    {"self_attn.o_proj.weight", "attn_output.weight", ROWS_AS_THEY_ARE},
    {"mlp.gate_proj.weight", "ffn_gate.weight", ROWS_AS_THEY_ARE},
    {"mlp.up_proj.weight", "ffn_up.weight", ROWS_AS_THEY_ARE},
    {"mlp.down_proj.weight", "ffn_down.weight", ROWS_AS_THEY_ARE},
    {"input_layernorm.weight", "attn_norm.weight", ROWS_AS_THEY_ARE},
    {"post_attention_layernorm.weight", "ffn_norm.weight", ROWS_AS_THEY_ARE},
    {"ln_1.weight", "attn_norm.weight", ROWS_AS_THEY_ARE},
    {"ln_1.bias", "attn_norm.bias", ROWS_AS_THEY_ARE},
    {"attn.c_attn.weight", "attn_qkv.weight", ROWS_TRANSPOSED},
    {"attn.c_attn.bias", "attn_qkv.bias", ROWS_AS_THEY_ARE},
    {"attn.c_proj.weight", "attn_output.weight", ROWS_TRANSPOSED},
    {"attn.c_proj.bias", "attn_output.bias", ROWS_AS_THEY_ARE},
    {"ln_2.weight", "ffn_norm.weight", ROWS_AS_THEY_ARE},
    {"ln_2.bias", "ffn_norm.bias", ROWS_AS_THEY_ARE},
    {"mlp.c_fc.weight", "ffn_up.weight", ROWS_TRANSPOSED},
    {"mlp.c_fc.bias", "ffn_up.bias", ROWS_AS_THEY_ARE},
    {"mlp.c_proj.weight", "ffn_down.weight", ROWS_TRANSPOSED},
    {"mlp.c_proj.bias", "ffn_down.bias", ROWS_AS_THEY_ARE},
};

/* A tensor of the file. */
struct place {
    char name[GGUF_NAME_MAX];
    enum row_order order;
    enum ggml_type type;
    uint64_t columns;
    uint64_t rows; /* 0: a vector */
};

static const struct name_rule *find_rule(const struct name_rule *rules, size_t count,
                                         const char *from)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rules[i].from, from) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

/* "model.layers.7.x" or "transformer.h.7.x": the number, and the bytes before x; else 0. */
static int split_layer(const char *name, unsigned *out_layer)
{
    int used = 0;
    if (sscanf(name, "model.layers.%u.%n", out_layer, &used) != 1 || used == 0) {
        (void)sscanf(name, "transformer.h.%u.%n", out_layer, &used);
    }
    return used;
}

static enum ggml_type choose_type(const struct place *place, enum ggml_type wanted)
{
    if (place->rows == 0 || strcmp(place->name, "position_embd.weight") == 0) {
        return GGML_F32;
    }
    return wanted == GGML_Q8_0 && place->columns % GGML_BLOCK_VALUES != 0 ? GGML_F16 : wanted;
}

static struct place place_of(const struct tensor_spec *spec, enum ggml_type wanted)
{
    struct place place = {0};
    unsigned layer = 0;
    int used = split_layer(spec->name, &layer);
    const struct name_rule *rule =
        used > 0 ? find_rule(LAYER, sizeof(LAYER) / sizeof(LAYER[0]), spec->name + used)
                 : find_rule(OUTER, sizeof(OUTER) / sizeof(OUTER[0]), spec->name);
    CHECK(rule != NULL); /* the tables cover every kind of layout */
    if (used > 0) {
        (void)snprintf(place.name, sizeof(place.name), "blk.%u.%s", layer, rule->to);
    } else {
        (void)snprintf(place.name, sizeof(place.name), "%s", rule->to);
    }
    bool transposed = rule->order == ROWS_TRANSPOSED;
    place.order = rule->order;
    place.columns = spec->rank == 1 || transposed ? spec->shape[0] : spec->shape[1];
    place.rows = spec->rank == 1 ? 0 : spec->shape[transposed ? 1 : 0];
    place.type = choose_type(&place, wanted);
    return place;
}

/* Hugging Face pairs value i of a head with value i + D/2, llama.cpp with its neighbour: row
 * 2j + half of a head in the file is row half * D/2 + j of the layout. */
static uint64_t rotary_source(uint64_t row, uint64_t head_size)
{
    uint64_t in_head = row % head_size;
    return row - in_head + in_head % 2 * (head_size / 2) + in_head / 2;
}

/* The file's row as a pointer to (columns) values: in `params`, or gathered into `scratch`. */
static const float *row_of(const struct gguf_model *model, const struct place *place,
                           const float *values, uint64_t row, float *scratch)
{
    switch (place->order) {
    case ROWS_TRANSPOSED:
        for (uint64_t i = 0; i < place->columns; i++) {
            scratch[i] = values[i * place->rows + row];
        }
        return scratch;
    case ROWS_ROTARY:
        return values + rotary_source(row, model->config->head_size) * place->columns;
    case ROWS_AS_THEY_ARE:
        break;
    }
    return values + row * place->columns;
}

static void set_architecture_u32(struct gguf *gguf, const char *architecture, const char *name,
                                 uint32_t value)
{
    char key[KEY_MAX];
    (void)snprintf(key, sizeof(key), "%s.%s", architecture, name);
    gguf_set_u32(gguf, key, value);
}

/* llama.cpp's enum llama_ftype. */
static uint32_t file_type(enum ggml_type type)
{
    switch (type) {
    case GGML_F32:
        return 0;
    case GGML_F16:
        return 1;
    case GGML_Q8_0:
        return 7;
    case GGML_BF16:
        return 32;
    }
    return 0;
}

static void set_config(struct gguf *gguf, const struct gguf_model *model)
{
    const struct model_config *config = model->config;
    bool llama = config->kind == MODEL_LLAMA;
    const char *name = llama ? "llama" : "gpt2";
    gguf_set_text(gguf, "general.architecture", name);
    gguf_set_text(gguf, "general.type", "model");
    gguf_set_u32(gguf, "general.file_type", file_type(model->type));
    gguf_set_u32(gguf, "general.quantization_version", 2);
    set_architecture_u32(gguf, name, "vocab_size", config->vocab_size);
    set_architecture_u32(gguf, name, "context_length", config->context_max);
    set_architecture_u32(gguf, name, "embedding_length", config->width);
    set_architecture_u32(gguf, name, "feed_forward_length", config->ffn_width);
    set_architecture_u32(gguf, name, "block_count", config->layer_count);
    set_architecture_u32(gguf, name, "attention.head_count", config->head_count);
    set_architecture_u32(gguf, name, "attention.head_count_kv", config->kv_head_count);
    set_architecture_u32(gguf, name, "attention.key_length", config->head_size);
    set_architecture_u32(gguf, name, "attention.value_length", config->head_size);
    if (llama) {
        set_architecture_u32(gguf, name, "rope.dimension_count", config->head_size);
        gguf_set_f32(gguf, "llama.rope.freq_base", config->rope_theta);
        gguf_set_f32(gguf, "llama.attention.layer_norm_rms_epsilon", config->norm_eps);
    } else {
        gguf_set_f32(gguf, "gpt2.attention.layer_norm_epsilon", config->norm_eps);
    }
}

/* Announces every tensor; *out_columns is the longest row. */
static void add_tensors(struct gguf *gguf, const struct gguf_model *model,
                        struct gguf_model_facts *facts, uint64_t *out_columns)
{
    *out_columns = 1;
    facts->tensor_count = layout_tensor_count(model->layout);
    for (size_t i = 0; i < facts->tensor_count; i++) {
        struct place place = place_of(layout_tensor(model->layout, i), model->type);
        gguf_add_tensor(gguf, place.name, place.type, place.columns, place.rows);
        facts->f16_count += model->type == GGML_Q8_0 && place.type == GGML_F16;
        *out_columns = place.columns > *out_columns ? place.columns : *out_columns;
    }
}

static enum status write_tensors(struct gguf *gguf, const struct gguf_model *model, float *scratch)
{
    for (size_t i = 0; i < layout_tensor_count(model->layout); i++) {
        const struct tensor_spec *spec = layout_tensor(model->layout, i);
        struct place place = place_of(spec, model->type);
        uint64_t row_count = place.rows > 0 ? place.rows : 1;
        for (uint64_t row = 0; row < row_count; row++) {
            enum status status = gguf_write_row(
                gguf, row_of(model, &place, model->params + spec->offset, row, scratch));
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return STATUS_OK;
}

static enum status write_all(struct gguf *gguf, const char *path, const struct gguf_model *model,
                             struct gguf_model_facts *facts)
{
    uint64_t columns_max = 0;
    set_config(gguf, model);
    enum status status = gguf_tokenizer_set(gguf, model->config, model->tokenizer);
    if (status != STATUS_OK) {
        return status;
    }
    add_tensors(gguf, model, facts, &columns_max);
    float *scratch = calloc((size_t)columns_max, sizeof(*scratch));
    if (scratch == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to write %s", path);
    }
    status = gguf_begin(gguf, path);
    if (status == STATUS_OK) {
        status = write_tensors(gguf, model, scratch);
    }
    if (status == STATUS_OK) {
        facts->size_bytes = gguf_size_bytes(gguf);
        status = gguf_commit(gguf);
    }
    free(scratch);
    return status;
}

enum status gguf_model_write(const char *path, const struct gguf_model *model,
                             struct gguf_model_facts *out)
{
    struct gguf *gguf = NULL;
    *out = (struct gguf_model_facts){0};
    enum status status = gguf_new(&gguf);
    if (status == STATUS_OK) {
        status = write_all(gguf, path, model, out);
    }
    gguf_free(gguf);
    return status;
}
