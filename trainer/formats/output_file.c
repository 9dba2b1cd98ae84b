#include "trainer/formats/output_file.h"

#include "common/disk.h"
#include "common/fault.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_FILE_MODE = 0644, BUFFER_BYTES = 64 << 10 };

enum status output_file_begin(struct output_file *self, const char *path)
{
    self->buffer = NULL;
    self->buffered_bytes = 0;
    int length = snprintf(self->path, sizeof(self->path), "%s", path);
    int length_temporary = snprintf(self->temporary, sizeof(self->temporary), "%s.tmp", path);
    if (length < 0 || length_temporary < 0 || (size_t)length_temporary >= sizeof(self->temporary)) {
        return fault(STATUS_USAGE, "the path %.200s is too long; use a shorter one", path);
    }
    /* What a crashed predecessor left. */
    (void)disk_unlink(self->temporary);
    self->fd = disk_open(self->temporary, DISK_CREATE, OUTPUT_FILE_MODE);
    if (self->fd < 0) {
        return fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", self->temporary,
                     strerror(errno));
    }
    self->buffer = malloc(BUFFER_BYTES);
    if (self->buffer == NULL) {
        (void)disk_close(self->fd);
        (void)disk_unlink(self->temporary);
        return fault(STATUS_CANNOT_CREATE, "cannot create %s: no memory", self->temporary);
    }
    return STATUS_OK;
}

static enum status write_out(const struct output_file *self, const void *data, size_t size_bytes)
{
    return size_bytes == 0 || disk_write(self->fd, data, size_bytes)
               ? STATUS_OK
               : fault(STATUS_IO, "writing %s failed: %s", self->temporary, strerror(errno));
}

enum status output_file_write(struct output_file *self, const void *data, size_t size_bytes)
{
    if (size_bytes > BUFFER_BYTES - self->buffered_bytes) {
        enum status status = write_out(self, self->buffer, self->buffered_bytes);
        if (status != STATUS_OK) {
            return status;
        }
        self->buffered_bytes = 0;
    }
    if (size_bytes >= BUFFER_BYTES) {
        return write_out(self, data, size_bytes);
    }
    if (size_bytes > 0) {
        memcpy(self->buffer + self->buffered_bytes, data, size_bytes);
        self->buffered_bytes += size_bytes;
    }
    return STATUS_OK;
}

enum status output_file_commit(struct output_file *self)
{
    enum status status = write_out(self, self->buffer, self->buffered_bytes);
    if (status == STATUS_OK && !disk_sync(self->fd)) {
        status =
            fault(STATUS_IO, "writing %s to disk failed: %s", self->temporary, strerror(errno));
    }
    if (status != STATUS_OK) {
        output_file_abandon(self);
        return status;
    }
    if (!disk_close(self->fd)) {
        status = fault(STATUS_IO, "closing %s failed: %s", self->temporary, strerror(errno));
    } else if (!disk_rename(self->temporary, self->path)) {
        status =
            fault(STATUS_CANNOT_CREATE, "cannot put %s in place: %s", self->path, strerror(errno));
    }
    free(self->buffer);
    self->buffer = NULL;
    if (status != STATUS_OK) {
        (void)disk_unlink(self->temporary);
        return status;
    }
    return files_sync_folder(dirname(self->temporary));
}

void output_file_abandon(struct output_file *self)
{
    if (self->buffer != NULL) {
        (void)disk_close(self->fd);
        (void)disk_unlink(self->temporary);
        free(self->buffer);
        self->buffer = NULL;
    }
}
