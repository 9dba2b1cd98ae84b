#include "trainer/formats/hf_folder.h"

#include "common/disk.h"
#include "common/fault.h"
#include "common/files.h"
#include "trainer/formats/hf_weights.h"

#include <errno.h>
#include <jansson.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

enum status hf_folder_read_params(const char *folder, const struct layout *layout, float *params)
{
    struct hf_weights *weights = NULL;
    enum status status = hf_weights_open(folder, &weights);
    if (status == STATUS_OK) {
        status = hf_weights_read(weights, layout, params);
    }
    hf_weights_close(weights);
    return status;
}

enum status hf_folder_check_finite(const char *folder, const struct layout *layout,
                                   const float *params)
{
    for (size_t i = 0; i < layout_tensor_count(layout); i++) {
        const struct tensor_spec *spec = layout_tensor(layout, i);
        for (size_t j = 0; j < spec->count; j++) {
            if (!isfinite(params[spec->offset + j])) {
                return fault(STATUS_BAD_DATA,
                             "%s: tensor %s holds values that are not finite numbers; take an "
                             "earlier checkpoint, or fetch it again",
                             folder, spec->name);
            }
        }
    }
    return STATUS_OK;
}

enum status hf_folder_read_tokenizer(const char *folder, struct tokenizer **out)
{
    char path[FILES_PATH_MAX];
    enum status status = tokenizer_new(folder, out);
    if (status == STATUS_NO_INPUT && files_join(folder, "tokenizer.model", path) == STATUS_OK &&
        files_exists(path)) {
        return fault(STATUS_BAD_DATA,
                     "%s is a SentencePiece tokenizer, which is not read; only byte-level BPE "
                     "(tokenizer.json) is",
                     path);
    }
    return status;
}

static enum status write_weights(const char *path, const struct hf_content *content)
{
    const struct layout *layout = content->layout;
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
        outputs[i].values = content->params + spec->offset;
        outputs[i].count = spec->count;
        outputs[i].dtype = content->dtype;
    }
    enum status status = safetensors_write(path, outputs, count);
    free(outputs);
    return status;
}

enum status hf_folder_write_tensors(const char *path, const struct layout *layout,
                                    const float *values)
{
    const struct hf_content content = {.layout = layout, .params = values, .dtype = DTYPE_F32};
    return write_weights(path, &content);
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

/* The config.json of float32 with the type that the weights have. transformers 5 reads "dtype",
 * those before it "torch_dtype". */
static enum status write_config(const char *folder, const struct hf_content *content)
{
    char *text = NULL;
    enum status status = model_config_to_json(content->config, &text);
    if (status == STATUS_OK && content->dtype != DTYPE_F32) {
        const char *dtype = tensor_dtype_name(content->dtype);
        json_t *root = json_loads(text, 0, NULL);
        free(text);
        text = NULL;
        if (json_object_set_new(root, "torch_dtype", json_string(dtype)) == 0 &&
            json_object_set_new(root, "dtype", json_string(dtype)) == 0) {
            text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
        }
        json_decref(root);
        if (text == NULL) {
            return fault(STATUS_NO_MEMORY, "no memory to write %s/config.json", folder);
        }
    }
    if (status == STATUS_OK) {
        status = write_text(folder, "config.json", text);
    }
    free(text);
    return status;
}

static enum status write_content(const char *folder, const struct hf_content *content)
{
    char path[FILES_PATH_MAX];
    enum status status = write_config(folder, content);
    if (status == STATUS_OK) {
        status = write_generation_config(folder, content->config);
    }
    if (status == STATUS_OK && content->tokenizer != NULL) {
        status = tokenizer_write(content->tokenizer, folder);
    }
    if (status == STATUS_OK) {
        status = files_join(folder, "model.safetensors", path);
    }
    return status == STATUS_OK ? write_weights(path, content) : status;
}

enum status hf_folder_write(const char *folder, const struct model_config *config,
                            const struct layout *layout, const float *params,
                            const struct tokenizer *tokenizer)
{
    const struct hf_content content = {.config = config,
                                       .layout = layout,
                                       .params = params,
                                       .tokenizer = tokenizer,
                                       .dtype = DTYPE_F32};
    return write_content(folder, &content);
}

/* A folder of our own beside `path`, whose parents are made: the place where it takes shape. */
static enum status make_temporary(const char *path, char out[FILES_PATH_MAX])
{
    char parent[FILES_PATH_MAX];
    int length = snprintf(out, FILES_PATH_MAX, "%s.%ld.tmp", path, (long)getpid());
    if (length < 0 || length >= FILES_PATH_MAX) {
        return fault(STATUS_USAGE, "the path %.200s is too long; use a shorter one", path);
    }
    (void)snprintf(parent, sizeof(parent), "%s", path);
    enum status status = files_make_folder(dirname(parent));
    if (status == STATUS_OK && !disk_make_folder(out, 0777)) {
        status =
            fault(STATUS_CANNOT_CREATE, "cannot create the folder %s: %s", out, strerror(errno));
    }
    return status;
}

enum status hf_folder_create(const char *path, const struct hf_content *content)
{
    char place[FILES_PATH_MAX];
    char temporary[FILES_PATH_MAX];
    (void)snprintf(place, sizeof(place), "%s", path);
    for (size_t i = strlen(place); i > 1 && place[i - 1] == '/'; i--) {
        place[i - 1] = '\0';
    }
    if (files_exists(place)) {
        return fault(STATUS_CANNOT_CREATE, "%s is there already; choose another folder", place);
    }
    enum status status = make_temporary(place, temporary);
    if (status != STATUS_OK) {
        return status;
    }
    status = write_content(temporary, content);
    if (status == STATUS_OK) {
        status = files_sync_folder(temporary);
    }
    if (status == STATUS_OK) {
        status = files_rename(temporary, place);
    }
    if (status != STATUS_OK) {
        char sentence[FAULT_TEXT_MAX];
        (void)snprintf(sentence, sizeof(sentence), "%s", fault_text());
        if (files_remove_folder(temporary) != STATUS_OK) {
            (void)fault(status, "%s", sentence); /* the first failure is the one to tell */
        }
    }
    return status;
}
