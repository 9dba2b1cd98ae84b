#include "common/fault.h"
#include "coordinator/store/store_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { RECORDS_PER_TRANSACTION = 1024 };

/* How a ledger takes the journal's records. */
struct feed {
    struct ledger *ledger;
    uint64_t next;         /* the first record that it lacks */
    struct digest hash;    /* of the one before it */
    bool fits;             /* that one is in the journal */
    uint64_t record_count; /* that were added */
};

/* Adds one record; every so many a transaction ends and the next begins. */
static enum status feed_record(struct feed *self, const struct journal_record *record)
{
    if (record->sequence + 1 == self->next) {
        self->fits = digest_equal(&record->hash, &self->hash);
    }
    if (record->sequence < self->next || !self->fits) {
        return STATUS_OK;
    }
    enum status status = ledger_add(self->ledger, record);
    if (status == STATUS_OK) {
        self->next = record->sequence + 1;
        self->hash = record->hash;
        self->record_count++;
        if (self->record_count % RECORDS_PER_TRANSACTION == 0) {
            status = ledger_end(self->ledger);
            status = status == STATUS_OK ? ledger_begin(self->ledger) : status;
        }
    }
    return status;
}

/* The records of one segment. Each has a reader of its own: behind a place where records were lost,
 * the journal goes on with a segment that the chain does not lead to. */
static enum status feed_segment(struct feed *self, const char *run_path, uint64_t segment)
{
    struct journal_reader *reader = NULL;
    struct journal_record record;
    bool more = true;
    enum status status = journal_reader_new(run_path, segment, &reader);
    while (status == STATUS_OK && more) {
        status = journal_read(reader, false, &record, &more);
        more = more && record.segment == segment;
        if (status == STATUS_OK && more) {
            status = feed_record(self, &record);
        }
    }
    journal_reader_free(reader);
    return status;
}

/* The last segment that begins at the record before the first that is lacking, or earlier. */
static enum status first_to_feed(const struct feed *self, const char *run_path,
                                 const uint64_t *segments, size_t count, size_t *out_index)
{
    enum status status = STATUS_OK;
    bool found = false;
    for (*out_index = count; *out_index > 0 && !found && status == STATUS_OK;) {
        struct journal_reader *reader = NULL;
        struct journal_record record = {.sequence = UINT64_MAX};
        bool more = false;
        --*out_index;
        status = journal_reader_new(run_path, segments[*out_index], &reader);
        if (status == STATUS_OK) {
            status = journal_read(reader, false, &record, &more);
        }
        found = status == STATUS_OK && more && record.sequence < self->next;
        journal_reader_free(reader);
    }
    return status;
}

/* Gives the ledger all that it lacks of the whole records. Errors: of the journal or the ledger. */
static enum status feed_all(struct feed *self, const char *run_path)
{
    uint64_t *segments = NULL;
    size_t count = 0;
    size_t first = 0;
    self->fits = self->next == 0;
    enum status status = journal_segments(run_path, &segments, &count);
    if (status == STATUS_OK && self->next > 0) {
        status = first_to_feed(self, run_path, segments, count, &first);
    }
    if (status == STATUS_OK) {
        status = ledger_begin(self->ledger);
    }
    if (status == STATUS_OK) {
        for (size_t i = first; i < count && status == STATUS_OK; i++) {
            status = feed_segment(self, run_path, segments[i]);
        }
        status = status == STATUS_OK ? ledger_end(self->ledger) : status;
    }
    free(segments);
    return status;
}

/* A new ledger with all records. On error *out is NULL. */
static enum status make_again(const struct run_dir *run, struct ledger **out, uint64_t *out_records,
                              uint64_t *out_next)
{
    struct feed feed = {.next = 0};
    *out = NULL;
    enum status status = ledger_remove(run->path);
    if (status == STATUS_OK) {
        status = ledger_open(run->path, run->config.name, &feed.ledger, &feed.next, &feed.hash);
    }
    if (status == STATUS_OK) {
        status = feed_all(&feed, run->path);
    }
    if (status != STATUS_OK) {
        ledger_close(feed.ledger);
        return status;
    }
    *out = feed.ledger;
    *out_records = feed.record_count;
    *out_next = feed.next;
    return STATUS_OK;
}

