#include "tests/fuzz/seeds.h"

#include "common/check.h"
#include "coordinator/store/members.h"
#include "tests/fuzz/fuzz_disk.h"
#include "tests/fuzz/fuzz_sqlite.h"

#include <sqlite3.h>
#include <string.h>

enum { HAS_FILE = 1, HAS_LOG = 2, HAS_OLD = 4, ONLY_READ = 8 };

static const char path[] = "/run/members.db";
static const char log_path[] = "/run/members.db-wal";

/* Pages as small as they can be, so that the fuzzer has little to change. */
static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* An invite, members of each state, incidents. */
static struct members *make_members(void)
{
    struct members *members = NULL;
    uint8_t key[IDENTITY_KEY_BYTES];
    uint8_t token[LINK_TOKEN_BYTES];
    uint64_t number = 0;
    memset(token, 't', sizeof token);
    const struct invite invite = {
        .hash = digest_of(token, sizeof token), .label = "class", .uses = 3, .created_ms = 5};
    const struct incident incident = {.first_ms = 9, .count = 2, .has_key = true, .kind = "clone"};
    run_sql("PRAGMA page_size = 512; VACUUM");
    fuzz_disk_put(path, (const uint8_t *)"", 0);
    CHECK(members_open("/run", &members) == STATUS_OK);
    CHECK(members_invite(members, &invite, &number) == STATUS_OK);
    for (int who = 'b'; who < 'g'; who++) {
        enum members_verdict verdict = MEMBERS_BANNED;
        memset(key, who, sizeof key);
        const struct members_hello hello = {.policy =
                                                who < 'd' ? MEMBERSHIP_INVITE : MEMBERSHIP_OPEN,
                                            .key = key,
                                            .token = token,
                                            .name = "name",
                                            .sequence = (uint64_t)who,
                                            .unix_ms = 7};
        CHECK(members_judge(members, &hello, &verdict) == STATUS_OK);
        CHECK(verdict == MEMBERS_WELCOME);
    }
    CHECK(members_revoke(members, key, 8) == STATUS_OK);
    key[0]++;
    CHECK(members_ban(members, key, "reason", 8) == STATUS_OK);
    (void)members_note(members, &incident);
    CHECK(members_flush(members) == STATUS_OK);
    return members;
}

static void put_file(struct seed *out)
{
    struct fuzz_bytes file = fuzz_sqlite_get(path);
    seed_bytes(out, file.data, file.size_bytes);
}

static void write_seed(const char *name, const struct seed *seed)
{
    seed_write("members_db", name, seed->bytes, seed->size_bytes);
}

/* As a crash leaves it: all that happened is in the write-ahead log. */
static void seed_with_log(void)
{
    static struct seed seed;
    struct members *members = make_members();
    struct fuzz_bytes log = fuzz_sqlite_get(log_path);
    seed.size_bytes = 0;
    seed_u8(&seed, HAS_FILE | HAS_LOG);
    seed_u32(&seed, (uint32_t)log.size_bytes);
    seed_bytes(&seed, log.data, log.size_bytes);
    put_file(&seed);
    write_seed("log", &seed);
    members_close(members);
}

/* The file that is there, changed by somebody who knows SQLite. */
static void seed_forged(const char *name, uint8_t what, const char *sql)
{
    static struct seed seed;
    members_close(make_members());
    if (sql != NULL) {
        run_sql(sql);
    }
    seed.size_bytes = 0;
    seed_u8(&seed, what);
    put_file(&seed);
    write_seed(name, &seed);
    fuzz_sqlite_clear();
    fuzz_disk_clear();
}

static void seed_old(const char *name, const char *json)
{
    static struct seed seed;
    seed.size_bytes = 0;
    seed_u8(&seed, HAS_OLD);
    seed_u32(&seed, (uint32_t)strlen(json));
    seed_bytes(&seed, json, strlen(json));
    write_seed(name, &seed);
}

void seeds_members(void)
{
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    static const uint8_t empty[] = {HAS_FILE | ONLY_READ};
    fuzz_sqlite_begin();
    seed_with_log();
    fuzz_sqlite_clear();
    fuzz_disk_clear();
    seed_forged("whole", HAS_FILE, NULL);
    seed_forged("other-kind", HAS_FILE, "PRAGMA application_id = 5");
    seed_forged("later", HAS_FILE, "PRAGMA user_version = 99");
    seed_forged("uses", HAS_FILE, "UPDATE invites SET used = 1");
    seed_forged("no-table", HAS_FILE, "DROP TABLE incidents");
    seed_forged("full-numbers", HAS_FILE, "UPDATE incidents SET number = 9223372036854775807");
    seed_forged("full-invites", HAS_FILE,
                "UPDATE members SET invite = 0;"
                "UPDATE invites SET number = 9223372036854775807");
    seed_forged("full-uses", HAS_FILE, "UPDATE invites SET uses = 0, used = 9223372036854775807");
    seed_forged("unchecked", HAS_FILE,
                "PRAGMA ignore_check_constraints = ON;"
                "UPDATE members SET state = 'king', first_ms = -1;"
                "UPDATE incidents SET key = x'00'");
    seed_forged("many", HAS_FILE, "UPDATE incidents SET number = 200000");
    seed_forged("read", HAS_FILE | ONLY_READ, NULL);
    seed_forged("read-unchecked", HAS_FILE | ONLY_READ,
                "PRAGMA ignore_check_constraints = ON;"
                "UPDATE invites SET uses = -1");
    seed_forged("read-short", HAS_FILE | ONLY_READ,
                "PRAGMA ignore_check_constraints = ON;"
                "UPDATE invites SET hash = x'00'");
    seed_forged("read-nobody", HAS_FILE | ONLY_READ, "UPDATE incidents SET key = NULL");
    seed_write("members_db", "read-empty", empty, sizeof empty);
    seed_forged("read-earlier", HAS_FILE | ONLY_READ, "PRAGMA user_version = 0");
    seed_old("old", "[{\"blake2b\": \"" HASH "\", \"created_ms\": 5},"
                    "{\"blake2b\": \"" HASH "\"}]");
    seed_old("old-damaged", "[{\"blake2b\": \"00\"}]");
    seed_old("old-other", "{}");
}
