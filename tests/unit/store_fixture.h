/* store_fixture - a tiny run with its store, beside a twin that makes the same steps and never
 * stops. */
#ifndef DUGNAD_TESTS_UNIT_STORE_FIXTURE_H
#define DUGNAD_TESTS_UNIT_STORE_FIXTURE_H

#include "common/disk.h"
#include "common/fault.h"
#include "coordinator/store/store.h"
#include "tests/unit/run_fixture.h"
#include "tests/unit/suite.h"
#include "trainer/optimizer/master_step.h"

enum { NOTES_MAX = 32, FIXTURE_PEERS = 2 };

static char notes[NOTES_MAX][FAULT_TEXT_MAX];
static size_t note_count;

struct store_fixture {
    struct run_dir run;
    struct master *master;
    struct master *twin;
    struct slices *slices;
    struct store *store;
    int64_t *sums;   /* (value_count) */
    uint8_t *update; /* as long as any */
    size_t value_count;
};

__attribute__((unused)) static void take_note(const char *sentence)
{
    (void)snprintf(notes[note_count++ % NOTES_MAX], sizeof notes[0], "%s", sentence);
}

/* Whether a note holds `text`. */
__attribute__((unused)) static bool noted(const char *text)
{
    for (size_t i = 0; i < note_count && i < NOTES_MAX; i++) {
        if (strstr(notes[i], text) != NULL) {
            return true;
        }
    }
    return false;
}

__attribute__((unused)) static struct master *store_fixture_master(const struct run_dir *run)
{
    struct master *master = NULL;
    struct master_codecs codecs = {.update = run->config.codec, .mean = run->config.mean_codec};
    CU_ASSERT_EQUAL_FATAL(master_new(run->layout, &run->config.model, &run->config.optimizer,
                                     &run->config.schedule, codecs, &master),
                          STATUS_OK);
    return master;
}

/* Opens the store with a master of any content. */
__attribute__((unused)) static enum status store_fixture_try(struct store_fixture *self)
{
    note_count = 0;
    self->master = store_fixture_master(&self->run);
    enum status status =
        store_open(&self->run, self->master, self->slices, take_note, &self->store);
    if (status != STATUS_OK) {
        master_free(self->master);
        self->master = NULL;
    }
    return status;
}

__attribute__((unused)) static void store_fixture_start(struct store_fixture *self)
{
    enum status status = store_fixture_try(self);
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "%s\n", fault_text());
    }
    CU_ASSERT_EQUAL_FATAL(status, STATUS_OK);
}

/* Ends without a word, as a crash does. */
__attribute__((unused)) static void store_fixture_stop(struct store_fixture *self)
{
    store_close(self->store);
    master_free(self->master);
    self->store = NULL;
    self->master = NULL;
}

/* A run of this codec and mean codec; the store is opened. */
__attribute__((unused)) static void store_fixture_init(struct store_fixture *self,
                                                       const char *mean_codec)
{
    char codec[64];
    char path[FILES_PATH_MAX];
    *self = (struct store_fixture){.store = NULL};
    (void)snprintf(codec, sizeof codec, "mx8, journal: %s", mean_codec);
    run_fixture_open(&self->run, codec, NULL, NULL);
    self->value_count = layout_value_count(self->run.layout);
    self->sums = calloc(self->value_count, sizeof *self->sums);
    self->update = malloc(self->value_count * sizeof(float));
    CU_ASSERT_FATAL(self->sums != NULL && self->update != NULL);
    CU_ASSERT_EQUAL_FATAL(slices_new(1, self->value_count, MASTER_SLICE_ALIGN, &self->slices),
                          STATUS_OK);
    self->twin = store_fixture_master(&self->run);
    CU_ASSERT_EQUAL_FATAL(checkpoint_load(&self->run, self->twin, NULL, path), STATUS_OK);
    store_fixture_start(self);
}

__attribute__((unused)) static void store_fixture_deinit(struct store_fixture *self)
{
    store_fixture_stop(self);
    master_free(self->twin);
    slices_free(self->slices);
    free(self->sums);
    free(self->update);
    run_fixture_close(&self->run);
}

