#include "coordinator/store/checkpoint_state.h"

#include "common/fault.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_BYTES_MAX = 65536 };

static json_t *json_of_digest(const struct digest *digest)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(digest, hex);
    return json_string(hex);
}

static bool digest_at(const json_t *json, const char *key, struct digest *out)
{
    const char *hex = json_string_value(json_object_get(json, key));
    return hex != NULL && digest_from_hex(hex, out) == STATUS_OK;
}

static bool count_at(const json_t *json, const char *key, uint64_t *out)
{
    const json_t *value = json_object_get(json, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool number_at(const json_t *json, const char *key, double *out)
{
    const json_t *value = json_object_get(json, key);
    *out = json_number_value(value);
    return json_is_number(value) && isfinite(*out);
}

static bool codec_at(const json_t *json, const char *key, enum codec *out)
{
    const char *name = json_string_value(json_object_get(json, key));
    return name != NULL && codec_from_name(name, out) == STATUS_OK;
}

static bool mean_codec_at(const json_t *json, enum codec *out)
{
    const char *name = json_string_value(json_object_get(json, "mean_codec"));
    return name != NULL && codec_mean_from_name(name, out) == STATUS_OK;
}

static json_t *json_of_mark(const struct checkpoint_mark *mark)
{
    const struct journal_state *state = &mark->state;
    const struct live_settings *settings = &state->settings;
    return json_pack(
        "{s:I,s:o,s:o,s:I,s:I,s:f,s:f,s:I,s:b,s:{s:f,s:I,s:s,s:s,s:s}}", "sequence",
        (json_int_t)mark->sequence, "hash", json_of_digest(&mark->hash), "run_id",
        json_of_digest(&state->run_id), "sample_first", (json_int_t)state->sample_first, "tokens",
        (json_int_t)state->tokens, "loss_first", state->loss_first, "loss_last", state->loss_last,
        "serial", (json_int_t)state->serial, "paused", (int)state->paused, "settings",
        "learning_rate", settings->learning_rate, "target_batch",
        (json_int_t)settings->target_batch, "codec", codec_name(settings->codec), "mean_codec",
        codec_name(settings->mean_codec), "update_codec", codec_name(settings->update_codec));
}

/* Checkpoints from before updates could have a codec of their own do not name it. */
static bool update_codec_at(const json_t *json, struct live_settings *out)
{
    out->update_codec = out->codec;
    return json_object_get(json, "update_codec") == NULL ||
           codec_at(json, "update_codec", &out->update_codec);
}

static bool read_settings(const json_t *json, struct live_settings *out)
{
    uint64_t batch = 0;
    bool fine = number_at(json, "learning_rate", &out->learning_rate) &&
                count_at(json, "target_batch", &batch) && codec_at(json, "codec", &out->codec) &&
                update_codec_at(json, out) && mean_codec_at(json, &out->mean_codec) &&
                out->learning_rate > 0.0 && batch > 0 && batch <= RUN_TARGET_BATCH_MAX;
    out->target_batch = fine ? (uint32_t)batch : 0;
    return fine;
}

static bool read_mark(const json_t *json, uint64_t version, struct checkpoint_mark *out)
{
    struct journal_state *state = &out->state;
    const json_t *paused = json_object_get(json, "paused");
    state->version = version;
    state->paused = json_is_true(paused);
    return count_at(json, "sequence", &out->sequence) && digest_at(json, "hash", &out->hash) &&
           digest_at(json, "run_id", &state->run_id) &&
           count_at(json, "sample_first", &state->sample_first) &&
           count_at(json, "tokens", &state->tokens) &&
           number_at(json, "loss_first", &state->loss_first) &&
           number_at(json, "loss_last", &state->loss_last) &&
           count_at(json, "serial", &state->serial) && json_is_boolean(paused) &&
           read_settings(json_object_get(json, "settings"), &state->settings);
}

/* The hash that "self" holds. Errors: NO_MEMORY. */
static enum status hash_of_json(const json_t *state, struct digest *out)
{
    char *text = json_dumps(state, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to check a checkpoint's state");
    }
    *out = digest_of(text, strlen(text));
    free(text);
    return STATUS_OK;
}

static json_t *json_of_state(const struct checkpoint_state *self)
{
    json_t *files = json_object();
    json_t *state =
        json_pack("{s:I,s:s,s:s,s:o,s:o}", "version", (json_int_t)self->version, "optimizer",
                  optimizer_name(self->optimizer), "mean_codec", codec_name(self->mean_codec),
                  "digest", json_of_digest(&self->digest), "blake2b", files);
    bool fine = state != NULL;
    for (size_t i = 0; i < self->file_count && fine; i++) {
        fine = json_object_set_new(files, self->files[i].name,
                                   json_of_digest(&self->files[i].hash)) == 0;
    }
    if (fine && self->has_mark) {
        fine = json_object_set_new(state, "journal", json_of_mark(&self->mark)) == 0;
    }
    struct digest hash;
    fine = fine && hash_of_json(state, &hash) == STATUS_OK &&
           json_object_set_new(state, "self", json_of_digest(&hash)) == 0;
    if (!fine) {
        json_decref(state);
        return NULL;
    }
    return state;
}

enum status checkpoint_state_write(const char *folder, const struct checkpoint_state *self)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(folder, "state.json", path);
    if (status != STATUS_OK) {
        return status;
    }
    json_t *state = json_of_state(self);
    char *text = state != NULL ? json_dumps(state, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    status = text != NULL ? files_write_atomic(path, text, strlen(text), 0644)
                          : fault(STATUS_NO_MEMORY, "no memory to write %s", path);
    free(text);
    json_decref(state);
    return status;
}

static bool read_files(const json_t *files, struct checkpoint_state *out)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)files, name, value)
    {
        size_t i = out->file_count;
        int length = i < PARTS_MAX ? snprintf(out->files[i].name, PART_NAME_MAX, "%s", name) : -1;
        if (length < 0 || length >= PART_NAME_MAX || !json_is_string(value) ||
            digest_from_hex(json_string_value(value), &out->files[i].hash) != STATUS_OK) {
            return false;
        }
        out->file_count++;
    }
    return json_is_object(files);
}

