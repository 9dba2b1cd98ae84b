#include "tests/sim/sim_trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

void sim_trace_init(struct sim_trace *self, FILE *out)
{
    *self = (struct sim_trace){.out = out};
    digest_begin(&self->hash);
}

static void flush(struct sim_trace *self)
{
    digest_update(&self->hash, self->buffer, self->buffered);
    self->buffered = 0;
}

void sim_trace_bytes(struct sim_trace *self, const void *data, size_t size_bytes)
{
    if (self->buffered + size_bytes > sizeof self->buffer) {
        flush(self);
    }
    if (size_bytes > sizeof self->buffer) {
        digest_update(&self->hash, data, size_bytes);
        return;
    }
    memcpy(self->buffer + self->buffered, data, size_bytes);
    self->buffered += size_bytes;
}

void sim_trace_numbers(struct sim_trace *self, const uint64_t *numbers, size_t count)
{
    sim_trace_bytes(self, numbers, count * sizeof *numbers);
}

struct digest sim_trace_end(struct sim_trace *self)
{
    flush(self);
    return digest_end(&self->hash);
}

void sim_trace_line(struct sim_trace *self, uint64_t now_us, const char *format, ...)
{
    if (self->out == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(self->out, "%4" PRIu64 ".%06" PRIu64 " ", now_us / 1000000, now_us % 1000000);
    (void)vfprintf(self->out, format, arguments);
    (void)fputc('\n', self->out);
    va_end(arguments);
}
