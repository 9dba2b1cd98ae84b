/* damage_fixture - a small run on a simulated disk, and all that is known of it before it is
 * damaged: its files, and where it stood behind each record of its journal. */
#ifndef DUGNAD_TESTS_UNIT_DAMAGE_FIXTURE_H
#define DUGNAD_TESTS_UNIT_DAMAGE_FIXTURE_H

#include "coordinator/store/course.h"
#include "coordinator/store/status_file.h"
#include "coordinator/store/store.h"
#include "tests/sim/sim_disk.h"
#include "tests/unit/suite.h"
#include "trainer/data/ingest/data_build.h"
#include "trainer/optimizer/master_step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_PATH SIM_DISK_ROOT "/run"

enum {
    FILES_MAX = 64,
    FILE_BYTES_MAX = 1 << 20,
    VERSIONS_MAX = 9, /* steps and the beginning */
    MOMENTS_MAX = 64,
    LEASES_MAX = 4
};

static const char run_yaml[] = "name: tiny\n"
                               "seed: 7\n"
                               "model: {type: llama, hidden_size: 4, layers: 1, heads: 1}\n"
                               "data: {path: shards, context: 16}\n"
                               "training: {steps: 50, target_batch: 8, codec: mx8, journal: mx8,\n"
                               "  checkpoint_every: 10, checkpoints_kept: 3}\n"
                               "optimizer: {learning_rate: 0.01, warmup_steps: 2}\n";

struct file {
    char path[FILES_PATH_MAX];
    uint8_t *data; /* (size_bytes) */
    size_t size_bytes;
};

/* Where the run stood behind one record of its journal. */
struct moment {
    struct journal_state state;
    uint64_t segment;
    uint64_t end; /* of the record in its segment */
    bool synced;
};

/* The run as it was before anything was damaged. */
static struct truth {
    struct sim_disk *disk;
    struct run_config config;
    struct file files[FILES_MAX];
    size_t file_count;
    struct digest whole[VERSIONS_MAX]; /* of all that a master holds, by version */
    struct moment moments[MOMENTS_MAX];
    size_t moment_count;
    struct journal_lease leases[LEASES_MAX];
    size_t lease_count;
} truth;

static char notes[4096];

static void take_note(const char *sentence)
{
    size_t used = strlen(notes);
    (void)snprintf(notes + used, sizeof notes - used, "%s\n", sentence);
}

static struct digest hash_master(struct master *master, size_t value_count)
{
    struct digest_stream stream;
    size_t bytes = value_count * sizeof(float);
    digest_begin(&stream);
    digest_update(&stream, master_params(master), bytes);
    digest_update(&stream, master_weights(master), bytes);
    for (size_t i = 0; i < optimizer_state_count(master_kind(master)); i++) {
        size_t count = 0;
        const float *values = master_state(master, i, &count);
        digest_update(&stream, values, count * sizeof *values);
    }
    if (master_residual(master) != NULL) {
        digest_update(&stream, master_residual(master), bytes);
    }
    return digest_end(&stream);
}

/* A run that is open. */
struct opened {
    struct run_dir run;
    struct master *master;
    struct slices *slices;
    struct store *store;
    size_t value_count;
};

static void close_opened(struct opened *self)
{
    store_close(self->store);
    slices_free(self->slices);
    master_free(self->master);
    run_dir_close(&self->run);
}

/* Closed again on error. */
static enum status open_all(struct opened *self)
{
    *self = (struct opened){.store = NULL};
    notes[0] = '\0';
    enum status status = run_dir_open(RUN_PATH, &self->run);
    if (status != STATUS_OK) {
        return status;
    }
    self->value_count = layout_value_count(self->run.layout);
    status = run_dir_master_new(&self->run, &self->master);
    if (status == STATUS_OK) {
        status = slices_new(1, self->value_count, MASTER_SLICE_ALIGN, &self->slices);
    }
    if (status == STATUS_OK) {
        status = store_open(&self->run, self->master, self->slices, take_note, &self->store);
    }
    if (status != STATUS_OK) {
        close_opened(self);
    }
    return status;
}

