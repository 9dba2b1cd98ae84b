/* model_config - the sizes that define a model, and their Hugging Face config.json form.
 *
 * Pure; thread-safe. Part of what the coordinator links: no backend here. */
#ifndef DUGNAD_TRAINER_LAYOUT_MODEL_CONFIG_H
#define DUGNAD_TRAINER_LAYOUT_MODEL_CONFIG_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum model_kind { MODEL_LLAMA = 1, MODEL_GPT2 = 2 };

/* Limits that every reader enforces, so that no size from outside can overflow anything. */
enum {
    MODEL_VOCAB_MAX = 65536, /* token ids travel as uint16 */
    MODEL_WIDTH_MAX = 65536,
    MODEL_LAYERS_MAX = 512,
    MODEL_HEADS_MAX = 1024,
    MODEL_CONTEXT_MAX = 131072,
    MODEL_CONFIG_JSON_MAX = 16384 /* bytes of a config.json */
};

struct model_config {
    enum model_kind kind;
    uint32_t vocab_size;    /* V */
    uint32_t width;         /* C, hidden_size / n_embd */
    uint32_t layer_count;   /* L */
    uint32_t head_count;    /* H */
    uint32_t kv_head_count; /* H for gpt2; divides H */
    uint32_t head_size;     /* D; C / H for gpt2; even for llama */
    uint32_t ffn_width;     /* F, intermediate_size / n_inner (4 C when null) */
    uint32_t context_max;   /* max_position_embeddings / n_positions */
    bool tied_head;         /* the output head is the token embedding */
    float norm_eps;
    float rope_theta; /* llama only */
    float init_std;   /* initializer_range */
    int32_t bos_id;   /* -1: none */
    int32_t eos_id;   /* -1: none */
};

/* Errors: OUT_OF_RANGE with a sentence that names the size by its config.json key. */
MUST_CHECK enum status model_config_check(const struct model_config *self);

/* Reads the text of a config.json (NUL-terminated, length bytes) and checks it. Reads rope_theta at
 * the top level and inside rope_parameters; refuses what the model code does not compute
 * (attention_bias, mlp_bias, other activations, rope types other than default,
 * scale_attn_by_inverse_layer_idx, dropout is ignored). Unknown keys are ignored.
 * Errors: BAD_DATA (not JSON, wrong type, missing dimension), BAD_CONFIG (a variant that is not
 * supported), OUT_OF_RANGE; each with a sentence. */
MUST_CHECK enum status model_config_from_json(const char *text, size_t length,
                                              struct model_config *out);

/* Writes a config.json with every dimension key, that Hugging Face transformers loads.
 * The caller owns *out: free(). Errors: NO_MEMORY. */
MUST_CHECK enum status model_config_to_json(const struct model_config *self, char **out);

#endif
