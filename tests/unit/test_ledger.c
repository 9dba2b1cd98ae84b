#include "common/fault.h"
#include "coordinator/store/ledger_state.h"
#include "tests/unit/ledger_fixture.h"
#include "tests/unit/suite.h"

#include <inttypes.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t credit_of(struct ledger *ledger, const uint8_t *key)
{
    uint64_t tokens = UINT64_MAX;
    CU_ASSERT_EQUAL(ledger_credit(ledger, key, &tokens), STATUS_OK);
    return tokens;
}

static void assert_totals(struct ledger *ledger, uint64_t steps)
{
    struct ledger_totals totals;
    uint64_t extra = steps * (steps - 1) / 2; /* 0 + 1 + ... */
    CU_ASSERT_EQUAL_FATAL(ledger_totals(ledger, &totals), STATUS_OK);
    CU_ASSERT_EQUAL(totals.steps, steps);
    CU_ASSERT_EQUAL(totals.samples, steps * FIXTURE_BATCH);
    CU_ASSERT_EQUAL(totals.tokens, steps * 170 + 3 * extra);
    CU_ASSERT_EQUAL(totals.credit_tokens, totals.tokens);
    CU_ASSERT_EQUAL(totals.peers, 2);
    CU_ASSERT_EQUAL(credit_of(ledger, fixture_anna), steps * 130 + 2 * extra);
    CU_ASSERT_EQUAL(credit_of(ledger, fixture_bjorn), steps * 40 + extra);
}

static void add_records_counts_steps_and_credit(void)
{
    static const uint8_t nobody[IDENTITY_KEY_BYTES] = {9};
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    struct ledger_totals totals = {.steps = 1};
    CU_ASSERT_EQUAL(ledger_totals(ledger, &totals), STATUS_OK);
    CU_ASSERT_EQUAL(totals.steps + totals.samples + totals.tokens + totals.peers, 0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 3), STATUS_OK);
    assert_totals(ledger, 1);
    CU_ASSERT_EQUAL(fixture_add(ledger, 3, FIXTURE_RECORDS), STATUS_OK);
    assert_totals(ledger, FIXTURE_STEPS);
    CU_ASSERT_EQUAL(credit_of(ledger, nobody), 0);
    ledger_close(ledger);
    ledger_close(NULL);
    scratch_end();
}

static void add_records_fills_every_table(void)
{
    scratch_begin();
    fixture_make();
    CU_ASSERT_TRUE(fixture_holds("SELECT name || serial || paused FROM runs", "a run40"));
    CU_ASSERT_TRUE(fixture_holds("SELECT settings ->> 'learning_rate' || (settings ->> 'codec')"
                                 " || (settings ->> 'mean_codec') FROM runs",
                                 "0.1mx8fp32"));
    CU_ASSERT_TRUE(
        fixture_holds("SELECT sample_first || ' ' || sample_count || ' ' || tokens || ' '"
                      " || loss || ' ' || grad_l2 || ' ' || learning_rate || ' '"
                      " || unix_ms FROM steps WHERE step = 0",
                      "0 16 170 2.0 1.5 0.01 1000"));
    CU_ASSERT_TRUE(fixture_holds("SELECT group_concat(number || hex(substr(key, 1, 1)) || ' ' ||"
                                 " tokens || ' ' || samples || ' ' || loss_sum, ', ')"
                                 " FROM contributions JOIN peers ON peer = id WHERE step = 2",
                                 "0A1 82 8 160.0, 1B2 42 4 80.0, 2A1 52 4 100.0"));
    CU_ASSERT_TRUE(fixture_holds("SELECT step || ' ' || number FROM sample_ranges"
                                 " WHERE sample_first <= 25 AND 25 < sample_first + sample_count",
                                 "1 0"));
    CU_ASSERT_TRUE(fixture_holds("SELECT group_concat(hex(substr(key, 1, 1)) || first_ms || ' ' ||"
                                 " last_ms, ', ') FROM peers",
                                 "A11000 1003, B21000 1003"));
    CU_ASSERT_TRUE(fixture_holds("SELECT group_concat(sequence || type || version || ' ' || unix_ms"
                                 " || text, ', ') FROM events",
                                 "1served5 900, 7note5 900"));
    scratch_end();
}

