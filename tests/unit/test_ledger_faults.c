/* What disks and memory do to a ledger: bytes that flip, files cut short, every call of SQLite's
 * file system failing once, memory that runs out. Whatever it is: a sentence, never a crash, and
 * never credit that is not the sum of what was done. */
#include "common/fault.h"
#include "coordinator/store/ledger_state.h"
#include "tests/unit/ledger_fixture.h"
#include "tests/unit/suite.h"

#include <unistd.h>

static const struct ledger_totals whole = {
    .steps = 4, .samples = 64, .tokens = 698, .credit_tokens = 698, .peers = 2};

static bool is_prefix(const struct ledger_totals *totals)
{
    uint64_t steps = totals->steps;
    uint64_t tokens = steps * 170 + (steps > 0 ? 3 * (steps * (steps - 1) / 2) : 0);
    return steps <= 4 && totals->samples == steps * FIXTURE_BATCH && totals->tokens == tokens &&
           totals->credit_tokens == tokens && totals->peers == (steps > 0 ? 2 : 0);
}

/* Uses the ledger as a coordinator does: opens it, adds what it lacks, asks for sums. */
static enum status use(struct ledger_totals *out)
{
    struct ledger *ledger = NULL;
    uint64_t next = 0;
    struct digest hash;
    *out = (struct ledger_totals){0};
    enum status status = ledger_open(scratch_folder, "a run", &ledger, &next, &hash);
    if (status == STATUS_OK) {
        status = fixture_add(ledger, next, FIXTURE_RECORDS);
    }
    if (status == STATUS_OK) {
        status = ledger_totals(ledger, out);
    }
    ledger_close(ledger);
    return status;
}

/* Without syncing, which would take most of the time. */
static void write_file(const char *name, const uint8_t *data, size_t size_bytes)
{
    FILE *file = fopen(scratch_path(name), "wbe");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(data, 1, size_bytes, file), size_bytes);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void remake(const uint8_t *data, size_t size_bytes)
{
    CU_ASSERT_EQUAL_FATAL(ledger_remove(scratch_folder), STATUS_OK);
    write_file("ledger.db", data, size_bytes);
}

static void assert_harmless_or_told(const char *what, size_t place)
{
    struct ledger_totals totals;
    enum status status = use(&totals);
    bool told = status == STATUS_CORRUPT || status == STATUS_IO;
    bool harmless = status == STATUS_OK && memcmp(&totals, &whole, sizeof whole) == 0;
    if (!told && !harmless) {
        (void)fprintf(stderr, "%s at %zu: status %d\n", what, place, (int)status);
    }
    CU_ASSERT_TRUE(told || harmless);
    CU_ASSERT_TRUE(status == STATUS_OK || strstr(fault_text(), "ledger.db") != NULL);
}

static void open_with_a_flipped_byte_is_told_or_harmless(void)
{
    scratch_begin();
    fixture_make();
    size_t size_bytes = 0;
    uint8_t *data = scratch_read("ledger.db", &size_bytes);
    size_t count = 0;
    for (size_t place = 0; place < size_bytes; place += place < 128 ? 1 : 13) {
        uint8_t kept = data[place];
        if (kept == 0 && place >= 128 && place % 64 != 0) {
            continue; /* most of a page is empty */
        }
        data[place] = (uint8_t)(kept ^ (1U << place % 8));
        remake(data, size_bytes);
        assert_harmless_or_told("flip", place);
        data[place] = (uint8_t)~kept;
        remake(data, size_bytes);
        assert_harmless_or_told("inverted", place);
        data[place] = kept;
        count++;
    }
    CU_ASSERT_TRUE(count > 300);
    free(data);
    scratch_end();
}

static void open_a_file_cut_short_is_told_or_harmless(void)
{
    scratch_begin();
    fixture_make();
    size_t size_bytes = 0;
    uint8_t *data = scratch_read("ledger.db", &size_bytes);
    for (size_t length = 0; length < size_bytes; length += length < 128 ? 1 : 509) {
        remake(data, length);
        assert_harmless_or_told("cut", length);
    }
    remake(data, size_bytes / 4096 / 2 * 4096);
    struct ledger_totals totals;
    CU_ASSERT_EQUAL(use(&totals), STATUS_CORRUPT);
    free(data);
    scratch_end();
}

