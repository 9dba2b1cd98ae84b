#include "common/fault.h"
#include "coordinator/store/ledger_schema.h"
#include "tests/unit/ledger_fixture.h"
#include "tests/unit/suite.h"

static enum status try_open(void)
{
    struct ledger *ledger = NULL;
    uint64_t next = 0;
    struct digest hash;
    enum status status = ledger_open(scratch_folder, "a run", &ledger, &next, &hash);
    CU_ASSERT_TRUE((status == STATUS_OK) == (ledger != NULL));
    ledger_close(ledger);
    return status;
}

static void assert_refused(const char *word)
{
    struct ledger *ledger = NULL;
    CU_ASSERT_EQUAL(try_open(), STATUS_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), word));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "rebuild-ledger"));
    CU_ASSERT_EQUAL(ledger_open_to_read(scratch_folder, &ledger), STATUS_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), word));
}

static void open_an_empty_file_makes_the_tables(void)
{
    scratch_begin();
    scratch_write_text("ledger.db", "");
    struct ledger *ledger = NULL;
    CU_ASSERT_EQUAL(ledger_open_to_read(scratch_folder, &ledger), STATUS_CORRUPT);
    CU_ASSERT_EQUAL(try_open(), STATUS_OK);
    CU_ASSERT_TRUE(fixture_holds("PRAGMA user_version", "1"));
    CU_ASSERT_TRUE(fixture_holds("PRAGMA application_id", "1147629156"));
    CU_ASSERT_TRUE(
        fixture_holds("SELECT group_concat(name, ' ') FROM (SELECT name FROM"
                      " sqlite_schema WHERE type = 'table' ORDER BY name)",
                      "contributions credit events meta peers runs sample_ranges steps"));
    scratch_end();
}

static void open_a_file_of_a_later_release_is_refused(void)
{
    scratch_begin();
    fixture_make();
    fixture_sql(scratch_path("ledger.db"), "PRAGMA user_version = 2");
    assert_refused("later release");
    CU_ASSERT_TRUE(fixture_holds("SELECT count(*) FROM steps", "4"));
    CU_ASSERT_TRUE(fixture_holds("PRAGMA user_version", "2"));
    scratch_end();
}

static void open_another_program_s_file_leaves_it_alone(void)
{
    scratch_begin();
    size_t size_bytes = 0;
    size_t size_after = 0;
    fixture_sql(scratch_path("ledger.db"), "CREATE TABLE recipes (name TEXT)");
    uint8_t *before = scratch_read("ledger.db", &size_bytes);
    assert_refused("not a ledger");
    fixture_sql(scratch_path("ledger.db"), ""); /* SQLite itself changes nothing either */
    uint8_t *after = scratch_read("ledger.db", &size_after);
    CU_ASSERT_EQUAL_FATAL(size_bytes, size_after);
    CU_ASSERT_EQUAL(memcmp(before, after, size_bytes), 0);
    free(before);
    free(after);
    fixture_sql(scratch_path("ledger.db"), "PRAGMA user_version = 1");
    assert_refused("not a ledger");
    scratch_write_text("ledger.db", "this is a text and no data base, whatever its name says");
    CU_ASSERT_EQUAL(try_open(), STATUS_CORRUPT);
    scratch_end();
}

static void open_without_a_table_or_column_is_refused(void)
{
    scratch_begin();
    fixture_make();
    fixture_sql(scratch_path("ledger.db"), "ALTER TABLE events RENAME COLUMN text TO words");
    assert_refused("damaged");
    fixture_sql(scratch_path("ledger.db"), "DROP TABLE events");
    assert_refused("damaged");
    scratch_end();
}