static void add_events_changes_the_run(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 1), STATUS_OK);
    struct journal_record record = fixture_event(1, JOURNAL_SETTINGS);
    record.as.event.settings = (struct live_settings){.learning_rate = 1.0 / 3,
                                                      .target_batch = 64,
                                                      .codec = CODEC_FP32,
                                                      .mean_codec = CODEC_MX8,
                                                      .update_codec = CODEC_MX4};
    (void)snprintf(record.as.event.text, JOURNAL_TEXT_MAX, "it's \"slower\"; DROP TABLE runs;--");
    CU_ASSERT_EQUAL(ledger_add(ledger, &record), STATUS_OK);
    CU_ASSERT_TRUE(fixture_holds("SELECT settings FROM runs",
                                 "{\"learning_rate\":0.33333333333333331,\"target_batch\":64,"
                                 "\"codec\":\"fp32\",\"mean_codec\":\"mx8\","
                                 "\"update_codec\":\"mx4\"}"));
    CU_ASSERT_TRUE(fixture_holds("SELECT runs.settings = events.settings FROM runs, events", "1"));
    CU_ASSERT_TRUE(fixture_holds("SELECT text FROM events", "it's \"slower\"; DROP TABLE runs;--"));
    record = fixture_event(2, JOURNAL_PAUSED);
    CU_ASSERT_EQUAL(ledger_add(ledger, &record), STATUS_OK);
    CU_ASSERT_TRUE(fixture_holds("SELECT paused FROM runs", "1"));
    CU_ASSERT_TRUE(fixture_holds("SELECT settings FROM events WHERE sequence = 2", "none"));
    record = fixture_event(3, JOURNAL_RESUMED);
    CU_ASSERT_EQUAL(ledger_add(ledger, &record), STATUS_OK);
    CU_ASSERT_TRUE(fixture_holds("SELECT paused FROM runs", "0"));
    record = fixture_event(4, JOURNAL_SETTINGS);
    record.as.event.settings.learning_rate = INFINITY;
    CU_ASSERT_EQUAL(ledger_add(ledger, &record), STATUS_OUT_OF_RANGE);
    ledger_close(ledger);
    scratch_end();
}

static void add_segment_renews_the_run(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 2), STATUS_OK);
    struct journal_record record = fixture_segment(2);
    record.as.state.serial = 8;
    record.as.state.paused = true;
    CU_ASSERT_EQUAL(ledger_add(ledger, &record), STATUS_OK);
    CU_ASSERT_TRUE(fixture_holds("SELECT count(*) || serial || paused FROM runs", "181"));
    record = fixture_segment(3);
    record.as.state.run_id = fixture_hash(78);
    CU_ASSERT_EQUAL(ledger_add(ledger, &record), STATUS_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "another run"));
    ledger_close(ledger);
    ledger_close(fixture_open(3));
    scratch_end();
}

static void add_out_of_order_is_stale(void)
{
    scratch_begin();
    struct fixture_step storage;
    struct ledger *ledger = fixture_open(0);
    struct journal_record late = fixture_at(1, &storage);
    CU_ASSERT_EQUAL(ledger_add(ledger, &late), STATUS_STALE);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 3), STATUS_OK);
    struct journal_record again = fixture_at(2, &storage);
    CU_ASSERT_EQUAL(ledger_add(ledger, &again), STATUS_STALE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "ledger.db goes on with record 3"));
    struct journal_record ahead = fixture_at(4, &storage);
    CU_ASSERT_EQUAL(ledger_add(ledger, &ahead), STATUS_STALE);
    assert_totals(ledger, 1);
    CU_ASSERT_EQUAL(fixture_add(ledger, 3, FIXTURE_RECORDS), STATUS_OK);
    assert_totals(ledger, FIXTURE_STEPS);
    ledger_close(ledger);
    scratch_end();
}

/* Each of these records fails only after some of it was written. */
static struct journal_record bad_step(int which, struct fixture_step *storage)
{
    struct journal_record record = fixture_step_of(3, 1, storage);
    switch (which) {
    case 0:
        storage->contributions[2].tokens = (uint64_t)INT64_MAX + 1;
        break;
    case 1:
        storage->contributions[2].loss_sum = NAN;
        break;
    case 2:
        storage->ranges[3] = (struct sample_range){20, UINT64_MAX};
        break;
    case 3: /* that of the first contribution */
        storage->ranges[3].first = storage->ranges[0].first;
        break;
    case 4: /* each can be held, and the sum of the three would wrap to 2 */
        storage->ranges[0].count = INT64_MAX;
        storage->ranges[1].count = INT64_MAX;
        storage->contributions[0].range_count = 3;
        break;
    case 5:
        storage->contributions[1].tokens = 0;
        break;
    default: /* with what anna has already, her credit would pass 2^63 - 1 */
        storage->contributions[2].tokens = INT64_MAX - 10;
        break;
    }
    return record;
}

