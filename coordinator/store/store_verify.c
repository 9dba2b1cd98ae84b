#include "coordinator/store/store.h"

#include "common/fault.h"
#include "common/memory.h"
#include "coordinator/store/course.h"
#include "coordinator/store/replay.h"
#include "coordinator/store/sample_count.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A checkpoint that is whole. */
struct kept {
    uint64_t version;
    struct digest digest; /* of P */
    bool has_mark;
    uint64_t sequence; /* of the record after which it was written */
    struct digest run_id;
};

/* One verification at work. */
struct verifier {
    const struct run_dir *run;
    struct store_report *report;
    struct journal_reader *reader;
    struct master *master;
    struct slices *slices;
    struct replay replay;
    struct journal_state state;
    bool begun;               /* the first segment was read */
    bool replaying;           /* the master stands where `state` does */
    bool replay_failed;       /* and does so no more */
    struct kept *checkpoints; /* (checkpoint_count), ascending */
    size_t checkpoint_count;
};

/* Keeps the first fault; those that follow are mostly its consequences. */
__attribute__((format(printf, 2, 3))) static void tell(struct verifier *self, const char *format,
                                                       ...)
{
    if (self->report->fault[0] != '\0') {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(self->report->fault, sizeof self->report->fault, format, arguments);
    va_end(arguments);
}

/* The same, with the place of a record. */
static void tell_at(struct verifier *self, const struct journal_record *record, const char *text)
{
    tell(self, "%s/journal/%012" PRIu64 ".journal at byte %" PRIu64 ": %s", self->run->path,
         record->segment, record->offset, text);
}

/* NULL: none of this version, or it is not whole. */
static const struct kept *checkpoint_at(const struct verifier *self, uint64_t version)
{
    for (size_t i = 0; i < self->checkpoint_count; i++) {
        if (self->checkpoints[i].version == version) {
            return &self->checkpoints[i];
        }
    }
    return NULL;
}

static enum status check_checkpoint(const struct run_dir *run, struct kept *kept)
{
    struct checkpoint_mark mark;
    enum status status = checkpoint_check(run, kept->version);
    if (status == STATUS_OK) {
        status = checkpoint_digest(run, kept->version, &kept->digest);
    }
    if (status == STATUS_OK) {
        status = checkpoint_mark_of(run, kept->version, &kept->has_mark, &mark);
        kept->sequence = mark.sequence;
        kept->run_id = mark.state.run_id;
    }
    return status;
}

/* Hashes of all files of all checkpoints. Those that are damaged are told and looked at no more. */
static enum status check_checkpoints(struct verifier *self)
{
    uint64_t *versions = NULL;
    size_t count = 0;
    enum status status = checkpoint_list(self->run, &versions, &count);
    if (status != STATUS_OK) {
        return status;
    }
    self->checkpoints = calloc(count + 1, sizeof *self->checkpoints);
    if (self->checkpoints == NULL) {
        free(versions);
        return fault(STATUS_NO_MEMORY, "no memory to check the checkpoints");
    }
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        struct kept *kept = &self->checkpoints[self->checkpoint_count];
        kept->version = versions[i];
        enum status found = check_checkpoint(self->run, kept);
        if (found == STATUS_NO_MEMORY) {
            status = found;
        } else if (found == STATUS_OK) {
            self->checkpoint_count++;
        } else {
            tell(self, "%s", fault_text());
        }
    }
    free(versions);
    return status;
}

/* Samples between records, so that a gap is told as what it is. */
static void check_place(struct verifier *self, const struct journal_record *record, uint64_t first,
                        uint64_t count)
{
    char text[JOURNAL_TEXT_MAX];
    uint64_t due = self->state.sample_first;
    if (first > due) {
        self->report->samples_missing += first - due;
        (void)snprintf(text, sizeof text,
                       "%" PRIu64 " samples before sample %" PRIu64 " were never applied",
                       first - due, first);
        tell_at(self, record, text);
    } else if (first < due) {
        uint64_t again = due - first < count ? due - first : count;
        self->report->samples_duplicated += again;
        (void)snprintf(text, sizeof text,
                       "%" PRIu64 " samples from sample %" PRIu64
                       " on are applied for the second time",
                       again, first);
        tell_at(self, record, text);
    }
}

static enum status check_samples(struct verifier *self, const struct journal_record *record)
{
    const struct journal_step *step = &record->as.step;
    struct sample_count count;
    char text[JOURNAL_TEXT_MAX];
    check_place(self, record, step->samples.first, step->samples.count);
    enum status status = sample_count_of(step, &count);
    if (status != STATUS_OK) {
        return status;
    }
    self->report->samples_applied += count.applied;
    self->report->samples_duplicated += count.duplicated;
    self->report->samples_missing += count.missing;
    if (count.duplicated + count.missing > 0) {
        (void)snprintf(text, sizeof text,
                       "of the samples of step %" PRIu64 ", %" PRIu64
                       " are applied twice and %" PRIu64 " not at all",
                       step->step, count.duplicated, count.missing);
        tell_at(self, record, text);
    }
    return STATUS_OK;
}

