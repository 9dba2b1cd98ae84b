#include "coordinator/server/control.h"

#include "common/fault.h"
#include "trainer/run/run_config.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const command_names[] = {"pause", "resume", "stop", "set", "plan"};
enum { COMMANDS = sizeof command_names / sizeof command_names[0] };

static enum status add(json_t *json, const char *key, json_t *value)
{
    return json_object_set_new(json, key, value) == 0
               ? STATUS_OK
               : fault(STATUS_NO_MEMORY, "no memory to ask the coordinator");
}

static enum status add_settings(json_t *json, const struct control_request *request)
{
    const struct live_settings *settings = &request->settings;
    enum status status = STATUS_OK;
    if (request->has_learning_rate) {
        status = add(json, "learning_rate", json_real(settings->learning_rate));
    }
    if (status == STATUS_OK && request->has_target_batch) {
        status = add(json, "target_batch", json_integer((json_int_t)settings->target_batch));
    }
    if (status == STATUS_OK && request->has_codec) {
        status = add(json, "codec", json_string(codec_name(settings->codec)));
    }
    if (status == STATUS_OK && request->has_mean_codec) {
        status = add(json, "journal", json_string(codec_name(settings->mean_codec)));
    }
    return status;
}

enum status control_encode(const struct control_request *request, char **out)
{
    json_t *json = json_object();
    *out = NULL;
    const char *name = request->command == CONTROL_MEMBERS
                           ? members_wish_name(request->members.wish)
                           : command_names[request->command];
    enum status status = add(json, "command", json_string(name));
    if (status == STATUS_OK && request->command == CONTROL_STOP) {
        status = add(json, "wait_ms", json_integer((json_int_t)request->wait_ms));
    }
    if (status == STATUS_OK && request->command == CONTROL_SET) {
        status = add_settings(json, request);
    }
    if (status == STATUS_OK && request->command == CONTROL_MEMBERS) {
        status = members_request_write(&request->members, json);
    }
    if (status == STATUS_OK) {
        *out = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17));
        status =
            *out != NULL ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory to ask the coordinator");
    }
    json_decref(json);
    return status;
}

static enum status read_codec(const json_t *value, bool of_mean, enum codec *out)
{
    const char *name = json_string_value(value);
    if (name == NULL) {
        return fault(STATUS_BAD_DATA, "a codec is named by a text");
    }
    return of_mean ? codec_mean_from_name(name, out) : codec_from_name(name, out);
}

static enum status read_setting(const char *key, const json_t *value, struct control_request *out)
{
    struct live_settings *settings = &out->settings;
    if (strcmp(key, "learning_rate") == 0 && json_is_number(value)) {
        out->has_learning_rate = true;
        settings->learning_rate = json_number_value(value);
        bool fine = settings->learning_rate >= RUN_LEARNING_RATE_MIN &&
                    settings->learning_rate <= RUN_LEARNING_RATE_MAX;
        return fine ? STATUS_OK
                    : fault(STATUS_BAD_DATA, "the learning rate must lie between %g and %g",
                            RUN_LEARNING_RATE_MIN, RUN_LEARNING_RATE_MAX);
    }
    if (strcmp(key, "target_batch") == 0 && json_is_integer(value)) {
        json_int_t count = json_integer_value(value);
        out->has_target_batch = true;
        if (count < 1 || count > RUN_TARGET_BATCH_MAX) {
            return fault(STATUS_BAD_DATA, "the target batch must lie between 1 and %d samples",
                         RUN_TARGET_BATCH_MAX);
        }
        settings->target_batch = (uint32_t)count;
        return STATUS_OK;
    }
    if (strcmp(key, "codec") == 0) {
        out->has_codec = true;
        return read_codec(value, false, &settings->codec);
    }
    if (strcmp(key, "journal") == 0) {
        out->has_mean_codec = true;
        return read_codec(value, true, &settings->mean_codec);
    }
    return fault(STATUS_BAD_DATA, "there is no setting '%.40s' of that kind that can be changed",
                 key);
}

static enum status read_settings(json_t *json, struct control_request *out)
{
    const char *key = NULL;
    json_t *value = NULL;
    enum status status = STATUS_OK;
    json_object_foreach(json, key, value)
    {
        if (status == STATUS_OK && strcmp(key, "command") != 0) {
            status = read_setting(key, value, out);
        }
    }
    bool any =
        out->has_learning_rate || out->has_target_batch || out->has_codec || out->has_mean_codec;
    return status == STATUS_OK && !any ? fault(STATUS_BAD_DATA, "a setting to change is missing")
                                       : status;
}

static enum status read_wait(const json_t *json, struct control_request *out)
{
    const json_t *value = json_object_get(json, "wait_ms");
    json_int_t wait_ms = json_integer_value(value);
    if (value != NULL &&
        (!json_is_integer(value) || wait_ms < 0 || wait_ms > CONTROL_WAIT_MS_MAX)) {
        return fault(STATUS_BAD_DATA, "wait_ms must lie between 0 and a day");
    }
    out->wait_ms = (uint64_t)wait_ms;
    return STATUS_OK;
}

enum status control_decode(const char *text, size_t size_bytes, struct control_request *out)
{
    memset(out, 0, sizeof *out);
    json_t *json = size_bytes <= CONTROL_REQUEST_BYTES_MAX
                       ? json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES, NULL)
                       : NULL;
    const char *name = json_string_value(json_object_get(json, "command"));
    size_t index = 0;
    while (name != NULL && index < COMMANDS && strcmp(name, command_names[index]) != 0) {
        index++;
    }
    enum status status = STATUS_OK;
    if (name != NULL && members_wish_find(name) < MEMBERS_WISH_COUNT) {
        out->command = CONTROL_MEMBERS;
        status = members_request_read(json, &out->members);
    } else if (name == NULL || index == COMMANDS) {
        status = fault(STATUS_BAD_DATA, "the coordinator does not know what is asked of it; use a "
                                        "dugnad-coordinator of the same release");
    } else {
        out->command = (enum control_command)index;
        if (out->command == CONTROL_SET) {
            status = read_settings(json, out);
        } else if (out->command == CONTROL_STOP) {
            status = read_wait(json, out);
        }
    }
    json_decref(json);
    return status;
}