/* The peer's row and the index of keys hold the key once each: sums still agree, look-ups do not.
 */
static void open_with_an_index_that_differs_is_told(void)
{
    scratch_begin();
    fixture_make();
    size_t size_bytes = 0;
    size_t found = 0;
    uint8_t *data = scratch_read("ledger.db", &size_bytes);
    for (size_t place = 0; place + IDENTITY_KEY_BYTES <= size_bytes; place++) {
        if (memcmp(data + place, fixture_bjorn, IDENTITY_KEY_BYTES) == 0) {
            struct ledger_totals totals;
            data[place + 31] ^= 1;
            remake(data, size_bytes);
            CU_ASSERT_EQUAL(use(&totals), STATUS_CORRUPT);
            data[place + 31] ^= 1;
            found++;
        }
    }
    CU_ASSERT_EQUAL(found, 2);
    free(data);
    scratch_end();
}

static void open_with_a_damaged_log_goes_on_from_an_earlier_record(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 6), STATUS_OK);
    size_t size_bytes = 0;
    size_t log_bytes = 0;
    uint8_t *data = scratch_read("ledger.db", &size_bytes);
    uint8_t *log = scratch_read("ledger.db-wal", &log_bytes);
    ledger_close(ledger);
    for (size_t place = 0; place < log_bytes; place += 1999) {
        log[place] ^= 0x10;
        remake(data, size_bytes);
        write_file("ledger.db-wal", log, log_bytes);
        assert_harmless_or_told("flip in the log", place);
        log[place] ^= 0x10;
        remake(data, size_bytes);
        write_file("ledger.db-wal", log, place);
        assert_harmless_or_told("log cut", place);
    }
    free(data);
    free(log);
    scratch_end();
}

/* A file system between SQLite and the real one that fails the call number `fail_at` with
 * `fail_code`, and all later ones while `fail_on`. */
static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    unsigned calls;
    unsigned fail_at; /* from 1; 0: never */
    int fail_code;
    bool fail_on;
    bool failed;
} faulty;

struct faulty_file {
    sqlite3_file base;
    sqlite3_io_methods methods;
    const sqlite3_io_methods *real_methods;
    sqlite3_file *real; /* behind this struct, in the same storage */
};

static bool fails_now(void)
{
    faulty.calls++;
    bool fails = faulty.fail_at != 0 && (faulty.calls == faulty.fail_at ||
                                         (faulty.fail_on && faulty.calls > faulty.fail_at));
    faulty.failed = faulty.failed || fails;
    return fails;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct faulty_file *)(void *)file)->real;
}

static int faulty_write(sqlite3_file *file, const void *data, int size_bytes, sqlite3_int64 offset)
{
    sqlite3_file *real = real_of(file);
    if (fails_now()) {
        (void)real->pMethods->xWrite(real, data, size_bytes / 2, offset);
        return faulty.fail_code;
    }
    return real->pMethods->xWrite(real, data, size_bytes, offset);
}

static int faulty_sync(sqlite3_file *file, int flags)
{
    sqlite3_file *real = real_of(file);
    return fails_now() ? faulty.fail_code : real->pMethods->xSync(real, flags);
}

static int faulty_read(sqlite3_file *file, void *data, int size_bytes, sqlite3_int64 offset)
{
    sqlite3_file *real = real_of(file);
    return fails_now() ? SQLITE_IOERR_READ : real->pMethods->xRead(real, data, size_bytes, offset);
}

static int faulty_truncate(sqlite3_file *file, sqlite3_int64 size_bytes)
{
    sqlite3_file *real = real_of(file);
    return fails_now() ? faulty.fail_code : real->pMethods->xTruncate(real, size_bytes);
}

static int faulty_size(sqlite3_file *file, sqlite3_int64 *out)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xFileSize(real, out);
}

static int faulty_close(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xClose(real);
}

static int faulty_lock(sqlite3_file *file, int level)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xLock(real, level);
}

static int faulty_unlock(sqlite3_file *file, int level)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xUnlock(real, level);
}

static int faulty_is_reserved(sqlite3_file *file, int *out)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xCheckReservedLock(real, out);
}

static int faulty_control(sqlite3_file *file, int operation, void *argument)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xFileControl(real, operation, argument);
}