/* Each contribution has the tokens of its samples; that those are the samples of the step is
 * counted above. */
static void check_credit(struct verifier *self, const struct journal_record *record)
{
    const struct journal_step *step = &record->as.step;
    uint64_t tokens = 0;
    bool fine = true;
    for (size_t i = 0; i < step->contribution_count; i++) {
        const struct journal_contribution *item = &step->contributions[i];
        uint64_t samples = 0;
        for (size_t j = 0; j < item->range_count; j++) {
            samples += item->ranges[j].count;
        }
        tokens += item->tokens;
        fine = fine && item->tokens == samples * self->run->config.context;
    }
    self->report->credit_tokens += tokens;
    self->report->trained_tokens += step->tokens;
    if (!fine) {
        char text[JOURNAL_TEXT_MAX];
        (void)snprintf(text, sizeof text,
                       "the contributions to step %" PRIu64 " are credited with %" PRIu64
                       " tokens, and the step has %" PRIu64,
                       step->step, tokens, step->tokens);
        tell_at(self, record, text);
    }
}

/* A fault of the run is told; NO_MEMORY keeps from looking. */
static enum status tell_unless_memory(struct verifier *self, enum status status)
{
    if (status == STATUS_OK || status == STATUS_NO_MEMORY) {
        return status;
    }
    tell(self, "%s", fault_text());
    return STATUS_OK;
}

/* The replay begins at the oldest checkpoint from which every mean gradient is there: at each that
 * is met, until the steps behind it turn out not to be condensed. */
static enum status begin_replay(struct verifier *self)
{
    if (self->replaying || self->replay_failed ||
        checkpoint_at(self, self->state.version) == NULL) {
        return STATUS_OK;
    }
    enum status status = checkpoint_load_version(self->run, self->state.version, self->master);
    self->replaying = status == STATUS_OK;
    return tell_unless_memory(self, status);
}

/* The checkpoint of the present version holds what the steps came to, when it was written behind
 * this record; one without a mark was written behind the step. */
static enum status compare_checkpoint(struct verifier *self, const struct journal_record *record)
{
    const struct kept *kept = checkpoint_at(self, self->state.version);
    bool behind_step = record->type == JOURNAL_STEP;
    if (kept == NULL) {
        return STATUS_OK;
    }
    if (behind_step && !digest_equal(&kept->digest, &record->as.step.digest)) {
        tell(self,
             "the checkpoint of step %" PRIu64
             " in %s holds other parameters than the journal has after that step",
             kept->version, self->run->path);
    }
    bool due = kept->has_mark ? record->sequence == kept->sequence : behind_step;
    return self->replaying && due
               ? tell_unless_memory(self, checkpoint_compare(self->run, self->master))
               : STATUS_OK;
}

static enum status replay_one(struct verifier *self, const struct journal_record *record)
{
    enum replay_result result = REPLAY_DONE;
    self->replaying = self->replaying && !record->condensed;
    if (!self->replaying) {
        return STATUS_OK;
    }
    enum status status =
        replay_step(&self->replay, self->reader, record, &self->state.settings, &result);
    if (status == STATUS_OK && result != REPLAY_DONE) {
        tell(self, "%s", fault_text());
        self->replaying = false;
        self->replay_failed = true;
    }
    self->report->replayed += self->replaying && status == STATUS_OK;
    return status;
}

static enum status take_step(struct verifier *self, const struct journal_record *record)
{
    enum status status = check_samples(self, record);
    if (status != STATUS_OK) {
        return status;
    }
    check_credit(self, record);
    self->report->steps++;
    self->report->digest = record->as.step.digest;
    return replay_one(self, record);
}

/* What the record does to the state, and to the master that follows it. */
static enum status follow(struct verifier *self, const struct journal_record *record)
{
    enum status status = STATUS_OK;
    course_take(&self->state, record);
    if (self->replaying && record->type == JOURNAL_EVENT &&
        record->as.event.type == JOURNAL_SETTINGS) {
        status = replay_set(self->master, &self->state.settings);
    }
    if (status == STATUS_OK) {
        status = compare_checkpoint(self, record);
    }
    if (status == STATUS_OK && (record->type == JOURNAL_STEP || record->type == JOURNAL_SEGMENT)) {
        status = begin_replay(self);
    }
    return status;
}

static void check_run(struct verifier *self)
{
    if (!digest_equal(&self->state.run_id, &self->run->run_id)) {
        tell(
            self,
            "%s holds the journal of a run with another key, model, seed, context, data, optimizer "
            "or schedule than identity.key, model.json and run.yaml say",
            self->run->path);
    }
    for (size_t i = 0; i < self->checkpoint_count; i++) {
        const struct kept *kept = &self->checkpoints[i];
        if (kept->has_mark && !digest_equal(&kept->run_id, &self->run->run_id)) {
            tell(self, "the checkpoint of step %" PRIu64 " in %s is that of another run",
                 kept->version, self->run->path);
        }
    }
}

