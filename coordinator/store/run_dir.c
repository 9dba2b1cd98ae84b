#include "coordinator/store/run_dir.h"

#include "common/disk.h"
#include "common/fault.h"
#include "common/memory.h"
#include "coordinator/store/checkpoint.h"
#include "coordinator/store/run_file.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"
#include "trainer/run/run_data.h"
#include "trainer/run/run_start.h"
#include "trainer/tokenizer/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The data must be there, whole, and fit the model; from now on no other will do. */
static enum status check_data(struct run_config *config)
{
    struct dataset *data = NULL;
    struct sampler sampler;
    enum status status = run_data_open(config, DATASET_TRAIN, &data);
    if (status != STATUS_OK) {
        return status;
    }
    if (dataset_vocab_size(data) > config->model.vocab_size) {
        status = fault(STATUS_BAD_CONFIG,
                       "the data in %s has %u token ids but the model only %u; set "
                       "model.vocab_size to %u or leave it out",
                       config->data_folder, dataset_vocab_size(data), config->model.vocab_size,
                       dataset_vocab_size(data));
    } else {
        status = sampler_init(&sampler, dataset_token_count(data), config->context, config->seed);
    }
    config->has_data_manifest = true;
    config->data_manifest = dataset_manifest_digest(data);
    dataset_close(data);
    return status;
}

/* Every checkpoint gets the tokenizer of the data. */
static enum status check_tokenizer(const struct run_config *config)
{
    struct tokenizer *tokenizer = NULL;
    enum status status = dataset_tokenizer_new(config->data_folder, &tokenizer);
    tokenizer_free(tokenizer);
    return status;
}

static enum status set_path(struct run_dir *self, const char *path)
{
    int length = snprintf(self->path, sizeof self->path, "%s", path);
    return length >= 0 && (size_t)length < sizeof self->path
               ? STATUS_OK
               : fault(STATUS_USAGE, "the path of the run is too long");
}

enum status run_dir_master_new(const struct run_dir *self, struct master **out)
{
    const struct run_config *config = &self->config;
    const struct master_codecs codecs = {.update = config->codec, .mean = config->mean_codec};
    return master_new(self->layout, &config->model, &config->optimizer, &config->schedule, codecs,
                      out);
}

static enum status write_first_checkpoint(const char *path, const struct run_config *config)
{
    struct run_dir run = {.config = *config, .lock_fd = -1};
    struct master *master = NULL;
    char folder[FILES_PATH_MAX];
    enum status status = set_path(&run, path);
    if (status == STATUS_OK) {
        status = layout_new(&config->model, &run.layout);
    }
    if (status == STATUS_OK) {
        status = run_dir_master_new(&run, &master);
    }
    if (status == STATUS_OK) {
        status = run_start_params(config, run.layout, master_params(master));
    }
    if (status == STATUS_OK) {
        master_set_params(master, master_params(master));
        status = checkpoint_write(&run, master, NULL, folder);
    }
    master_free(master);
    layout_free(run.layout);
    return status;
}

static enum status make_identity(const char *path)
{
    char file[FILES_PATH_MAX];
    struct identity identity;
    enum status status = files_join(path, "identity.key", file);
    if (status == STATUS_OK) {
        status = identity_open(file, &identity);
    }
    if (status == STATUS_OK) {
        identity_wipe(&identity);
    }
    return status;
}

static enum status refuse_existing(const char *path)
{
    static const char *const marks[] = {"run.yaml", "journal",
                                        "steps.jsonl" /* of earlier releases */};
    char file[FILES_PATH_MAX];
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        enum status status = files_join(path, marks[i], file);
        if (status != STATUS_OK) {
            return status;
        }
        if (files_exists(file)) {
            return fault(STATUS_CANNOT_CREATE,
                         "%s holds a run already; serve it, or choose another folder", path);
        }
    }
    return STATUS_OK;
}

