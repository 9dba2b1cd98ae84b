/* scratch - a folder for one test's files, removed at its end. One at a time. */
#ifndef DUGNAD_TESTS_UNIT_SCRATCH_H
#define DUGNAD_TESTS_UNIT_SCRATCH_H

#include "common/files.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char scratch_folder[FILES_PATH_MAX];

static inline void scratch_begin(void)
{
    const char *parent = getenv("TMPDIR");
    (void)snprintf(scratch_folder, sizeof scratch_folder, "%.512s/dugnad-test-XXXXXX",
                   parent != NULL ? parent : "/tmp");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(scratch_folder));
}

static inline void scratch_end(void)
{
    CU_ASSERT_EQUAL(files_remove_folder(scratch_folder), STATUS_OK);
}

/* The path of `name` in the folder; valid until the fourth call after this one. */
static inline const char *scratch_path(const char *name)
{
    static char paths[4][FILES_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    CU_ASSERT_EQUAL_FATAL(files_join(scratch_folder, name, path), STATUS_OK);
    return path;
}

static inline void scratch_write(const char *name, const void *data, size_t size_bytes)
{
    CU_ASSERT_EQUAL_FATAL(files_write_atomic(scratch_path(name), data, size_bytes, 0644),
                          STATUS_OK);
}

static inline void scratch_write_text(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text));
}

/* The file's bytes with a final NUL; the caller frees them. (Inlined, gcc 12 takes the result for a
 * pointer to the local variable.) */
__attribute__((noinline, unused)) static uint8_t *scratch_read(const char *name,
                                                               size_t *out_size_bytes)
{
    uint8_t *data = NULL;
    CU_ASSERT_EQUAL_FATAL(files_read(scratch_path(name), 1 << 28, &data, out_size_bytes),
                          STATUS_OK);
    return data;
}

#endif
