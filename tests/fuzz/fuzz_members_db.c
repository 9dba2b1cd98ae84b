/* members.db and its write-ahead log as bytes, and the invites.json of earlier releases: opened and
 * used as a coordinator does. Whatever they hold: a sentence, or members that behave. */
#include "common/fault.h"
#include "coordinator/store/members.h"
#include "coordinator/store/members_schema.h"
#include "coordinator/store/sql_query.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"
#include "tests/fuzz/fuzz_sqlite.h"

#include <math.h>
#include <string.h>

/* SQLite's cache of pages, and what it prepares. */
enum { BASE_BYTES = 4 << 20 };
enum { HAS_FILE = 1, HAS_LOG = 2, HAS_OLD = 4, ONLY_READ = 8, PAGE = 8, UNIX_MS = 1000000 };

static const char path[] = "/run/members.db";
static const char log_path[] = "/run/members.db-wal";
static const char old_path[] = "/run/invites.json";

static bool is_ours(enum status status)
{
    return status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_IO ||
           status == STATUS_NO_MEMORY;
}

/* For the part of common/disk.c that looks where SQLite's files lie. */
static void put(const char *name, struct fuzz_bytes bytes)
{
    fuzz_sqlite_put(name, bytes);
    fuzz_disk_put(name, bytes.data, bytes.size_bytes);
}

static uint8_t put_files(struct fuzz_bytes *in)
{
    uint8_t what = fuzz_take_u8(in);
    if ((what & HAS_OLD) != 0) {
        uint32_t size_bytes = fuzz_take_u32(in);
        struct fuzz_bytes old = fuzz_take(in, size_bytes);
        fuzz_disk_put(old_path, old.data, old.size_bytes);
    }
    if ((what & HAS_LOG) != 0) {
        uint32_t size_bytes = fuzz_take_u32(in);
        put(log_path, fuzz_take(in, size_bytes));
    }
    if ((what & HAS_FILE) != 0) {
        put(path, *in);
    }
    return what;
}

/* The first letter repeated, as seeds_members.c has it. */
static void fill(uint8_t out[IDENTITY_KEY_BYTES], uint8_t byte)
{
    memset(out, byte, IDENTITY_KEY_BYTES);
}

static enum status list(struct members *members)
{
    static struct member found[PAGE];
    static struct invite invites[PAGE];
    static struct incident incidents[PAGE];
    uint8_t from[IDENTITY_KEY_BYTES] = {0};
    size_t count = 0;
    enum status status = members_list(members, from, false, found, PAGE, &count);
    CHECK(count <= PAGE);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        CHECK(found[i].state < MEMBER_STATE_COUNT);
        CHECK(strlen(found[i].name) < sizeof found[i].name);
        CHECK(i == 0 || memcmp(found[i - 1].key, found[i].key, IDENTITY_KEY_BYTES) != 0);
    }
    if (status == STATUS_OK) {
        status = members_list(members, from, true, found, PAGE, &count);
    }
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        CHECK(found[i].state == MEMBER_BANNED);
    }
    if (status == STATUS_OK) {
        status = members_invites(members, 1, invites, PAGE, &count);
    }
    if (status == STATUS_OK) {
        status = members_incidents(members, UINT64_MAX, incidents, PAGE, &count);
    }
    return status;
}

/* A hello, made durable. */
static enum status come(struct members *members, uint8_t who, enum membership policy,
                        enum members_verdict *out)
{
    uint8_t key[IDENTITY_KEY_BYTES];
    uint8_t token[LINK_TOKEN_BYTES];
    fill(key, who);
    memset(token, 't', sizeof token);
    const struct members_hello hello = {.policy = policy,
                                        .key = key,
                                        .token = token,
                                        .name = "somebody",
                                        .sequence = 1000,
                                        .unix_ms = UNIX_MS};
    enum status status = members_judge(members, &hello, out);
    return status == STATUS_OK ? members_flush(members) : status;
}

/* What was durable counts: nobody comes twice with one number, and who is banned does not come. */
static enum status use(struct members *members)
{
    enum members_verdict verdict = MEMBERS_BANNED;
    uint8_t key[IDENTITY_KEY_BYTES];
    enum status status = STATUS_OK;
    for (uint8_t who = 'a'; status == STATUS_OK && who < 'd'; who++) {
        status = come(members, who, who == 'c' ? MEMBERSHIP_OPEN : MEMBERSHIP_INVITE, &verdict);
        if (status == STATUS_OK && verdict == MEMBERS_WELCOME) {
            status = come(members, who, MEMBERSHIP_OPEN, &verdict);
            CHECK(status != STATUS_OK || verdict == MEMBERS_SEQUENCE);
        }
    }
    fill(key, 'a');
    if (status == STATUS_OK) {
        status = members_ban(members, key, "for a reason", UNIX_MS);
    }
    if (status == STATUS_OK) {
        status = come(members, 'a', MEMBERSHIP_OPEN, &verdict);
        CHECK(status != STATUS_OK || verdict == MEMBERS_BANNED);
    }
    return status;
}