static void open_where_sums_differ_is_refused(void)
{
    static const char *const changes[] = {
        "UPDATE credit SET tokens = tokens + 1 WHERE peer = 1",
        "UPDATE credit SET samples = samples - 1 WHERE peer = 2",
        "UPDATE credit SET contributions = contributions + 1 WHERE peer = 2",
        "UPDATE contributions SET tokens = tokens - 1 WHERE step = 1 AND number = 1",
        "UPDATE contributions SET peer = 2 WHERE step = 1 AND number = 0",
        "UPDATE sample_ranges SET sample_count = 3 WHERE sample_first = 4",
        "DELETE FROM sample_ranges WHERE step = 2 AND number = 1",
        "DELETE FROM credit WHERE peer = 2",
        "UPDATE steps SET tokens = tokens + 1 WHERE step = 3",
        "UPDATE steps SET sample_count = 17 WHERE step = 3",
        "DELETE FROM meta WHERE key = 'steps'",
        "DELETE FROM contributions WHERE peer = 2",
        "UPDATE meta SET value = -1 WHERE key = 'next_sequence'",
        "UPDATE meta SET value = x'00' WHERE key = 'last_hash'",
        "UPDATE meta SET value = 'eight' WHERE key = 'next_sequence'",
        "DELETE FROM meta WHERE key = 'next_sequence'",
        "DELETE FROM meta WHERE key = 'last_hash'",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        scratch_begin();
        fixture_make();
        fixture_sql(scratch_path("ledger.db"), changes[i]);
        CU_ASSERT_EQUAL(try_open(), STATUS_CORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "rebuild-ledger"));
        scratch_end();
    }
}

static const char *const steps[] = {"CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (5)",
                                    "ALTER TABLE a ADD COLUMN y TEXT DEFAULT 'why'",
                                    "CREATE TABLE b (z); INSERT INTO nowhere VALUES (1)"};

/* Opens old.db in the scratch folder and brings it to `version` by the steps above. */
static enum status apply(size_t version)
{
    struct sql_schema schema = *ledger_schema_current();
    struct sql_file file = {.path = "old.db", .schema = &schema};
    schema.version = version;
    schema.steps = steps;
    CU_ASSERT_EQUAL_FATAL(sqlite3_open(scratch_path("old.db"), &file.db), SQLITE_OK);
    enum status status = sql_schema_apply(&file);
    CU_ASSERT_EQUAL(sqlite3_get_autocommit(file.db), 1);
    CU_ASSERT_EQUAL(sql_schema_require(&file), status);
    sql_file_close(&file);
    return status;
}

static bool old_holds(const char *sql, const char *expected)
{
    sqlite3 *db = NULL;
    CU_ASSERT_EQUAL_FATAL(sqlite3_open(scratch_path("old.db"), &db), SQLITE_OK);
    bool same = fixture_answers(db, sql, expected);
    CU_ASSERT_EQUAL(sqlite3_close(db), SQLITE_OK);
    return same;
}

static void apply_runs_only_the_steps_that_are_missing(void)
{
    scratch_begin();
    CU_ASSERT_EQUAL(apply(1), STATUS_OK);
    CU_ASSERT_TRUE(old_holds("PRAGMA user_version", "1"));
    CU_ASSERT_EQUAL(apply(1), STATUS_OK);
    CU_ASSERT_EQUAL(apply(2), STATUS_OK);
    CU_ASSERT_TRUE(old_holds("PRAGMA user_version", "2"));
    CU_ASSERT_TRUE(old_holds("SELECT count(*) || x || y FROM a", "15why"));
    CU_ASSERT_EQUAL(apply(1), STATUS_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "later release"));
    scratch_end();
}

static void apply_a_step_that_fails_changes_nothing(void)
{
    scratch_begin();
    CU_ASSERT_EQUAL(apply(1), STATUS_OK);
    CU_ASSERT_EQUAL(apply(3), STATUS_CORRUPT);
    CU_ASSERT_TRUE(old_holds("PRAGMA user_version", "1"));
    CU_ASSERT_TRUE(old_holds("SELECT count(*) FROM sqlite_schema", "1"));
    CU_ASSERT_TRUE(old_holds("SELECT count(*) FROM pragma_table_info('a')", "1"));
    CU_ASSERT_EQUAL(apply(2), STATUS_OK);
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(open_an_empty_file_makes_the_tables),
        SUITE_TEST(open_a_file_of_a_later_release_is_refused),
        SUITE_TEST(open_another_program_s_file_leaves_it_alone),
        SUITE_TEST(open_without_a_table_or_column_is_refused),
        SUITE_TEST(open_where_sums_differ_is_refused),
        SUITE_TEST(apply_runs_only_the_steps_that_are_missing),
        SUITE_TEST(apply_a_step_that_fails_changes_nothing),
    };
    return suite_run("ledger_schema", tests, sizeof tests / sizeof tests[0]);
}