/* Refuses before anything is written. */
static enum status check_memory(const struct run_config *config)
{
    struct layout *layout = NULL;
    enum status status = layout_new(&config->model, &layout);
    if (status == STATUS_OK) {
        status = memory_check_fits(
            "preparing this run",
            master_bytes(layout, &config->model, config->optimizer.kind, config->mean_codec),
            "choose a smaller model or a machine with more memory");
    }
    layout_free(layout);
    return status;
}

enum status run_dir_prepare(const char *path)
{
    char checkpoints[FILES_PATH_MAX];
    enum status status = files_join(path, "checkpoints", checkpoints);
    if (status == STATUS_OK) {
        status = files_make_folder_as(path, 0700);
    }
    if (status == STATUS_OK) {
        status = files_make_folder_as(checkpoints, 0755);
    }
    return status == STATUS_OK ? make_identity(path) : status;
}

enum status run_dir_create(const char *config_path, const char *path)
{
    struct run_config config;
    enum status status = run_config_read(config_path, &config);
    if (status == STATUS_OK) {
        status = refuse_existing(path);
    }
    if (status == STATUS_OK) {
        status = run_start_check(&config);
    }
    if (status == STATUS_OK) {
        status = check_data(&config);
    }
    if (status == STATUS_OK) {
        status = check_tokenizer(&config);
    }
    if (status == STATUS_OK) {
        status = check_memory(&config);
    }
    if (status == STATUS_OK) {
        status = run_dir_prepare(path);
    }
    if (status == STATUS_OK) {
        status = write_first_checkpoint(path, &config);
    }
    return status == STATUS_OK ? run_file_write(path, &config) : status;
}

static enum status compute_run_id(struct run_dir *self)
{
    struct digest_stream stream;
    digest_begin(&stream);
    digest_update(&stream, self->identity.public_key, sizeof self->identity.public_key);
    enum status status = run_file_hash(&self->config, &stream);
    self->run_id = digest_end(&stream);
    return status;
}

/* A run without its key is not given another one: it would be another run. */
static enum status open_identity(struct run_dir *self)
{
    char file[FILES_PATH_MAX];
    enum status status = files_join(self->path, "identity.key", file);
    if (status == STATUS_OK && !files_exists(file)) {
        return fault(STATUS_NO_INPUT,
                     "%s is missing, and with it what peers know the run by; put a copy of it back",
                     file);
    }
    return status == STATUS_OK ? identity_open(file, &self->identity) : status;
}

enum status run_dir_open(const char *path, struct run_dir *out)
{
    memset(out, 0, sizeof *out);
    out->lock_fd = -1;
    char file[FILES_PATH_MAX];
    enum status status = set_path(out, path);
    if (status == STATUS_OK) {
        status = files_join(path, "run.yaml", file);
    }
    if (status == STATUS_OK && !files_exists(file)) {
        status = fault(STATUS_NO_INPUT,
                       "%s is not the folder of a run; make one with 'dugnad-coordinator init "
                       "--config RUN.yaml --dir %s'",
                       path, path);
    }
    if (status == STATUS_OK) {
        status = run_config_read(file, &out->config);
    }
    if (status == STATUS_OK) {
        status = layout_new(&out->config.model, &out->layout);
    }
    if (status == STATUS_OK) {
        status = open_identity(out);
    }
    if (status == STATUS_OK) {
        status = compute_run_id(out);
    }
    if (status != STATUS_OK) {
        run_dir_close(out);
    }
    return status;
}

void run_dir_close(struct run_dir *self)
{
    layout_free(self->layout);
    self->layout = NULL;
    identity_wipe(&self->identity);
    if (self->lock_fd >= 0) {
        (void)disk_close(self->lock_fd);
        self->lock_fd = -1;
    }
}

enum status run_dir_lock(struct run_dir *self)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(self->path, "lock", path);
    if (status != STATUS_OK) {
        return status;
    }
    int fd = disk_open(path, DISK_LOCK, 0600);
    if (fd >= 0) {
        self->lock_fd = fd;
        return STATUS_OK;
    }
    return errno == EWOULDBLOCK
               ? fault(STATUS_UNAVAILABLE,
                       "another dugnad-coordinator serves %s already; stop it first", self->path)
               : fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", path, strerror(errno));
}