static enum status change(struct members *members)
{
    struct incident incident = {.first_ms = UNIX_MS, .count = 1, .kind = "fuzz", .text = "text"};
    struct invite invite = {.label = "new", .created_ms = UNIX_MS};
    uint64_t number = 0;
    fill(invite.hash.bytes, 'h');
    (void)members_note(members, &incident);
    enum status status = members_flush(members);
    if (status == STATUS_OK) {
        incident.has_key = true;
        (void)members_note(members, &incident);
        status = members_invite(members, &invite, &number);
        if (status == STATUS_BAD_DATA) { /* there is one of this hash */
            status = STATUS_OK;
        } else if (status == STATUS_OK) {
            CHECK(number > 0);
            status = members_revoke_invite(members, number);
        }
    }
    return status;
}

static enum status open_and_use(void)
{
    struct members *members = NULL;
    enum members_verdict verdict = MEMBERS_WELCOME;
    enum status status = members_open("/run", &members);
    CHECK((status == STATUS_OK) == (members != NULL));
    CHECK(is_ours(status) || status == STATUS_BAD_DATA || !fuzz_is_calm());
    CHECK(status == STATUS_OK || !fuzz_is_calm() || strstr(fault_text(), "/run/") != NULL);
    if (status == STATUS_OK) {
        status = list(members);
    }
    if (status == STATUS_OK) {
        status = use(members);
    }
    if (status == STATUS_OK) {
        status = change(members);
    }
    CHECK(is_ours(status) || status == STATUS_BAD_DATA || !fuzz_is_calm());
    members_close(members);
    members = NULL;
    if (status == STATUS_OK && members_open("/run", &members) == STATUS_OK) {
        status = come(members, 'a', MEMBERSHIP_OPEN, &verdict);
        CHECK(status != STATUS_OK || verdict == MEMBERS_BANNED);
    } else {
        CHECK(status != STATUS_OK || !fuzz_is_calm());
    }
    members_close(members);
    return status;
}

/* Nothing was checked: each column is taken as what it may not be. */
static enum status read_rows(struct sql_statements *statements, unsigned which, uint64_t above,
                             double less)
{
    char text[8];
    uint8_t key[IDENTITY_KEY_BYTES];
    struct sql_query query = sql_query_begin(statements, which);
    sql_put_integer(&query, above);
    sql_put_real(&query, less);
    while (sql_query_next(&query)) {
        (void)sql_take_integer(&query);
        sql_take_blob(&query, key, sizeof key);
        sql_take_text(&query, text, sizeof text);
        CHECK(memchr(text, 0, sizeof text) != NULL);
        (void)sql_take_integer(&query);
    }
    return sql_query_end(&query);
}

/* As another process reads, while the file may be written. */
static enum status read_only(void)
{
    static const char *const texts[] = {
        "SELECT number, hash, label, uses FROM invites WHERE number > ?1 - ?2",
        "SELECT first_ms, key, state, sequence FROM members WHERE sequence > ?1 - ?2",
        "SELECT count, key, host, last_ms FROM incidents WHERE number > ?1 - ?2"};
    struct sql_file file;
    struct sql_statements statements = {.file = NULL};
    enum status status = sql_file_open_to_read(path, members_schema_current(), &file);
    if (status == STATUS_OK) {
        status = sql_statements_init(&statements, &file, texts, sizeof texts / sizeof texts[0]);
    }
    for (unsigned i = 0; status == STATUS_OK && i < sizeof texts / sizeof texts[0]; i++) {
        status = read_rows(&statements, i, 1, 0.5);
    }
    if (status == STATUS_OK) {
        CHECK(read_rows(&statements, 0, UINT64_MAX, 0.5) == STATUS_OUT_OF_RANGE);
        CHECK(read_rows(&statements, 0, 1, INFINITY) == STATUS_OUT_OF_RANGE);
    }
    sql_statements_deinit(&statements);
    sql_file_close(&file);
    CHECK(is_ours(status));
    return status;
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    fuzz_sqlite_begin();
    bool reads = (put_files(&in) & ONLY_READ) != 0;
    fuzz_memory_begin();
    fuzz_ignore(reads ? read_only() : open_and_use());
    fuzz_memory_end(size_bytes, BASE_BYTES);
    fuzz_sqlite_clear();
}
