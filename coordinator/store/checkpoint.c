#include "coordinator/store/checkpoint.h"

#include "common/fault.h"
#include "coordinator/store/checkpoint_parts.h"
#include "coordinator/store/checkpoint_state.h"
#include "coordinator/store/course.h"
#include "coordinator/store/replay.h"
#include "trainer/data/dataset.h"
#include "trainer/formats/hf_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status write_state(const char *folder, const struct run_dir *run, struct master *master,
                               const struct parts *parts, const struct checkpoint_mark *mark)
{
    struct checkpoint_state state = {
        .version = master_version(master),
        .optimizer = master_kind(master),
        .mean_codec = master_mean_codec(master),
        .digest = params_digest(master_params(master), layout_value_count(run->layout)),
        .has_mark = mark != NULL,
        .file_count = parts->count};
    if (mark != NULL) {
        state.mark = *mark;
    }
    for (size_t i = 0; i < parts->count; i++) {
        (void)snprintf(state.files[i].name, PART_NAME_MAX, "%s", parts->items[i].name);
        enum status status = part_hash(folder, state.files[i].name, &state.files[i].hash);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return checkpoint_state_write(folder, &state);
}

static enum status write_folder(const char *folder, const struct run_dir *run,
                                struct master *master, const struct checkpoint_mark *mark)
{
    struct tokenizer *tokenizer = NULL;
    const struct parts parts = parts_of(run->layout, master);
    /* The data folder holds the tokenizer that made the shards. */
    enum status status = dataset_tokenizer_new(run->config.data_folder, &tokenizer);
    if (status == STATUS_OK) {
        status = hf_folder_write(folder, &run->config.model, run->layout, master_params(master),
                                 tokenizer);
    }
    tokenizer_free(tokenizer);
    for (size_t i = 1; i < parts.count && status == STATUS_OK; i++) {
        status = part_write(folder, &parts.items[i], run->layout);
    }
    return status == STATUS_OK ? write_state(folder, run, master, &parts, mark) : status;
}

enum status checkpoint_write(const struct run_dir *run, struct master *master,
                             const struct checkpoint_mark *mark, char *out_path)
{
    char temporary[FILES_PATH_MAX + 8];
    enum status status = checkpoint_path(run, master_version(master), out_path);
    if (status != STATUS_OK) {
        return status;
    }
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", out_path);
    status = files_remove_folder(temporary);
    if (status == STATUS_OK) {
        status = files_make_folder_as(temporary, 0755);
    }
    if (status == STATUS_OK) {
        status = write_folder(temporary, run, master, mark);
    }
    if (status == STATUS_OK) {
        status = files_sync_folder(temporary);
    }
    if (status == STATUS_OK) {
        /* One of this version is there only when it was damaged. */
        status = files_remove_folder(out_path);
    }
    return status == STATUS_OK ? files_rename(temporary, out_path) : status;
}

/* Every part is there, and has the right hash. */
static enum status check_hashes(const char *folder, const struct checkpoint_state *state,
                                const struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        const char *name = parts->items[i].name;
        const struct digest *expected = NULL;
        struct digest found;
        for (size_t j = 0; j < state->file_count && expected == NULL; j++) {
            expected = strcmp(state->files[j].name, name) == 0 ? &state->files[j].hash : NULL;
        }
        if (expected == NULL) {
            return fault(STATUS_BAD_DATA, "%s/state.json has no hash of %s", folder, name);
        }
        enum status status = part_hash(folder, name, &found);
        if (status != STATUS_OK) {
            return status;
        }
        if (!digest_equal(expected, &found)) {
            return fault(STATUS_CORRUPT, "%s/%s is damaged: its hash is not that of state.json",
                         folder, name);
        }
    }
    return STATUS_OK;
}

static enum status check_optimizer(const char *folder, enum optimizer_kind found,
                                   enum optimizer_kind kind)
{
    return found == kind
               ? STATUS_OK
               : fault(STATUS_BAD_CONFIG,
                       "%s holds the state of %s, but the run's optimizer.type is %s; set it back "
                       "to %s, or make a new run",
                       folder, optimizer_name(found), optimizer_name(kind), optimizer_name(found));
}

static enum status open_version(const struct run_dir *run, uint64_t version, struct master *master,
                                char *out_folder, struct checkpoint_state *out)
{
    enum status status = checkpoint_path(run, version, out_folder);
    if (status == STATUS_OK) {
        status = checkpoint_state_read(out_folder, version, out);
    }
    if (status == STATUS_OK) {
        status = check_optimizer(out_folder, out->optimizer, master_kind(master));
    }
    return status;
}

