#include "common/check.h"
#include "common/fault.h"
#include "coordinator/store/ledger_schema.h"
#include "coordinator/store/ledger_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { SETTINGS_BYTES = 160 };

static struct sql_query begin(struct ledger *self, enum ledger_statement which)
{
    return sql_query_begin(&self->statements, which);
}

static enum status run(struct ledger *self, enum ledger_statement which)
{
    struct sql_query query = begin(self, which);
    return sql_query_run(&query);
}

/* 17 digits bring a double back to the bit. */
static enum status settings_to_json(const struct ledger *self, const struct live_settings *settings,
                                    char out[SETTINGS_BYTES])
{
    if (!isfinite(settings->learning_rate)) {
        return fault(STATUS_OUT_OF_RANGE, "%s cannot hold a learning rate that is not finite",
                     self->path);
    }
    (void)snprintf(out, SETTINGS_BYTES,
                   "{\"learning_rate\":%.17g,\"target_batch\":%" PRIu32
                   ",\"codec\":\"%s\",\"mean_codec\":\"%s\",\"update_codec\":\"%s\"}",
                   settings->learning_rate, settings->target_batch, codec_name(settings->codec),
                   codec_name(settings->mean_codec), codec_name(settings->update_codec));
    return STATUS_OK;
}

static enum status add_segment(struct ledger *self, const struct journal_state *state)
{
    char settings[SETTINGS_BYTES];
    enum status status = settings_to_json(self, &state->settings, settings);
    if (status != STATUS_OK) {
        return status;
    }
    struct sql_query query = begin(self, LEDGER_ADD_RUN);
    sql_put_blob(&query, state->run_id.bytes, sizeof state->run_id.bytes);
    sql_put_text(&query, self->run_name);
    sql_put_integer(&query, state->serial);
    sql_put_integer(&query, state->paused ? 1 : 0);
    sql_put_text(&query, settings);
    status = sql_query_run(&query);
    if (status == STATUS_OK && sqlite3_changes(self->file.db) == 0) {
        status = fault(STATUS_CORRUPT, "%s is that of another run; %s", self->path, LEDGER_REMEDY);
    }
    return status;
}

static enum status change_run(struct ledger *self, const struct journal_event *event,
                              const char *settings)
{
    struct sql_query query;
    switch (event->type) {
    case JOURNAL_SERVED:
        return run(self, LEDGER_COUNT_SERVE);
    case JOURNAL_SETTINGS:
        query = begin(self, LEDGER_SET_SETTINGS);
        sql_put_text(&query, settings);
        return sql_query_run(&query);
    case JOURNAL_PAUSED:
    case JOURNAL_RESUMED:
        query = begin(self, LEDGER_SET_PAUSED);
        sql_put_integer(&query, event->type == JOURNAL_PAUSED ? 1 : 0);
        return sql_query_run(&query);
    case JOURNAL_NOTE:
    default:
        return STATUS_OK;
    }
}

static enum status add_event(struct ledger *self, const struct journal_record *record)
{
    static const char *const names[] = {[JOURNAL_SERVED] = "served",
                                        [JOURNAL_SETTINGS] = "settings",
                                        [JOURNAL_PAUSED] = "paused",
                                        [JOURNAL_RESUMED] = "resumed",
                                        [JOURNAL_NOTE] = "note"};
    const struct journal_event *event = &record->as.event;
    char text[JOURNAL_TEXT_MAX];
    char settings[SETTINGS_BYTES] = "";
    enum status status = STATUS_OK;
    CHECK(event->type >= JOURNAL_SERVED && event->type <= JOURNAL_NOTE);
    (void)snprintf(text, sizeof text, "%.*s", JOURNAL_TEXT_MAX - 1, event->text);
    if (event->type == JOURNAL_SETTINGS) {
        status = settings_to_json(self, &event->settings, settings);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct sql_query query = begin(self, LEDGER_ADD_EVENT);
    sql_put_integer(&query, record->sequence);
    sql_put_text(&query, names[event->type]);
    sql_put_integer(&query, event->version);
    sql_put_integer(&query, event->unix_ms);
    sql_put_text(&query, text);
    sql_put_text(&query, event->type == JOURNAL_SETTINGS ? settings : NULL);
    status = sql_query_run(&query);
    return status == STATUS_OK ? change_run(self, event, settings) : status;
}

static enum status see_peer(struct ledger *self, const uint8_t key[IDENTITY_KEY_BYTES],
                            uint64_t unix_ms, uint64_t *out_peer)
{
    *out_peer = 0;
    struct sql_query query = begin(self, LEDGER_SEE_PEER);
    sql_put_blob(&query, key, IDENTITY_KEY_BYTES);
    sql_put_integer(&query, unix_ms);
    while (sql_query_next(&query)) {
        *out_peer = sql_take_integer(&query);
    }
    return sql_query_end(&query);
}

static enum status add_ranges(struct ledger *self, uint64_t step, size_t number,
                              const struct journal_contribution *contribution)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < contribution->range_count && status == STATUS_OK; i++) {
        struct sql_query query = begin(self, LEDGER_ADD_RANGE);
        sql_put_integer(&query, contribution->ranges[i].first);
        sql_put_integer(&query, contribution->ranges[i].count);
        sql_put_integer(&query, step);
        sql_put_integer(&query, number);
        status = sql_query_run(&query);
    }
    return status;
}