static int faulty_sector(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xSectorSize(real);
}

static int faulty_traits(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xDeviceCharacteristics(real);
}

static int faulty_shm_map(sqlite3_file *file, int page, int size_bytes, int extend,
                          void volatile **out)
{
    sqlite3_file *real = real_of(file);
    if (fails_now()) {
        *out = NULL;
        return SQLITE_IOERR_SHMSIZE;
    }
    return real->pMethods->xShmMap(real, page, size_bytes, extend, out);
}

static int faulty_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xShmLock(real, offset, count, flags);
}

static void faulty_shm_barrier(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    real->pMethods->xShmBarrier(real);
}

static int faulty_shm_unmap(sqlite3_file *file, int erase)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xShmUnmap(real, erase);
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                       int *out_flags)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 2,
        .xClose = faulty_close,
        .xRead = faulty_read,
        .xWrite = faulty_write,
        .xTruncate = faulty_truncate,
        .xSync = faulty_sync,
        .xFileSize = faulty_size,
        .xLock = faulty_lock,
        .xUnlock = faulty_unlock,
        .xCheckReservedLock = faulty_is_reserved,
        .xFileControl = faulty_control,
        .xSectorSize = faulty_sector,
        .xDeviceCharacteristics = faulty_traits,
        .xShmMap = faulty_shm_map,
        .xShmLock = faulty_shm_lock,
        .xShmBarrier = faulty_shm_barrier,
        .xShmUnmap = faulty_shm_unmap,
    };
    (void)vfs;
    struct faulty_file *self = (struct faulty_file *)(void *)file;
    self->base.pMethods = NULL;
    self->real = (sqlite3_file *)(void *)(self + 1);
    if (fails_now()) {
        return SQLITE_CANTOPEN;
    }
    int code = faulty.real->xOpen(faulty.real, name, self->real, flags, out_flags);
    if (code == SQLITE_OK) {
        self->base.pMethods = &methods;
    }
    return code;
}

static int faulty_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    return fails_now() ? SQLITE_IOERR_DELETE : faulty.real->xDelete(faulty.real, name, sync_folder);
}

static void begin_faults(int fail_code, bool fail_on)
{
    faulty.real = sqlite3_vfs_find(NULL);
    faulty.vfs = *faulty.real;
    faulty.vfs.pNext = NULL;
    faulty.vfs.zName = "faulty";
    faulty.vfs.szOsFile = (int)sizeof(struct faulty_file) + faulty.real->szOsFile;
    faulty.vfs.xOpen = faulty_open;
    faulty.vfs.xDelete = faulty_delete;
    faulty.fail_code = fail_code;
    faulty.fail_on = fail_on;
    CU_ASSERT_EQUAL_FATAL(sqlite3_vfs_register(&faulty.vfs, 1), SQLITE_OK);
}

static void end_faults(void)
{
    CU_ASSERT_EQUAL(sqlite3_vfs_unregister(&faulty.vfs), SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_vfs_register(faulty.real, 1), SQLITE_OK);
}

/* One use of a new ledger in which the file system's call number `fail_at` fails, as single records
 * or as one transaction; then one in which none does. */
static enum status use_with_fault(unsigned fail_at, bool in_batch)
{
    struct ledger *ledger = NULL;
    struct ledger_totals totals = {0};
    uint64_t next = 0;
    struct digest hash;
    CU_ASSERT_EQUAL_FATAL(ledger_remove(scratch_folder), STATUS_OK);
    faulty.calls = 0;
    faulty.failed = false;
    faulty.fail_at = fail_at;
    enum status status = ledger_open(scratch_folder, "a run", &ledger, &next, &hash);
    if (status == STATUS_OK && in_batch) {
        status = ledger_begin(ledger);
        if (status == STATUS_OK) {
            status = fixture_add(ledger, 0, FIXTURE_RECORDS);
            enum status ended = ledger_end(ledger);
            status = status == STATUS_OK ? ended : status;
        }
    } else if (status == STATUS_OK) {
        status = fixture_add(ledger, 0, FIXTURE_RECORDS);
    }
    faulty.fail_at = status == STATUS_OK ? fail_at : 0;
    if (ledger != NULL && status != STATUS_OK && ledger_totals(ledger, &totals) == STATUS_OK) {
        CU_ASSERT_TRUE(is_prefix(&totals));
    }
    ledger_close(ledger);
    faulty.fail_at = 0;
    return status;
}

