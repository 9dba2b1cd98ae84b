#include "trainer/data/ingest/raw_file.h"

#include "common/check.h"
#include "common/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STOP_CHECK_MS = 200 };

enum status raw_file_open(struct raw_file *self, const char *file, const atomic_bool *stop)
{
    struct stat facts;
    bool is_standard_input = strcmp(file, "-") == 0;
    self->file = file;
    self->stop = stop;
    self->begin = 0;
    self->end = 0;
    self->taken_bytes = 0;
    self->descriptor = is_standard_input ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    if (self->descriptor < 0) {
        return fault(STATUS_NO_INPUT, "cannot read %s: %s", file, strerror(errno));
    }
    self->may_wait = fstat(self->descriptor, &facts) != 0 || !S_ISREG(facts.st_mode);
    return STATUS_OK;
}

void raw_file_close(struct raw_file *self)
{
    if (self->descriptor > STDIN_FILENO) {
        (void)close(self->descriptor);
    }
    self->descriptor = -1;
}

/* Nobody can wake a thread that sits in read(2) of a silent pipe, so it looks up now and then. */
static enum status wait_for_bytes(const struct raw_file *self)
{
    struct pollfd wanted = {.fd = self->descriptor, .events = POLLIN};
    while (poll(&wanted, 1, STOP_CHECK_MS) == 0) {
        if (atomic_load(self->stop)) {
            return fault(STATUS_AGAIN, "reading %s was stopped", self->file);
        }
    }
    return STATUS_OK;
}

enum status raw_file_peek(struct raw_file *self, const uint8_t **out_data, size_t *out_ready)
{
    while (self->begin == self->end) {
        enum status status = self->may_wait ? wait_for_bytes(self) : STATUS_OK;
        if (status != STATUS_OK) {
            return status;
        }
        ssize_t got = read(self->descriptor, self->buffer, sizeof(self->buffer));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fault(STATUS_IO, "reading %s failed: %s", self->file, strerror(errno));
        }
        self->begin = 0;
        self->end = (size_t)got;
        if (got == 0) {
            break;
        }
    }
    *out_data = self->buffer + self->begin;
    *out_ready = self->end - self->begin;
    return STATUS_OK;
}

void raw_file_take(struct raw_file *self, size_t count)
{
    CHECK(count <= self->end - self->begin);
    self->begin += count;
    self->taken_bytes += count;
}
