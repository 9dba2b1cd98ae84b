/* fuzz - what every fuzz target shares. A target is one file that defines fuzz_parse; fuzz.c calls
 * it for libFuzzer (preset fuzz) or, with replay.c, for files alone.
 *
 * Each input is parsed once as it is. Then it is parsed again with one allocation, and once more
 * with one call of the disk, that fails: which one follows from the input, so a finding is
 * repeated by its input. Replaying tries them all, up to FUZZ_FAILURES_MAX.
 *
 * One thread. */
#ifndef DUGNAD_TESTS_FUZZ_FUZZ_H
#define DUGNAD_TESTS_FUZZ_FUZZ_H

#include "common/check.h"
#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUZZ_FAILURES_MAX = 400, FUZZ_MEMORY_FACTOR = 4 };

/* Files of JSON are read with jansson. For the dearest text, "[{},{}" and so on, it takes 75 bytes
 * for each, and 112 for each array within another, of which there are at most 2048. What comes over
 * the network is not JSON, but for a model of at most 16 KiB. */
enum { FUZZ_JSON_FACTOR = 76, FUZZ_JSON_BASE_BYTES = 256 * 1024 };

/* The target's own: hands size_bytes of input to the parser, CHECKs what must hold of its answer,
 * and gives everything back. */
void fuzz_parse(const uint8_t *data, size_t size_bytes);

/* False while something is made to fail: then an error is as good as an answer. */
bool fuzz_is_calm(void);

/* Bounds what is allocated from fuzz_memory_begin on: fuzz_memory_end CHECKs that never more than
 * FUZZ_MEMORY_FACTOR * size_bytes + base_bytes were held at once. With a sanitizer, of libraries
 * that are linked dynamically only jansson's is seen. */
void fuzz_memory_begin(void);
void fuzz_memory_end(size_t size_bytes, size_t base_bytes);

/* The test's own memory, which is not counted and never made to fail. */
void *fuzz_own_alloc(size_t size_bytes);
void fuzz_own_free(void *pointer);

/* Numbers from the front of an input; zeros when it is used up. */
struct fuzz_bytes {
    const uint8_t *data;
    size_t size_bytes;
};
uint8_t fuzz_take_u8(struct fuzz_bytes *from);
uint32_t fuzz_take_u32(struct fuzz_bytes *from); /* little-endian */
uint64_t fuzz_take_u64(struct fuzz_bytes *from);
/* The next size_bytes, or as many as are left. */
struct fuzz_bytes fuzz_take(struct fuzz_bytes *from, size_t size_bytes);

/* What stands before the next line of two percent signs, which is left out; all when there is none.
 * So one input holds several files. */
struct fuzz_bytes fuzz_section(struct fuzz_bytes *from);

/* The bytes as text, with a NUL behind; fuzz_own_free(). What stands behind a NUL among them is not
 * seen. */
char *fuzz_text(struct fuzz_bytes bytes);

/* Takes a status whose error is nobody's concern here. */
static inline void fuzz_ignore(enum status status)
{
    (void)status;
}

#endif
