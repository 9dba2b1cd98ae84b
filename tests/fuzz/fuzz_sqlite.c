#include "tests/fuzz/fuzz_sqlite.h"

#include "tests/fuzz/fuzz_disk.h"

#include <malloc.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILES_MAX = 8,
    NAME_BYTES = 256,
    REGIONS_MAX = 4,
    FILE_BYTES_MAX = 1 << 22,
    SECTOR = 512,
    LOOKASIDE_BYTES = 512,
    LOOKASIDE_COUNT = 256
};

struct file {
    char name[NAME_BYTES]; /* "": free */
    uint8_t *data;
    size_t size_bytes;
    size_t room_bytes;
    unsigned opens;
    bool passing; /* it is gone when it is closed */
};

struct handle {
    sqlite3_file base;
    struct file *file;
};

static struct file files[FILES_MAX];
static void *regions[REGIONS_MAX]; /* what connections to a write-ahead log share */

static struct file *find(const char *name)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (strcmp(files[i].name, name) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

static struct file *make(const char *name)
{
    struct file *file = find(name);
    if (file == NULL && (file = find("")) != NULL) {
        (void)snprintf(file->name, sizeof file->name, "%s", name);
    }
    return file;
}

static void drop(struct file *file)
{
    CHECK(file->opens == 0);
    fuzz_own_free(file->data);
    *file = (struct file){.size_bytes = 0};
}

static void resize(struct file *file, size_t size_bytes)
{
    if (size_bytes > file->room_bytes) {
        size_t room_bytes = size_bytes + size_bytes / 2;
        uint8_t *grown = fuzz_own_alloc(room_bytes);
        if (file->size_bytes > 0) {
            memcpy(grown, file->data, file->size_bytes);
        }
        fuzz_own_free(file->data);
        file->data = grown;
        file->room_bytes = room_bytes;
    }
    if (size_bytes > file->size_bytes) {
        memset(file->data + file->size_bytes, 0, size_bytes - file->size_bytes);
    }
    file->size_bytes = size_bytes;
}

/* Not always the same error: what they mean differs. */
static int failure(size_t place, int one, int other)
{
    return place / 8 % 2 == 0 ? one : other;
}

static struct file *file_of(sqlite3_file *base)
{
    return ((struct handle *)base)->file;
}

/* --- a file --- */

static int close_file(sqlite3_file *base)
{
    struct file *file = file_of(base);
    file->opens--;
    if (file->passing && file->opens == 0) {
        drop(file);
    }
    return SQLITE_OK;
}

static int read_file(sqlite3_file *base, void *out, int size, sqlite3_int64 offset)
{
    const struct file *file = file_of(base);
    size_t from = (size_t)offset < file->size_bytes ? (size_t)offset : file->size_bytes;
    size_t got = file->size_bytes - from < (size_t)size ? file->size_bytes - from : (size_t)size;
    if (!fuzz_disk_works()) {
        return failure(from, SQLITE_IOERR_READ, SQLITE_IOERR_CORRUPTFS);
    }
    if (got > 0) {
        memcpy(out, file->data + from, got);
    }
    memset((uint8_t *)out + got, 0, (size_t)size - got);
    return got == (size_t)size ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int write_file(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    struct file *file = file_of(base);
    if (!fuzz_disk_works()) {
        return failure((size_t)offset, SQLITE_IOERR_WRITE, SQLITE_FULL);
    }
    if (offset > FILE_BYTES_MAX - size) {
        return SQLITE_FULL;
    }
    if ((size_t)(offset + size) > file->size_bytes) {
        resize(file, (size_t)(offset + size));
    }
    memcpy(file->data + offset, data, (size_t)size);
    return SQLITE_OK;
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size)
{
    if (!fuzz_disk_works() || size > FILE_BYTES_MAX) {
        return SQLITE_IOERR_TRUNCATE;
    }
    resize(file_of(base), (size_t)size);
    return SQLITE_OK;
}

static int sync_file(sqlite3_file *base, int flags)
{
    (void)base;
    (void)flags;
    return fuzz_disk_works() ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static int size_file(sqlite3_file *base, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)file_of(base)->size_bytes;
    return fuzz_disk_works() ? SQLITE_OK : SQLITE_IOERR_FSTAT;
}

/* There is nobody else. */
static int lock_file(sqlite3_file *base, int level)
{
    (void)base;
    (void)level;
    return SQLITE_OK;
}

static int check_lock(sqlite3_file *base, int *out)
{
    (void)base;
    *out = 0;
    return SQLITE_OK;
}

static int control_file(sqlite3_file *base, int what, void *argument)
{
    (void)base;
    (void)what;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *base)
{
    (void)base;
    return SECTOR;
}

static int characteristics(sqlite3_file *base)
{
    (void)base;
    return 0;
}

static int map_shared(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
    (void)base;
    *out = NULL;
    if (region >= REGIONS_MAX || !fuzz_disk_works()) {
        return SQLITE_IOERR_NOMEM;
    }
    if (regions[region] == NULL && extend != 0) {
        regions[region] = fuzz_own_alloc((size_t)size);
        memset(regions[region], 0, (size_t)size);
    }
    *out = regions[region];
    return SQLITE_OK;
}

static int lock_shared(sqlite3_file *base, int offset, int count, int flags)
{
    (void)base;
    (void)offset;
    (void)count;
    (void)flags;
    return SQLITE_OK;
}

static void fence_shared(sqlite3_file *base)
{
    (void)base;
}

static int unmap_shared(sqlite3_file *base, int remove)
{
    (void)base;
    (void)remove;
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        fuzz_own_free(regions[i]);
        regions[i] = NULL;
    }
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = close_file,
                                           .xRead = read_file,
                                           .xWrite = write_file,
                                           .xTruncate = truncate_file,
                                           .xSync = sync_file,
                                           .xFileSize = size_file,
                                           .xLock = lock_file,
                                           .xUnlock = lock_file,
                                           .xCheckReservedLock = check_lock,
                                           .xFileControl = control_file,
                                           .xSectorSize = sector_size,
                                           .xDeviceCharacteristics = characteristics,
                                           .xShmMap = map_shared,
                                           .xShmLock = lock_shared,
                                           .xShmBarrier = fence_shared,
                                           .xShmUnmap = unmap_shared};

/* --- the file system --- */

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *out, int flags,
                     int *out_flags)
{
    static unsigned passing;
    char own[NAME_BYTES];
    struct handle *handle = (struct handle *)out;
    (void)vfs;
    handle->base.pMethods = NULL;
    (void)snprintf(own, sizeof own, "passing-%u", passing++);
    struct file *file =
        name != NULL && (flags & SQLITE_OPEN_CREATE) == 0 ? find(name) : make(name ? name : own);
    if (file == NULL || !fuzz_disk_works()) {
        return SQLITE_CANTOPEN;
    }
    file->opens++;
    file->passing = name == NULL || (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    handle->file = file;
    handle->base.pMethods = &methods;
    if (out_flags != NULL) {
        *out_flags = flags;
    }
    return SQLITE_OK;
}

static int delete_file(sqlite3_vfs *vfs, const char *name, int sync)
{
    struct file *file = find(name);
    (void)vfs;
    (void)sync;
    if (!fuzz_disk_works()) {
        return SQLITE_IOERR_DELETE;
    }
    if (file == NULL) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    drop(file);
    return SQLITE_OK;
}

static int look_at_file(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    const struct file *file = find(name);
    (void)vfs;
    *out = file != NULL && (flags != SQLITE_ACCESS_EXISTS || file->size_bytes > 0) ? 1 : 0;
    return fuzz_disk_works() ? SQLITE_OK : SQLITE_IOERR_ACCESS;
}

static int full_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
    (void)vfs;
    return snprintf(out, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* What an input does follows from it alone. */
static int randomness(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    memset(out, 7, (size_t)size);
    return size;
}

static int sleep_us(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int current_time(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    (void)vfs;
    *out = INT64_C(212000000000000);
    return SQLITE_OK;
}

/* --- memory --- */

static void *allocate(int size)
{
    return malloc((size_t)size);
}

static void *reallocate(void *pointer, int size)
{
    return realloc(pointer, (size_t)size);
}

static int size_of(void *pointer)
{
    return (int)malloc_usable_size(pointer);
}

static int round_up(int size)
{
    return (size + 7) & ~7;
}

static int memory_begin(void *context)
{
    (void)context;
    return SQLITE_OK;
}

static void memory_end(void *context)
{
    (void)context;
}

void fuzz_sqlite_begin(void)
{
    static const sqlite3_mem_methods memory = {.xMalloc = allocate,
                                               .xFree = free,
                                               .xRealloc = reallocate,
                                               .xSize = size_of,
                                               .xRoundup = round_up,
                                               .xInit = memory_begin,
                                               .xShutdown = memory_end};
    static sqlite3_vfs vfs = {.iVersion = 2,
                              .szOsFile = sizeof(struct handle),
                              .mxPathname = NAME_BYTES - 1,
                              .zName = "fuzz",
                              .xOpen = open_file,
                              .xDelete = delete_file,
                              .xAccess = look_at_file,
                              .xFullPathname = full_path,
                              .xRandomness = randomness,
                              .xSleep = sleep_us,
                              .xCurrentTimeInt64 = current_time};
    static bool done;
    if (!done) {
        done = true;
        CHECK(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) == SQLITE_OK);
        /* Small ones from one block: otherwise a sanitizer's allocator takes most of the time. */
        CHECK(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, LOOKASIDE_BYTES, LOOKASIDE_COUNT) ==
              SQLITE_OK);
        CHECK(sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0) == SQLITE_OK);
        CHECK(sqlite3_initialize() == SQLITE_OK);
        CHECK(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
    }
}

void fuzz_sqlite_put(const char *path, struct fuzz_bytes bytes)
{
    struct file *file = make(path);
    CHECK(file != NULL);
    resize(file, 0);
    resize(file, bytes.size_bytes);
    if (bytes.size_bytes > 0) {
        memcpy(file->data, bytes.data, bytes.size_bytes);
    }
}

struct fuzz_bytes fuzz_sqlite_get(const char *path)
{
    const struct file *file = find(path);
    return file != NULL ? (struct fuzz_bytes){file->data, file->size_bytes}
                        : (struct fuzz_bytes){NULL, 0};
}

void fuzz_sqlite_clear(void)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (files[i].name[0] != '\0') {
            drop(&files[i]);
        }
    }
}