static enum status take_record(struct verifier *self, const struct journal_record *record)
{
    char text[JOURNAL_TEXT_MAX];
    enum status status = STATUS_OK;
    if (!self->begun) {
        self->begun = true;
        course_take(&self->state, record);
        check_run(self);
    }
    if (record->type == JOURNAL_SEGMENT) {
        check_place(self, record, record->as.state.sample_first, 0);
    } else if (record->type == JOURNAL_STEP) {
        status = take_step(self, record);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!course_fits(&self->state, record, self->run->config.context, text)) {
        tell_at(self, record, text);
        self->replaying = false;
    }
    return follow(self, record);
}

static enum status read_all(struct verifier *self)
{
    struct journal_record record;
    bool more = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && more) {
        status = journal_read(self->reader, true, &record, &more);
        if (status == STATUS_OK && more) {
            status = take_record(self, &record);
        }
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct journal_fault torn;
    struct journal_fault damage;
    journal_reader_faults(self->reader, &torn, &damage);
    if (damage.found) {
        tell(self, "%s is damaged at byte %" PRIu64 ": %s", damage.path, damage.offset,
             damage.text);
    } else if (!self->begun) {
        tell(self, "%s/journal holds no whole record", self->run->path);
    }
    return STATUS_OK;
}

/* The ledger is made from the journal: what it knows was there once. A ledger that cannot be read
 * tells nothing; it can be made again. */
static void compare_ledger(struct verifier *self)
{
    struct ledger *ledger = NULL;
    struct ledger_totals totals = {0};
    if (ledger_open_to_read(self->run->path, &ledger) != STATUS_OK) {
        return;
    }
    if (ledger_totals(ledger, &totals) == STATUS_OK && totals.steps > self->state.version) {
        tell(
            self,
            "the journal of %s ends at step %" PRIu64 ", but its ledger holds %" PRIu64
            " steps: the journal lost its end, or the ledger is damaged (then rebuild-ledger makes "
            "it again)",
            self->run->path, self->state.version, totals.steps);
    }
    ledger_close(ledger);
}

/* A run without a step has the parameters that it began with. */
static void end_report(struct verifier *self)
{
    struct store_report *report = self->report;
    size_t count = self->checkpoint_count;
    uint64_t newest = count > 0 ? self->checkpoints[count - 1].version : 0;
    if (newest > self->state.version) {
        tell(self,
             "the journal of %s ends at step %" PRIu64 ", before its checkpoint of step %" PRIu64,
             self->run->path, self->state.version, newest);
    }
    compare_ledger(self);
    if (count == 0) {
        tell(self, "%s/checkpoints holds no whole checkpoint", self->run->path);
    } else if (report->steps == 0) {
        report->digest = self->checkpoints[count - 1].digest;
    }
    report->ok = report->fault[0] == '\0';
}

static enum status open_verifier(struct verifier *self, size_t thread_count)
{
    const struct run_config *config = &self->run->config;
    size_t value_count = layout_value_count(self->run->layout);
    struct master_codecs codecs = {.update = config->codec, .mean = config->mean_codec};
    enum status status =
        memory_check_fits("verifying this run",
                          2U * (uint64_t)value_count * sizeof(float) +
                              master_bytes(self->run->layout, &config->model,
                                           config->optimizer.kind, config->mean_codec),
                          "verify it on a machine with more memory");
    if (status == STATUS_OK) {
        status = journal_reader_new(self->run->path, UINT64_MAX, &self->reader);
    }
    if (status == STATUS_OK) {
        status = master_new(self->run->layout, &config->model, &config->optimizer,
                            &config->schedule, codecs, &self->master);
    }
    if (status == STATUS_OK) {
        status = slices_new(thread_count, value_count, MASTER_SLICE_ALIGN, &self->slices);
    }
    return status == STATUS_OK ? replay_init(&self->replay, self->run, self->master, self->slices)
                               : status;
}

enum status store_verify(const struct run_dir *run, size_t thread_count, struct store_report *out)
{
    struct verifier self = {.run = run, .report = out};
    memset(out, 0, sizeof *out);
    enum status status = open_verifier(&self, thread_count);
    if (status == STATUS_OK) {
        status = check_checkpoints(&self);
    }
    if (status == STATUS_OK) {
        status = read_all(&self);
    }
    if (status == STATUS_OK) {
        end_report(&self);
    }
    replay_deinit(&self.replay);
    slices_free(self.slices);
    master_free(self.master);
    journal_reader_free(self.reader);
    free(self.checkpoints);
    return status;
}
