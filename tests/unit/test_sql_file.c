/* What a connection to one of our SQLite files does, beyond what its settings say of themselves. */
#include "coordinator/store/ledger_state.h"
#include "tests/unit/ledger_fixture.h"
#include "tests/unit/suite.h"

#include <sys/syscall.h>
#include <unistd.h>

enum { MAPPED_BYTES_MAX = 1 << 30 };

static unsigned sync_count;

/* SQLite calls these two of ours in place of the C library's. */
int fsync(int fd)
{
    sync_count++;
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    sync_count++;
    return (int)syscall(SYS_fdatasync, fd);
}

static void commit_is_on_disk_when_it_returns(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    unsigned synced = 0;
    for (uint64_t i = 0; i < FIXTURE_RECORDS; i++) {
        unsigned before = sync_count;
        CU_ASSERT_EQUAL(fixture_add(ledger, i, i + 1), STATUS_OK);
        synced += sync_count > before;
    }
    CU_ASSERT_EQUAL(synced, FIXTURE_RECORDS - 1); /* leases are not in the ledger */
    ledger_close(ledger);
    scratch_end();
}

/* Whether a file of this name, and not one that begins with it, is mapped into this process. */
static bool is_mapped(const char *name)
{
    char line[FILES_PATH_MAX + 128];
    bool found = false;
    FILE *file = fopen("/proc/self/maps", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof line, file) != NULL) {
        const char *at = strstr(line, name);
        found = found || (at != NULL && at[strlen(name)] == '\n');
    }
    (void)fclose(file);
    return found;
}

/* An error of the disk under a mapped page is a signal, and not a status. main() has SQLite map by
 * itself, as a build of it may. */
static void file_is_read_and_not_mapped(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, FIXTURE_RECORDS), STATUS_OK);
    ledger_close(ledger);
    ledger = fixture_open(FIXTURE_RECORDS);
    CU_ASSERT_EQUAL(sqlite3_exec(ledger->file.db, "SELECT * FROM credit", NULL, NULL, NULL),
                    SQLITE_OK);
    CU_ASSERT_FALSE(is_mapped("ledger.db"));
    ledger_close(ledger);
    scratch_end();
}

static void answer(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    (void)values;
    sqlite3_result_int(context, 1);
}

/* The schema lies in the file, and a file may be anybody's. */
static void function_that_a_file_names_is_not_called(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    sqlite3 *db = ledger->file.db;
    CU_ASSERT_EQUAL(sqlite3_create_function(db, "ours", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                            answer, NULL, NULL),
                    SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_exec(db, "SELECT ours(1)", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_exec(db, "CREATE TABLE theirs (x CHECK (ours(x)))", NULL, NULL, NULL);
    CU_ASSERT_NOT_EQUAL(sqlite3_exec(db, "INSERT INTO theirs VALUES (1)", NULL, NULL, NULL),
                        SQLITE_OK);
    ledger_close(ledger);
    scratch_end();
}

/* Readers see what was committed, and never hold up the one who writes. */
static void writer_is_not_held_up_by_a_reader(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    sqlite3 *reader = NULL;
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 5), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(
        sqlite3_open_v2(scratch_path("ledger.db"), &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_exec(reader, "BEGIN; SELECT * FROM credit", NULL, NULL, NULL),
                    SQLITE_OK);
    CU_ASSERT_EQUAL(fixture_add(ledger, 5, FIXTURE_RECORDS), STATUS_OK);
    CU_ASSERT_EQUAL(sqlite3_close(reader), SQLITE_OK);
    ledger_close(ledger);
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(commit_is_on_disk_when_it_returns),
        SUITE_TEST(file_is_read_and_not_mapped),
        SUITE_TEST(function_that_a_file_names_is_not_called),
        SUITE_TEST(writer_is_not_held_up_by_a_reader),
    };
    if (sqlite3_config(SQLITE_CONFIG_MMAP_SIZE, (sqlite3_int64)MAPPED_BYTES_MAX,
                       (sqlite3_int64)MAPPED_BYTES_MAX) != SQLITE_OK) {
        return 1;
    }
    return suite_run("sql_file", tests, sizeof tests / sizeof tests[0]);
}
