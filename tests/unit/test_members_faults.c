/* What disks and kills do to members.db: a sentence or nothing, never a member too many, and each
 * use of an invite used once. */
#include "common/fault.h"
#include "coordinator/store/members.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

enum { USES = 2, COMERS = 4, UNIX_MS = 1000000, KILLED = 9 };

static uint8_t token[LINK_TOKEN_BYTES];

static const uint8_t *key_of(uint8_t i)
{
    static uint8_t keys[COMERS][IDENTITY_KEY_BYTES];
    memset(keys[i], i + 1, IDENTITY_KEY_BYTES);
    return keys[i];
}

static enum status hello(struct members *members, uint8_t i, uint64_t sequence,
                         enum members_verdict *out)
{
    const struct members_hello message = {.policy = MEMBERSHIP_INVITE,
                                          .key = key_of(i),
                                          .token = token,
                                          .name = "somebody",
                                          .sequence = sequence,
                                          .unix_ms = UNIX_MS};
    return members_judge(members, &message, out);
}

/* An invite for two, in a new file. */
static void make_file(void)
{
    static const char *const names[] = {"members.db", "members.db-wal", "members.db-shm"};
    struct members *members = NULL;
    uint64_t number = 0;
    const struct invite invite = {.hash = digest_of(token, sizeof token), .uses = USES};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unlink(scratch_path(names[i]));
    }
    CU_ASSERT_EQUAL_FATAL(members_open(scratch_folder, &members), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(members_invite(members, &invite, &number), STATUS_OK);
    members_close(members);
}

struct held {
    uint64_t used;
    uint64_t came;
};

static struct held look(struct members *members)
{
    struct invite invite = {.used = UINT64_MAX};
    struct member found[COMERS + 1];
    uint8_t from[IDENTITY_KEY_BYTES] = {0};
    struct held held = {.came = 0};
    size_t count = 0;
    CU_ASSERT_EQUAL(members_invites(members, 1, &invite, 1, &count), STATUS_OK);
    held.used = invite.used;
    CU_ASSERT_EQUAL(members_list(members, from, false, found, COMERS + 1, &count), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        held.came += found[i].invite == 1 ? 1 : 0;
    }
    return held;
}

/* Whoever is there comes again, then the others: two in all, whatever happened before. */
static void fill_up(uint64_t sequence)
{
    struct members *members = NULL;
    uint64_t welcome = 0;
    CU_ASSERT_EQUAL_FATAL(members_open(scratch_folder, &members), STATUS_OK);
    struct held held = look(members);
    CU_ASSERT_EQUAL(held.used, held.came);
    CU_ASSERT_TRUE(held.used <= USES);
    for (unsigned i = 0; i < COMERS; i++) {
        enum members_verdict verdict = MEMBERS_BANNED;
        CU_ASSERT_EQUAL(hello(members, (uint8_t)i, sequence, &verdict), STATUS_OK);
        CU_ASSERT_TRUE(verdict == MEMBERS_WELCOME || verdict == MEMBERS_TOKEN_USED_UP);
        welcome += verdict == MEMBERS_WELCOME ? 1 : 0;
    }
    CU_ASSERT_EQUAL(welcome, USES);
    held = look(members);
    CU_ASSERT_TRUE(held.used == USES && held.came == USES);
    members_close(members);
}

static void write_file(const char *name, const uint8_t *data, size_t size_bytes)
{
    FILE *file = fopen(scratch_path(name), "wbe");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(data, 1, size_bytes, file), size_bytes);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

/* A coordinator's start with a damaged file: it says so, or works. */
static void assert_told_or_sane(void)
{
    struct members *members = NULL;
    enum status status = members_open(scratch_folder, &members);
    if (status == STATUS_OK) {
        enum members_verdict verdict = MEMBERS_BANNED;
        status = hello(members, COMERS - 1, 1000, &verdict);
        CU_ASSERT_TRUE(status != STATUS_OK || verdict == MEMBERS_TOKEN_USED_UP ||
                       verdict == MEMBERS_TOKEN_UNKNOWN || verdict == MEMBERS_TOKEN_REVOKED ||
                       verdict == MEMBERS_TOKEN_EXPIRED || verdict == MEMBERS_WELCOME);
    }
    CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_IO);
    CU_ASSERT_TRUE(status == STATUS_OK || strstr(fault_text(), "members.db") != NULL);
    members_close(members);
}

static void open_a_damaged_file_is_told_or_harmless(void)
{
    scratch_begin();
    make_file();
    fill_up(1);
    size_t size_bytes = 0;
    size_t count = 0;
    uint8_t *data = scratch_read("members.db", &size_bytes);
    for (size_t place = 0; place < size_bytes; place += place < 128 ? 1 : 11) {
        uint8_t kept = data[place];
        if (kept == 0 && place >= 128 && place % 64 != 0) {
            continue; /* most of a page is empty */
        }
        data[place] = (uint8_t)~kept;
        write_file("members.db", data, size_bytes);
        assert_told_or_sane();
        data[place] = kept;
        count++;
    }
    CU_ASSERT_TRUE(count > 150);
    for (size_t length = 1; length < size_bytes; length += length < 128 ? 7 : 1021) {
        write_file("members.db", data, length);
        assert_told_or_sane();
    }
    free(data);
    scratch_end();
}