/* A step whose gradient follows from its number alone. */
__attribute__((unused)) static struct master_step_result
store_fixture_step(struct store_fixture *self, struct master *master, uint64_t tokens)
{
    const struct exact_grid grid = exact_grid_for(tokens);
    struct master_step_result result;
    for (size_t i = 0; i < self->value_count; i++) {
        int noise = (int)((i * 7919 + master_version(master) * 104729) % 1009) - 500;
        self->sums[i] = (int64_t)noise * (int64_t)tokens * (INT64_C(1) << (grid.shift - 16));
    }
    CU_ASSERT_EQUAL_FATAL(master_step_from_sums(master, self->slices, self->sums, &grid, tokens,
                                                self->update, &result),
                          STATUS_OK);
    return result;
}

/* Commits one step, of two contributions that take turns sample by sample; the twin makes it too.
 */
__attribute__((unused)) static void store_fixture_commit(struct store_fixture *self)
{
    const struct journal_state *state = store_state(self->store);
    uint32_t batch = state->settings.target_batch;
    uint64_t tokens = (uint64_t)batch * self->run.config.context;
    struct sample_range ranges[FIXTURE_PEERS][16];
    struct journal_contribution contributions[FIXTURE_PEERS];
    CU_ASSERT_FATAL(batch <= 32 && batch % FIXTURE_PEERS == 0);
    for (uint32_t i = 0; i < batch; i++) {
        ranges[i % FIXTURE_PEERS][i / FIXTURE_PEERS] =
            (struct sample_range){.first = state->sample_first + i, .count = 1};
    }
    for (size_t p = 0; p < FIXTURE_PEERS; p++) {
        contributions[p] = (struct journal_contribution){.tokens = tokens / FIXTURE_PEERS,
                                                         .loss_sum = (double)tokens * 1.5,
                                                         .range_count = batch / FIXTURE_PEERS,
                                                         .ranges = ranges[p]};
        memset(contributions[p].key, (int)p + 1, sizeof contributions[p].key);
    }
    struct master_step_result result = store_fixture_step(self, self->master, tokens);
    struct journal_step step = {.step = state->version,
                                .samples = {.first = state->sample_first, .count = batch},
                                .tokens = tokens,
                                .loss_sum = (double)tokens * (3.0 - 0.01 * (double)state->version),
                                .grad_l2 = result.grad_l2,
                                .learning_rate = result.learning_rate,
                                .unix_ms = 1700000000000 + state->version,
                                .digest = result.digest,
                                .mean_codec = state->settings.mean_codec,
                                .contribution_count = FIXTURE_PEERS,
                                .contributions = contributions};
    CU_ASSERT_EQUAL_FATAL(store_commit(self->store, &step), STATUS_OK);
    struct master_step_result twin = store_fixture_step(self, self->twin, tokens);
    CU_ASSERT_TRUE(digest_equal(&twin.digest, &result.digest));
}

__attribute__((unused)) static void store_fixture_commits(struct store_fixture *self, int count)
{
    for (int i = 0; i < count; i++) {
        store_fixture_commit(self);
    }
}

__attribute__((unused)) static void store_fixture_checkpoint(struct store_fixture *self)
{
    char path[FILES_PATH_MAX];
    CU_ASSERT_EQUAL_FATAL(store_checkpoint(self->store, path), STATUS_OK);
    CU_ASSERT_TRUE(files_exists(path));
}

/* A fact that is not synced: `count` samples of the step in progress, from the first. */
__attribute__((unused)) static void store_fixture_lease(struct store_fixture *self, uint64_t id,
                                                        uint64_t count)
{
    const struct journal_state *state = store_state(self->store);
    struct journal_lease lease = {.lease_id = id,
                                  .step = state->version,
                                  .samples = {.first = state->sample_first, .count = count}};
    memset(lease.key, 1, sizeof lease.key);
    CU_ASSERT_EQUAL_FATAL(store_lease(self->store, &lease), STATUS_OK);
}

