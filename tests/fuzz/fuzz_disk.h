/* fuzz_disk - a disk in memory in the place of common/disk.c, whose files are the fuzzer's bytes.
 *
 * It holds the few files of one input, in folders that exist because a file lies below them. What
 * is read or mapped is copied, so that a sanitizer sees every byte that is read past the end. What
 * is written takes the place of a file when it is renamed to it. One call can be made to fail. */
#ifndef DUGNAD_TESTS_FUZZ_FUZZ_DISK_H
#define DUGNAD_TESTS_FUZZ_FUZZ_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUZZ_DISK_FILES_MAX = 32 };

/* Puts a file there, in the place of one of that path; the bytes are copied. */
void fuzz_disk_put(const char *path, const uint8_t *data, size_t size_bytes);
void fuzz_disk_clear(void);

/* Counts a call of the disk that is made elsewhere; false: it must fail. */
bool fuzz_disk_works(void);

/* Begins to count calls, and makes call fail_at (1: the first) fail with EIO; 0: none. For fuzz.c.
 */
void fuzz_disk_arm(uint64_t fail_at);
uint64_t fuzz_disk_disarm(void);

#endif