static void expect_corrupt(const char *word)
{
    struct members *members = NULL;
    CU_ASSERT_EQUAL(members_open(scratch_folder, &members), STATUS_CORRUPT);
    CU_ASSERT_PTR_NULL(members);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "members.db"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), word));
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    CU_ASSERT_EQUAL_FATAL(sqlite3_open(scratch_path("members.db"), &db), SQLITE_OK);
    CU_ASSERT_EQUAL_FATAL(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_close(db), SQLITE_OK);
}

/* By hands that know SQLite. */
static void open_a_forged_file_is_refused(void)
{
    static const char *const forged[] = {
        "UPDATE invites SET used = 1", /* two came */
        "DELETE FROM invites",         /* and by none */
        "CREATE TABLE other (x)",      /* harmless: nobody asks for it */
        "DROP TABLE incidents",        "PRAGMA application_id = 5",
        "PRAGMA user_version = 99",    "UPDATE invites SET uses = 0, used = 9223372036854775807"};
    static const char *const words[] = {
        "put a copy",    "put a copy",       "", "put a copy", "is not a file of members",
        "later release", "sums do not agree"};
    scratch_begin();
    for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++) {
        make_file();
        fill_up(1);
        run_sql(forged[i]);
        if (words[i][0] == '\0') {
            fill_up(2);
        } else {
            expect_corrupt(words[i]);
        }
    }
    scratch_write_text("members.db", "not SQLite's, but long enough to be looked at as if it were");
    expect_corrupt("put a copy");
    CU_ASSERT_EQUAL(unlink(scratch_path("members.db")), 0);
    (void)unlink(scratch_path("members.db-wal"));
    (void)unlink(scratch_path("members.db-shm"));
    CU_ASSERT_EQUAL(symlink("/dev/null", scratch_path("members.db")), 0);
    expect_corrupt("no plain file");
    scratch_end();
}

/* A file system between SQLite and the real one: its call number fail_at fails, or ends the
 * process in the middle of it. */
static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    unsigned calls;
    unsigned fail_at; /* from 1; 0: never */
    int fail_code;    /* 0: the process ends */
    bool failed;
} faulty;

/* The real one's methods, but for these; the file is its own. */
struct methods {
    sqlite3_io_methods changed;
    const sqlite3_io_methods *real;
};

static const sqlite3_io_methods *real_of(const sqlite3_file *file)
{
    return ((const struct methods *)(const void *)file->pMethods)->real;
}

static bool fails_now(void)
{
    faulty.calls++;
    faulty.failed = faulty.failed || faulty.calls == faulty.fail_at;
    return faulty.calls == faulty.fail_at;
}

static int faulty_write(sqlite3_file *file, const void *data, int size_bytes, sqlite3_int64 offset)
{
    if (fails_now()) {
        (void)real_of(file)->xWrite(file, data, size_bytes / 2, offset);
        if (faulty.fail_code == 0) {
            _exit(KILLED);
        }
        return faulty.fail_code;
    }
    return real_of(file)->xWrite(file, data, size_bytes, offset);
}

static int faulty_sync(sqlite3_file *file, int flags)
{
    if (fails_now()) {
        if (faulty.fail_code == 0) {
            _exit(KILLED);
        }
        return faulty.fail_code;
    }
    return real_of(file)->xSync(file, flags);
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                       int *out_flags)
{
    static struct methods kept[4];
    (void)vfs;
    int code = faulty.real->xOpen(faulty.real, name, file, flags, out_flags);
    if (code != SQLITE_OK || file->pMethods == NULL) {
        return code;
    }
    size_t i = 0;
    while (kept[i].real != NULL && kept[i].real != file->pMethods) {
        i++;
        CU_ASSERT_TRUE_FATAL(i < sizeof kept / sizeof kept[0]);
    }
    kept[i].real = file->pMethods;
    kept[i].changed = *file->pMethods;
    kept[i].changed.xWrite = faulty_write;
    kept[i].changed.xSync = faulty_sync;
    file->pMethods = &kept[i].changed;
    return SQLITE_OK;
}

static void begin_faults(void)
{
    faulty.real = sqlite3_vfs_find(NULL);
    faulty.vfs = *faulty.real;
    faulty.vfs.pNext = NULL;
    faulty.vfs.zName = "faulty";
    faulty.vfs.xOpen = faulty_open;
    CU_ASSERT_EQUAL_FATAL(sqlite3_vfs_register(&faulty.vfs, 1), SQLITE_OK);
}

