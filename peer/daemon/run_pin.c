#include "peer/daemon/run_pin.h"

#include "common/fault.h"
#include "common/files.h"
#include "peer/daemon/state_space.h"
#include "trainer/layout/layout.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By value, so that a coordinator of a later version may write its JSON in another way. */
static struct digest digest_of_model(const struct model_config *config)
{
    char text[512];
    int length = snprintf(text, sizeof text,
                          "dugnad-model-1 %d %u %u %u %u %u %u %u %u %d %.9g %.9g %.9g %d %d",
                          (int)config->kind, config->vocab_size, config->width, config->layer_count,
                          config->head_count, config->kv_head_count, config->head_size,
                          config->ffn_width, config->context_max, config->tied_head ? 1 : 0,
                          (double)config->norm_eps, (double)config->rope_theta,
                          (double)config->init_std, (int)config->bos_id, (int)config->eos_id);
    return digest_of(text, length > 0 ? (size_t)length : 0);
}

enum status run_shape_read(const struct wire_welcome *welcome, struct run_shape *out)
{
    struct model_config config;
    struct layout *layout = NULL;
    enum status status =
        model_config_from_json(welcome->model_json, strlen(welcome->model_json), &config);
    if (status == STATUS_OK) {
        status = layout_new(&config, &layout);
    }
    if (status != STATUS_OK) {
        return status;
    }
    *out = (struct run_shape){.run_id = welcome->run_id,
                              .model = digest_of_model(&config),
                              .context = welcome->context,
                              .vocab_size = config.vocab_size,
                              .parameters = layout_value_count(layout)};
    layout_free(layout);
    return STATUS_OK;
}

enum status run_shape_compare(const struct run_shape *before, const struct run_shape *now,
                              const char *where)
{
    const struct {
        const char *name;
        uint64_t before, now;
    } sizes[] = {{"parameters", before->parameters, now->parameters},
                 {"token ids", before->vocab_size, now->vocab_size},
                 {"tokens in a sample", before->context, now->context}};
    char what[128] = "the same sizes, but other constants or shapes";
    if (!digest_equal(&before->run_id, &now->run_id)) {
        return STATUS_OK;
    }
    bool same = digest_equal(&before->model, &now->model);
    for (size_t i = sizeof sizes / sizeof sizes[0]; i-- > 0;) {
        if (sizes[i].before != sizes[i].now) {
            same = false;
            (void)snprintf(what, sizeof what, "%" PRIu64 " %s, where it had %" PRIu64, sizes[i].now,
                           sizes[i].name, sizes[i].before);
        }
    }
    if (same) {
        return STATUS_OK;
    }
    return fault(STATUS_REFUSED,
                 "the coordinator describes another model for the same run (%s): ask whoever runs "
                 "it why; %s%s to accept it",
                 what, where != NULL ? "remove " : "start the peer again",
                 where != NULL ? where : "");
}

static bool read_digest(const json_t *object, const char *key, struct digest *out)
{
    const char *hex = json_string_value(json_object_get(object, key));
    return hex != NULL && digest_from_hex(hex, out) == STATUS_OK;
}

static bool read_number(const json_t *object, const char *key, uint64_t *out)
{
    const json_t *value = json_object_get(object, key);
    *out = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) > 0;
}

static bool read_shape(const json_t *object, struct run_shape *out)
{
    uint64_t context = 0;
    uint64_t vocab_size = 0;
    bool read = read_digest(object, "run", &out->run_id) &&
                read_digest(object, "model", &out->model) &&
                read_number(object, "context", &context) &&
                read_number(object, "vocab_size", &vocab_size) &&
                read_number(object, "parameters", &out->parameters);
    out->context = (uint32_t)context;
    out->vocab_size = (uint32_t)vocab_size;
    return read && context <= UINT32_MAX && vocab_size <= UINT32_MAX;
}

static json_t *make_shape(const struct run_shape *shape)
{
    char run[DIGEST_HEX_BYTES];
    char model[DIGEST_HEX_BYTES];
    digest_to_hex(&shape->run_id, run);
    digest_to_hex(&shape->model, model);
    return json_pack("{s:s, s:s, s:I, s:I, s:I}", "run", run, "model", model, "context",
                     (json_int_t)shape->context, "vocab_size", (json_int_t)shape->vocab_size,
                     "parameters", (json_int_t)shape->parameters);
}

