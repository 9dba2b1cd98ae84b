#include "coordinator/store/journal_writer.h"

#include "common/check.h"
#include "common/disk.h"
#include "common/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status journal_alloc(const char *run_path, struct journal **out)
{
    *out = NULL;
    struct journal *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "not enough memory for the journal");
    }
    self->fd = -1;
    int length = snprintf(self->run_path, sizeof self->run_path, "%s", run_path);
    if (length < 0 || (size_t)length >= sizeof self->run_path) {
        journal_close(self);
        return fault(STATUS_USAGE, "the path %.200s is too long; use a shorter one", run_path);
    }
    *out = self;
    return STATUS_OK;
}

void journal_close(struct journal *self)
{
    if (self != NULL) {
        if (self->fd >= 0) {
            (void)disk_close(self->fd);
        }
        free(self->buffer);
        free(self);
    }
}

enum status journal_attach(struct journal *self)
{
    self->fd = disk_open(self->path, DISK_APPEND, 0);
    return self->fd >= 0 ? STATUS_OK
                         : fault(STATUS_IO, "cannot append to %s: %s", self->path, strerror(errno));
}

static enum status still_good(const struct journal *self)
{
    return self->failed ? fault(STATUS_IO, "writing %s failed before; start again", self->path)
                        : STATUS_OK;
}

static enum status reserve(struct journal *self, size_t size_bytes)
{
    if (size_bytes > self->capacity) {
        uint8_t *buffer = realloc(self->buffer, size_bytes);
        if (buffer == NULL) {
            return fault(STATUS_NO_MEMORY, "not enough memory for a journal record of %zu bytes",
                         size_bytes);
        }
        self->buffer = buffer;
        self->capacity = size_bytes;
    }
    return STATUS_OK;
}

/* Puts `padding` zeros, header and meta part into the buffer. */
static enum status encode(struct journal *self, const struct journal_record *record,
                          const uint8_t *payload, size_t padding, size_t *out_bytes,
                          struct digest *out_hash)
{
    size_t meta_bytes = 0;
    enum status status = journal_meta_size(record, &meta_bytes);
    if (status == STATUS_OK) {
        status = reserve(self, padding + JOURNAL_HEADER_BYTES + meta_bytes);
    }
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t *head = self->buffer + padding;
    uint8_t *meta = head + JOURNAL_HEADER_BYTES;
    const struct journal_header header = {.type = record->type,
                                          .meta_bytes = (uint32_t)meta_bytes,
                                          .payload_bytes = record->payload_bytes,
                                          .sequence = self->sequence,
                                          .payload =
                                              digest_of(payload, (size_t)record->payload_bytes),
                                          .previous = self->previous};
    memset(self->buffer, 0, padding);
    journal_header_encode(&header, head);
    journal_meta_encode(record, meta);
    *out_hash = journal_header_seal(head, meta, meta_bytes);
    *out_bytes = padding + JOURNAL_HEADER_BYTES + meta_bytes;
    return STATUS_OK;
}

/* The zeros that fill up the record before go with the next one, so each record is one write, and
 * a payload goes from where it lies. */
static enum status append(struct journal *self, const struct journal_record *record,
                          const uint8_t *payload)
{
    size_t size_bytes = 0;
    size_t payload_bytes = (size_t)record->payload_bytes;
    struct digest hash;
    enum status status = still_good(self);
    if (status == STATUS_OK) {
        size_t padding = (size_t)(journal_align(self->bytes) - self->bytes);
        status = encode(self, record, payload, padding, &size_bytes, &hash);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!disk_write(self->fd, self->buffer, size_bytes) ||
        (payload_bytes > 0 && !disk_write(self->fd, payload, payload_bytes))) {
        self->failed = true;
        return fault(STATUS_IO,
                     "appending to %s failed: %s; make room or check the disk, and start again",
                     self->path, strerror(errno));
    }
    self->bytes += size_bytes + payload_bytes;
    self->sequence++;
    self->previous = hash;
    return STATUS_OK;
}

enum status journal_append_lease(struct journal *self, const struct journal_lease *lease)
{
    return append(self, &(struct journal_record){.type = JOURNAL_LEASE, .as.lease = *lease}, NULL);
}

