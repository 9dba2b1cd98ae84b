/* fuzz_sqlite - SQLite on files in memory, whose bytes are the fuzzer's.
 *
 * Each call of its file system counts as one of the disk (fuzz_disk.h) and each of its allocations
 * as one of ours, so that both can be made to fail. One process, one connection at a time. */
#ifndef DUGNAD_TESTS_FUZZ_FUZZ_SQLITE_H
#define DUGNAD_TESTS_FUZZ_FUZZ_SQLITE_H

#include "tests/fuzz/fuzz.h"

/* SQLite uses it from now on. Before any other use of SQLite; again is fine. */
void fuzz_sqlite_begin(void);

/* Puts a file there, in the place of one of that path; the bytes are copied. */
void fuzz_sqlite_put(const char *path, struct fuzz_bytes bytes);

/* Its bytes, valid until it is written to; none when it is not there. */
struct fuzz_bytes fuzz_sqlite_get(const char *path);

/* Forgets all files; none is open. */
void fuzz_sqlite_clear(void);

#endif
