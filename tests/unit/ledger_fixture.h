/* ledger_fixture - records of a small run, made by hand, and a look into its ledger with plain SQL.
 */
#ifndef DUGNAD_TESTS_UNIT_LEDGER_FIXTURE_H
#define DUGNAD_TESTS_UNIT_LEDGER_FIXTURE_H

#include "coordinator/store/ledger.h"
#include "tests/unit/scratch.h"

#include <sqlite3.h>

enum { FIXTURE_BATCH = 16, FIXTURE_RECORDS = 8, FIXTURE_STEPS = 4 };

static const uint8_t fixture_anna[IDENTITY_KEY_BYTES] = {0xa1, 1};
static const uint8_t fixture_bjorn[IDENTITY_KEY_BYTES] = {0xb2, 2};

/* What the records of a step point to; one step at a time. */
struct fixture_step {
    struct sample_range ranges[4];
    struct journal_contribution contributions[3];
};

static inline struct digest fixture_hash(uint64_t sequence)
{
    return digest_of(&sequence, sizeof sequence);
}

static inline struct journal_record fixture_record(enum journal_type type, uint64_t sequence)
{
    return (struct journal_record){
        .type = type, .sequence = sequence, .hash = fixture_hash(sequence)};
}

static inline struct journal_record fixture_segment(uint64_t sequence)
{
    struct journal_record record = fixture_record(JOURNAL_SEGMENT, sequence);
    record.as.state = (struct journal_state){.run_id = fixture_hash(77),
                                             .serial = 3,
                                             .settings = {.learning_rate = 0.1,
                                                          .target_batch = FIXTURE_BATCH,
                                                          .codec = CODEC_MX8,
                                                          .mean_codec = CODEC_FP32,
                                                          .update_codec = CODEC_MX8}};
    return record;
}

static inline struct journal_record fixture_event(uint64_t sequence, enum journal_event_type type)
{
    struct journal_record record = fixture_record(JOURNAL_EVENT, sequence);
    record.as.event = (struct journal_event){.type = type, .version = 5, .unix_ms = 900};
    return record;
}

/* A step of 16 samples: anna [0, 4) and [8, 12), bjorn [4, 8), and anna once more [12, 16); anna
 * has 80 + 50 tokens, bjorn 40, plus the step's number each time. */
static inline struct journal_record fixture_step_of(uint64_t sequence, uint64_t step,
                                                    struct fixture_step *storage)
{
    uint64_t first = step * FIXTURE_BATCH;
    struct journal_record record = fixture_record(JOURNAL_STEP, sequence);
    *storage = (struct fixture_step){
        .ranges = {{first, 4}, {first + 8, 4}, {first + 4, 4}, {first + 12, 4}}};
    storage->contributions[0] = (struct journal_contribution){
        .tokens = 80 + step, .loss_sum = 160.0, .range_count = 2, .ranges = storage->ranges};
    storage->contributions[1] = (struct journal_contribution){
        .tokens = 40 + step, .loss_sum = 80.0, .range_count = 1, .ranges = storage->ranges + 2};
    storage->contributions[2] = (struct journal_contribution){
        .tokens = 50 + step, .loss_sum = 100.0, .range_count = 1, .ranges = storage->ranges + 3};
    memcpy(storage->contributions[0].key, fixture_anna, IDENTITY_KEY_BYTES);
    memcpy(storage->contributions[1].key, fixture_bjorn, IDENTITY_KEY_BYTES);
    memcpy(storage->contributions[2].key, fixture_anna, IDENTITY_KEY_BYTES);
    record.as.step = (struct journal_step){.step = step,
                                           .samples = {first, FIXTURE_BATCH},
                                           .tokens = 170 + 3 * step,
                                           .loss_sum = 340.0,
                                           .grad_l2 = 1.5,
                                           .learning_rate = 0.01,
                                           .unix_ms = 1000 + step,
                                           .digest = fixture_hash(step),
                                           .mean_codec = CODEC_FP32,
                                           .contribution_count = 3,
                                           .contributions = storage->contributions};
    return record;
}

/* Record `sequence` of a run of 8: segment, served, step 0, lease, steps 1 to 3, note. */
static inline struct journal_record fixture_at(uint64_t sequence, struct fixture_step *storage)
{
    switch (sequence) {
    case 0:
        return fixture_segment(0);
    case 1:
        return fixture_event(1, JOURNAL_SERVED);
    case 2:
        return fixture_step_of(2, 0, storage);
    case 3:
        return fixture_record(JOURNAL_LEASE, 3);
    case 7:
        return fixture_event(7, JOURNAL_NOTE);
    default:
        return fixture_step_of(sequence, sequence - 3, storage);
    }
}

/* Adds the records from `first` to before `end`; the first trouble ends it. */
static inline enum status fixture_add(struct ledger *ledger, uint64_t first, uint64_t end)
{
    enum status status = STATUS_OK;
    for (uint64_t sequence = first; sequence < end && status == STATUS_OK; sequence++) {
        struct fixture_step storage;
        struct journal_record record = fixture_at(sequence, &storage);
        status = ledger_add(ledger, &record);
    }
    return status;
}

static inline struct ledger *fixture_open_in(const char *folder, uint64_t sequence)
{
    struct ledger *ledger = NULL;
    uint64_t next = UINT64_MAX;
    struct digest hash;
    struct digest expected = {{0}};
    CU_ASSERT_EQUAL_FATAL(ledger_open(folder, "a run", &ledger, &next, &hash), STATUS_OK);
    CU_ASSERT_EQUAL(next, sequence);
    if (sequence > 0) {
        expected = fixture_hash(sequence - 1);
    }
    CU_ASSERT_TRUE(digest_equal(&hash, &expected));
    return ledger;
}

/* Opens the scratch folder's ledger, which must stand before record `sequence`. */
static inline struct ledger *fixture_open(uint64_t sequence)
{
    return fixture_open_in(scratch_folder, sequence);
}

/* The whole run, closed. */
static inline void fixture_make(void)
{
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL_FATAL(fixture_add(ledger, 0, FIXTURE_RECORDS), STATUS_OK);
    ledger_close(ledger);
}

/* Runs SQL on any SQLite file; one that cannot be is an error of the test. */
static inline void fixture_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    CU_ASSERT_EQUAL_FATAL(sqlite3_open(path, &db), SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_close(db), SQLITE_OK);
}

/* Is the first column of the only row `expected`? */
static inline bool fixture_answers(sqlite3 *db, const char *sql, const char *expected)
{
    sqlite3_stmt *statement = NULL;
    bool same = false;
    CU_ASSERT_EQUAL_FATAL(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        same = strcmp(text != NULL ? text : "none", expected) == 0;
        if (!same) {
            (void)fprintf(stderr, "%s\n  is %s, not %s\n", sql, text, expected);
        }
    }
    CU_ASSERT_EQUAL(sqlite3_step(statement), SQLITE_DONE);
    CU_ASSERT_EQUAL(sqlite3_finalize(statement), SQLITE_OK);
    return same;
}

/* The same of the scratch folder's ledger. */
static inline bool fixture_holds(const char *sql, const char *expected)
{
    sqlite3 *db = NULL;
    CU_ASSERT_EQUAL_FATAL(sqlite3_open(scratch_path("ledger.db"), &db), SQLITE_OK);
    bool same = fixture_answers(db, sql, expected);
    CU_ASSERT_EQUAL(sqlite3_close(db), SQLITE_OK);
    return same;
}

#endif
