#include "trainer/formats/output_file.h"

#include "common/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <unistd.h>

enum { OUTPUT_FILE_MODE = 0644 };

enum status output_file_begin(struct output_file *self, const char *path)
{
    self->stream = NULL;
    int length = snprintf(self->path, sizeof(self->path), "%s", path);
    int length_temporary = snprintf(self->temporary, sizeof(self->temporary), "%s.tmp", path);
    if (length < 0 || length_temporary < 0 || (size_t)length_temporary >= sizeof(self->temporary)) {
        return fault(STATUS_USAGE, "the path %.200s is too long; use a shorter one", path);
    }
    /* What a crashed predecessor left. */
    (void)unlink(self->temporary);
    int fd = open(self->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, OUTPUT_FILE_MODE);
    if (fd < 0) {
        return fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", self->temporary,
                     strerror(errno));
    }
    self->stream = fdopen(fd, "wb");
    if (self->stream == NULL) {
        (void)close(fd);
        (void)unlink(self->temporary);
        return fault(STATUS_CANNOT_CREATE, "cannot create %s: no memory", self->temporary);
    }
    return STATUS_OK;
}

enum status output_file_write(struct output_file *self, const void *data, size_t size_bytes)
{
    if (size_bytes > 0 && fwrite(data, 1, size_bytes, self->stream) != size_bytes) {
        return fault(STATUS_IO, "writing %s failed: %s", self->temporary, strerror(errno));
    }
    return STATUS_OK;
}

enum status output_file_commit(struct output_file *self)
{
    enum status status = STATUS_OK;
    if (fflush(self->stream) != 0 || fsync(fileno(self->stream)) != 0) {
        status =
            fault(STATUS_IO, "writing %s to disk failed: %s", self->temporary, strerror(errno));
        output_file_abandon(self);
        return status;
    }
    if (fclose(self->stream) != 0) {
        status = fault(STATUS_IO, "closing %s failed: %s", self->temporary, strerror(errno));
    } else if (rename(self->temporary, self->path) != 0) {
        status =
            fault(STATUS_CANNOT_CREATE, "cannot put %s in place: %s", self->path, strerror(errno));
    }
    self->stream = NULL;
    if (status != STATUS_OK) {
        (void)unlink(self->temporary);
        return status;
    }
    return files_sync_folder(dirname(self->temporary));
}

void output_file_abandon(struct output_file *self)
{
    if (self->stream != NULL) {
        (void)fclose(self->stream);
        (void)unlink(self->temporary);
        self->stream = NULL;
    }
}
