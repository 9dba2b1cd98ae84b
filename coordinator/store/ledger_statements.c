#include "coordinator/store/ledger_statements.h"

const char *const LEDGER_STATEMENTS[LEDGER_STATEMENT_COUNT] = {
    [LEDGER_BEGIN] = "BEGIN IMMEDIATE",
    [LEDGER_COMMIT] = "COMMIT",
    [LEDGER_ROLLBACK] = "ROLLBACK",
    [LEDGER_BEGIN_RECORD] = "SAVEPOINT record",
    [LEDGER_COMMIT_RECORD] = "RELEASE record",
    [LEDGER_ROLLBACK_RECORD] = "ROLLBACK TO record",
    [LEDGER_READ_POSITION] = "SELECT (SELECT value FROM meta WHERE key = 'next_sequence'),"
                             " (SELECT value FROM meta WHERE key = 'last_hash'),"
                             " (SELECT count(*) FROM meta"
                             "  WHERE key IN ('next_sequence', 'last_hash'))",
    [LEDGER_WRITE_POSITION] = "INSERT INTO meta (key, value)"
                              " VALUES ('next_sequence', ?1), ('last_hash', ?2)"
                              " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    [LEDGER_ADD_RUN] = "INSERT INTO runs (run_id, name, serial, paused, settings)"
                       " SELECT ?1, ?2, ?3, ?4, ?5"
                       " WHERE NOT EXISTS (SELECT 1 FROM runs WHERE run_id <> ?1)"
                       " ON CONFLICT (run_id) DO UPDATE SET name = excluded.name,"
                       " serial = excluded.serial, paused = excluded.paused,"
                       " settings = excluded.settings",
    [LEDGER_COUNT_SERVE] = "UPDATE runs SET serial = serial + 1",
    [LEDGER_SET_PAUSED] = "UPDATE runs SET paused = ?1",
    [LEDGER_SET_SETTINGS] = "UPDATE runs SET settings = ?1",
    [LEDGER_ADD_EVENT] = "INSERT INTO events (sequence, type, version, unix_ms, text, settings)"
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [LEDGER_ADD_STEP] = "INSERT INTO steps (step, sample_first, sample_count, tokens, loss,"
                        " grad_l2, learning_rate, unix_ms, digest)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [LEDGER_COUNT_STEP] = "INSERT INTO meta (key, value)"
                          " VALUES ('steps', 1), ('samples', ?1), ('tokens', ?2)"
                          " ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
    [LEDGER_SEE_PEER] = "INSERT INTO peers (key, first_ms, last_ms) VALUES (?1, ?2, ?2)"
                        " ON CONFLICT (key) DO UPDATE SET"
                        " first_ms = min(ifnull(first_ms, excluded.first_ms), excluded.first_ms),"
                        " last_ms = max(ifnull(last_ms, excluded.last_ms), excluded.last_ms)"
                        " RETURNING id",
    [LEDGER_NAME_PEER] = "INSERT INTO peers (key, name) VALUES (?1, ?2)"
                         " ON CONFLICT (key) DO UPDATE SET name = excluded.name"
                         " WHERE name <> excluded.name",
    [LEDGER_ADD_CONTRIBUTION] = "INSERT INTO contributions"
                                " (step, number, peer, tokens, samples, loss_sum)"
                                " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [LEDGER_ADD_RANGE] = "INSERT INTO sample_ranges (sample_first, sample_count, step, number)"
                         " VALUES (?1, ?2, ?3, ?4)",
    [LEDGER_ADD_CREDIT] = "INSERT INTO credit (peer, tokens, samples, contributions)"
                          " VALUES (?1, ?2, ?3, 1)"
                          " ON CONFLICT (peer) DO UPDATE SET tokens = tokens + excluded.tokens,"
                          " samples = samples + excluded.samples,"
                          " contributions = contributions + 1",
    [LEDGER_READ_TOTALS] = "SELECT count(*), sum(sample_count), sum(tokens),"
                           " (SELECT sum(tokens) FROM credit), (SELECT count(*) FROM credit)"
                           " FROM steps",
    [LEDGER_READ_CREDIT] = "SELECT tokens FROM credit JOIN peers ON peer = id WHERE key = ?1",
    [LEDGER_READ_PEERS] = "SELECT key, name, tokens, samples, contributions, first_ms, last_ms"
                          " FROM credit JOIN peers ON peer = id ORDER BY tokens DESC, key",
};
