#include "common/disk.h"
#include "common/fault.h"
#include "coordinator/store/journal_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 64 };

static const char segment_suffix[] = ".journal";

enum status journal_folder_path(const char *run_path, char *out)
{
    return files_join(run_path, "journal", out);
}

enum status journal_entry_path(const char *run_path, const char *name, char *out)
{
    char folder[FILES_PATH_MAX];
    enum status status = journal_folder_path(run_path, folder);
    return status == STATUS_OK ? files_join(folder, name, out) : status;
}

static void segment_name(uint64_t version, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, "%012" PRIu64 "%s", version, segment_suffix);
}

enum status journal_segment_path(const char *run_path, uint64_t version, char *out)
{
    char name[NAME_BYTES];
    segment_name(version, name);
    return journal_entry_path(run_path, name, out);
}

struct visitor {
    const char *suffix;
    enum status (*visit)(void *context, const char *name);
    void *context;
    enum status status;
};

static bool visit_name(void *context, const char *name)
{
    struct visitor *self = context;
    size_t length = strlen(name);
    size_t suffix_length = strlen(self->suffix);
    if (length >= suffix_length && strcmp(name + length - suffix_length, self->suffix) == 0) {
        self->status = self->visit(self->context, name);
    }
    return self->status == STATUS_OK;
}

enum status journal_each_name(const char *run_path, const char *suffix,
                              enum status (*visit)(void *context, const char *name), void *context)
{
    char folder[FILES_PATH_MAX];
    enum status status = journal_folder_path(run_path, folder);
    if (status != STATUS_OK || disk_kind_of(folder) == DISK_MISSING) {
        return status;
    }
    struct visitor visitor = {suffix, visit, context, STATUS_OK};
    if (!disk_list(folder, visit_name, &visitor)) {
        return fault(STATUS_IO, "the folder %s cannot be read: %s", folder, strerror(errno));
    }
    return visitor.status;
}

struct versions {
    uint64_t *items;
    size_t count;
    size_t capacity;
};

static enum status add_version(void *context, const char *name)
{
    struct versions *self = context;
    char expected[NAME_BYTES];
    errno = 0;
    uint64_t version = strtoull(name, NULL, 10);
    segment_name(version, expected);
    if (strcmp(name, expected) != 0) {
        return STATUS_OK; /* not ours to read */
    }
    if (self->count == self->capacity) {
        size_t capacity = self->capacity > 0 ? 2 * self->capacity : 16;
        uint64_t *items = realloc(self->items, capacity * sizeof *items);
        if (items == NULL) {
            return fault(STATUS_NO_MEMORY, "not enough memory for the journal's list of segments");
        }
        self->items = items;
        self->capacity = capacity;
    }
    self->items[self->count++] = version;
    return STATUS_OK;
}

static int compare_versions(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum status journal_segments(const char *run_path, uint64_t **out, size_t *out_count)
{
    struct versions versions = {0};
    enum status status = journal_each_name(run_path, segment_suffix, add_version, &versions);
    if (status != STATUS_OK) {
        free(versions.items);
        versions = (struct versions){0};
    } else if (versions.count > 0) {
        qsort(versions.items, versions.count, sizeof versions.items[0], compare_versions);
    }
    *out = versions.items;
    *out_count = versions.count;
    return status;
}

enum status journal_sync_names(const char *run_path)
{
    char folder[FILES_PATH_MAX];
    enum status status = journal_folder_path(run_path, folder);
    if (status == STATUS_OK && !disk_sync_folder(folder)) {
        return fault(STATUS_IO, "syncing the folder %s failed: %s; check the disk and start again",
                     folder, strerror(errno));
    }
    return status;
}

enum status journal_draft_begin(const char *path, struct journal_draft *out)
{
    out->fd = -1;
    int length = snprintf(out->temporary, sizeof out->temporary, "%s.tmp", path);
    if (length < 0 || (size_t)length >= sizeof out->temporary) {
        return fault(STATUS_CANNOT_CREATE, "the path %.200s is too long; use a shorter one", path);
    }
    if (disk_kind_of(out->temporary) != DISK_MISSING) {
        (void)disk_unlink(out->temporary); /* if not, making it says why */
    }
    out->fd = disk_open(out->temporary, DISK_CREATE, 0644);
    return out->fd >= 0 ? STATUS_OK
                        : fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", out->temporary,
                                strerror(errno));
}

enum status journal_draft_write(const struct journal_draft *self, const void *data,
                                size_t size_bytes)
{
    return disk_write(self->fd, data, size_bytes)
               ? STATUS_OK
               : fault(STATUS_IO, "writing %s failed: %s; make room or check the disk",
                       self->temporary, strerror(errno));
}

void journal_draft_drop(struct journal_draft *self)
{
    if (self->fd >= 0) {
        (void)disk_close(self->fd);
        (void)disk_unlink(self->temporary);
        self->fd = -1;
    }
}

enum status journal_draft_finish(struct journal_draft *self, const char *run_path, const char *path)
{
    if (!disk_sync(self->fd)) {
        enum status status = fault(STATUS_IO, "syncing %s to disk failed: %s; check the disk",
                                   self->temporary, strerror(errno));
        journal_draft_drop(self);
        return status;
    }
    bool closed = disk_close(self->fd);
    self->fd = -1;
    if (!closed || !disk_rename(self->temporary, path)) {
        enum status status =
            fault(STATUS_CANNOT_CREATE, "cannot put %s in place: %s", path, strerror(errno));
        (void)disk_unlink(self->temporary);
        return status;
    }
    return journal_sync_names(run_path);
}