/* Parameters, weights, optimizer state and residual have the same bits. */
__attribute__((unused)) static bool same_master(struct master *a, struct master *b, size_t count)
{
    size_t bytes = count * sizeof(float);
    bool same = master_version(a) == master_version(b) &&
                memcmp(master_params(a), master_params(b), bytes) == 0 &&
                memcmp(master_weights(a), master_weights(b), bytes) == 0 &&
                (master_residual(a) == NULL) == (master_residual(b) == NULL);
    if (same && master_residual(a) != NULL) {
        same = memcmp(master_residual(a), master_residual(b), bytes) == 0;
    }
    for (size_t i = 0; same && i < optimizer_state_count(master_kind(a)); i++) {
        size_t length = 0;
        const float *values = master_state(a, i, &length);
        same = memcmp(values, master_state(b, i, &length), length * sizeof *values) == 0;
    }
    return same;
}

/* The store stands where the twin does. */
__attribute__((unused)) static bool at_twin(const struct store_fixture *self)
{
    return store_state(self->store)->version == master_version(self->twin) &&
           same_master(self->master, self->twin, self->value_count);
}

__attribute__((unused)) static bool count_damaged(void *context, const char *name)
{
    *(size_t *)context += strncmp(name, "damaged-", 8) == 0;
    return true;
}

/* What was kept aside of a journal. */
__attribute__((unused)) static size_t kept_aside(const struct store_fixture *self)
{
    char folder[FILES_PATH_MAX];
    size_t count = 0;
    CU_ASSERT_EQUAL_FATAL(files_join(self->run.path, "journal", folder), STATUS_OK);
    CU_ASSERT_TRUE(disk_list(folder, count_damaged, &count));
    return count;
}

/* Events of a type in the journal. */
__attribute__((unused)) static size_t count_events(const struct store_fixture *self,
                                                   enum journal_event_type type)
{
    uint64_t *segments = NULL;
    size_t segment_count = 0;
    size_t count = 0;
    CU_ASSERT_EQUAL_FATAL(journal_segments(self->run.path, &segments, &segment_count), STATUS_OK);
    for (size_t i = 0; i < segment_count; i++) { /* across a gap, too */
        struct journal_reader *reader = NULL;
        struct journal_record record;
        bool more = true;
        CU_ASSERT_EQUAL_FATAL(journal_reader_new(self->run.path, segments[i], &reader), STATUS_OK);
        while (more) {
            CU_ASSERT_EQUAL_FATAL(journal_read(reader, false, &record, &more), STATUS_OK);
            more = more && record.segment == segments[i];
            count += more && record.type == JOURNAL_EVENT && record.as.event.type == type;
        }
        journal_reader_free(reader);
    }
    free(segments);
    return count;
}

/* Changes one byte of scratch/`name`; from its end when `back`. */
__attribute__((unused)) static void spoil(const char *name, size_t offset, bool back)
{
    size_t size_bytes = 0;
    uint8_t *data = scratch_read(name, &size_bytes);
    CU_ASSERT_FATAL(offset < size_bytes);
    data[back ? size_bytes - 1 - offset : offset] ^= 0x20;
    scratch_write(name, data, size_bytes);
    free(data);
}

/* Cuts `count` bytes off the end of scratch/`name`. */
__attribute__((unused)) static void cut_end(const char *name, size_t count)
{
    size_t size_bytes = 0;
    uint8_t *data = scratch_read(name, &size_bytes);
    CU_ASSERT_FATAL(count < size_bytes);
    scratch_write(name, data, size_bytes - count);
    free(data);
}

/* The byte at which the record of step `step` begins in its segment, whose name goes to `out`. */
__attribute__((unused)) static size_t find_step(const struct store_fixture *self, uint64_t step,
                                                char out[64])
{
    struct journal_reader *reader = NULL;
    struct journal_record record = {.offset = 0};
    bool more = true;
    bool found = false;
    CU_ASSERT_EQUAL_FATAL(journal_reader_new(self->run.path, UINT64_MAX, &reader), STATUS_OK);
    while (more && !found) {
        CU_ASSERT_EQUAL_FATAL(journal_read(reader, false, &record, &more), STATUS_OK);
        found = more && record.type == JOURNAL_STEP && record.as.step.step == step;
    }
    journal_reader_free(reader);
    CU_ASSERT_FATAL(found);
    (void)snprintf(out, 64, "run/journal/%012u.journal", (unsigned)record.segment);
    return (size_t)record.offset;
}

#endif
