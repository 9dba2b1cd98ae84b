/* sql_file - a file of SQLite's: how it is opened, checked, and what its errors mean.
 *
 * Its tables are numbered steps from one version of them to the next. Step i brings a file of
 * version i to version i + 1; the file's version is its user_version. A step that was released
 * never changes: what follows is a new one. Settings as in docs/durability.md: WAL, synchronous
 * FULL, foreign keys, no trusted schema, no mmap.
 *
 * Internal to ledger*.c and members*.c. Every error leaves a sentence with the path. Not
 * thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_SQL_FILE_H
#define DUGNAD_COORDINATOR_STORE_SQL_FILE_H

#include "common/files.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SQL_BUSY_MS = 5000,
    SQL_VALUE_BYTES_MAX = 1 << 20, /* of any text, blob or statement */
    SQL_WAL_BYTES_KEPT = 16 << 20, /* a longer write-ahead log is cut when it is reset */
    SQL_CHECKED_BYTES_MAX = 64 << 20
};

/* A kind of file. */
struct sql_schema {
    int32_t application_id;    /* in the file's header */
    const char *kind;          /* "a ledger", for sentences */
    const char *remedy;        /* what the sentence of a damaged file ends with */
    const char *later;         /* and that of a file of a later release, from its comma on */
    size_t version;            /* the newest; how many steps there are */
    const char *const *steps;  /* (version), SQL */
    const char *const *checks; /* (check_count), questions to which a whole file's answer is 0 */
    size_t check_count;
};

struct sql_file {
    sqlite3 *db;
    const char *path; /* borrowed */
    const struct sql_schema *schema;
};

/* Opens path, which stays borrowed, and brings it to the newest of the schema's versions; a file of
 * another kind is not written to. A file that was not closed in order is checked whole, and so is
 * any of at most SQL_CHECKED_BYTES_MAX. Errors: CORRUPT, IO, NO_MEMORY. End it with sql_file_close,
 * also after an error. */
MUST_CHECK enum status sql_file_open(const char *path, const struct sql_schema *schema,
                                     struct sql_file *out);

/* Opens for reading a file that another process may be writing. Errors: CORRUPT (damaged, or of
 * another release), IO, NO_MEMORY. */
MUST_CHECK enum status sql_file_open_to_read(const char *path, const struct sql_schema *schema,
                                             struct sql_file *out);

/* Statements on it have ended. What was committed is durable in the write-ahead log, whether or not
 * it can be folded in now. A zeroed one is allowed. */
void sql_file_close(struct sql_file *self);

/* The status and the sentence for an error code that the connection's last call returned. */
enum status sql_file_fault(const struct sql_file *self, int code);

/* Runs statements without values and without results. */
MUST_CHECK enum status sql_file_run(const struct sql_file *self, const char *sql);

/* The first column of the first row, as an integer. */
MUST_CHECK enum status sql_file_integer(const struct sql_file *self, const char *sql, int64_t *out);

/* sql_schema.c: refuses what is neither an empty file nor one of this kind and of a version known
 * here; writes nothing. Errors: CORRUPT (the sentence says what to do), IO, NO_MEMORY. */
MUST_CHECK enum status sql_schema_know(const struct sql_file *file);

/* Runs the steps that the file lacks, all in one transaction: on error it is as it was.
 * Errors: as above. */
MUST_CHECK enum status sql_schema_apply(const struct sql_file *file);

/* Refuses what is not exactly of the newest version. Errors: as above. */
MUST_CHECK enum status sql_schema_require(const struct sql_file *file);

#endif
