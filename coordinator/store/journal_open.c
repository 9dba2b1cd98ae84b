/* Going on with a journal that was read: what is behind its last whole record is cut off, and kept
 * aside where it is damage. */
#include "common/disk.h"
#include "common/fault.h"
#include "coordinator/store/journal_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 96, COPY_BYTES = 64 << 10 };

static enum status remove_draft(const char *run_path, const char *name)
{
    char path[FILES_PATH_MAX];
    enum status status = journal_entry_path(run_path, name, path);
    if (status == STATUS_OK && !disk_unlink(path)) {
        return fault(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    return status;
}

/* A folder must not be listed while names in it go. */
struct names {
    char (*items)[DISK_NAME_MAX];
    size_t count;
};

static enum status add_name(void *context, const char *name)
{
    struct names *self = context;
    char(*items)[DISK_NAME_MAX] = realloc(self->items, (self->count + 1) * sizeof *items);
    if (items == NULL) {
        return fault(STATUS_NO_MEMORY, "not enough memory for the names in the journal's folder");
    }
    self->items = items;
    (void)snprintf(items[self->count++], sizeof *items, "%s", name);
    return STATUS_OK;
}

static enum status remove_drafts(struct journal *self)
{
    struct names names = {0};
    enum status status = journal_each_name(self->run_path, ".tmp", add_name, &names);
    for (size_t i = 0; i < names.count && status == STATUS_OK; i++) {
        status = remove_draft(self->run_path, names.items[i]);
    }
    free(names.items);
    return status;
}

static const char damaged_prefix[] = "damaged-";

static enum status count_damaged(void *context, const char *name)
{
    unsigned long *next = context;
    size_t length = sizeof damaged_prefix - 1;
    if (strncmp(name, damaged_prefix, length) == 0) {
        unsigned long number = strtoul(name + length, NULL, 10);
        *next = number >= *next && number < UINT32_MAX ? number + 1 : *next;
    }
    return STATUS_OK;
}

static enum status damaged_path(const struct journal *self, unsigned long number, uint64_t segment,
                                uint64_t offset, char *out)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s%03lu-%012" PRIu64 "-at-%" PRIu64, damaged_prefix, number,
                   segment, offset);
    return journal_entry_path(self->run_path, name, out);
}

/* What the caller read must still be there; gives the end of that record. */
static enum status find_last(const struct journal_file *file, const struct journal_record *last,
                             uint64_t *out_end)
{
    struct journal_found found;
    enum status status = journal_file_look(file, last->offset, &found);
    if (status != STATUS_OK) {
        return status;
    }
    if (found.wrong != NULL || !digest_equal(&found.header.own, &last->hash) ||
        !journal_file_holds_payload(file, &found)) {
        return fault(STATUS_IO, "%s changed at offset %" PRIu64 " while it was read; start again",
                     file->path, last->offset);
    }
    *out_end = last->offset + journal_record_bytes(&found.header);
    return STATUS_OK;
}

static enum status copy_rest(const struct journal_file *file, uint64_t offset,
                             const struct journal_draft *draft)
{
    uint8_t piece[COPY_BYTES];
    enum status status = STATUS_OK;
    while (status == STATUS_OK && offset < file->size_bytes) {
        uint64_t left = file->size_bytes - offset;
        size_t count = left < sizeof piece ? (size_t)left : sizeof piece;
        status = journal_file_read(file, offset, piece, count);
        if (status == STATUS_OK) {
            status = journal_draft_write(draft, piece, count);
        }
        offset += count;
    }
    return status;
}