static void note_with_fault(const struct store *self, const char *what)
{
    char sentence[FAULT_TEXT_MAX];
    (void)snprintf(sentence, sizeof sentence, "%s (%.900s)", what, fault_text());
    store_note(self, sentence);
}

static void rebuild(struct store *self)
{
    uint64_t records = 0;
    uint64_t next = 0;
    ledger_close(self->ledger);
    self->ledger = NULL;
    if (make_again(self->run, &self->ledger, &records, &next) != STATUS_OK) {
        note_with_fault(self, "the ledger could not be made again; the run goes on without it");
        return;
    }
    if (next != journal_sequence(self->journal) + 1) {
        store_note(self, "the ledger could not be made again, because an early part of the journal "
                         "is damaged; the run goes on without it");
        ledger_close(self->ledger);
        self->ledger = NULL;
    }
}

/* The ledger follows the journal, so it never knows of a step that the journal has not held. */
static void note_other_course(const struct store *self, struct ledger *ledger)
{
    struct ledger_totals totals;
    uint64_t version = self->state.version;
    char sentence[FAULT_TEXT_MAX];
    if (ledger_totals(ledger, &totals) == STATUS_OK && totals.steps > version) {
        (void)snprintf(sentence, sizeof sentence,
                       "%.700s/journal ends at step %" PRIu64 ", but the ledger holds %" PRIu64
                       " steps: the journal lost its end, or the ledger is damaged; it is made "
                       "again from the journal",
                       self->run->path, version, totals.steps);
        store_note(self, sentence);
        return;
    }
    store_note(self, "the ledger is not that of this journal and is made again from it");
}

void store_ledger_open(struct store *self)
{
    struct feed feed = {.next = 0};
    enum status status =
        ledger_open(self->run->path, self->run->config.name, &feed.ledger, &feed.next, &feed.hash);
    if (status != STATUS_OK) {
        note_with_fault(self, "the ledger cannot be opened and is made again from the journal");
        rebuild(self);
        return;
    }
    self->ledger = feed.ledger;
    status = feed_all(&feed, self->run->path);
    if (status != STATUS_OK) {
        note_with_fault(self, "the ledger could not follow the journal and is made again");
        rebuild(self);
    } else if (!feed.fits || feed.next != journal_sequence(self->journal) + 1) {
        note_other_course(self, feed.ledger);
        rebuild(self);
    }
}

void store_ledger_add(struct store *self, struct journal_record *record)
{
    record->sequence = journal_sequence(self->journal);
    record->hash = journal_hash(self->journal);
    record->segment = self->segment;
    if (self->ledger == NULL || ledger_add(self->ledger, record) == STATUS_OK) {
        return;
    }
    note_with_fault(self, "the ledger could not be written and is made again from the journal");
    rebuild(self);
}

void store_name_peer(struct store *self, const uint8_t key[IDENTITY_KEY_BYTES], const char *name)
{
    if (self->ledger != NULL && ledger_name_peer(self->ledger, key, name) != STATUS_OK) {
        note_with_fault(self, "a peer's name could not be written to the ledger");
    }
}

enum status store_rebuild_ledger(const struct run_dir *run, uint64_t *out_records)
{
    struct ledger *ledger = NULL;
    uint64_t *segments = NULL;
    size_t segment_count = 0;
    uint64_t next = 0;
    *out_records = 0;
    enum status status = journal_segments(run->path, &segments, &segment_count);
    free(segments);
    if (status == STATUS_OK && segment_count == 0) {
        status = fault(STATUS_NO_INPUT,
                       "%s has no journal, so there is nothing to make a ledger from; was the run "
                       "ever served?",
                       run->path);
    }
    if (status == STATUS_OK) {
        status = make_again(run, &ledger, out_records, &next);
    }
    ledger_close(ledger);
    return status;
}
