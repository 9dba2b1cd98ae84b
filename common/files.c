#include "common/files.h"

#include "common/disk.h"
#include "common/fault.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    return disk_kind_of(path) != DISK_MISSING;
}

bool files_is_folder(const char *path)
{
    char inside[FILES_PATH_MAX];
    int length = snprintf(inside, sizeof inside, "%s/.", path);
    return length > 0 && (size_t)length < sizeof inside && disk_kind_of(inside) == DISK_FOLDER;
}

static enum status open_to_read(const char *path, int *out_fd, size_t *out_size_bytes)
{
    int fd = disk_open(path, DISK_READ, 0);
    if (fd < 0) {
        return fault(STATUS_NO_INPUT, "cannot read %s: %s", path, strerror(errno));
    }
    int64_t size_bytes = disk_size(fd);
    if (size_bytes < 0) {
        (void)disk_close(fd);
        return fault(STATUS_NO_INPUT, "%s is not a plain file", path);
    }
    *out_fd = fd;
    *out_size_bytes = (size_t)size_bytes;
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
        status = fault(STATUS_BAD_DATA, "%s has %zu bytes and at most %zu are allowed", path,
                       size_bytes, size_max);
        goto fail;
    }
    data = malloc(size_bytes + 1);
    if (data == NULL) {
        status = fault(STATUS_NO_MEMORY, "no memory to read %s", path);
        goto fail;
    }
    if (!disk_read(fd, 0, data, size_bytes)) {
        status = fault(STATUS_IO, "reading %s failed: %s", path,
                       errno == ENODATA ? "the file became shorter" : strerror(errno));
        goto fail;
    }
    data[size_bytes] = 0;
    (void)disk_close(fd);
    *out = data;
    *out_size_bytes = size_bytes;
    return STATUS_OK;
fail:
    free(data);
    (void)disk_close(fd);
    return status;
}

/* Writes a file that must not exist yet; on failure nothing is left behind. */
static enum status write_file(const char *path, const void *data, size_t size_bytes, mode_t mode,
                              bool synced)
{
    int fd = disk_open(path, DISK_CREATE, mode);
    if (fd < 0) {
        return fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", path, strerror(errno));
    }
    enum status status = STATUS_OK;
    if (!disk_write(fd, data, size_bytes)) {
        status = fault(STATUS_IO, "writing %s failed: %s", path, strerror(errno));
    } else if (synced && !disk_sync(fd)) {
        status = fault(STATUS_IO, "syncing %s to disk failed: %s", path, strerror(errno));
    }
    if (!disk_close(fd) && status == STATUS_OK) {
        status = fault(STATUS_IO, "closing %s failed: %s", path, strerror(errno));
    }
    if (status != STATUS_OK) {
        (void)disk_unlink(path);
    }
    return status;
}