static enum status keep_tail(const struct journal *self, const struct journal_file *file,
                             uint64_t end, unsigned long number)
{
    char path[FILES_PATH_MAX];
    struct journal_draft draft;
    enum status status = damaged_path(self, number, self->segment, end, path);
    if (status == STATUS_OK) {
        status = journal_draft_begin(path, &draft);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = copy_rest(file, end, &draft);
    if (status != STATUS_OK) {
        journal_draft_drop(&draft);
        return status;
    }
    return journal_draft_finish(&draft, self->run_path, path);
}

/* Cuts the segment behind `last`, and attaches it: durable, because a process may have ended
 * between writing a step and syncing it. */
static enum status cut(struct journal *self, const struct journal_record *last, bool keep_rest,
                       unsigned long number)
{
    struct journal_file file;
    uint64_t end = 0;
    enum status status = journal_file_open(self->run_path, last->segment, &file);
    if (status != STATUS_OK) {
        return status;
    }
    memcpy(self->path, file.path, sizeof self->path);
    status = find_last(&file, last, &end);
    if (status == STATUS_OK && keep_rest && end < file.size_bytes) {
        status = keep_tail(self, &file, end, number);
    }
    journal_file_close(&file);
    if (status == STATUS_OK && end < file.size_bytes && !disk_truncate(self->path, end)) {
        status = fault(STATUS_IO, "cannot cut %s at offset %" PRIu64 ": %s", self->path, end,
                       strerror(errno));
    }
    if (status == STATUS_OK) {
        status = journal_attach(self);
    }
    self->bytes = end;
    return status == STATUS_OK ? journal_sync(self) : status;
}

/* A later segment that holds nothing is removed; any other is kept under another name, whatever the
 * caller thought of it. */
static enum status set_aside(const struct journal *self, uint64_t segment, bool keep_rest,
                             unsigned long number)
{
    struct journal_file file;
    struct journal_found found;
    char kept[FILES_PATH_MAX];
    enum status status = journal_file_open(self->run_path, segment, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = journal_file_look(&file, 0, &found);
    journal_file_close(&file);
    if (status == STATUS_OK) {
        status = damaged_path(self, number, segment, 0, kept);
    }
    if (status != STATUS_OK) {
        return status;
    }
    bool done =
        keep_rest || found.wrong == NULL ? disk_rename(file.path, kept) : disk_unlink(file.path);
    return done ? STATUS_OK
                : fault(STATUS_IO, "cannot take %s away: %s", file.path, strerror(errno));
}

static enum status set_aside_later(const struct journal *self, bool keep_rest, unsigned long number)
{
    uint64_t *segments = NULL;
    size_t count = 0;
    enum status status = journal_segments(self->run_path, &segments, &count);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        if (segments[i] > self->segment) {
            status = set_aside(self, segments[i], keep_rest, number);
        }
    }
    free(segments);
    return status == STATUS_OK ? journal_sync_names(self->run_path) : status;
}

enum status journal_refresh(const char *run_path)
{
    uint64_t *segments = NULL;
    size_t count = 0;
    struct journal_file file;
    enum status status = journal_segments(run_path, &segments, &count);
    uint64_t last = count > 0 ? segments[count - 1] : 0;
    free(segments);
    if (status != STATUS_OK || count == 0) {
        return status;
    }
    status = journal_file_open(run_path, last, &file);
    if (status == STATUS_OK && !disk_refresh(file.fd)) {
        status = fault(STATUS_IO, "syncing %s to disk failed: %s; check the disk, and start again",
                       file.path, strerror(errno));
    }
    journal_file_close(&file);
    return status;
}

enum status journal_open(const char *run_path, const struct journal_record *last, bool keep_rest,
                         struct journal **out)
{
    unsigned long number = 0;
    enum status status = journal_alloc(run_path, out);
    struct journal *self = *out;
    if (self == NULL) {
        return status;
    }
    self->segment = last->segment;
    self->sequence = last->sequence + 1;
    self->previous = last->hash;
    status = remove_drafts(self);
    if (status == STATUS_OK) {
        status = journal_each_name(run_path, "", count_damaged, &number);
    }
    if (status == STATUS_OK) {
        status = cut(self, last, keep_rest, number);
    }
    if (status == STATUS_OK) {
        status = set_aside_later(self, keep_rest, number);
    }
    if (status != STATUS_OK) {
        journal_close(self);
        *out = NULL;
    }
    return status;
}
