#include "sim_trace.h"

#include "sim_blocks.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

void sim_trace_init(struct sim_trace *self, bool wanted, FILE *out)
{
    *self = (struct sim_trace){.wanted = wanted, .out = out};
    digest_begin(&self->hash);
    if (wanted) {
        self->lines = sim_outer_alloc(SIM_TRACE_LINES * sizeof *self->lines);
    }
}

void sim_trace_deinit(struct sim_trace *self)
{
    sim_outer_free(self->lines);
    self->lines = NULL;
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
    if (!self->wanted) {
        return;
    }
    char *line = self->lines[self->line_count++ % SIM_TRACE_LINES];
    int length = snprintf(line, SIM_TRACE_LINE_MAX, "%4" PRIu64 ".%06" PRIu64 " ",
                          now_us / 1000000, now_us % 1000000);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + length, SIM_TRACE_LINE_MAX - (size_t)length, format, arguments);
    va_end(arguments);
    if (self->out != NULL) {
        (void)fprintf(self->out, "%s\n", line);
    }
}

void sim_trace_print(const struct sim_trace *self, FILE *out)
{
    uint64_t first = self->line_count > SIM_TRACE_LINES ? self->line_count - SIM_TRACE_LINES : 0;
    for (uint64_t i = first; i < self->line_count; i++) {
        (void)fprintf(out, "%s\n", self->lines[i % SIM_TRACE_LINES]);
    }
}