/* Checkpoints of before there was a choice do not name their optimizer. */
static bool read_optimizer(const json_t *held, enum optimizer_kind *out)
{
    *out = OPTIMIZER_ADAMW;
    return held == NULL ||
           (json_is_string(held) && optimizer_from_name(json_string_value(held), out) == STATUS_OK);
}

/* Takes "self" out of `state` and compares. */
static enum status check_self(json_t *state, bool *out_fine)
{
    struct digest expected;
    struct digest found;
    *out_fine = json_object_get(state, "self") == NULL &&
                json_object_get(state, "journal") == NULL &&
                json_object_get(state, "mean_codec") == NULL;
    if (*out_fine || !digest_at(state, "self", &expected)) {
        return STATUS_OK;
    }
    (void)json_object_del(state, "self");
    enum status status = hash_of_json(state, &found);
    *out_fine = status == STATUS_OK && digest_equal(&expected, &found);
    return status;
}

static enum status read_json(json_t *state, const char *path, uint64_t version,
                             struct checkpoint_state *out)
{
    bool fine = false;
    enum status status = check_self(state, &fine);
    if (status != STATUS_OK) {
        return status;
    }
    if (!fine || !count_at(state, "version", &out->version) || out->version != version ||
        !digest_at(state, "digest", &out->digest)) {
        return fault(STATUS_BAD_DATA, "%s is damaged: it is not the state of step %" PRIu64, path,
                     version);
    }
    const json_t *mark = json_object_get(state, "journal");
    out->has_mark = mark != NULL;
    if (!read_files(json_object_get(state, "blake2b"), out) ||
        (mark != NULL && !read_mark(mark, version, &out->mark))) {
        return fault(STATUS_BAD_DATA, "%s is damaged: its hashes or its journal cannot be read",
                     path);
    }
    if (!read_optimizer(json_object_get(state, "optimizer"), &out->optimizer)) {
        return fault(STATUS_BAD_DATA, "%s is damaged: it names no known optimizer", path);
    }
    out->mean_codec = CODEC_FP32;
    if (json_object_get(state, "mean_codec") != NULL && !mean_codec_at(state, &out->mean_codec)) {
        return fault(STATUS_BAD_DATA, "%s is damaged: it names no known mean_codec", path);
    }
    return STATUS_OK;
}

enum status checkpoint_state_read(const char *folder, uint64_t version,
                                  struct checkpoint_state *out)
{
    char path[FILES_PATH_MAX];
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    memset(out, 0, sizeof *out);
    enum status status = files_join(folder, "state.json", path);
    if (status == STATUS_OK) {
        status = files_read(path, STATE_BYTES_MAX, &text, &size_bytes);
    }
    if (status != STATUS_OK) {
        return status;
    }
    json_t *state = json_loadb((const char *)text, size_bytes, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    status = read_json(state, path, version, out);
    json_decref(state);
    return status;
}
