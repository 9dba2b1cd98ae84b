#include "coordinator/store/members_schema.h"

/* Keys of 32 bytes are Ed25519, hashes BLAKE2b-256 of tokens; times are milliseconds since 1970,
 * and 0 stands for never. */
static const char version_1[] =
    "CREATE TABLE invites ("
    " number INTEGER PRIMARY KEY CHECK (number > 0),"
    " hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),"
    " label TEXT NOT NULL CHECK (length(label) < 64),"
    " uses INTEGER NOT NULL CHECK (uses >= 0),"
    " used INTEGER NOT NULL CHECK (used >= 0 AND (uses = 0 OR used <= uses)),"
    " created_ms INTEGER NOT NULL CHECK (created_ms >= 0),"
    " expires_ms INTEGER NOT NULL CHECK (expires_ms >= 0),"
    " revoked INTEGER NOT NULL CHECK (revoked IN (0, 1))"
    ") STRICT;"

    "CREATE TABLE members ("
    " key BLOB PRIMARY KEY CHECK (length(key) = 32),"
    " name TEXT NOT NULL CHECK (length(name) < 64),"
    " invite INTEGER NOT NULL CHECK (invite >= 0),"
    " allowed INTEGER NOT NULL CHECK (allowed IN (0, 1)),"
    " state TEXT NOT NULL CHECK (state IN ('active', 'revoked', 'banned')),"
    " reason TEXT NOT NULL CHECK (length(reason) < 256),"
    " first_ms INTEGER NOT NULL CHECK (first_ms >= 0),"
    " last_ms INTEGER NOT NULL CHECK (last_ms >= 0),"
    " changed_ms INTEGER NOT NULL CHECK (changed_ms >= 0),"
    " sequence INTEGER NOT NULL CHECK (sequence >= 0)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE incidents ("
    " number INTEGER PRIMARY KEY CHECK (number > 0),"
    " first_ms INTEGER NOT NULL CHECK (first_ms >= 0),"
    " last_ms INTEGER NOT NULL CHECK (last_ms >= 0),"
    " count INTEGER NOT NULL CHECK (count > 0),"
    " key BLOB CHECK (length(key) = 32),"
    " host TEXT NOT NULL CHECK (length(host) < 48),"
    " kind TEXT NOT NULL CHECK (length(kind) < 32),"
    " text TEXT NOT NULL CHECK (length(text) < 256)"
    ") STRICT;";

/* Each member that came by an invite used one of its uses. (Who came by two has used two.) */
static const char uses_differ[] =
    "SELECT count(*) FROM (SELECT invite, count(*) AS came FROM members WHERE invite > 0"
    " GROUP BY invite) LEFT JOIN invites ON number = invite WHERE number IS NULL OR used < came";

/* What is counted on from here must not reach 2^63 - 1, the largest number of SQLite's; nothing
 * that was counted one by one is past half of it. */
static const char no_room[] =
    "SELECT (SELECT count(*) FROM invites WHERE max(number, used) > 4611686018427387904)"
    " + (SELECT count(*) FROM incidents WHERE number > 4611686018427387904)";

const struct sql_schema *members_schema_current(void)
{
    static const char *const steps[] = {version_1};
    static const char *const checks[] = {uses_differ, no_room};
    static const struct sql_schema schema = {
        .application_id = MEMBERS_APPLICATION_ID,
        .kind = "a file of members",
        .remedy = "put a copy of it back, or move it away to begin without members, invites and "
                  "bans",
        .later = "",
        .version = sizeof steps / sizeof steps[0],
        .steps = steps,
        .checks = checks,
        .check_count = sizeof checks / sizeof checks[0]};
    return &schema;
}
