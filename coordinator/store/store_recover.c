#include "coordinator/store/store_recover.h"

#include "coordinator/store/course.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEASES_MAX = 1 << 20 };

/* One recovery at work. */
struct attempt {
    struct recovery *out;
    const struct run_dir *run;
    struct replay replay;
    uint64_t *segments; /* (segment_count) versions, ascending */
    size_t segment_count;
    uint64_t *checkpoints; /* (checkpoint_count) versions, ascending */
    size_t checkpoint_count;
    uint64_t until;
    void (*on_note)(const char *sentence);
    bool has_mark; /* of the checkpoint that is being tried */
    struct checkpoint_mark mark;
    char wrong[FAULT_TEXT_MAX]; /* what ends the whole records; "": nothing */
    bool damaged;               /* that was durable once */
    uint64_t known_end;         /* steps that stand behind it, as far as they can be read */
};

/* What trying one checkpoint came to; fault.h says why it was not fine. */
enum outcome {
    OUTCOME_FINE,   /* as far as whole records go */
    OUTCOME_TORN,   /* it is not whole */
    OUTCOME_REFUSED /* it does not lead to where the run stands */
};

enum status lease_list_add(struct lease_list *self, const struct journal_lease *lease)
{
    if (self->count == LEASES_MAX) {
        return STATUS_OK; /* a step cannot have as many; what is left out is leased again */
    }
    if (self->count == self->room) {
        size_t room = self->room > 0 ? 2 * self->room : 64;
        struct journal_lease *items = realloc(self->items, room * sizeof *items);
        if (items == NULL) {
            return fault(STATUS_NO_MEMORY, "no memory to note a lease");
        }
        self->items = items;
        self->room = room;
    }
    self->items[self->count++] = *lease;
    return STATUS_OK;
}

void lease_list_advance(struct lease_list *self, uint64_t version)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (self->items[i].step >= version) {
            self->items[kept++] = self->items[i];
        }
    }
    self->count = kept;
}

void recovery_deinit(struct recovery *self)
{
    free(self->leases.items);
    free(self->damaged);
    self->leases = (struct lease_list){0};
    self->damaged = NULL;
    self->damaged_count = 0;
}

static void tell(const struct attempt *self, const char *sentence)
{
    if (self->on_note != NULL) {
        self->on_note(sentence);
    }
}

/* Opens the segment that holds `version`; one whose first record a crash or damage took is passed
 * over for the one before it. NULL when there is none. */