static void add_bad_record_leaves_nothing(void)
{
    static const enum status expected[] = {
        STATUS_OUT_OF_RANGE, STATUS_OUT_OF_RANGE, STATUS_OUT_OF_RANGE, STATUS_CORRUPT,
        STATUS_OUT_OF_RANGE, STATUS_CORRUPT,      STATUS_CORRUPT};
    for (int which = 0; which < 14; which++) {
        scratch_begin();
        struct fixture_step storage;
        struct ledger *ledger = fixture_open(0);
        bool in_batch = which >= 7;
        if (in_batch) {
            CU_ASSERT_EQUAL(ledger_begin(ledger), STATUS_OK);
        }
        CU_ASSERT_EQUAL(fixture_add(ledger, 0, 3), STATUS_OK);
        struct journal_record record = bad_step(which % 7, &storage);
        CU_ASSERT_EQUAL(ledger_add(ledger, &record), expected[which % 7]);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "ledger.db"));
        assert_totals(ledger, 1);
        record = fixture_step_of(3, 1, &storage);
        CU_ASSERT_EQUAL(ledger_add(ledger, &record), STATUS_OK);
        if (in_batch) {
            CU_ASSERT_EQUAL(ledger_end(ledger), STATUS_OK);
        }
        assert_totals(ledger, 2);
        ledger_close(ledger);
        ledger_close(fixture_open(4));
        scratch_end();
    }
}

static void add_step_without_tokens_is_refused(void)
{
    scratch_begin();
    struct fixture_step storage;
    struct ledger *ledger = fixture_open(0);
    struct journal_record record = fixture_step_of(0, 0, &storage);
    record.as.step.tokens = 0;
    CU_ASSERT_EQUAL(ledger_add(ledger, &record), STATUS_OUT_OF_RANGE);
    ledger_close(ledger);
    ledger_close(fixture_open(0));
    scratch_end();
}

static void end_keeps_and_close_forgets_a_transaction(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(ledger_begin(ledger), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 5), STATUS_OK);
    ledger_close(ledger);
    ledger = fixture_open(0);
    CU_ASSERT_EQUAL(ledger_begin(ledger), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 5), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_end(ledger), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_add(ledger, 5, FIXTURE_RECORDS), STATUS_OK);
    ledger_close(ledger);
    ledger = fixture_open(FIXTURE_RECORDS);
    assert_totals(ledger, FIXTURE_STEPS);
    ledger_close(ledger);
    scratch_end();
}

static void reopen_behind_leases_stands_at_the_last_fact(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 4), STATUS_OK); /* 3 is a lease */
    ledger_close(ledger);
    ledger = fixture_open(3);
    CU_ASSERT_EQUAL(fixture_add(ledger, 3, 5), STATUS_OK);
    ledger_close(ledger);
    ledger_close(fixture_open(5));
    scratch_end();
}

static void copy_file(const char *name, const char *to)
{
    size_t size_bytes = 0;
    uint8_t *data = scratch_read(name, &size_bytes);
    scratch_write(to, data, size_bytes);
    free(data);
}

/* What a killed process leaves: the files as they are while it has them open. */
static void leave_crashed_copy(void)
{
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 5), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_begin(ledger), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_add(ledger, 5, 6), STATUS_OK);
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("copy")), STATUS_OK);
    copy_file("ledger.db", "copy/ledger.db");
    copy_file("ledger.db-wal", "copy/ledger.db-wal");
    copy_file("ledger.db-shm", "copy/ledger.db-shm");
    ledger_close(ledger);
}

static void open_after_a_kill_keeps_what_was_committed(void)
{
    scratch_begin();
    leave_crashed_copy();
    struct ledger *ledger = fixture_open_in(scratch_path("copy"), 5);
    assert_totals(ledger, 2);
    ledger_close(ledger);
    scratch_end();
}

static void remove_takes_the_log_away_too(void)
{
    scratch_begin();
    leave_crashed_copy();
    CU_ASSERT_TRUE(files_exists(scratch_path("copy/ledger.db-wal")));
    CU_ASSERT_EQUAL(ledger_remove(scratch_path("copy")), STATUS_OK);
    CU_ASSERT_FALSE(files_exists(scratch_path("copy/ledger.db")));
    CU_ASSERT_FALSE(files_exists(scratch_path("copy/ledger.db-wal")));
    CU_ASSERT_FALSE(files_exists(scratch_path("copy/ledger.db-shm")));
    CU_ASSERT_EQUAL(ledger_remove(scratch_path("copy")), STATUS_OK);
    ledger_close(fixture_open_in(scratch_path("copy"), 0));
    scratch_end();
}