/* One step of two contributions, whose gradient follows from its number. */
static void commit(struct opened *self)
{
    const struct journal_state *state = store_state(self->store);
    uint64_t batch = state->settings.target_batch;
    uint64_t tokens = batch * self->run.config.context;
    const struct exact_grid grid = exact_grid_for(tokens);
    int64_t *sums = calloc(self->value_count, sizeof *sums);
    uint8_t *update = malloc(self->value_count * sizeof(float));
    struct sample_range ranges[2];
    struct journal_contribution contributions[2];
    struct master_step_result result;
    CU_ASSERT_FATAL(sums != NULL && update != NULL);
    for (size_t i = 0; i < self->value_count; i++) {
        int noise = (int)((i * 7919 + state->version * 104729) % 1009) - 500;
        sums[i] = (int64_t)noise * (int64_t)tokens * (INT64_C(1) << (grid.shift - 16));
    }
    CU_ASSERT_EQUAL_FATAL(
        master_step_from_sums(self->master, self->slices, sums, &grid, tokens, update, &result),
        STATUS_OK);
    for (size_t p = 0; p < 2; p++) {
        ranges[p] =
            (struct sample_range){.first = state->sample_first + p * batch / 2, .count = batch / 2};
        contributions[p] = (struct journal_contribution){.tokens = tokens / 2,
                                                         .loss_sum = (double)tokens,
                                                         .range_count = 1,
                                                         .ranges = &ranges[p]};
        memset(contributions[p].key, (int)p + 1, sizeof contributions[p].key);
    }
    struct journal_step step = {.step = state->version,
                                .samples = {.first = state->sample_first, .count = batch},
                                .tokens = tokens,
                                .loss_sum = (double)tokens * 2.0,
                                .grad_l2 = result.grad_l2,
                                .learning_rate = result.learning_rate,
                                .unix_ms = 1700000000000 + state->version,
                                .digest = result.digest,
                                .mean_codec = state->settings.mean_codec,
                                .contribution_count = 2,
                                .contributions = contributions};
    CU_ASSERT_EQUAL_FATAL(store_commit(self->store, &step), STATUS_OK);
    truth.whole[state->version] = hash_master(self->master, self->value_count);
    free(sums);
    free(update);
}

static void note_event(struct opened *self, enum journal_event_type type, const char *text)
{
    const struct journal_state *state = store_state(self->store);
    struct journal_event event = {.type = type,
                                  .version = state->version,
                                  .unix_ms = 1700000000000,
                                  .settings = state->settings};
    (void)snprintf(event.text, sizeof event.text, "%s", text);
    if (type == JOURNAL_SETTINGS) {
        event.settings.learning_rate = 0.004;
        event.settings.target_batch = 4;
    }
    CU_ASSERT_EQUAL_FATAL(store_event(self->store, &event), STATUS_OK);
}

static void lease(struct opened *self, uint64_t id)
{
    const struct journal_state *state = store_state(self->store);
    struct journal_lease *item = &truth.leases[truth.lease_count++];
    *item = (struct journal_lease){.lease_id = id,
                                   .step = state->version,
                                   .samples = {.first = state->sample_first + id, .count = 1}};
    memset(item->key, (int)id, sizeof item->key);
    CU_ASSERT_EQUAL_FATAL(store_lease(self->store, item), STATUS_OK);
}

static void make_data(void)
{
    char text_path[] = "/tmp/dugnad-test-XXXXXX"; /* ingestion reads real files */
    char text[8192];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + (i * i + i / 7) % 26);
    }
    int fd = mkstemp(text_path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(write(fd, text, sizeof text), (ssize_t)sizeof text);
    CU_ASSERT_EQUAL(close(fd), 0);
    const char *file = text_path;
    struct data_build_options options = {.tokenizer_spec = "bytes",
                                         .out_folder = SIM_DISK_ROOT "/shards",
                                         .files = &file,
                                         .file_count = 1,
                                         .validation_fraction = 0.1,
                                         .shard_tokens_max = 1 << 20,
                                         .seed = 1};
    struct data_build_result result;
    CU_ASSERT_EQUAL_FATAL(data_build(&options, &result), STATUS_OK);
    CU_ASSERT_EQUAL(unlink(text_path), 0);
}

