#include "coordinator/store/fork.h"

#include "common/cores.h"
#include "common/fault.h"
#include "coordinator/store/run_file.h"
#include "coordinator/store/store.h"

#include <stdio.h>
#include <string.h>

/* Brings a new master of the run to `version`. The caller frees *out, also after an error. */
static enum status replay(const struct run_dir *from, uint64_t version, struct master **out,
                          struct journal_state *out_state)
{
    struct slices *slices = NULL;
    enum status status = run_dir_master_new(from, out);
    if (status == STATUS_OK) {
        status = slices_new(cores_usable(SLICES_THREADS_MAX), layout_value_count(from->layout),
                            MASTER_SLICE_ALIGN, &slices);
    }
    if (status == STATUS_OK) {
        status = store_replay_to(from, *out, slices, version, out_state);
    }
    slices_free(slices);
    return status;
}

static struct run_config config_then(const struct run_config *config, const char *name,
                                     const struct live_settings *settings)
{
    struct run_config then = *config;
    (void)snprintf(then.name, sizeof then.name, "%s", name);
    then.schedule.learning_rate = settings->learning_rate;
    then.target_batch = settings->target_batch;
    then.codec = settings->codec;
    then.mean_codec = settings->mean_codec;
    return then;
}

/* All but its place: `path` is a temporary one. */
static enum status write_run(const char *path, const struct run_config *config,
                             struct master *master, struct journal_state *state)
{
    struct run_dir run;
    struct journal *journal = NULL;
    char checkpoint[FILES_PATH_MAX];
    enum status status = run_dir_prepare(path);
    if (status == STATUS_OK) {
        status = run_file_write(path, config);
    }
    if (status == STATUS_OK) {
        status = run_dir_open(path, &run);
    }
    if (status != STATUS_OK) {
        return status;
    }
    state->run_id = run.run_id;
    state->serial = 0;
    state->paused = false;
    state->settings.update_codec = state->settings.codec; /* it has no plan yet */
    status = journal_create(path, state, &journal);
    if (status == STATUS_OK) {
        const struct checkpoint_mark mark = {
            .state = *state, .sequence = journal_sequence(journal), .hash = journal_hash(journal)};
        status = checkpoint_write(&run, master, &mark, checkpoint);
    }
    journal_close(journal);
    run_dir_close(&run);
    return status;
}

enum status run_fork(const struct run_dir *from, uint64_t version, const char *name,
                     const char *to_path)
{
    struct master *master = NULL;
    struct journal_state state;
    char temporary[FILES_PATH_MAX];
    int length = snprintf(temporary, sizeof temporary, "%s.tmp", to_path);
    if (length < 0 || (size_t)length >= sizeof temporary) {
        return fault(STATUS_USAGE, "the path of the new run is too long");
    }
    if (files_exists(to_path)) {
        return fault(STATUS_CANNOT_CREATE, "%s is there already; choose another folder", to_path);
    }
    enum status status = run_config_check_name(name);
    if (status == STATUS_OK) {
        status = replay(from, version, &master, &state);
    }
    if (status == STATUS_OK) {
        status = files_remove_folder(temporary);
    }
    if (status == STATUS_OK) {
        const struct run_config config = config_then(&from->config, name, &state.settings);
        status = write_run(temporary, &config, master, &state);
    }
    if (status == STATUS_OK) {
        status = files_rename(temporary, to_path);
    }
    master_free(master);
    return status;
}