static void open_with_a_log_alone_begins_anew(void)
{
    scratch_begin();
    leave_crashed_copy();
    CU_ASSERT_EQUAL(unlink(scratch_path("copy/ledger.db")), 0);
    ledger_close(fixture_open_in(scratch_path("copy"), 0));
    scratch_end();
}

static void open_makes_a_safe_connection(void)
{
    static const struct {
        const char *pragma;
        const char *value;
    } expected[] = {{"PRAGMA journal_mode", "wal"},
                    {"PRAGMA synchronous", "2"},
                    {"PRAGMA foreign_keys", "1"},
                    {"PRAGMA trusted_schema", "0"},
                    {"PRAGMA cell_size_check", "1"},
                    {"PRAGMA busy_timeout", "5000"},
                    {"PRAGMA journal_size_limit", "16777216"}};
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        CU_ASSERT_TRUE(fixture_answers(ledger->file.db, expected[i].pragma, expected[i].value));
    }
    int defensive = 0;
    int loads = 1;
    CU_ASSERT_EQUAL(sqlite3_db_config(ledger->file.db, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive),
                    0);
    CU_ASSERT_EQUAL(
        sqlite3_db_config(ledger->file.db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, -1, &loads), 0);
    CU_ASSERT_EQUAL(defensive, 1);
    CU_ASSERT_EQUAL(loads, 0);
    struct stat facts;
    CU_ASSERT_EQUAL(stat(scratch_path("ledger.db"), &facts), 0);
    CU_ASSERT_EQUAL(facts.st_mode & 0777, 0644);
    CU_ASSERT_EQUAL(
        sqlite3_exec(ledger->file.db, "INSERT INTO credit VALUES (1, 1, 1, 1)", NULL, NULL, NULL),
        SQLITE_CONSTRAINT_FOREIGNKEY);
    ledger_close(ledger);
    scratch_end();
}

static void open_through_a_link_is_refused(void)
{
    scratch_begin();
    scratch_write_text("elsewhere", "");
    CU_ASSERT_EQUAL(symlink(scratch_path("elsewhere"), scratch_path("ledger.db")), 0);
    struct ledger *ledger = NULL;
    uint64_t next = 0;
    struct digest hash;
    CU_ASSERT_EQUAL(ledger_open(scratch_folder, "a run", &ledger, &next, &hash), STATUS_CORRUPT);
    CU_ASSERT_PTR_NULL(ledger);
    CU_ASSERT_EQUAL(ledger_remove(scratch_folder), STATUS_OK);
    CU_ASSERT_TRUE(files_exists(scratch_path("elsewhere")));
    ledger_close(fixture_open(0));
    scratch_end();
}

static void open_in_a_missing_folder_says_which(void)
{
    scratch_begin();
    struct ledger *ledger = NULL;
    uint64_t next = 0;
    struct digest hash;
    CU_ASSERT_EQUAL(ledger_open(scratch_path("none"), "a run", &ledger, &next, &hash), STATUS_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "none/ledger.db"));
    CU_ASSERT_EQUAL(ledger_open_to_read(scratch_path("none"), &ledger), STATUS_NO_INPUT);
    scratch_end();
}

static void name_peer_is_kept_and_renewed(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    struct ledger_totals totals;
    CU_ASSERT_EQUAL(ledger_name_peer(ledger, fixture_anna, "first"), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_totals(ledger, &totals), STATUS_OK);
    CU_ASSERT_EQUAL(totals.peers, 0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, FIXTURE_RECORDS), STATUS_OK);
    CU_ASSERT_TRUE(
        fixture_holds("SELECT group_concat(name || first_ms, ', ') FROM peers", "first1000, 1000"));
    CU_ASSERT_EQUAL(ledger_name_peer(ledger, fixture_anna, "anna"), STATUS_OK);
    int changes = sqlite3_total_changes(ledger->file.db);
    CU_ASSERT_EQUAL(ledger_name_peer(ledger, fixture_anna, "anna"), STATUS_OK);
    CU_ASSERT_EQUAL(sqlite3_total_changes(ledger->file.db), changes);
    char wide[200];
    memset(wide, 'w', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    CU_ASSERT_EQUAL(ledger_name_peer(ledger, fixture_bjorn, wide), STATUS_OK);
    assert_totals(ledger, FIXTURE_STEPS);
    CU_ASSERT_TRUE(fixture_holds("SELECT max(length(name)) || min(name) FROM peers", "63anna"));
    ledger_close(ledger);
    scratch_end();
}

