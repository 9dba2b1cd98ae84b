#include "trainer/run/run_model.h"

#include "common/fault.h"
#include "common/files.h"
#include "trainer/data/manifest.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LLAMA_FFN_MULTIPLE = 32 };

enum status run_resolve_path(const struct run_yaml *yaml, const char *path, char *out)
{
    char copy[FILES_PATH_MAX];
    char folder[PATH_MAX];
    int length = snprintf(out, FILES_PATH_MAX, "%s", path);
    if (length < 0 || length >= FILES_PATH_MAX) {
        return fault(STATUS_BAD_CONFIG, "%s: the path %.200s is too long; use a shorter one",
                     yaml->path, path);
    }
    if (path[0] == '/') {
        return STATUS_OK;
    }
    (void)snprintf(copy, sizeof(copy), "%s", yaml->path);
    if (copy[0] == '/') {
        return files_join(dirname(copy), path, out);
    }
    if (realpath(dirname(copy), folder) == NULL) {
        return fault(STATUS_NO_INPUT, "cannot find the folder of %s: %s", yaml->path,
                     strerror(errno));
    }
    return files_join(folder, path, out);
}

/* The latest sentence again, behind the place in the run's file. */
static enum status add_place(const struct run_yaml *yaml, enum run_key key)
{
    char reason[FAULT_TEXT_MAX];
    (void)snprintf(reason, sizeof(reason), "%s", fault_text());
    return run_yaml_fault(yaml, key, "does not work: %s", reason);
}

static enum status read_model_type(const struct run_yaml *yaml, enum model_kind *out)
{
    const char *type = run_yaml_text(yaml, RUN_KEY_MODEL_TYPE, NULL);
    if (type == NULL) {
        return run_yaml_fault(yaml, RUN_KEY_MODEL_TYPE, "is missing; give llama or gpt2");
    }
    *out = strcmp(type, "llama") == 0 ? MODEL_LLAMA : MODEL_GPT2;
    if (*out == MODEL_GPT2 && strcmp(type, "gpt2") != 0) {
        return run_yaml_fault(yaml, RUN_KEY_MODEL_TYPE, "must be llama or gpt2, not '%.100s'",
                              type);
    }
    return STATUS_OK;
}

/* model.config or model.init_from: a config.json, or the folder that holds it, instead of all
 * sizes. */
static enum status read_config_file(const struct run_yaml *yaml, enum run_key source,
                                    struct model_config *out)
{
    char path[FILES_PATH_MAX];
    for (int key = RUN_KEY_MODEL_TYPE; key <= RUN_KEY_MODEL_VOCAB_SIZE; key++) {
        if (key != (int)source && yaml->values[key].set) {
            return run_yaml_fault(yaml, (enum run_key)key,
                                  "is also in the file of model.%s; remove one of the two",
                                  RUN_KEYS[source].name);
        }
    }
    enum status status = run_resolve_path(yaml, yaml->values[source].text, path);
    if (status == STATUS_OK && files_is_folder(path)) {
        char folder[FILES_PATH_MAX];
        (void)snprintf(folder, sizeof(folder), "%s", path);
        status = files_join(folder, "config.json", path);
    }
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    if (status == STATUS_OK) {
        status = files_read(path, MODEL_CONFIG_JSON_MAX, &text, &size_bytes);
    }
    if (status == STATUS_OK) {
        status = model_config_from_json((const char *)text, size_bytes, out);
    }
    free(text);
    return status == STATUS_OK ? STATUS_OK : add_place(yaml, source);
}

static enum status read_size(const struct run_yaml *yaml, enum run_key key, uint32_t *out)
{
    if (!yaml->values[key].set) {
        return run_yaml_fault(yaml, key, "is missing");
    }
    *out = (uint32_t)yaml->values[key].count;
    return STATUS_OK;
}

static enum status read_vocab_size(const struct run_yaml *yaml, const char *data_folder,
                                   uint32_t *out)
{
    if (yaml->values[RUN_KEY_MODEL_VOCAB_SIZE].set) {
        return read_size(yaml, RUN_KEY_MODEL_VOCAB_SIZE, out);
    }
    struct manifest manifest;
    enum status status = manifest_read(data_folder, &manifest);
    if (status != STATUS_OK) {
        return add_place(yaml, RUN_KEY_DATA_PATH);
    }
    *out = manifest.vocab_size;
    manifest_deinit(&manifest);
    return STATUS_OK;
}

