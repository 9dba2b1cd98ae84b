#include "trainer/sampling/stop_text.h"

#include "common/fault.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1024 }; /* bytes looked at before what is decided is let go */

struct stop {
    const char *text;
    size_t length;
    size_t matched; /* bytes at the end of the text that are this stop's first ones */
    /* borders[n]: the longest proper prefix of the first n + 1 bytes that also ends them */
    uint16_t borders[STOP_BYTES_MAX];
};

struct stop_text {
    uint8_t held[STOP_BYTES_MAX + CHUNK];
    size_t held_count;
    const struct stop *found;
    size_t count;
    struct stop stops[]; /* (count) */
};

/* How many bytes match when `byte` follows. */
static size_t advance(const struct stop *stop, size_t matched, uint8_t byte)
{
    while (matched > 0 && (uint8_t)stop->text[matched] != byte) {
        matched = stop->borders[matched - 1];
    }
    return (uint8_t)stop->text[matched] == byte ? matched + 1 : 0;
}

static void stop_init(struct stop *self, const char *text, size_t length)
{
    self->text = text;
    self->length = length;
    for (size_t i = 1; i < length; i++) {
        self->borders[i] = (uint16_t)advance(self, self->borders[i - 1], (uint8_t)text[i]);
    }
}

enum status stop_text_new(const char *const *stops, size_t count, struct stop_text **out)
{
    *out = NULL;
    if (count > STOP_COUNT_MAX) {
        return fault(STATUS_USAGE, "give at most %d stop strings, not %zu", STOP_COUNT_MAX, count);
    }
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(stops[i]);
        if (length == 0 || length > STOP_BYTES_MAX) {
            return fault(STATUS_USAGE, "a stop string has 1 to %d bytes, not %zu", STOP_BYTES_MAX,
                         length);
        }
    }
    struct stop_text *self = calloc(1, sizeof(*self) + count * sizeof(self->stops[0]));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for %zu stop strings", count);
    }
    self->count = count;
    for (size_t i = 0; i < count; i++) {
        stop_init(&self->stops[i], stops[i], strlen(stops[i]));
    }
    *out = self;
    return STATUS_OK;
}

void stop_text_free(struct stop_text *self)
{
    free(self);
}

void stop_text_begin(struct stop_text *self)
{
    self->held_count = 0;
    self->found = NULL;
    for (size_t i = 0; i < self->count; i++) {
        self->stops[i].matched = 0;
    }
}

/* Hands all but the last `keep` held bytes to the sink. */
static void release(struct stop_text *self, size_t keep, const struct stop_sink *sink)
{
    size_t count = self->held_count - keep;
    if (count > 0) {
        sink->put(sink->context, self->held, count);
        memmove(self->held, self->held + count, keep);
        self->held_count = keep;
    }
}

/* Appends one byte. Returns how many of the last bytes may belong to a stop. */
static size_t append(struct stop_text *self, uint8_t byte)
{
    size_t longest = 0;
    self->held[self->held_count++] = byte;
    for (size_t i = 0; i < self->count; i++) {
        struct stop *stop = &self->stops[i];
        stop->matched = advance(stop, stop->matched, byte);
        longest = stop->matched > longest ? stop->matched : longest;
        if (stop->matched == stop->length &&
            (self->found == NULL || stop->length > self->found->length)) {
            self->found = stop;
        }
    }
    return self->found != NULL ? self->found->length : longest;
}

bool stop_text_put(struct stop_text *self, const uint8_t *bytes, size_t count,
                   const struct stop_sink *sink)
{
    size_t done = 0;
    while (done < count && self->found == NULL) {
        size_t keep = 0;
        for (size_t i = 0; i < CHUNK && done < count && self->found == NULL; i++) {
            keep = append(self, bytes[done++]);
        }
        release(self, keep, sink);
    }
    return self->found != NULL;
}

void stop_text_end(struct stop_text *self, const struct stop_sink *sink)
{
    if (self->found == NULL) {
        release(self, 0, sink);
    }
}

const char *stop_text_found(const struct stop_text *self)
{
    return self->found != NULL ? self->found->text : NULL;
}