static void end_faults(void)
{
    faulty.fail_at = 0;
    CU_ASSERT_EQUAL(sqlite3_vfs_unregister(&faulty.vfs), SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_vfs_register(faulty.real, 1), SQLITE_OK);
}

/* Two come by the invite; how many flushes said that all is durable goes to `pipe_fd`. Ends the
 * process, at the call that kills it or at the end. */
static void come_until_killed(int pipe_fd, unsigned kill_at)
{
    struct members *members = NULL;
    begin_faults();
    faulty.calls = 0;
    faulty.fail_code = 0;
    faulty.fail_at = kill_at;
    bool fine = members_open(scratch_folder, &members) == STATUS_OK;
    for (uint8_t i = 0; i < USES && fine; i++) {
        enum members_verdict verdict = MEMBERS_BANNED;
        fine = hello(members, i, 1, &verdict) == STATUS_OK && verdict == MEMBERS_WELCOME &&
               members_flush(members) == STATUS_OK && write(pipe_fd, "x", 1) == 1;
    }
    members_close(members);
    _exit(fine ? 0 : 1);
}

static void use_of_an_invite_survives_a_kill_at_any_write(void)
{
    int code = KILLED;
    unsigned kills = 0;
    scratch_begin();
    for (unsigned call = 1; code == KILLED; call++) {
        int ends[2];
        int state = 0;
        char durable[USES + 1];
        make_file();
        CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
        pid_t child = fork();
        if (child == 0) {
            come_until_killed(ends[1], call);
        }
        (void)close(ends[1]);
        ssize_t flushed = 0;
        for (ssize_t got = 0; (got = read(ends[0], durable, sizeof durable)) > 0;) {
            flushed += got;
        }
        (void)close(ends[0]);
        CU_ASSERT_EQUAL_FATAL(waitpid(child, &state, 0), child);
        code = WIFEXITED(state) ? WEXITSTATUS(state) : -1;
        CU_ASSERT_TRUE(code == KILLED || code == 0);
        struct members *members = NULL;
        CU_ASSERT_EQUAL_FATAL(members_open(scratch_folder, &members), STATUS_OK);
        struct held held = look(members);
        CU_ASSERT_EQUAL(held.used, held.came);
        CU_ASSERT_TRUE(held.used >= (uint64_t)flushed); /* what was said to be durable is there */
        members_close(members);
        fill_up(2);
        kills += code == KILLED ? 1 : 0;
    }
    CU_ASSERT_TRUE(kills >= 4);
    (void)printf("[killed at each of %u calls] ", kills);
    scratch_end();
}

/* What was judged is kept until the disk takes it. */
static void failed_write_is_told_and_tried_again(void)
{
    static const int codes[] = {SQLITE_IOERR_WRITE, SQLITE_FULL};
    scratch_begin();
    begin_faults();
    for (unsigned i = 0; i < 20; i++) {
        struct members *members = NULL;
        enum members_verdict verdict = MEMBERS_BANNED;
        faulty.fail_at = 0;
        make_file();
        CU_ASSERT_EQUAL_FATAL(members_open(scratch_folder, &members), STATUS_OK);
        CU_ASSERT_EQUAL(hello(members, 0, 1, &verdict), STATUS_OK);
        CU_ASSERT_EQUAL(verdict, MEMBERS_WELCOME);
        faulty.calls = 0;
        faulty.failed = false;
        faulty.fail_code = codes[i % 2];
        faulty.fail_at = 1 + i / 2;
        enum status status = members_flush(members);
        CU_ASSERT_EQUAL(status != STATUS_OK, faulty.failed);
        CU_ASSERT_TRUE(status == STATUS_OK || strstr(fault_text(), "members.db") != NULL);
        faulty.fail_at = 0;
        CU_ASSERT_EQUAL(hello(members, 0, 1, &verdict), STATUS_OK);
        CU_ASSERT_EQUAL(verdict, MEMBERS_SEQUENCE); /* in memory it counts at once */
        CU_ASSERT_EQUAL(members_flush(members), STATUS_OK);
        members_close(members);
        CU_ASSERT_EQUAL_FATAL(members_open(scratch_folder, &members), STATUS_OK);
        CU_ASSERT_EQUAL(look(members).used, 1);
        CU_ASSERT_EQUAL(hello(members, 0, 1, &verdict), STATUS_OK);
        CU_ASSERT_EQUAL(verdict, MEMBERS_SEQUENCE);
        members_close(members);
    }
    end_faults();
    scratch_end();
}

int main(void)
{
    if (sodium_init() < 0) {
        return 1;
    }
    memset(token, 0x77, sizeof token);
    static const struct suite_test tests[] = {
        SUITE_TEST(open_a_damaged_file_is_told_or_harmless),
        SUITE_TEST(open_a_forged_file_is_refused),
        SUITE_TEST(use_of_an_invite_survives_a_kill_at_any_write),
        SUITE_TEST(failed_write_is_told_and_tried_again),
    };
    return suite_run("members_faults", tests, sizeof tests / sizeof tests[0]);
}
