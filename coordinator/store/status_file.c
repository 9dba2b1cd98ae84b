#include "coordinator/store/status_file.h"

#include "common/fault.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_BYTES_MAX = 65536 };

/* JSON holds UTF-8 only, a path any bytes: what is not UTF-8 is shown with question marks. */
static json_t *path_to_json(const char *path)
{
    char shown[FILES_PATH_MAX];
    json_t *json = json_string(path);
    if (json != NULL) {
        return json;
    }
    (void)snprintf(shown, sizeof shown, "%s", path);
    for (char *byte = shown; *byte != '\0'; byte++) {
        if (((unsigned char)*byte & 0x80U) != 0) {
            *byte = '?';
        }
    }
    return json_string(shown);
}

static json_t *to_json(const struct run_status *self)
{
    return json_pack(
        "{s:s,s:s,s:I,s:I,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:f,s:I,s:I,s:I,s:I,s:I,s:i,s:i,s:o}", "name",
        self->name, "state", self->state, "step", (json_int_t)self->step, "steps",
        (json_int_t)self->step_count, "loss", self->loss, "train_loss_first",
        self->train_loss_first, "train_loss_last", self->loss, "tokens_per_s", self->tokens_per_s,
        "peers", (json_int_t)self->peers, "peers_seen", (json_int_t)self->peers_seen, "tokens",
        (json_int_t)self->tokens, "stale_share", self->stale_share, "stale_tokens",
        (json_int_t)self->stale_tokens, "digests_agreed", (json_int_t)self->digests_agreed,
        "digest_mismatches", (json_int_t)self->digest_mismatches, "refused_contributions",
        (json_int_t)self->refused_contributions, "updated_ms", (json_int_t)self->updated_ms, "port",
        (int)self->port, "bulk_port", (int)self->bulk_port, "checkpoint",
        path_to_json(self->checkpoint));
}

enum status status_file_write(const char *run_path, const struct run_status *self)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(run_path, "status.json", path);
    if (status != STATUS_OK) {
        return status;
    }
    json_t *json = to_json(self);
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(json);
    if (text == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to write %s", path);
    }
    /* Shown to people, and made again every second: not worth a wait for the disk. */
    status = files_replace(path, text, strlen(text), 0644);
    free(text);
    return status;
}

enum status status_file_read(const char *run_path, char **out)
{
    char path[FILES_PATH_MAX];
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    *out = NULL;
    enum status status = files_join(run_path, "status.json", path);
    if (status == STATUS_OK && !files_exists(path)) {
        status = fault(STATUS_NO_INPUT,
                       "%s has no status; is it the folder of a run that was made with "
                       "'dugnad-coordinator init'?",
                       run_path);
    }
    if (status == STATUS_OK) {
        status = files_read(path, STATUS_BYTES_MAX, &text, &size_bytes);
    }
    *out = (char *)text;
    return status;
}

uint16_t status_file_port(const char *run_path)
{
    char *text = NULL;
    if (status_file_read(run_path, &text) != STATUS_OK) {
        return 0;
    }
    json_t *json = json_loads(text, 0, NULL);
    json_int_t port = json_integer_value(json_object_get(json, "port"));
    json_decref(json);
    free(text);
    return port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
}