enum status journal_append_event(struct journal *self, const struct journal_event *event)
{
    return append(self, &(struct journal_record){.type = JOURNAL_EVENT, .as.event = *event}, NULL);
}

enum status journal_append_step(struct journal *self, const struct journal_step *step,
                                const uint8_t *payload, size_t payload_bytes)
{
    CHECK(payload_bytes > 0);
    return append(self,
                  &(struct journal_record){
                      .type = JOURNAL_STEP, .payload_bytes = payload_bytes, .as.step = *step},
                  payload);
}

enum status journal_sync(struct journal *self)
{
    enum status status = still_good(self);
    if (status == STATUS_OK && !disk_sync(self->fd)) {
        self->failed = true;
        status = fault(STATUS_IO, "syncing %s to disk failed: %s; check the disk, and start again",
                       self->path, strerror(errno));
    }
    return status;
}

/* Writes the segment that begins with `state` and goes on in it. It gets its name when its first
 * record is durable. */
static enum status begin_segment(struct journal *self, const struct journal_state *state)
{
    const struct journal_record record = {.type = JOURNAL_SEGMENT, .as.state = *state};
    char path[FILES_PATH_MAX];
    struct journal_draft draft;
    size_t size_bytes = 0;
    struct digest hash;
    enum status status = encode(self, &record, NULL, 0, &size_bytes, &hash);
    if (status == STATUS_OK) {
        status = journal_segment_path(self->run_path, state->version, path);
    }
    if (status == STATUS_OK) {
        status = journal_draft_begin(path, &draft);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = journal_draft_write(&draft, self->buffer, size_bytes);
    if (status != STATUS_OK) {
        journal_draft_drop(&draft);
        return status;
    }
    self->failed = true; /* until it is known which segment is the last */
    status = journal_draft_finish(&draft, self->run_path, path);
    if (status != STATUS_OK) {
        return status;
    }
    if (self->fd >= 0) {
        (void)disk_close(self->fd); /* it was synced */
    }
    memcpy(self->path, path, sizeof path);
    self->segment = state->version;
    self->bytes = size_bytes;
    self->sequence++;
    self->previous = hash;
    status = journal_attach(self);
    self->failed = status != STATUS_OK;
    return status;
}

static enum status make_folder(const char *run_path)
{
    char folder[FILES_PATH_MAX];
    uint64_t *segments = NULL;
    size_t segment_count = 0;
    enum status status = journal_folder_path(run_path, folder);
    if (status == STATUS_OK) {
        status = journal_segments(run_path, &segments, &segment_count);
    }
    free(segments);
    if (status != STATUS_OK) {
        return status;
    }
    if (segment_count > 0) {
        return fault(STATUS_CANNOT_CREATE, "%s holds a journal already", folder);
    }
    if (disk_kind_of(folder) == DISK_MISSING && !disk_make_folder(folder, 0755)) {
        return fault(STATUS_CANNOT_CREATE, "cannot create the folder %s: %s", folder,
                     strerror(errno));
    }
    return disk_sync_folder(run_path)
               ? STATUS_OK
               : fault(STATUS_IO, "syncing the folder %s failed: %s", run_path, strerror(errno));
}

enum status journal_create(const char *run_path, const struct journal_state *state,
                           struct journal **out)
{
    enum status status = journal_alloc(run_path, out);
    struct journal *self = *out;
    if (self == NULL) {
        return status;
    }
    status = make_folder(run_path);
    if (status == STATUS_OK) {
        status = begin_segment(self, state);
    }
    if (status != STATUS_OK) {
        journal_close(self);
        *out = NULL;
    }
    return status;
}

enum status journal_roll(struct journal *self, const struct journal_state *state)
{
    CHECK(state->version >= self->segment);
    enum status status = journal_sync(self);
    if (status != STATUS_OK || state->version == self->segment) {
        return status; /* without a step in between there is nothing to begin */
    }
    return begin_segment(self, state);
}

uint64_t journal_sequence(const struct journal *self)
{
    return self->sequence - 1;
}

struct digest journal_hash(const struct journal *self)
{
    return self->previous;
}

uint64_t journal_bytes(const struct journal *self)
{
    return self->bytes;
}