static void peers_come_with_most_tokens_first(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    struct ledger_peer *peers = NULL;
    size_t count = 1;
    CU_ASSERT_EQUAL(ledger_peers(ledger, &peers, &count), STATUS_OK);
    CU_ASSERT_PTR_NULL(peers);
    CU_ASSERT_EQUAL(count, 0);
    CU_ASSERT_EQUAL(ledger_name_peer(ledger, fixture_bjorn, "bjorn"), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, FIXTURE_RECORDS), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(ledger_peers(ledger, &peers, &count), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(count, 2);
    CU_ASSERT_EQUAL(memcmp(peers[0].key, fixture_anna, IDENTITY_KEY_BYTES), 0);
    CU_ASSERT_EQUAL(peers[0].tokens, 532);
    CU_ASSERT_EQUAL(peers[0].samples, 48);
    CU_ASSERT_EQUAL(peers[0].contributions, 8);
    CU_ASSERT_STRING_EQUAL(peers[0].name, "");
    CU_ASSERT_STRING_EQUAL(peers[1].name, "bjorn");
    CU_ASSERT_EQUAL(peers[1].tokens, 166);
    CU_ASSERT_EQUAL(peers[1].first_ms, 1000);
    CU_ASSERT_EQUAL(peers[1].last_ms, 1003);
    free(peers);
    ledger_close(ledger);
    scratch_end();
}

static void peers_beyond_the_first_block_are_all_there(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    struct journal_record record;
    struct fixture_step storage;
    for (uint64_t i = 0; i < 200; i++) {
        record = fixture_step_of(i, i, &storage);
        record.as.step.contribution_count = 1;
        storage.contributions[0].key[31] = (uint8_t)i;
        CU_ASSERT_EQUAL(ledger_add(ledger, &record), STATUS_OK);
    }
    struct ledger_peer *peers = NULL;
    size_t count = 0;
    CU_ASSERT_EQUAL_FATAL(ledger_peers(ledger, &peers, &count), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(count, 200);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(peers[i].key[31], 199 - i);
    }
    free(peers);
    ledger_close(ledger);
    scratch_end();
}

static void read_beside_a_writer_sees_what_is_committed(void)
{
    scratch_begin();
    struct ledger *reader = NULL;
    CU_ASSERT_EQUAL(ledger_open_to_read(scratch_folder, &reader), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NULL(reader);
    struct ledger *writer = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(writer, 0, 3), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(ledger_open_to_read(scratch_folder, &reader), STATUS_OK);
    CU_ASSERT_EQUAL(sqlite3_db_readonly(reader->file.db, "main"), 1);
    CU_ASSERT_EQUAL(ledger_begin(writer), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_add(writer, 3, FIXTURE_RECORDS), STATUS_OK);
    assert_totals(reader, 1);
    CU_ASSERT_EQUAL(ledger_end(writer), STATUS_OK);
    assert_totals(reader, FIXTURE_STEPS);
    ledger_close(writer);
    assert_totals(reader, FIXTURE_STEPS);
    ledger_close(reader);
    CU_ASSERT_EQUAL_FATAL(ledger_open_to_read(scratch_folder, &reader), STATUS_OK);
    assert_totals(reader, FIXTURE_STEPS);
    ledger_close(reader);
    ledger_close(fixture_open(FIXTURE_RECORDS));
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(add_records_counts_steps_and_credit),
        SUITE_TEST(add_records_fills_every_table),
        SUITE_TEST(add_events_changes_the_run),
        SUITE_TEST(add_segment_renews_the_run),
        SUITE_TEST(add_out_of_order_is_stale),
        SUITE_TEST(add_bad_record_leaves_nothing),
        SUITE_TEST(add_step_without_tokens_is_refused),
        SUITE_TEST(end_keeps_and_close_forgets_a_transaction),
        SUITE_TEST(reopen_behind_leases_stands_at_the_last_fact),
        SUITE_TEST(open_after_a_kill_keeps_what_was_committed),
        SUITE_TEST(remove_takes_the_log_away_too),
        SUITE_TEST(open_with_a_log_alone_begins_anew),
        SUITE_TEST(open_makes_a_safe_connection),
        SUITE_TEST(open_through_a_link_is_refused),
        SUITE_TEST(open_in_a_missing_folder_says_which),
        SUITE_TEST(name_peer_is_kept_and_renewed),
        SUITE_TEST(peers_come_with_most_tokens_first),
        SUITE_TEST(peers_beyond_the_first_block_are_all_there),
        SUITE_TEST(read_beside_a_writer_sees_what_is_committed),
    };
    return suite_run("ledger", tests, sizeof tests / sizeof tests[0]);
}