/* All samples of the ranges; UINT64_MAX, which no ledger holds, when they are more than that. */
static uint64_t samples_of(const struct journal_contribution *contribution)
{
    uint64_t samples = 0;
    for (size_t i = 0; i < contribution->range_count; i++) {
        uint64_t count = contribution->ranges[i].count;
        samples = count > UINT64_MAX - samples ? UINT64_MAX : samples + count;
    }
    return samples;
}

static enum status add_contribution(struct ledger *self, const struct journal_step *step,
                                    size_t number)
{
    const struct journal_contribution *contribution = &step->contributions[number];
    uint64_t samples = samples_of(contribution);
    uint64_t peer = 0;
    enum status status = see_peer(self, contribution->key, step->unix_ms, &peer);
    if (status != STATUS_OK) {
        return status;
    }
    struct sql_query query = begin(self, LEDGER_ADD_CONTRIBUTION);
    sql_put_integer(&query, step->step);
    sql_put_integer(&query, number);
    sql_put_integer(&query, peer);
    sql_put_integer(&query, contribution->tokens);
    sql_put_integer(&query, samples);
    sql_put_real(&query, contribution->loss_sum);
    status = sql_query_run(&query);
    if (status == STATUS_OK) {
        status = add_ranges(self, step->step, number, contribution);
    }
    if (status == STATUS_OK) {
        query = begin(self, LEDGER_ADD_CREDIT);
        sql_put_integer(&query, peer);
        sql_put_integer(&query, contribution->tokens);
        sql_put_integer(&query, samples);
        status = sql_query_run(&query);
    }
    return status;
}

static enum status add_step(struct ledger *self, const struct journal_step *step)
{
    struct sql_query query = begin(self, LEDGER_ADD_STEP);
    sql_put_integer(&query, step->step);
    sql_put_integer(&query, step->samples.first);
    sql_put_integer(&query, step->samples.count);
    sql_put_integer(&query, step->tokens);
    /* Of no tokens at all it is not finite, and refused as that. */
    sql_put_real(&query, step->loss_sum / (double)step->tokens);
    sql_put_real(&query, step->grad_l2);
    sql_put_real(&query, step->learning_rate);
    sql_put_integer(&query, step->unix_ms);
    sql_put_blob(&query, step->digest.bytes, sizeof step->digest.bytes);
    enum status status = sql_query_run(&query);
    if (status == STATUS_OK) {
        query = begin(self, LEDGER_COUNT_STEP);
        sql_put_integer(&query, step->samples.count);
        sql_put_integer(&query, step->tokens);
        status = sql_query_run(&query);
    }
    for (size_t i = 0; i < step->contribution_count && status == STATUS_OK; i++) {
        status = add_contribution(self, step, i);
    }
    return status;
}

static enum status add_record(struct ledger *self, const struct journal_record *record)
{
    switch (record->type) {
    case JOURNAL_SEGMENT:
        return add_segment(self, &record->as.state);
    case JOURNAL_STEP:
        return add_step(self, &record->as.step);
    case JOURNAL_EVENT:
        return add_event(self, record);
    case JOURNAL_LEASE:
    default:
        return STATUS_OK;
    }
}

static enum status write_position(struct ledger *self, const struct journal_record *record)
{
    struct sql_query query = begin(self, LEDGER_WRITE_POSITION);
    sql_put_integer(&query, record->sequence + 1);
    sql_put_blob(&query, record->hash.bytes, sizeof record->hash.bytes);
    return sql_query_run(&query);
}

/* Takes back what is there of a record; the status of what went wrong stays. */
static enum status undo_record(struct ledger *self, enum status status)
{
    enum status undone = STATUS_OK;
    if (sqlite3_get_autocommit(self->file.db) == 0) {
        undone = run(self, self->in_batch ? LEDGER_ROLLBACK_RECORD : LEDGER_ROLLBACK);
        if (undone == STATUS_OK && self->in_batch) {
            undone = run(self, LEDGER_COMMIT_RECORD);
        }
    }
    /* SQLite gives the whole transaction up when the disk is full or fails, or memory runs out. */
    if (self->in_batch && (undone != STATUS_OK || sqlite3_get_autocommit(self->file.db) != 0)) {
        self->batch_lost = true;
        self->next_sequence = self->batch_sequence;
        if (sqlite3_get_autocommit(self->file.db) == 0) {
            undone = run(self, LEDGER_ROLLBACK);
        }
    }
    return undone == STATUS_OK ? status : undone;
}

enum status ledger_add(struct ledger *self, const struct journal_record *record)
{
    CHECK(!self->read_only);
    if (self->in_batch && self->batch_lost) {
        return fault(STATUS_IO, "%s gave a transaction up after an error", self->path);
    }
    if (record->sequence != self->next_sequence) {
        return fault(STATUS_STALE,
                     "%s goes on with record %" PRIu64 " of the journal, not with %" PRIu64,
                     self->path, self->next_sequence, record->sequence);
    }
    /* Its place on disk does not move for a lease: that one is not durable yet, and the ledger must
     * not be ahead of the journal after a crash. */
    if (record->type == JOURNAL_LEASE) {
        self->next_sequence++;
        return STATUS_OK;
    }
    enum status status = run(self, self->in_batch ? LEDGER_BEGIN_RECORD : LEDGER_BEGIN);
    if (status == STATUS_OK) {
        status = add_record(self, record);
    }
    if (status == STATUS_OK) {
        status = write_position(self, record);
    }
    if (status == STATUS_OK) {
        status = run(self, self->in_batch ? LEDGER_COMMIT_RECORD : LEDGER_COMMIT);
    }
    if (status != STATUS_OK) {
        return undo_record(self, status);
    }
    self->next_sequence++;
    return STATUS_OK;
}