/* Where a coordinator's runs are kept; the folder is there then. */
static enum status find_file(const char *state, const uint8_t key[IDENTITY_KEY_BYTES],
                             char out[FILES_PATH_MAX])
{
    char folder[FILES_PATH_MAX];
    char name[DIGEST_HEX_BYTES + sizeof ".json"];
    struct digest as_digest;
    _Static_assert(sizeof as_digest.bytes == IDENTITY_KEY_BYTES, "a key is written as a digest is");
    memcpy(as_digest.bytes, key, sizeof as_digest.bytes);
    digest_to_hex(&as_digest, name);
    (void)snprintf(name + strlen(name), sizeof ".json", ".json");
    enum status status = files_join(state, "runs", folder);
    if (status == STATUS_OK) {
        status = files_make_folder_as(folder, 0700);
    }
    return status == STATUS_OK ? files_join(folder, name, out) : status;
}

static enum status damaged(const char *path)
{
    return fault(STATUS_BAD_DATA,
                 "%s is damaged: it holds what the runs of a coordinator looked like; remove it to "
                 "take them as they are now",
                 path);
}

/* The caller owns *out: json_decref(). A file that is not there is an empty list. */
static enum status read_runs(const char *path, json_t **out)
{
    uint8_t *data = NULL;
    size_t size_bytes = 0;
    *out = NULL;
    if (!files_exists(path)) {
        *out = json_array();
        return *out != NULL ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory to start");
    }
    enum status status = files_read(path, RUN_PIN_FILE_BYTES_MAX, &data, &size_bytes);
    if (status != STATUS_OK) {
        return status == STATUS_BAD_DATA ? damaged(path) : status;
    }
    json_t *root = json_loadb((const char *)data, size_bytes, JSON_REJECT_DUPLICATES, NULL);
    free(data);
    json_t *runs = json_object_get(root, "runs");
    if (json_is_array(runs) && json_array_size(runs) <= RUN_PINS_MAX) {
        *out = json_incref(runs);
    }
    json_decref(root);
    return *out != NULL ? STATUS_OK : damaged(path);
}

static enum status write_runs(const char *path, json_t *runs)
{
    json_t *root = json_pack("{s:i, s:O}", "version", 1, "runs", runs);
    char *text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (text == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to write %s", path);
    }
    enum status status = files_write_atomic(path, text, strlen(text), 0600);
    free(text);
    return status;
}

/* *out_known: the run is among them. */
static enum status compare_all(const json_t *runs, const char *path, const struct run_shape *shape,
                               bool *out_known)
{
    *out_known = false;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        struct run_shape before;
        if (!read_shape(json_array_get(runs, i), &before)) {
            return damaged(path);
        }
        enum status status = run_shape_compare(&before, shape, path);
        if (status != STATUS_OK) {
            return status;
        }
        *out_known = *out_known || digest_equal(&before.run_id, &shape->run_id);
    }
    return STATUS_OK;
}

enum status run_pin_check(const char *state, uint64_t bytes_max,
                          const uint8_t coordinator_key[IDENTITY_KEY_BYTES],
                          const struct run_shape *shape)
{
    char path[FILES_PATH_MAX];
    json_t *runs = NULL;
    bool known = false;
    enum status status = find_file(state, coordinator_key, path);
    if (status == STATUS_OK) {
        status = read_runs(path, &runs);
    }
    if (status == STATUS_OK) {
        status = compare_all(runs, path, shape, &known);
    }
    if (status == STATUS_OK && !known && json_array_size(runs) >= RUN_PINS_MAX) {
        status = fault(STATUS_FULL,
                       "this coordinator has shown %d runs, more than are kept; remove %s if that "
                       "is right",
                       RUN_PINS_MAX, path);
    }
    if (status == STATUS_OK && !known) {
        status = state_space_check(state, RUN_PIN_FILE_BYTES_MAX, bytes_max);
    }
    if (status == STATUS_OK && !known) {
        status = json_array_append_new(runs, make_shape(shape)) == 0
                     ? write_runs(path, runs)
                     : fault(STATUS_NO_MEMORY, "no memory to write %s", path);
    }
    json_decref(runs);
    return status;
}
