#include "coordinator/store/store.h"

#include "common/check.h"
#include "common/clock.h"
#include "coordinator/store/course.h"
#include "coordinator/store/store_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STEP_RECORD_BYTES = 1 << 16,     /* of a step, without its mean gradient */
    CHECKPOINT_REST_BYTES = 16 << 20 /* tokenizer, settings, headers */
};

void store_note(const struct store *self, const char *sentence)
{
    if (self->on_note != NULL) {
        self->on_note(sentence);
    }
}

/* Appended and synced, then the state follows. */
static enum status append_event(struct store *self, const struct journal_event *event)
{
    struct journal_record record = {.type = JOURNAL_EVENT, .as.event = *event};
    enum status status = journal_append_event(self->journal, event);
    if (status == STATUS_OK) {
        status = journal_sync(self->journal);
    }
    if (status == STATUS_OK) {
        course_take(&self->state, &record);
        store_ledger_add(self, &record);
    }
    return status;
}

/* Those that did not serve, and those of a course that the run has left: the next start must not
 * find them. What a crash left is removed. */
static enum status clear_checkpoints(const struct store *self, const struct recovery *found)
{
    uint64_t *versions = NULL;
    size_t count = 0;
    enum status status = checkpoint_list(self->run, &versions, &count);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        bool aside = versions[i] > self->state.version;
        for (size_t j = 0; j < found->damaged_count; j++) {
            aside = aside || versions[i] == found->damaged[j];
        }
        if (aside) {
            char sentence[128];
            (void)snprintf(sentence, sizeof sentence,
                           "the checkpoint of step %" PRIu64
                           " is set aside as checkpoints/damaged-%06" PRIu64,
                           versions[i], versions[i]);
            store_note(self, sentence);
            status = checkpoint_set_aside(self->run, versions[i]);
        }
    }
    free(versions);
    return status == STATUS_OK ? checkpoint_remove_torn(self->run) : status;
}

static enum status open_journal(struct store *self, const struct recovery *found)
{
    const char *path = self->run->path;
    self->segment = found->has_journal ? found->last.segment : self->state.version;
    enum status status = found->has_journal
                             ? journal_open(path, &found->last, found->keep_rest, &self->journal)
                             : journal_create(path, &self->state, &self->journal);
    if (status == STATUS_OK && found->behind) {
        self->segment = self->state.version;
        status = journal_roll(self->journal, &self->state);
    }
    return status;
}

static enum status note_in_journal(struct store *self, const char *text)
{
    struct journal_event event = {
        .type = JOURNAL_NOTE, .version = self->state.version, .unix_ms = clock_unix_ms()};
    (void)snprintf(event.text, sizeof event.text, "%.*s", JOURNAL_TEXT_MAX - 1, text);
    return append_event(self, &event);
}

static enum status open_all(struct store *self, struct slices *slices, struct recovery *found)
{
    enum status status = journal_refresh(self->run->path);
    if (status == STATUS_OK) {
        status = recovery_run(found, self->run, self->master, slices, UINT64_MAX, self->on_note);
    }
    if (status != STATUS_OK) {
        return status;
    }
    self->state = found->state;
    self->checkpoint = found->checkpoint;
    self->leases = found->leases;
    found->leases = (struct lease_list){0};
    status = clear_checkpoints(self, found);
    if (status == STATUS_OK) {
        status = open_journal(self, found);
    }
    if (status == STATUS_OK && found->keep_rest) {
        status = note_in_journal(self, found->note);
    }
    if (status == STATUS_OK) {
        const struct journal_event served = {
            .type = JOURNAL_SERVED, .version = self->state.version, .unix_ms = clock_unix_ms()};
        status = append_event(self, &served);
    }
    if (status == STATUS_OK) {
        store_ledger_open(self);
    }
    return status;
}

