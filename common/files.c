#include "common/files.h"

#include "common/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REMOVE_OPEN_FILES_MAX = 16 };

enum status files_join(const char *folder, const char *name, char *out)
{
    int length = snprintf(out, FILES_PATH_MAX, "%s/%s", folder, name);
    if (length < 0 || length >= FILES_PATH_MAX) {
        return fault(STATUS_USAGE, "the path %.200s/%.200s is too long; use a shorter one", folder,
                     name);
    }
    return STATUS_OK;
}

bool files_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static enum status open_to_read(const char *path, int *out_fd, size_t *out_size_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fault(STATUS_NO_INPUT, "cannot read %s: %s", path, strerror(errno));
    }
    struct stat facts;
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size < 0) {
        (void)close(fd);
        return fault(STATUS_NO_INPUT, "%s is not a plain file", path);
    }
    *out_fd = fd;
    *out_size_bytes = (size_t)facts.st_size;
    return STATUS_OK;
}

static enum status read_all(int fd, const char *path, uint8_t *data, size_t size_bytes)
{
    size_t done = 0;
    while (done < size_bytes) {
        ssize_t got = read(fd, data + done, size_bytes - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return fault(STATUS_IO, "reading %s failed: %s", path,
                         got == 0 ? "the file became shorter" : strerror(errno));
        }
        done += (size_t)got;
    }
    return STATUS_OK;
}

enum status files_read(const char *path, size_t size_max, uint8_t **out, size_t *out_size_bytes)
{
    *out = NULL;
    *out_size_bytes = 0;
    int fd = -1;
    size_t size_bytes = 0;
    enum status status = open_to_read(path, &fd, &size_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t *data = NULL;
    if (size_bytes > size_max) {
        status = fault(STATUS_FULL, "%s has %zu bytes and at most %zu are allowed", path,
                       size_bytes, size_max);
        goto fail;
    }
    data = malloc(size_bytes + 1);
    if (data == NULL) {
        status = fault(STATUS_NO_MEMORY, "no memory to read %s", path);
        goto fail;
    }
    status = read_all(fd, path, data, size_bytes);
    if (status != STATUS_OK) {
        goto fail;
    }
    data[size_bytes] = 0;
    (void)close(fd);
    *out = data;
    *out_size_bytes = size_bytes;
    return STATUS_OK;
fail:
    free(data);
    (void)close(fd);
    return status;
}

static enum status write_all(int fd, const char *path, const void *data, size_t size_bytes)
{
    const uint8_t *bytes = data;
    size_t done = 0;
    while (done < size_bytes) {
        ssize_t put = write(fd, bytes + done, size_bytes - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return fault(STATUS_IO, "writing %s failed: %s", path, strerror(errno));
        }
        done += (size_t)put;
    }
    return STATUS_OK;
}

/* Writes and syncs a file that must not exist yet; on failure nothing is left behind. */
static enum status write_synced(const char *path, const void *data, size_t size_bytes, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", path, strerror(errno));
    }
    enum status status = write_all(fd, path, data, size_bytes);
    if (status == STATUS_OK && fsync(fd) != 0) {
        status = fault(STATUS_IO, "syncing %s to disk failed: %s", path, strerror(errno));
    }
    if (close(fd) != 0 && status == STATUS_OK) {
        status = fault(STATUS_IO, "closing %s failed: %s", path, strerror(errno));
    }
    if (status != STATUS_OK) {
        (void)unlink(path);
    }
    return status;
}

static enum status sync_parent(const char *path)
{
    char copy[FILES_PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    return files_sync_folder(dirname(copy));
}

enum status files_write_new(const char *path, const void *data, size_t size_bytes, mode_t mode)
{
    enum status status = write_synced(path, data, size_bytes, mode);
    return status == STATUS_OK ? sync_parent(path) : status;
}

enum status files_write_atomic(const char *path, const void *data, size_t size_bytes, mode_t mode)
{
    char temporary[FILES_PATH_MAX];
    int length = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (length < 0 || (size_t)length >= sizeof temporary) {
        return fault(STATUS_USAGE, "the path %.200s is too long; use a shorter one", path);
    }
    (void)unlink(temporary);
    enum status status = write_synced(temporary, data, size_bytes, mode);
    if (status != STATUS_OK) {
        return status;
    }
    if (rename(temporary, path) != 0) {
        status = fault(STATUS_CANNOT_CREATE, "cannot put %s in place: %s", path, strerror(errno));
        (void)unlink(temporary);
        return status;
    }
    return sync_parent(path);
}

enum status files_make_folder(const char *path)
{
    char partial[FILES_PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof partial) {
        return fault(STATUS_USAGE, "the folder name '%.200s' is empty or too long", path);
    }
    memcpy(partial, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (partial[i] != '/' && partial[i] != '\0') {
            continue;
        }
        char kept = partial[i];
        partial[i] = '\0';
        if (mkdir(partial, 0777) != 0 && errno != EEXIST) {
            return fault(STATUS_CANNOT_CREATE, "cannot create the folder %s: %s", partial,
                         strerror(errno));
        }
        partial[i] = kept;
    }
    struct stat facts;
    if (stat(path, &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        return fault(STATUS_CANNOT_CREATE, "%s is there and is not a folder", path);
    }
    return STATUS_OK;
}

static int remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)facts;
    (void)kind;
    (void)where;
    return remove(path);
}

enum status files_remove_folder(const char *path)
{
    if (!files_exists(path)) {
        return STATUS_OK;
    }
    if (nftw(path, remove_entry, REMOVE_OPEN_FILES_MAX, FTW_DEPTH | FTW_PHYS) != 0) {
        return fault(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    return STATUS_OK;
}

enum status files_rename(const char *from, const char *to)
{
    if (files_exists(to)) {
        return fault(STATUS_CANNOT_CREATE, "%s is there already; remove it or choose another name",
                     to);
    }
    if (rename(from, to) != 0) {
        return fault(STATUS_CANNOT_CREATE, "cannot put %s in place: %s", to, strerror(errno));
    }
    return sync_parent(to);
}

enum status files_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fault(STATUS_IO, "cannot open the folder %s: %s", path, strerror(errno));
    }
    int result = fsync(fd);
    int error = errno;
    (void)close(fd);
    if (result != 0) {
        return fault(STATUS_IO, "syncing the folder %s failed: %s", path, strerror(error));
    }
    return STATUS_OK;
}

enum status files_map(const char *path, struct file_view *out)
{
    *out = (struct file_view){0};
    int fd = -1;
    size_t size_bytes = 0;
    enum status status = open_to_read(path, &fd, &size_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    if (size_bytes > 0) {
        void *data = mmap(NULL, size_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = fault(STATUS_IO, "cannot map %s: %s", path, strerror(errno));
        } else {
            out->data = data;
            out->size_bytes = size_bytes;
        }
    }
    (void)close(fd);
    return status;
}

void files_unmap(struct file_view *view)
{
    if (view->data != NULL) {
        (void)munmap((void *)view->data, view->size_bytes);
    }
    *view = (struct file_view){0};
}