enum status checkpoint_load_version(const struct run_dir *run, uint64_t version,
                                    struct master *master)
{
    char folder[FILES_PATH_MAX];
    struct checkpoint_state state;
    enum status status = open_version(run, version, master, folder, &state);
    if (status == STATUS_OK) {
        struct live_settings settings =
            state.has_mark ? state.mark.state.settings : course_settings(&run->config);
        status = replay_set(master, &settings);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct parts parts = parts_of(run->layout, master);
    if (master_residual(master) != NULL && state.mean_codec != CODEC_MX8) {
        /* It begins at zero, as master_change has it. */
        const struct part *residual = &parts.items[--parts.count];
        memset(residual->values, 0, residual->count * sizeof *residual->values);
    }
    status = check_hashes(folder, &state, &parts);
    for (size_t i = 0; i < parts.count && status == STATUS_OK; i++) {
        status = part_read(folder, &parts.items[i], run->layout);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct digest found = params_digest(master_params(master), layout_value_count(run->layout));
    if (!digest_equal(&state.digest, &found)) {
        return fault(STATUS_CORRUPT,
                     "%s/state.json is damaged: its digest is not that of the model", folder);
    }
    master_set_version(master, version);
    return STATUS_OK;
}

enum status checkpoint_compare(const struct run_dir *run, struct master *master)
{
    char folder[FILES_PATH_MAX];
    struct checkpoint_state state;
    const struct parts parts = parts_of(run->layout, master);
    enum status status = open_version(run, master_version(master), master, folder, &state);
    if (status == STATUS_OK) {
        status = check_hashes(folder, &state, &parts);
    }
    if (status == STATUS_OK && state.file_count != parts.count) {
        status =
            fault(STATUS_CORRUPT, "%s/state.json tells of files that are not the master's", folder);
    }
    for (size_t i = 0; i < parts.count && status == STATUS_OK; i++) {
        status = part_compare(folder, &parts.items[i], run->layout);
    }
    return status;
}

enum status checkpoint_check(const struct run_dir *run, uint64_t version)
{
    char folder[FILES_PATH_MAX];
    struct checkpoint_state state;
    enum status status = checkpoint_path(run, version, folder);
    if (status == STATUS_OK) {
        status = checkpoint_state_read(folder, version, &state);
    }
    for (size_t i = 0; status == STATUS_OK && i < state.file_count; i++) {
        struct digest found;
        status = part_hash(folder, state.files[i].name, &found);
        if (status == STATUS_OK && !digest_equal(&found, &state.files[i].hash)) {
            status = fault(STATUS_CORRUPT, "%s/%s is damaged: its hash is not that of state.json",
                           folder, state.files[i].name);
        }
    }
    return status;
}

enum status checkpoint_digest(const struct run_dir *run, uint64_t version, struct digest *out)
{
    char folder[FILES_PATH_MAX];
    struct checkpoint_state state;
    enum status status = checkpoint_path(run, version, folder);
    if (status == STATUS_OK) {
        status = checkpoint_state_read(folder, version, &state);
    }
    if (status == STATUS_OK) {
        *out = state.digest;
    }
    return status;
}

enum status checkpoint_mark_of(const struct run_dir *run, uint64_t version, bool *out_has,
                               struct checkpoint_mark *out)
{
    char folder[FILES_PATH_MAX];
    struct checkpoint_state state;
    *out_has = false;
    enum status status = checkpoint_path(run, version, folder);
    if (status == STATUS_OK) {
        status = checkpoint_state_read(folder, version, &state);
    }
    if (status == STATUS_OK) {
        *out_has = state.has_mark;
        *out = state.mark;
    }
    return status;
}

enum status checkpoint_load(const struct run_dir *run, struct master *master,
                            void (*on_fault)(const char *sentence), char *out_path)
{
    uint64_t *versions = NULL;
    size_t count = 0;
    enum status status = checkpoint_list(run, &versions, &count);
    bool loaded = false;
    for (size_t i = count; status == STATUS_OK && !loaded && i-- > 0;) {
        status = checkpoint_path(run, versions[i], out_path);
        if (status == STATUS_OK) {
            enum status found = checkpoint_load_version(run, versions[i], master);
            loaded = found == STATUS_OK;
            if (found == STATUS_BAD_CONFIG || found == STATUS_NO_MEMORY) {
                status = found; /* an older one would be no better */
            } else if (!loaded && on_fault != NULL) {
                on_fault(fault_text());
            }
        }
    }
    free(versions);
    if (status == STATUS_OK && !loaded) {
        return fault(STATUS_NO_INPUT,
                     "%s/checkpoints holds no whole checkpoint; put a copy of one there",
                     run->path);
    }
    return status;
}