/* Eight steps; checkpoints 2, 4 and 6, the journal condensed before the first of them. */
static void live(struct opened *self)
{
    char path[FILES_PATH_MAX];
    for (int i = 0; i < 6; i++) {
        commit(self);
        if (i % 2 == 1) {
            CU_ASSERT_EQUAL_FATAL(store_checkpoint(self->store, path), STATUS_OK);
        }
        if (i == 4) {
            lease(self, 1);
            note_event(self, JOURNAL_SETTINGS, "");
        }
    }
    note_event(self, JOURNAL_PAUSED, "");
    commit(self);
    lease(self, 2);
    commit(self);
    note_event(self, JOURNAL_RESUMED, "");
    note_event(self, JOURNAL_NOTE, "a word to whom it may concern");
    lease(self, 3);
    lease(self, 4);
}

static void read_moments(void)
{
    struct journal_reader *reader = NULL;
    struct journal_record record;
    struct journal_state state = {.version = 0};
    bool more = true;
    CU_ASSERT_EQUAL_FATAL(journal_reader_new(RUN_PATH, UINT64_MAX, &reader), STATUS_OK);
    while (true) {
        CU_ASSERT_EQUAL_FATAL(journal_read(reader, true, &record, &more), STATUS_OK);
        struct moment *before =
            truth.moment_count > 0 ? &truth.moments[truth.moment_count - 1] : NULL;
        if (before != NULL) {
            before->end = more && record.segment == before->segment ? record.offset : UINT64_MAX;
        }
        if (!more) {
            break;
        }
        CU_ASSERT_FATAL(truth.moment_count < MOMENTS_MAX);
        course_take(&state, &record);
        truth.moments[truth.moment_count++] = (struct moment){
            .state = state, .segment = record.segment, .synced = record.type != JOURNAL_LEASE};
    }
    journal_reader_free(reader);
}

static bool add_file(void *context, const char *name)
{
    const char *folder = context;
    char path[FILES_PATH_MAX];
    CU_ASSERT_EQUAL_FATAL(files_join(folder, name, path), STATUS_OK);
    if (disk_kind_of(path) == DISK_FOLDER) {
        return disk_list(path, add_file, path);
    }
    struct file *file = &truth.files[truth.file_count++];
    CU_ASSERT_FATAL(truth.file_count <= FILES_MAX);
    (void)snprintf(file->path, sizeof file->path, "%s", path);
    CU_ASSERT_EQUAL_FATAL(files_read(path, FILE_BYTES_MAX, &file->data, &file->size_bytes),
                          STATUS_OK);
    return true;
}

static void make_truth(void)
{
    struct opened opened;
    static char root[] = RUN_PATH;
    truth.disk = sim_disk_new(3);
    sim_disk_use(truth.disk);
    make_data();
    CU_ASSERT_TRUE(sim_disk_put(truth.disk, SIM_DISK_ROOT "/run.yaml", run_yaml, strlen(run_yaml)));
    CU_ASSERT_EQUAL_FATAL(run_dir_create(SIM_DISK_ROOT "/run.yaml", RUN_PATH), STATUS_OK);
    const struct run_status status = {.name = "tiny", .state = "running", .port = 7700};
    CU_ASSERT_EQUAL_FATAL(status_file_write(RUN_PATH, &status), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(open_all(&opened), STATUS_OK);
    truth.config = opened.run.config;
    truth.whole[0] = hash_master(opened.master, opened.value_count);
    live(&opened);
    const struct journal_state last = *store_state(opened.store);
    close_opened(&opened);
    read_moments();
    CU_ASSERT_EQUAL(truth.moments[truth.moment_count - 1].state.version, last.version);
    CU_ASSERT_EQUAL(last.version, 8);
    CU_ASSERT_TRUE(disk_list(RUN_PATH, add_file, root));
    sim_disk_settle(truth.disk);
}

static void free_truth(void)
{
    for (size_t i = 0; i < truth.file_count; i++) {
        free(truth.files[i].data);
    }
    sim_disk_free(truth.disk);
}

#endif