static void fail_each_call(int fail_code, bool fail_on, bool in_batch)
{
    scratch_begin();
    begin_faults(fail_code, fail_on);
    size_t told = 0;
    bool failed = true;
    for (unsigned call = 1; failed; call += 1 + call / 80) {
        enum status status = use_with_fault(call, in_batch);
        failed = faulty.failed;
        if (status != STATUS_OK) {
            told++;
            CU_ASSERT_TRUE(status == STATUS_IO || status == STATUS_CORRUPT);
            CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "ledger.db"));
            CU_ASSERT_TRUE(fail_code != SQLITE_FULL || strstr(fault_text(), "full") == NULL ||
                           strstr(fault_text(), "free some space") != NULL);
        }
        struct ledger_totals totals;
        CU_ASSERT_EQUAL(use(&totals), STATUS_OK);
        CU_ASSERT_EQUAL(memcmp(&totals, &whole, sizeof whole), 0);
    }
    CU_ASSERT_TRUE(told > 10);
    end_faults();
    scratch_end();
}

static void use_with_each_call_failing_once_recovers(void)
{
    fail_each_call(SQLITE_IOERR_FSYNC, false, false);
    fail_each_call(SQLITE_IOERR_FSYNC, false, true);
}

static void use_on_a_disk_that_fills_recovers(void)
{
    fail_each_call(SQLITE_FULL, true, false);
    fail_each_call(SQLITE_FULL, true, true);
}

static void add_on_a_full_disk_says_to_free_space(void)
{
    scratch_begin();
    begin_faults(SQLITE_FULL, true);
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 3), STATUS_OK);
    faulty.calls = 0;
    faulty.fail_at = 1;
    CU_ASSERT_EQUAL(fixture_add(ledger, 3, 5), STATUS_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "ledger.db: database or disk is full; free some"));
    faulty.fail_at = 0;
    CU_ASSERT_EQUAL(fixture_add(ledger, 4, FIXTURE_RECORDS), STATUS_OK);
    ledger_close(ledger);
    end_faults();
    struct ledger_totals totals;
    CU_ASSERT_EQUAL(use(&totals), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(&totals, &whole, sizeof whole), 0);
    scratch_end();
}

static void end_on_a_full_disk_goes_back_to_its_beginning(void)
{
    scratch_begin();
    begin_faults(SQLITE_FULL, true);
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 3), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_begin(ledger), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_add(ledger, 3, 6), STATUS_OK);
    faulty.calls = 0;
    faulty.fail_at = 1;
    CU_ASSERT_EQUAL(ledger_end(ledger), STATUS_IO);
    faulty.fail_at = 0;
    CU_ASSERT_EQUAL(fixture_add(ledger, 6, 7), STATUS_STALE);
    CU_ASSERT_EQUAL(fixture_add(ledger, 3, FIXTURE_RECORDS), STATUS_OK);
    ledger_close(ledger);
    end_faults();
    struct ledger_totals totals;
    CU_ASSERT_EQUAL(use(&totals), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(&totals, &whole, sizeof whole), 0);
    scratch_end();
}

static struct {
    sqlite3_mem_methods real;
    unsigned calls;
    unsigned fail_at;
    bool failed;
} memory;

static bool memory_fails_now(void)
{
    bool fails = ++memory.calls == memory.fail_at;
    memory.failed = memory.failed || fails;
    return fails;
}

static void *memory_take(int size_bytes)
{
    return memory_fails_now() ? NULL : memory.real.xMalloc(size_bytes);
}

static void *memory_resize(void *data, int size_bytes)
{
    return memory_fails_now() ? NULL : memory.real.xRealloc(data, size_bytes);
}

static void set_memory(sqlite3_mem_methods *methods)
{
    CU_ASSERT_EQUAL_FATAL(sqlite3_shutdown(), SQLITE_OK);
    CU_ASSERT_EQUAL_FATAL(sqlite3_config(SQLITE_CONFIG_MALLOC, methods), SQLITE_OK);
    CU_ASSERT_EQUAL_FATAL(sqlite3_initialize(), SQLITE_OK);
}

