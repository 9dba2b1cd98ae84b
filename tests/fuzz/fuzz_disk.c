#include "tests/fuzz/fuzz_disk.h"

#include "common/disk.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 512, FD_FIRST = 1 << 20, OPENS_MAX = 64 };

struct file {
    char path[PATH_BYTES];
    uint8_t *data;
    size_t size_bytes;
};

static struct file files[FUZZ_DISK_FILES_MAX];
static size_t file_count;
static struct {
    bool used;
    bool locked;
    char path[PATH_BYTES]; /* of its file */
} opens[OPENS_MAX];
static struct {
    bool armed;
    uint64_t count;
    uint64_t fail_at;
} state;

static struct file *find(const char *path)
{
    for (size_t i = 0; i < file_count; i++) {
        if (strcmp(files[i].path, path) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

static void drop(struct file *file)
{
    fuzz_own_free(file->data);
    *file = files[--file_count];
}

void fuzz_disk_put(const char *path, const uint8_t *data, size_t size_bytes)
{
    struct file *file = find(path);
    if (file != NULL) {
        fuzz_own_free(file->data);
    } else {
        CHECK(file_count < FUZZ_DISK_FILES_MAX && strlen(path) < PATH_BYTES);
        file = &files[file_count++];
        (void)snprintf(file->path, sizeof file->path, "%s", path);
    }
    file->data = fuzz_own_alloc(size_bytes);
    file->size_bytes = size_bytes;
    memcpy(file->data, data, size_bytes);
}

/* A descriptor that is left is a leak of the parser's. */
void fuzz_disk_clear(void)
{
    while (file_count > 0) {
        drop(&files[file_count - 1]);
    }
    for (size_t i = 0; i < OPENS_MAX; i++) {
        CHECK(!opens[i].used);
    }
}

void fuzz_disk_arm(uint64_t fail_at)
{
    state.armed = true;
    state.count = 0;
    state.fail_at = fail_at;
}

uint64_t fuzz_disk_disarm(void)
{
    state.armed = false;
    return state.count;
}

static bool fail(int error)
{
    errno = error;
    return false;
}

static bool works(void)
{
    return !state.armed || ++state.count != state.fail_at || fail(EIO);
}

bool fuzz_disk_works(void)
{
    return works();
}

static struct file *opened(int fd)
{
    CHECK(fd >= FD_FIRST && fd < FD_FIRST + OPENS_MAX && opens[fd - FD_FIRST].used);
    return find(opens[fd - FD_FIRST].path);
}

int disk_open(const char *path, enum disk_open how, mode_t mode)
{
    (void)mode;
    if (!works() || strlen(path) >= PATH_BYTES) {
        errno = how == DISK_READ_ITSELF ? ELOOP : errno; /* a link is what else may be there */
        return -1;
    }
    bool makes = how == DISK_CREATE || how == DISK_LOCK;
    if (find(path) == NULL && makes && file_count < FUZZ_DISK_FILES_MAX) {
        fuzz_disk_put(path, (const uint8_t *)"", 0);
    }
    for (int i = 0; i < OPENS_MAX && find(path) != NULL; i++) {
        if (!opens[i].used) {
            opens[i].used = true;
            opens[i].locked = how == DISK_LOCK;
            (void)snprintf(opens[i].path, PATH_BYTES, "%s", path);
            return FD_FIRST + i;
        }
    }
    errno = ENOENT;
    return -1;
}

int64_t disk_size(int fd)
{
    const struct file *file = opened(fd);
    return works() && file != NULL ? (int64_t)file->size_bytes : -1;
}

bool disk_is_private(int fd)
{
    return opened(fd) != NULL && works();
}

bool disk_read(int fd, uint64_t offset, void *out, size_t size_bytes)
{
    const struct file *file = opened(fd);
    if (!works()) {
        return false;
    }
    if (file == NULL || offset > file->size_bytes || size_bytes > file->size_bytes - offset) {
        return fail(ENODATA);
    }
    if (size_bytes > 0) {
        memcpy(out, file->data + offset, size_bytes);
    }
    return true;
}

bool disk_write(int fd, const void *data, size_t size_bytes)
{
    struct file *file = opened(fd);
    if (!works() || file == NULL) {
        return false;
    }
    uint8_t *grown = fuzz_own_alloc(file->size_bytes + size_bytes);
    memcpy(grown, file->data, file->size_bytes);
    memcpy(grown + file->size_bytes, data, size_bytes);
    fuzz_own_free(file->data);
    file->data = grown;
    file->size_bytes += size_bytes;
    return true;
}

bool disk_sync(int fd)
{
    return opened(fd) != NULL && works();
}

bool disk_refresh(int fd)
{
    return disk_sync(fd);
}

bool disk_close(int fd)
{
    (void)opened(fd);
    opens[fd - FD_FIRST].used = false;
    return works();
}

bool disk_truncate(const char *path, uint64_t size_bytes)
{
    struct file *file = find(path);
    if (!works() || file == NULL || size_bytes > file->size_bytes) {
        return fail(ENOENT);
    }
    file->size_bytes = (size_t)size_bytes;
    return true;
}

bool disk_rename(const char *from, const char *to)
{
    struct file *file = find(from);
    if (!works() || file == NULL || strlen(to) >= PATH_BYTES) {
        return fail(ENOENT);
    }
    struct file *before = find(to);
    if (before != NULL && before != file) {
        drop(before);
        file = find(from);
    }
    (void)snprintf(file->path, sizeof file->path, "%s", to);
    return true;
}

bool disk_rename_new(const char *from, const char *to)
{
    return find(to) == NULL ? disk_rename(from, to) : fail(EEXIST);
}

bool disk_unlink(const char *path)
{
    struct file *file = find(path);
    if (!works() || file == NULL) {
        return fail(ENOENT);
    }
    drop(file);
    return true;
}

bool disk_make_folder(const char *path, mode_t mode)
{
    (void)path;
    (void)mode;
    return works();
}

bool disk_remove_folder(const char *path)
{
    (void)path;
    return works();
}

bool disk_sync_folder(const char *path)
{
    (void)path;
    return works();
}

/* The name in the folder that the path leads through; NULL: it does not lie there. */
static const char *below(const char *folder, const char *path)
{
    size_t length = strlen(folder);
    return strncmp(folder, path, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

enum disk_kind disk_kind_of(const char *path)
{
    if (!works()) {
        return DISK_OTHER;
    }
    char folder[PATH_BYTES];
    size_t length = strlen(path);
    bool only_folder =
        length >= 2 && length < sizeof folder && strcmp(path + length - 2, "/.") == 0;
    (void)snprintf(folder, sizeof folder, "%s", path);
    if (only_folder) {
        folder[length - 2] = '\0';
    } else if (find(path) != NULL) {
        return DISK_FILE;
    }
    for (size_t i = 0; i < file_count; i++) {
        if (below(folder, files[i].path) != NULL) {
            return DISK_FOLDER;
        }
    }
    return DISK_MISSING;
}

bool disk_list(const char *path, bool (*visit)(void *context, const char *name), void *context)
{
    if (!works()) {
        return false;
    }
    for (size_t i = 0; i < file_count; i++) {
        const char *name = below(path, files[i].path);
        /* A folder that holds several files is named once for each, which a kernel does not do. */
        if (name != NULL && strchr(name, '/') == NULL && !visit(context, name)) {
            return true;
        }
    }
    return true;
}

const uint8_t *disk_map(int fd, size_t size_bytes)
{
    const struct file *file = opened(fd);
    if (size_bytes == 0 || !works() || file == NULL || size_bytes > file->size_bytes) {
        errno = size_bytes == 0 ? 0 : EIO;
        return NULL;
    }
    uint8_t *out = fuzz_own_alloc(size_bytes);
    memcpy(out, file->data, size_bytes);
    return out;
}

void disk_unmap(const uint8_t *data, size_t size_bytes)
{
    (void)size_bytes;
    fuzz_own_free((void *)data);
}

uint64_t disk_free_bytes(const char *path)
{
    (void)path;
    return works() ? UINT64_C(1) << 40 : UINT64_MAX;
}