static enum status open_segment(const struct attempt *self, uint64_t version,
                                struct journal_reader **out, struct journal_record *out_first)
{
    *out = NULL;
    for (size_t i = self->segment_count; i-- > 0;) {
        if (self->segments[i] > version) {
            continue;
        }
        bool more = false;
        enum status status = journal_reader_new(self->run->path, self->segments[i], out);
        if (status == STATUS_OK) {
            status = journal_read(*out, false, out_first, &more);
        }
        if (status == STATUS_OK && more && out_first->type == JOURNAL_SEGMENT) {
            return STATUS_OK;
        }
        journal_reader_free(*out);
        *out = NULL;
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Raises *end to the version behind the last step that can be read. */
static enum status read_to_end(struct journal_reader *reader, uint64_t *end)
{
    struct journal_record record;
    bool more = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && more) {
        status = journal_read(reader, false, &record, &more);
        if (status == STATUS_OK && more && record.type == JOURNAL_STEP &&
            record.as.step.step >= *end) {
            *end = record.as.step.step + 1;
        }
    }
    return status;
}

/* How far the run once was, as checkpoints and later segments tell. */
static enum status find_end(const struct attempt *self, uint64_t *end)
{
    struct journal_reader *reader = NULL;
    uint64_t newest = self->checkpoints[self->checkpoint_count - 1];
    uint64_t last = self->segments[self->segment_count - 1];
    *end = newest > *end ? newest : *end;
    if (last <= self->out->state.version) {
        return STATUS_OK;
    }
    enum status status = journal_reader_new(self->run->path, last, &reader);
    if (status == STATUS_OK) {
        status = read_to_end(reader, end);
    }
    journal_reader_free(reader);
    return status;
}

/* The run goes on from here although whole steps stood behind: says what is lost. */
static enum status note_loss(struct attempt *self)
{
    struct recovery *out = self->out;
    uint64_t end = self->known_end;
    enum status status = find_end(self, &end);
    if (status == STATUS_OK) {
        uint64_t lost = end > out->state.version ? end - out->state.version : 1;
        (void)snprintf(out->note, sizeof out->note,
                       "%.700s; the run goes on at step %" PRIu64 ", %" PRIu64
                       " or more committed steps are lost, and what is left of them is kept as "
                       "journal/damaged-*",
                       self->wrong, out->state.version, lost);
    }
    return status;
}

static void note_damage(struct attempt *self, const char *path, uint64_t offset, const char *text)
{
    self->damaged = true;
    (void)snprintf(self->wrong, sizeof self->wrong, "%.700s is damaged at byte %" PRIu64 ": %s",
                   path, offset, text);
}

/* Replays one step. *out_stop: the course ends before it. */
static enum status replay_one(struct attempt *self, struct journal_reader *reader,
                              const struct journal_record *record, enum outcome *outcome,
                              bool *out_stop)
{
    enum replay_result result = REPLAY_DONE;
    enum status status =
        replay_step(&self->replay, reader, record, &self->out->state.settings, &result);
    if (status != STATUS_OK || result == REPLAY_DONE) {
        self->out->replayed++;
        return status;
    }
    *out_stop = true;
    if (result != REPLAY_DAMAGED) {
        *outcome = OUTCOME_REFUSED;
        return STATUS_OK;
    }
    self->damaged = true;
    self->known_end = record->as.step.step + 1;
    (void)snprintf(self->wrong, sizeof self->wrong, "%s", fault_text());
    return read_to_end(reader, &self->known_end);
}

/* The checkpoint is of another course when the journal says otherwise where it was written. */
static bool mark_fits(struct attempt *self, const struct journal_record *record)
{
    const struct journal_state *state = &self->out->state;
    const struct checkpoint_mark *mark = &self->mark;
    if (!self->has_mark) {
        return true;
    }
    /* In a segment that begins at the checkpoint, another record may have that number: when records
     * were lost, the journal went on from the checkpoint with the numbers that were left. */
    bool other_hash = record->sequence == mark->sequence && record->segment < mark->state.version &&
                      !digest_equal(&record->hash, &mark->hash);
    bool other_state =
        state->version == mark->state.version &&
        (state->sample_first != mark->state.sample_first || state->tokens != mark->state.tokens);
    if (!other_hash && !other_state) {
        return true;
    }
    (void)fault(STATUS_CORRUPT,
                "the checkpoint of step %" PRIu64 " is of another course than the journal",
                mark->state.version);
    return false;
}

/* Takes one record. *out_stop: the course ends before it, or at `until` with it. */
static enum status take_record(struct attempt *self, struct journal_reader *reader,
                               const struct journal_record *record, enum outcome *outcome,
                               bool *out_stop)
{
    struct recovery *out = self->out;
    char text[JOURNAL_TEXT_MAX];
    enum status status = STATUS_OK;
    if (!course_fits(&out->state, record, self->run->config.context, text)) {
        char path[FILES_PATH_MAX];
        *out_stop = true;
        status = replay_segment_path(self->run, record, path);
        note_damage(self, path, record->offset, text);
        return status;
    }
    if (record->type == JOURNAL_STEP && record->as.step.step >= out->checkpoint) {
        status = replay_one(self, reader, record, outcome, out_stop);
    }
    if (status != STATUS_OK || *out_stop) {
        return status;
    }
    course_take(&out->state, record);
    out->last = *record;
    if (record->type == JOURNAL_STEP) {
        lease_list_advance(&out->leases, out->state.version);
    } else if (record->type == JOURNAL_EVENT && record->as.event.type == JOURNAL_SETTINGS &&
               out->state.version >= out->checkpoint) {
        /* Each in its turn: one that drops the residual does so also when the next wants it back.
         * Those that the checkpoint knows already change nothing. */
        status = replay_set(self->replay.master, &out->state.settings);
    } else if (record->type == JOURNAL_LEASE && record->as.lease.step >= out->state.version &&
               record->as.lease.step - out->state.version <= 1) {
        status = lease_list_add(&out->leases, &record->as.lease);
    }
    if (!mark_fits(self, record)) {
        *outcome = OUTCOME_REFUSED;
    }
    *out_stop = *outcome != OUTCOME_FINE || out->state.version >= self->until;
    return status;
}

/* Neither journal nor checkpoint is gone on from with another key, model, data or optimizer. A
 * checkpoint of another run is passed over. Errors: BAD_CONFIG. */
static enum status check_run(const struct attempt *self, const struct journal_state *begun,
                             enum outcome *outcome)
{
    if (!digest_equal(&begun->run_id, &self->run->run_id)) {
        return fault(STATUS_BAD_CONFIG,
                     "%s holds the journal of a run with another key, model, seed, context, data, "
                     "optimizer or schedule; put copies of identity.key, model.json and run.yaml "
                     "back as they were, or make a new run",
                     self->run->path);
    }
    if (self->has_mark && !digest_equal(&self->mark.state.run_id, &self->run->run_id)) {
        (void)fault(STATUS_CORRUPT,
                    "the checkpoint of step %" PRIu64 " in %s is that of another run",
                    self->mark.state.version, self->run->path);
        *outcome = OUTCOME_REFUSED;
    }
    return STATUS_OK;
}

/* All whole records, or those up to `until`; what follows them is told. */
static enum status follow(struct attempt *self, struct journal_reader *reader,
                          struct journal_record *record, enum outcome *outcome)
{
    struct recovery *out = self->out;
    bool more = true;
    enum status status = check_run(self, &record->as.state, outcome);
    bool stop = *outcome != OUTCOME_FINE;
    course_take(&out->state, record); /* so that the first segment fits itself */
    while (status == STATUS_OK && more && !stop) {
        status = take_record(self, reader, record, outcome, &stop);
        if (status == STATUS_OK && !stop) {
            status = journal_read(reader, false, record, &more);
        }
    }
    if (status != STATUS_OK || stop) {
        return status;
    }
    struct journal_fault torn;
    struct journal_fault damage;
    journal_reader_faults(reader, &torn, &damage);
    if (damage.found) {
        note_damage(self, damage.path, damage.offset, damage.text);
    } else if (torn.found) {
        (void)snprintf(self->wrong, sizeof self->wrong,
                       "%.700s ends at byte %" PRIu64 " in a record that a crash cut off (%s)",
                       torn.path, torn.offset, torn.text);
    }
    return STATUS_OK;
}

/* The journal ends before the checkpoint that was loaded: its mark tells where the run stood. */
static void go_on_from_mark(struct attempt *self, enum outcome *outcome)
{
    struct recovery *out = self->out;
    if (!self->has_mark) {
        (void)fault(STATUS_CORRUPT,
                    "the journal of %s ends at step %" PRIu64
                    ", before the checkpoint of step %" PRIu64,
                    self->run->path, out->state.version, out->checkpoint);
        *outcome = OUTCOME_REFUSED;
        return;
    }
    (void)snprintf(out->note, sizeof out->note,
                   "%.600s; the journal is whole to step %" PRIu64
                   " only and the run goes on from the checkpoint of step %" PRIu64
                   ": who computed what between them is lost, and what is left of it is kept as "
                   "journal/damaged-*",
                   self->wrong[0] != '\0' ? self->wrong : "records are missing", out->state.version,
                   out->checkpoint);
    out->state = self->mark.state;
    out->leases.count = 0;
    out->keep_rest = true;
    out->behind = true;
}

/* The whole records are done: what follows from what stands behind them. */
static enum status end_course(struct attempt *self, enum outcome *outcome)
{
    struct recovery *out = self->out;
    enum status status = STATUS_OK;
    if (out->state.version < out->checkpoint) {
        go_on_from_mark(self, outcome);
    } else if (self->damaged) {
        out->keep_rest = true;
        status = note_loss(self);
    } else if (self->wrong[0] != '\0') {
        (void)snprintf(out->note, sizeof out->note, "%.900s; it was not committed and is removed",
                       self->wrong);
    }
    return status == STATUS_OK && *outcome == OUTCOME_FINE
               ? replay_set(self->replay.master, &out->state.settings)
               : status;
}

/* From the loaded checkpoint to the end. */
static enum status attempt_course(struct attempt *self, enum outcome *outcome)
{
    struct recovery *out = self->out;
    struct journal_reader *reader = NULL;
    struct journal_record record;
    enum status status = open_segment(self, out->checkpoint, &reader, &record);
    *outcome = OUTCOME_FINE;
    if (status == STATUS_OK && reader == NULL) {
        (void)fault(STATUS_CORRUPT,
                    "the journal of %s does not reach back to the checkpoint of step %" PRIu64,
                    self->run->path, out->checkpoint);
        *outcome = OUTCOME_REFUSED;
    }
    if (status == STATUS_OK && reader != NULL) {
        status = follow(self, reader, &record, outcome);
    }
    journal_reader_free(reader);
    return status == STATUS_OK && *outcome == OUTCOME_FINE ? end_course(self, outcome) : status;
}

/* One checkpoint, and the journal from there on. Errors: those that keep all others from serving.
 */
static enum status attempt_version(struct attempt *self, uint64_t version, enum outcome *outcome)
{
    struct recovery *out = self->out;
    out->checkpoint = version;
    out->leases.count = 0;
    out->keep_rest = false;
    out->behind = false;
    out->replayed = 0;
    out->note[0] = '\0';
    self->wrong[0] = '\0';
    self->damaged = false;
    self->known_end = 0;
    *outcome = OUTCOME_TORN;
    enum status status = checkpoint_load_version(self->run, version, self->replay.master);
    if (status == STATUS_OK) {
        status = checkpoint_mark_of(self->run, version, &self->has_mark, &self->mark);
    }
    if (status == STATUS_BAD_CONFIG || status == STATUS_NO_MEMORY) {
        return status;
    }
    return status == STATUS_OK ? attempt_course(self, outcome) : STATUS_OK;
}

static enum status try_all(struct attempt *self)
{
    struct recovery *out = self->out;
    enum outcome outcome = OUTCOME_TORN;
    bool whole = false;
    for (size_t i = self->checkpoint_count; i-- > 0;) {
        if (self->checkpoints[i] > self->until) {
            continue;
        }
        enum status status = attempt_version(self, self->checkpoints[i], &outcome);
        if (status != STATUS_OK || outcome == OUTCOME_FINE) {
            return status;
        }
        whole = whole || outcome == OUTCOME_REFUSED;
        tell(self, fault_text());
        out->damaged[out->damaged_count++] = self->checkpoints[i];
    }
    if (out->damaged_count == 0) {
        return fault(STATUS_OUT_OF_RANGE, "%s keeps no checkpoint as old as step %" PRIu64,
                     self->run->path, self->until);
    }
    char reason[FAULT_TEXT_MAX];
    (void)snprintf(reason, sizeof reason, "%s", fault_text());
    return fault(whole ? STATUS_CORRUPT : STATUS_NO_INPUT,
                 "no checkpoint of %.300s leads to its last committed step; put a copy of a whole "
                 "one into its folder checkpoints (the last one tried: %.500s)",
                 self->run->path, reason);
}

/* A run that was never served, or by a release that kept no journal. */
static enum status without_journal(struct attempt *self)
{
    char path[FILES_PATH_MAX];
    struct recovery *out = self->out;
    for (size_t i = 0; i < self->checkpoint_count; i++) {
        enum status status =
            checkpoint_mark_of(self->run, self->checkpoints[i], &self->has_mark, &self->mark);
        if (status == STATUS_OK && self->has_mark) {
            return fault(STATUS_NO_INPUT,
                         "%s/journal is gone, but the checkpoint of step %" PRIu64
                         " was written beside one; put a copy of the journal back, or begin a new "
                         "run from the checkpoint with init_from",
                         self->run->path, self->checkpoints[i]);
        }
    }
    enum status status = checkpoint_load(self->run, self->replay.master, self->on_note, path);
    if (status != STATUS_OK) {
        return status;
    }
    out->checkpoint = master_version(self->replay.master);
    out->state = course_begin(self->run, out->checkpoint);
    if (out->checkpoint > 0) {
        (void)snprintf(out->note, sizeof out->note,
                       "the run is of a release that kept no journal; one begins at its newest "
                       "checkpoint, step %" PRIu64,
                       out->checkpoint);
    }
    return replay_set(self->replay.master, &out->state.settings);
}

static enum status run_attempt(struct attempt *self)
{
    struct recovery *out = self->out;
    enum status status = journal_segments(self->run->path, &self->segments, &self->segment_count);
    if (status == STATUS_OK) {
        status = checkpoint_list(self->run, &self->checkpoints, &self->checkpoint_count);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (self->checkpoint_count == 0) {
        return fault(STATUS_NO_INPUT,
                     "%s/checkpoints holds no whole checkpoint; put a copy of one there",
                     self->run->path);
    }
    out->damaged = calloc(self->checkpoint_count, sizeof *out->damaged);
    if (out->damaged == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to recover the run");
    }
    out->has_journal = self->segment_count > 0;
    return out->has_journal ? try_all(self) : without_journal(self);
}

enum status recovery_run(struct recovery *self, const struct run_dir *run, struct master *master,
                         struct slices *slices, uint64_t until,
                         void (*on_note)(const char *sentence))
{
    struct attempt attempt = {.out = self, .run = run, .until = until, .on_note = on_note};
    memset(self, 0, sizeof *self);
    enum status status = replay_init(&attempt.replay, run, master, slices);
    if (status == STATUS_OK) {
        status = run_attempt(&attempt);
    }
    replay_deinit(&attempt.replay);
    free(attempt.segments);
    free(attempt.checkpoints);
    if (status == STATUS_OK && until != UINT64_MAX && self->state.version != until) {
        status = self->note[0] != '\0'
                     ? fault(STATUS_CORRUPT, "%.1000s", self->note)
                     : fault(STATUS_OUT_OF_RANGE,
                             "%s is at step %" PRIu64 " and not yet at step %" PRIu64, run->path,
                             self->state.version, until);
    }
    if (status == STATUS_OK && self->note[0] != '\0' && on_note != NULL) {
        on_note(self->note);
    }
    return status;
}
