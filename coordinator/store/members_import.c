#include "coordinator/store/members_import.h"

#include "common/disk.h"
#include "common/fault.h"
#include "common/files.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMPORT_BYTES_MAX = 4 << 20, IMPORTED_MAX = 4096 };

static enum status damaged(const char *path)
{
    return fault(STATUS_BAD_DATA, "%s is damaged; remove it and invite again", path);
}

static enum status read_invite(const json_t *json, const char *path, struct invite *out)
{
    const char *hex = json_string_value(json_object_get(json, "blake2b"));
    json_int_t created_ms = json_integer_value(json_object_get(json, "created_ms"));
    *out = (struct invite){.created_ms = created_ms > 0 ? (uint64_t)created_ms : 0};
    (void)snprintf(out->label, sizeof out->label, "of an earlier release");
    return hex != NULL && digest_from_hex(hex, &out->hash) == STATUS_OK ? STATUS_OK : damaged(path);
}

/* Those that the tables do not have, numbered, into out(IMPORTED_MAX). */
static enum status read_all(const json_t *json, const char *path, struct members_db *db,
                            struct invite *out, size_t *out_count)
{
    uint64_t held = 0;
    uint64_t number = 0;
    *out_count = 0;
    enum status status = members_db_invite_count(db, &held, &number);
    for (size_t i = 0; i < json_array_size(json) && status == STATUS_OK; i++) {
        struct invite other;
        bool found = false;
        struct invite *invite = &out[*out_count];
        status = read_invite(json_array_get(json, i), path, invite);
        if (status == STATUS_OK) {
            status = members_db_invite(db, &invite->hash, &other, &found);
        }
        for (size_t j = 0; j < *out_count; j++) {
            found = found || digest_equal(&out[j].hash, &invite->hash);
        }
        if (status == STATUS_OK && !found) {
            invite->number = ++number;
            (*out_count)++;
        }
    }
    return status;
}

static enum status import(const json_t *json, const char *path, struct members_db *db)
{
    if (!json_is_array(json) || json_array_size(json) > IMPORTED_MAX) {
        return damaged(path);
    }
    struct invite *invites = calloc(IMPORTED_MAX, sizeof *invites);
    if (invites == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to read %s", path);
    }
    struct members_batch batch = {.invites = invites};
    enum status status = read_all(json, path, db, invites, &batch.invite_count);
    if (status == STATUS_OK && batch.invite_count > 0) {
        status = members_db_write(db, &batch);
    }
    free(invites);
    return status;
}

static enum status put_aside(const char *run_path, const char *path)
{
    char aside[FILES_PATH_MAX];
    enum status status = files_join(run_path, "invites.json.imported", aside);
    if (status == STATUS_OK && !disk_rename(path, aside)) {
        status = fault(STATUS_IO, "cannot rename %s: %s", path, strerror(errno));
    }
    return status == STATUS_OK ? files_sync_folder(run_path) : status;
}

enum status members_import(const char *run_path, struct members_db *db)
{
    char path[FILES_PATH_MAX];
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    enum status status = files_join(run_path, "invites.json", path);
    if (status != STATUS_OK || !files_exists(path)) {
        return status;
    }
    status = files_read(path, IMPORT_BYTES_MAX, &text, &size_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    json_t *json = json_loadb((const char *)text, size_bytes, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    status = import(json, path, db);
    json_decref(json);
    return status == STATUS_OK ? put_aside(run_path, path) : status;
}