enum status store_open(const struct run_dir *run, struct master *master, struct slices *slices,
                       void (*on_note)(const char *sentence), struct store **out)
{
    struct recovery found = {0};
    *out = NULL;
    struct store *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to open the run");
    }
    self->run = run;
    self->master = master;
    self->on_note = on_note;
    enum status status = open_all(self, slices, &found);
    recovery_deinit(&found);
    if (status != STATUS_OK) {
        store_close(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void store_close(struct store *self)
{
    if (self == NULL) {
        return;
    }
    ledger_close(self->ledger);
    journal_close(self->journal);
    free(self->leases.items);
    free(self);
}

const struct journal_state *store_state(const struct store *self)
{
    return &self->state;
}

const struct journal_lease *store_leases(const struct store *self, size_t *out_count)
{
    *out_count = self->leases.count;
    return self->leases.items;
}

/* The record of the step that led to `version`, in the segment that begins at `from` or the next
 * ones. */
static enum status read_digest(const struct store *self, uint64_t from, uint64_t version,
                               struct digest *out, bool *out_found)
{
    struct journal_reader *reader = NULL;
    struct journal_record record;
    bool more = true;
    enum status status = journal_reader_new(self->run->path, from, &reader);
    while (status == STATUS_OK && more && !*out_found) {
        status = journal_read(reader, false, &record, &more);
        if (status == STATUS_OK && more && record.type == JOURNAL_STEP &&
            record.as.step.step + 1 == version) {
            *out = record.as.step.digest;
            *out_found = true;
        }
    }
    journal_reader_free(reader);
    return status;
}

enum status store_digest(const struct store *self, uint64_t version, struct digest *out,
                         bool *out_found)
{
    uint64_t *segments = NULL;
    size_t count = 0;
    *out_found = false;
    if (version == 0) {
        *out_found = checkpoint_digest(self->run, 0, out) == STATUS_OK;
        return STATUS_OK;
    }
    enum status status = journal_segments(self->run->path, &segments, &count);
    /* Behind damage, a later segment may begin below an earlier one's end: the latest counts. */
    for (size_t i = count; i-- > 0 && status == STATUS_OK && !*out_found;) {
        if (segments[i] < version) {
            status = read_digest(self, segments[i], version, out, out_found);
            break;
        }
    }
    free(segments);
    return status;
}

static enum status append_lease(struct store *self, const struct journal_lease *lease)
{
    struct journal_record record = {.type = JOURNAL_LEASE, .as.lease = *lease};
    enum status status = journal_append_lease(self->journal, lease);
    if (status == STATUS_OK) {
        store_ledger_add(self, &record);
    }
    return status;
}

enum status store_lease(struct store *self, const struct journal_lease *lease)
{
    enum status status = lease_list_add(&self->leases, lease);
    return status == STATUS_OK ? append_lease(self, lease) : status;
}

enum status store_commit(struct store *self, struct journal_step *step)
{
    size_t payload_bytes = master_mean_bytes(self->master);
    CHECK(step->step == self->state.version && master_version(self->master) == step->step + 1);
    CHECK(step->samples.first == self->state.sample_first);
    CHECK(step->mean_codec == self->state.settings.mean_codec);
    enum status status =
        journal_append_step(self->journal, step, master_mean_encoded(self->master), payload_bytes);
    if (status == STATUS_OK) {
        status = journal_sync(self->journal);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct journal_record record = {
        .type = JOURNAL_STEP, .payload_bytes = payload_bytes, .as.step = *step};
    course_take(&self->state, &record);
    lease_list_advance(&self->leases, self->state.version);
    store_ledger_add(self, &record);
    return STATUS_OK;
}

enum status store_event(struct store *self, const struct journal_event *event)
{
    CHECK(event->version == self->state.version);
    enum status status =
        event->type == JOURNAL_SETTINGS ? replay_set(self->master, &event->settings) : STATUS_OK;
    return status == STATUS_OK ? append_event(self, event) : status;
}

/* A segment begins at each checkpoint, so that a start reads no more than it needs: the leases of a
 * step in progress have to stand in it as well. */
static enum status roll(struct store *self)
{
    if (self->segment == self->state.version) {
        return STATUS_OK;
    }
    struct journal_record record = {.type = JOURNAL_SEGMENT, .as.state = self->state};
    enum status status = journal_roll(self->journal, &self->state);
    if (status == STATUS_OK) {
        self->segment = self->state.version;
        store_ledger_add(self, &record);
    }
    for (size_t i = 0; i < self->leases.count && status == STATUS_OK; i++) {
        status = append_lease(self, &self->leases.items[i]);
    }
    return status;
}

uint64_t store_checkpoint_version(const struct store *self)
{
    return self->checkpoint;
}

enum status store_checkpoint(struct store *self, char *out_path)
{
    uint64_t oldest = 0;
    if (self->checkpoint == self->state.version) {
        return checkpoint_path(self->run, self->checkpoint, out_path);
    }
    /* The mark must not tell of a record that a crash could still take back. */
    enum status status = journal_sync(self->journal);
    struct checkpoint_mark mark = {.state = self->state,
                                   .sequence = journal_sequence(self->journal),
                                   .hash = journal_hash(self->journal)};
    if (status == STATUS_OK) {
        status = checkpoint_write(self->run, self->master, &mark, out_path);
    }
    if (status == STATUS_OK) {
        self->checkpoint = self->state.version;
        status = roll(self);
    }
    if (status == STATUS_OK) {
        status = checkpoint_prune(self->run, &oldest);
    }
    /* With too few checkpoints the first one must still lead to the end: then `oldest` is 0. */
    return status == STATUS_OK ? journal_condense(self->run->path, oldest) : status;
}

uint64_t store_step_bytes(const struct store *self)
{
    return master_mean_bytes(self->master) + STEP_RECORD_BYTES;
}

uint64_t store_checkpoint_bytes(const struct store *self)
{
    uint64_t values = 2U * (uint64_t)master_value_count(self->master);
    if (master_residual(self->master) != NULL) {
        values += master_value_count(self->master);
    }
    for (size_t i = 0; i < optimizer_state_count(master_kind(self->master)); i++) {
        size_t count = 0;
        (void)master_state(self->master, i, &count);
        values += count;
    }
    return values * sizeof(float) + CHECKPOINT_REST_BYTES;
}

enum status store_replay_to(const struct run_dir *run, struct master *master, struct slices *slices,
                            uint64_t version, struct journal_state *out_state)
{
    struct recovery found;
    enum status status = recovery_run(&found, run, master, slices, version, NULL);
    *out_state = found.state;
    recovery_deinit(&found);
    return status;
}