static enum status sync_parent(const char *path)
{
    char copy[FILES_PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    return files_sync_folder(dirname(copy));
}

/* How a file that was written beside its place comes there. */
enum placing {
    PLACE_NEW, /* nothing may be there; durable */
    PLACE_DURABLY,
    PLACE_QUICKLY /* what is written is not synced */
};

static enum status write_beside(const char *path, const void *data, size_t size_bytes, mode_t mode,
                                enum placing placing)
{
    char temporary[FILES_PATH_MAX];
    int length = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (length < 0 || (size_t)length >= sizeof temporary) {
        return fault(STATUS_USAGE, "the path %.200s is too long; use a shorter one", path);
    }
    (void)disk_unlink(temporary);
    enum status status = write_file(temporary, data, size_bytes, mode, placing != PLACE_QUICKLY);
    if (status != STATUS_OK) {
        return status;
    }
    bool placed =
        placing == PLACE_NEW ? disk_rename_new(temporary, path) : disk_rename(temporary, path);
    if (!placed) {
        status = fault(STATUS_CANNOT_CREATE, "cannot put %s in place: %s", path, strerror(errno));
        (void)disk_unlink(temporary);
    }
    return status;
}

enum status files_write_atomic(const char *path, const void *data, size_t size_bytes, mode_t mode)
{
    enum status status = write_beside(path, data, size_bytes, mode, PLACE_DURABLY);
    return status == STATUS_OK ? sync_parent(path) : status;
}

enum status files_write_new(const char *path, const void *data, size_t size_bytes, mode_t mode)
{
    if (files_exists(path)) {
        return fault(STATUS_CANNOT_CREATE, "cannot create %s: it is there already", path);
    }
    enum status status = write_beside(path, data, size_bytes, mode, PLACE_NEW);
    return status == STATUS_OK ? sync_parent(path) : status;
}

enum status files_replace(const char *path, const void *data, size_t size_bytes, mode_t mode)
{
    return write_beside(path, data, size_bytes, mode, PLACE_QUICKLY);
}

/* Its name is durable when it was made here. */
static enum status make_one_folder(const char *path, mode_t mode)
{
    if (disk_make_folder(path, mode)) {
        return sync_parent(path);
    }
    return errno == EEXIST ? STATUS_OK
                           : fault(STATUS_CANNOT_CREATE, "cannot create the folder %s: %s", path,
                                   strerror(errno));
}

enum status files_make_folder(const char *path)
{
    return files_make_folder_as(path, 0777);
}

enum status files_make_folder_as(const char *path, mode_t mode)
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
        enum status status = make_one_folder(partial, mode);
        if (status != STATUS_OK) {
            return status;
        }
        partial[i] = kept;
    }
    if (!files_is_folder(path)) {
        return fault(STATUS_CANNOT_CREATE, "%s is there and is not a folder", path);
    }
    return STATUS_OK;
}

/* Appends the name and stops the listing; `context` is a path of FILES_PATH_MAX bytes. */
static bool descend(void *context, const char *name)
{
    char *path = context;
    size_t length = strlen(path);
    int added = snprintf(path + length, FILES_PATH_MAX - length, "/%s", name);
    if (added < 0 || (size_t)added >= FILES_PATH_MAX - length) {
        path[0] = '\0';
    }
    return false;
}

enum status files_remove_folder(const char *path)
{
    char place[FILES_PATH_MAX];
    int length = snprintf(place, sizeof place, "%s", path);
    if (length < 0 || (size_t)length >= sizeof place) {
        return fault(STATUS_USAGE, "the path %.200s is too long; use a shorter one", path);
    }
    if (!files_exists(path)) {
        return STATUS_OK;
    }
    /* Goes down to something that holds nothing, removes it, and looks again one level up. */
    for (;;) {
        size_t before = strlen(place);
        bool fine = true;
        if (disk_kind_of(place) == DISK_FOLDER) {
            fine = disk_list(place, descend, place);
            if (fine && strlen(place) > before) {
                continue;
            }
            errno = fine && place[0] == '\0' ? ENAMETOOLONG : errno;
            fine = fine && place[0] != '\0' && disk_remove_folder(place);
        } else {
            fine = disk_unlink(place);
        }
        if (!fine) {
            return fault(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
        }
        if (strlen(place) == (size_t)length) {
            return STATUS_OK;
        }
        *strrchr(place, '/') = '\0';
    }
}

enum status files_rename(const char *from, const char *to)
{
    if (files_exists(to)) {
        return fault(STATUS_CANNOT_CREATE, "%s is there already; remove it or choose another name",
                     to);
    }
    if (!disk_rename(from, to)) {
        return fault(STATUS_CANNOT_CREATE, "cannot put %s in place: %s", to, strerror(errno));
    }
    return sync_parent(to);
}

enum status files_sync_folder(const char *path)
{
    return disk_sync_folder(path)
               ? STATUS_OK
               : fault(STATUS_IO, "syncing the folder %s failed: %s", path, strerror(errno));
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
        out->data = disk_map(fd, size_bytes);
        if (out->data == NULL) {
            status = fault(STATUS_IO, "cannot map %s: %s", path, strerror(errno));
        } else {
            out->size_bytes = size_bytes;
        }
    }
    (void)disk_close(fd);
    return status;
}

void files_unmap(struct file_view *view)
{
    disk_unmap(view->data, view->size_bytes);
    *view = (struct file_view){0};
}