static void begin_memory_faults(void)
{
    CU_ASSERT_EQUAL_FATAL(sqlite3_shutdown(), SQLITE_OK);
    CU_ASSERT_EQUAL_FATAL(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory.real), SQLITE_OK);
    sqlite3_mem_methods methods = memory.real;
    methods.xMalloc = memory_take;
    methods.xRealloc = memory_resize;
    set_memory(&methods);
    memory.failed = true;
}

/* From now on, allocation number `call` fails, from 1; 0: none. */
static void fail_allocation(unsigned call)
{
    memory.calls = 0;
    memory.failed = false;
    memory.fail_at = call;
}

static void use_with_each_allocation_failing_once_recovers(void)
{
    scratch_begin();
    begin_memory_faults();
    size_t told = 0;
    for (unsigned call = 1; memory.failed; call += 1 + call / 40) {
        CU_ASSERT_EQUAL_FATAL(ledger_remove(scratch_folder), STATUS_OK);
        struct ledger_totals totals;
        fail_allocation(call);
        enum status status = use(&totals);
        memory.fail_at = 0;
        CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_NO_MEMORY);
        told += status == STATUS_NO_MEMORY;
        CU_ASSERT_EQUAL(use(&totals), STATUS_OK);
        CU_ASSERT_EQUAL(memcmp(&totals, &whole, sizeof whole), 0);
    }
    CU_ASSERT_TRUE(told > 20);
    set_memory(&memory.real);
    scratch_end();
}

/* Adds records 3 to 7 in one transaction in which an allocation fails. Either the record is taken
 * back alone, or the whole transaction is given up and said to be. True in the second case. */
static bool lose_in_batch(struct ledger *ledger, unsigned call)
{
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, 3), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_begin(ledger), STATUS_OK);
    fail_allocation(call);
    enum status status = fixture_add(ledger, 3, 7);
    memory.fail_at = 0;
    CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_NO_MEMORY);
    bool lost = sqlite3_get_autocommit(ledger->file.db) != 0;
    if (lost) {
        CU_ASSERT_EQUAL(fixture_add(ledger, 3, 4), STATUS_IO);
    }
    CU_ASSERT_EQUAL(ledger_end(ledger), lost ? STATUS_IO : STATUS_OK);
    CU_ASSERT_TRUE(!lost || ledger->next_sequence == 3);
    CU_ASSERT_EQUAL(fixture_add(ledger, ledger->next_sequence, FIXTURE_RECORDS), STATUS_OK);
    return lost;
}

static void add_in_a_lost_transaction_is_told(void)
{
    scratch_begin();
    begin_memory_faults();
    size_t lost = 0;
    for (unsigned call = 1; memory.failed; call += 1 + call / 80) {
        CU_ASSERT_EQUAL_FATAL(ledger_remove(scratch_folder), STATUS_OK);
        struct ledger *ledger = fixture_open(0);
        lost += lose_in_batch(ledger, call);
        ledger_close(ledger);
        struct ledger_totals totals;
        bool failed = memory.failed;
        CU_ASSERT_EQUAL(use(&totals), STATUS_OK);
        CU_ASSERT_EQUAL(memcmp(&totals, &whole, sizeof whole), 0);
        memory.failed = failed;
    }
    CU_ASSERT_TRUE(lost > 0);
    set_memory(&memory.real);
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(open_with_a_flipped_byte_is_told_or_harmless),
        SUITE_TEST(open_a_file_cut_short_is_told_or_harmless),
        SUITE_TEST(open_with_an_index_that_differs_is_told),
        SUITE_TEST(open_with_a_damaged_log_goes_on_from_an_earlier_record),
        SUITE_TEST(use_with_each_call_failing_once_recovers),
        SUITE_TEST(use_on_a_disk_that_fills_recovers),
        SUITE_TEST(add_on_a_full_disk_says_to_free_space),
        SUITE_TEST(end_on_a_full_disk_goes_back_to_its_beginning),
        SUITE_TEST(add_in_a_lost_transaction_is_told),
        SUITE_TEST(use_with_each_allocation_failing_once_recovers),
    };
    return suite_run("ledger_faults", tests, sizeof tests / sizeof tests[0]);
}