static enum status read_context(const struct run_yaml *yaml, uint32_t *out)
{
    uint64_t data_context = run_yaml_count(yaml, RUN_KEY_DATA_CONTEXT, 0);
    *out = (uint32_t)run_yaml_count(yaml, RUN_KEY_MODEL_CONTEXT, data_context);
    if (*out == 0) {
        return run_yaml_fault(yaml, RUN_KEY_DATA_CONTEXT,
                              "is missing; give the number of tokens in a training window");
    }
    return STATUS_OK;
}

/* Keys that one kind of model does not have would be settings that silently do not count. */
static enum status refuse_llama_keys(const struct run_yaml *yaml)
{
    static const enum run_key LLAMA_ONLY[] = {RUN_KEY_MODEL_KV_HEADS, RUN_KEY_MODEL_ROPE_THETA};
    for (size_t i = 0; i < sizeof(LLAMA_ONLY) / sizeof(LLAMA_ONLY[0]); i++) {
        if (yaml->values[LLAMA_ONLY[i]].set) {
            return run_yaml_fault(yaml, LLAMA_ONLY[i], "is for llama only; remove it");
        }
    }
    return STATUS_OK;
}

static enum status check_heads(const struct run_yaml *yaml, const struct model_config *model)
{
    if (model->width % model->head_count != 0) {
        return run_yaml_fault(yaml, RUN_KEY_MODEL_HEADS, "(%u) must divide model.hidden_size (%u)",
                              model->head_count, model->width);
    }
    if (model->head_count % model->kv_head_count != 0) {
        return run_yaml_fault(yaml, RUN_KEY_MODEL_KV_HEADS, "(%u) must divide model.heads (%u)",
                              model->kv_head_count, model->head_count);
    }
    return STATUS_OK;
}

static void fill_defaults(const struct run_yaml *yaml, struct model_config *out)
{
    uint64_t ffn = 4ULL * out->width;
    if (out->kind == MODEL_LLAMA) {
        ffn = (8ULL * out->width + 2) / 3;
        ffn = (ffn + LLAMA_FFN_MULTIPLE - 1) / LLAMA_FFN_MULTIPLE * LLAMA_FFN_MULTIPLE;
    }
    out->ffn_width = (uint32_t)run_yaml_count(yaml, RUN_KEY_MODEL_INTERMEDIATE_SIZE, ffn);
    out->kv_head_count = (uint32_t)run_yaml_count(yaml, RUN_KEY_MODEL_KV_HEADS, out->head_count);
    out->tied_head = run_yaml_flag(yaml, RUN_KEY_MODEL_TIED, true);
    out->rope_theta = (float)run_yaml_real(yaml, RUN_KEY_MODEL_ROPE_THETA, 10000.0);
    out->norm_eps = (float)run_yaml_real(yaml, RUN_KEY_MODEL_NORM_EPS, 1e-5);
    out->init_std = (float)run_yaml_real(yaml, RUN_KEY_MODEL_INIT_STD, 0.02);
    out->bos_id = -1;
    out->eos_id = -1;
}

static enum status read_sizes(const struct run_yaml *yaml, const char *data_folder,
                              struct model_config *out)
{
    enum status status = read_model_type(yaml, &out->kind);
    if (status == STATUS_OK && out->kind == MODEL_GPT2) {
        status = refuse_llama_keys(yaml);
    }
    if (status == STATUS_OK) {
        status = read_size(yaml, RUN_KEY_MODEL_HIDDEN_SIZE, &out->width);
    }
    if (status == STATUS_OK) {
        status = read_size(yaml, RUN_KEY_MODEL_LAYERS, &out->layer_count);
    }
    if (status == STATUS_OK) {
        status = read_size(yaml, RUN_KEY_MODEL_HEADS, &out->head_count);
    }
    if (status == STATUS_OK) {
        status = read_context(yaml, &out->context_max);
    }
    if (status == STATUS_OK) {
        fill_defaults(yaml, out);
        status = check_heads(yaml, out);
    }
    if (status == STATUS_OK) {
        out->head_size = out->width / out->head_count;
        status = read_vocab_size(yaml, data_folder, &out->vocab_size);
    }
    return status;
}

enum status run_model_read(const struct run_yaml *yaml, const char *data_folder,
                           struct model_config *out)
{
    *out = (struct model_config){0};
    if (yaml->values[RUN_KEY_MODEL_INIT_FROM].set) {
        return read_config_file(yaml, RUN_KEY_MODEL_INIT_FROM, out);
    }
    if (yaml->values[RUN_KEY_MODEL_CONFIG].set) {
        return read_config_file(yaml, RUN_KEY_MODEL_CONFIG, out);
    }
    enum status status = read_sizes(yaml, data_folder, out);
    if (status == STATUS_OK && model_config_check(out) != STATUS_OK) {
        status = add_place(yaml, RUN_KEY_MODEL_TYPE);
    }
    return status;
}
