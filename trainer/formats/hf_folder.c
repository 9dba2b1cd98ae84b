#include "trainer/formats/hf_folder.h"

#include "common/fault.h"
#include "common/files.h"
#include "trainer/formats/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPE_TEXT_MAX = 256 };

static const char GPT2_PREFIX[] = "transformer.";

enum status hf_folder_read_config(const char *folder, struct model_config *out)
{
    char path[FILES_PATH_MAX];
    uint8_t *text = NULL;
    size_t length = 0;
    enum status status = files_join(folder, "config.json", path);
    if (status == STATUS_OK) {
        status = files_read(path, MODEL_CONFIG_JSON_MAX, &text, &length);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = model_config_from_json((const char *)text, length, out);
    free(text);
    if (status != STATUS_OK) {
        char reason[FAULT_TEXT_MAX];
        (void)snprintf(reason, sizeof(reason), "%s", fault_text());
        return fault(status, "%.400s: %s", path, reason);
    }
    return STATUS_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Buffers that checkpoints carry and that hold nothing learned, and a tied head's copy. */
static bool is_ignored(const struct layout *layout, const char *name)
{
    if (strcmp(name, "lm_head.weight") == 0) {
        return layout_find(layout, name) == layout_tensor_count(layout);
    }
    return ends_with(name, ".rotary_emb.inv_freq") || ends_with(name, ".attn.bias") ||
           ends_with(name, ".attn.masked_bias");
}

/* The tensor of this name, with or without gpt2's prefix; the count when there is none. */
static size_t find_tensor(const struct layout *layout, const char *name)
{
    size_t none = layout_tensor_count(layout);
    size_t index = layout_find(layout, name);
    if (index == none && strncmp(name, GPT2_PREFIX, sizeof(GPT2_PREFIX) - 1) == 0) {
        index = layout_find(layout, name + sizeof(GPT2_PREFIX) - 1);
    }
    if (index == none) {
        char prefixed[sizeof(GPT2_PREFIX) + SAFETENSORS_NAME_MAX];
        (void)snprintf(prefixed, sizeof(prefixed), "%s%s", GPT2_PREFIX, name);
        index = layout_find(layout, prefixed);
    }
    return index;
}

static void shape_to_text(const uint64_t *shape, uint32_t rank, char out[SHAPE_TEXT_MAX])
{
    size_t used = (size_t)snprintf(out, SHAPE_TEXT_MAX, "[");
    for (uint32_t i = 0; i < rank; i++) {
        used += (size_t)snprintf(out + used, SHAPE_TEXT_MAX - used, "%s%llu", i == 0 ? "" : ", ",
                                 (unsigned long long)shape[i]);
    }
    (void)snprintf(out + used, SHAPE_TEXT_MAX - used, "]");
}

static enum status check_shape(const char *path, const struct tensor_spec *spec,
                               const struct safetensors_entry *entry)
{
    if (spec->rank == entry->rank &&
        memcmp(spec->shape, entry->shape, spec->rank * sizeof(spec->shape[0])) == 0) {
        return STATUS_OK;
    }
    char found[SHAPE_TEXT_MAX];
    char expected[SHAPE_TEXT_MAX];
    shape_to_text(entry->shape, entry->rank, found);
    shape_to_text(spec->shape, spec->rank, expected);
    return fault(STATUS_BAD_SHAPE,
                 "%s: tensor %s has the shape %s, but config.json says %s; the two files do not "
                 "belong together",
                 path, entry->name, found, expected);
}

/* Copies every entry to its place; seen(tensor count) marks the tensors that were there. */
static enum status copy_entries(const char *path, const struct safetensors *file,
                                const struct layout *layout, float *params, bool *seen)
{
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct safetensors_entry *entry = safetensors_entry(file, i);
        if (is_ignored(layout, entry->name)) {
            continue;
        }
        size_t index = find_tensor(layout, entry->name);
        if (index == layout_tensor_count(layout)) {
            return fault(STATUS_BAD_DATA, "%s: tensor %s is not part of this kind of model", path,
                         entry->name);
        }
        if (seen[index]) {
            return fault(STATUS_BAD_DATA, "%s: tensor %s is there twice", path, entry->name);
        }
        seen[index] = true;
        const struct tensor_spec *spec = layout_tensor(layout, index);
        enum status status = check_shape(path, spec, entry);
        if (status == STATUS_OK) {
            status = safetensors_read_f32(file, entry, params + spec->offset, spec->count);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status check_complete(const char *path, const struct layout *layout, const bool *seen)
{
    for (size_t i = 0; i < layout_tensor_count(layout); i++) {
        if (!seen[i]) {
            return fault(STATUS_BAD_DATA, "%s: tensor %s is missing; fetch the checkpoint again",
                         path, layout_tensor(layout, i)->name);
        }
    }
    return STATUS_OK;
}

/* A checkpoint in several files is a thing that people try. */
static enum status refuse_sharded(const char *folder, const char *path)
{
    char index_path[FILES_PATH_MAX];
    enum status status = files_join(folder, "model.safetensors.index.json", index_path);
    if (status == STATUS_OK && !files_exists(path) && files_exists(index_path)) {
        return fault(STATUS_NO_INPUT,
                     "%s is a checkpoint in several files; save it as one model.safetensors",
                     folder);
    }
    return status;
}

enum status hf_folder_read_params(const char *folder, const struct layout *layout, float *params)
{
    char path[FILES_PATH_MAX];
    struct safetensors *file = NULL;
    bool *seen = NULL;
    enum status status = files_join(folder, "model.safetensors", path);
    if (status == STATUS_OK) {
        status = refuse_sharded(folder, path);
    }
    if (status == STATUS_OK) {
        status = safetensors_open(path, &file);
    }
    if (status != STATUS_OK) {
        return status;
    }
    seen = calloc(layout_tensor_count(layout) + 1, sizeof(*seen));
    if (seen == NULL) {
        safetensors_close(file);
        return fault(STATUS_NO_MEMORY, "no memory to read %s", path);
    }
    memset(params, 0, layout_value_count(layout) * sizeof(*params));
    status = copy_entries(path, file, layout, params, seen);
    if (status == STATUS_OK) {
        status = check_complete(path, layout, seen);
    }
    free(seen);
    safetensors_close(file);
    return status;
}

enum status hf_folder_write_tensors(const char *path, const struct layout *layout,
                                    const float *values)
{
    size_t count = layout_tensor_count(layout);
    struct safetensors_output *outputs = calloc(count + 1, sizeof(*outputs));
    if (outputs == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to write %s", path);
    }
    for (size_t i = 0; i < count; i++) {
        const struct tensor_spec *spec = layout_tensor(layout, i);
        outputs[i].name = spec->name;
        outputs[i].rank = spec->rank;
        memcpy(outputs[i].shape, spec->shape, spec->rank * sizeof(spec->shape[0]));
        outputs[i].values = values + spec->offset;
        outputs[i].count = spec->count;
    }
    enum status status = safetensors_write(path, outputs, count);
    free(outputs);
    return status;
}

static enum status write_text(const char *folder, const char *name, const char *text)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(folder, name, path);
    return status == STATUS_OK ? files_write_atomic(path, text, strlen(text), 0644) : status;
}

static enum status write_generation_config(const char *folder, const struct model_config *config)
{
    json_t *root = json_pack("{s:b}", "_from_model_config", 1);
    int failed = root == NULL;
    if (config->bos_id >= 0) {
        failed |= json_object_set_new(root, "bos_token_id", json_integer(config->bos_id));
    }
    if (config->eos_id >= 0) {
        failed |= json_object_set_new(root, "eos_token_id", json_integer(config->eos_id));
    }
    char *text = failed ? NULL : json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (text == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to write %s/generation_config.json", folder);
    }
    enum status status = write_text(folder, "generation_config.json", text);
    free(text);
    return status;
}

enum status hf_folder_write(const char *folder, const struct model_config *config,
                            const struct layout *layout, const float *params,
                            const struct tokenizer *tokenizer)
{
    char path[FILES_PATH_MAX];
    char *text = NULL;
    enum status status = model_config_to_json(config, &text);
    if (status == STATUS_OK) {
        status = write_text(folder, "config.json", text);
    }
    free(text);
    if (status == STATUS_OK) {
        status = write_generation_config(folder, config);
    }
    if (status == STATUS_OK && tokenizer != NULL) {
        status = tokenizer_write(tokenizer, folder);
    }
    if (status == STATUS_OK) {
        status = files_join(folder, "model.safetensors", path);
    }
    return status == STATUS_OK ? hf_folder_write_tensors(path, layout, params) : status;
}
