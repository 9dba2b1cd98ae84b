/* gzip (RFC 1952) through zlib: one or more members, with zero padding behind the last. */
#include "common/fault.h"
#include "trainer/data/ingest/unpacker.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#define ZLIB_CONST /* next_in is only read */
#include <zlib.h>

enum { GZIP_ONLY = 16, WINDOW_BITS = 15 }; /* for inflateInit2 */

struct gzip {
    z_stream stream;
    bool inside; /* a member is begun and not finished */
    bool any;    /* a member is finished */
};

static void *begin(void)
{
    struct gzip *self = calloc(1, sizeof(*self));
    if (self != NULL && inflateInit2(&self->stream, WINDOW_BITS + GZIP_ONLY) != Z_OK) {
        free(self);
        return NULL;
    }
    return self;
}

static void end(void *state)
{
    struct gzip *self = state;
    (void)inflateEnd(&self->stream);
    free(self);
}

static enum status fail(const struct gzip *self, const struct raw_file *raw, int code)
{
    if (code == Z_MEM_ERROR) {
        return fault(STATUS_NO_MEMORY, "no memory to unpack %s", raw->file);
    }
    if (code == Z_BUF_ERROR) {
        return fault(STATUS_BAD_DATA,
                     "%s ends after %" PRIu64
                     " bytes in the middle of its gzip data; copy or download it again",
                     raw->file, raw->taken_bytes);
    }
    return fault(
        STATUS_BAD_DATA,
        "%s is not gzip data or is damaged at byte %" PRIu64 " (%s); copy or download it again",
        raw->file, raw->taken_bytes, self->stream.msg != NULL ? self->stream.msg : zError(code));
}

/* Looks for a next member; *out_found is false at the file's end. */
static enum status begin_member(struct gzip *self, struct raw_file *raw, bool *out_found)
{
    const uint8_t *data = NULL;
    size_t ready = 0;
    do {
        enum status status = raw_file_peek(raw, &data, &ready);
        if (status != STATUS_OK) {
            return status;
        }
        size_t zeros = 0;
        while (self->any && zeros < ready && data[zeros] == 0) {
            zeros++;
        }
        raw_file_take(raw, zeros);
        *out_found = zeros < ready;
    } while (ready > 0 && !*out_found);
    if (!*out_found) {
        return self->any ? STATUS_OK : fail(self, raw, Z_BUF_ERROR);
    }
    self->inside = true;
    int code = inflateReset(&self->stream);
    return code == Z_OK ? STATUS_OK : fail(self, raw, code);
}

static enum status inflate_some(struct gzip *self, struct raw_file *raw)
{
    const uint8_t *data = NULL;
    size_t ready = 0;
    enum status status = raw_file_peek(raw, &data, &ready);
    if (status != STATUS_OK) {
        return status;
    }
    self->stream.next_in = data;
    self->stream.avail_in = (unsigned)ready;
    /* At the file's end zlib may still hold text that did not fit before. */
    int code = inflate(&self->stream, Z_NO_FLUSH);
    raw_file_take(raw, ready - self->stream.avail_in);
    if (code == Z_STREAM_END) {
        self->inside = false;
        self->any = true;
        return STATUS_OK;
    }
    return code == Z_OK ? STATUS_OK : fail(self, raw, code);
}

static enum status read_text(void *state, struct raw_file *raw, uint8_t *out, size_t size_bytes,
                             size_t *out_bytes)
{
    struct gzip *self = state;
    *out_bytes = 0;
    while (*out_bytes < size_bytes) {
        bool found = true;
        enum status status = self->inside ? STATUS_OK : begin_member(self, raw, &found);
        if (status != STATUS_OK || !found) {
            return status;
        }
        size_t room = size_bytes - *out_bytes;
        unsigned offered = room < UINT_MAX ? (unsigned)room : UINT_MAX;
        self->stream.next_out = out + *out_bytes;
        self->stream.avail_out = offered;
        status = inflate_some(self, raw);
        *out_bytes += offered - self->stream.avail_out;
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

const struct unpacker unpacker_gzip = {.begin = begin, .end = end, .read = read_text};
