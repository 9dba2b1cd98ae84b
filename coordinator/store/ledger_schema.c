#include "coordinator/store/ledger_schema.h"

/* meta holds the place in the journal, and totals that must agree with the steps. Settings are
 * JSON. Keys of 32 bytes are Ed25519, run_id and digest BLAKE2b-256; times are milliseconds since
 * 1970. A contribution has a number and not only a peer: who hands in and is given more hands in
 * twice in a step. Sample ranges are rows, not a blob, so that "who computed sample n" is one
 * look-up and a range that is counted a second time meets the first one's key. */
static const char version_1[] =
    "CREATE TABLE meta ("
    " key TEXT PRIMARY KEY,"
    " value ANY NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE runs ("
    " run_id BLOB PRIMARY KEY CHECK (length(run_id) = 32),"
    " name TEXT NOT NULL,"
    " serial INTEGER NOT NULL CHECK (serial >= 0),"
    " paused INTEGER NOT NULL CHECK (paused IN (0, 1)),"
    " settings TEXT NOT NULL"
    ") STRICT;"

    "CREATE TABLE peers ("
    " id INTEGER PRIMARY KEY,"
    " key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),"
    " name TEXT NOT NULL DEFAULT '' CHECK (length(name) < 64),"
    " first_ms INTEGER CHECK (first_ms >= 0),"
    " last_ms INTEGER CHECK (last_ms >= first_ms)"
    ") STRICT;"

    "CREATE TABLE steps ("
    " step INTEGER PRIMARY KEY CHECK (step >= 0),"
    " sample_first INTEGER NOT NULL UNIQUE CHECK (sample_first >= 0),"
    " sample_count INTEGER NOT NULL CHECK (sample_count > 0),"
    " tokens INTEGER NOT NULL CHECK (tokens > 0),"
    " loss REAL NOT NULL,"
    " grad_l2 REAL NOT NULL,"
    " learning_rate REAL NOT NULL,"
    " unix_ms INTEGER NOT NULL CHECK (unix_ms >= 0),"
    " digest BLOB NOT NULL CHECK (length(digest) = 32)"
    ") STRICT;"

    "CREATE TABLE contributions ("
    " step INTEGER NOT NULL REFERENCES steps (step),"
    " number INTEGER NOT NULL CHECK (number >= 0),"
    " peer INTEGER NOT NULL REFERENCES peers (id),"
    " tokens INTEGER NOT NULL CHECK (tokens > 0),"
    " samples INTEGER NOT NULL CHECK (samples > 0),"
    " loss_sum REAL NOT NULL,"
    " PRIMARY KEY (step, number)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE sample_ranges ("
    " sample_first INTEGER PRIMARY KEY CHECK (sample_first >= 0),"
    " sample_count INTEGER NOT NULL CHECK (sample_count > 0),"
    " step INTEGER NOT NULL,"
    " number INTEGER NOT NULL,"
    " FOREIGN KEY (step, number) REFERENCES contributions (step, number)"
    ") STRICT;"

    "CREATE TABLE credit ("
    " peer INTEGER PRIMARY KEY REFERENCES peers (id),"
    " tokens INTEGER NOT NULL CHECK (tokens >= 0),"
    " samples INTEGER NOT NULL CHECK (samples >= 0),"
    " contributions INTEGER NOT NULL CHECK (contributions > 0)"
    ") STRICT;"

    "CREATE TABLE events ("
    " sequence INTEGER PRIMARY KEY CHECK (sequence >= 0),"
    " type TEXT NOT NULL"
    "  CHECK (type IN ('served', 'settings', 'paused', 'resumed', 'note')),"
    " version INTEGER NOT NULL CHECK (version >= 0),"
    " unix_ms INTEGER NOT NULL CHECK (unix_ms >= 0),"
    " text TEXT NOT NULL,"
    " settings TEXT"
    ") STRICT;";

/* Figures that are there twice must agree. */
static const char credit_differs[] =
    "WITH due AS (SELECT peer, sum(tokens), sum(samples), count(*)"
    "  FROM contributions GROUP BY peer),"
    " held AS (SELECT peer, tokens, samples, contributions FROM credit)"
    " SELECT (SELECT count(*) FROM (SELECT * FROM held EXCEPT SELECT * FROM due))"
    "  + abs((SELECT count(*) FROM due) - (SELECT count(*) FROM held))";
static const char samples_differ[] = "SELECT (SELECT sum(samples) FROM contributions) IS NOT"
                                     " (SELECT sum(sample_count) FROM sample_ranges)";
static const char steps_differ[] =
    "SELECT count(*) FROM (SELECT count(*) AS times, sum(sample_count) AS samples,"
    " sum(tokens) AS tokens FROM steps) AS held"
    " WHERE held.times <> ifnull((SELECT value FROM meta WHERE key = 'steps'), 0)"
    "  OR held.samples IS NOT (SELECT value FROM meta WHERE key = 'samples')"
    "  OR held.tokens IS NOT (SELECT value FROM meta WHERE key = 'tokens')";

const struct sql_schema *ledger_schema_current(void)
{
    static const char *const steps[] = {version_1};
    static const char *const checks[] = {credit_differs, samples_differ, steps_differ};
    static const struct sql_schema schema = {
        .application_id = LEDGER_APPLICATION_ID,
        .kind = "a ledger",
        .remedy = LEDGER_REMEDY,
        .later = ", or have the ledger made again by this one: 'dugnad-coordinator rebuild-ledger'",
        .version = sizeof steps / sizeof steps[0],
        .steps = steps,
        .checks = checks,
        .check_count = sizeof checks / sizeof checks[0]};
    return &schema;
}
