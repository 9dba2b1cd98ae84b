#include "trainer/data/ingest/byte_source.h"

#include "common/fault.h"
#include "trainer/data/ingest/unpacker.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct byte_source {
    const struct unpacker *unpacker; /* NULL: the bytes as they are */
    void *state;                     /* the unpacker's */
    struct raw_file raw;
};

enum byte_packing byte_source_packing(const char *file, size_t *out_bare_length)
{
    static const struct {
        const char *ending;
        enum byte_packing packing;
    } ENDINGS[] = {{".gz", BYTE_PACKING_GZIP}, {".zst", BYTE_PACKING_ZSTD}};
    size_t length = strlen(file);
    for (size_t i = 0; i < sizeof(ENDINGS) / sizeof(ENDINGS[0]); i++) {
        size_t ending = strlen(ENDINGS[i].ending);
        if (length > ending && strcasecmp(file + length - ending, ENDINGS[i].ending) == 0) {
            *out_bare_length = length - ending;
            return ENDINGS[i].packing;
        }
    }
    *out_bare_length = length;
    return BYTE_PACKING_NONE;
}

static const struct unpacker *unpacker_for(const char *file)
{
    size_t bare_length = 0;
    switch (byte_source_packing(file, &bare_length)) {
    case BYTE_PACKING_GZIP:
        return &unpacker_gzip;
    case BYTE_PACKING_ZSTD:
        return &unpacker_zstd;
    case BYTE_PACKING_NONE:
        break;
    }
    return NULL;
}

enum status byte_source_open(const char *file, const atomic_bool *stop, struct byte_source **out)
{
    *out = NULL;
    struct byte_source *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to read %s", file);
    }
    enum status status = raw_file_open(&self->raw, file, stop);
    self->unpacker = unpacker_for(file);
    if (status == STATUS_OK && self->unpacker != NULL) {
        self->state = self->unpacker->begin();
        status = self->state != NULL ? STATUS_OK
                                     : fault(STATUS_NO_MEMORY, "no memory to unpack %s", file);
    }
    if (status != STATUS_OK) {
        byte_source_close(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void byte_source_close(struct byte_source *self)
{
    if (self == NULL) {
        return;
    }
    if (self->state != NULL) {
        self->unpacker->end(self->state);
    }
    raw_file_close(&self->raw);
    free(self);
}

static enum status read_plain(struct raw_file *raw, uint8_t *out, size_t size_bytes,
                              size_t *out_bytes)
{
    *out_bytes = 0;
    while (*out_bytes < size_bytes) {
        const uint8_t *data = NULL;
        size_t ready = 0;
        enum status status = raw_file_peek(raw, &data, &ready);
        if (status != STATUS_OK || ready == 0) {
            return status;
        }
        size_t wanted = size_bytes - *out_bytes;
        size_t taken = ready < wanted ? ready : wanted;
        memcpy(out + *out_bytes, data, taken);
        raw_file_take(raw, taken);
        *out_bytes += taken;
    }
    return STATUS_OK;
}

enum status byte_source_read(struct byte_source *self, uint8_t *out, size_t size_bytes,
                             size_t *out_bytes)
{
    return self->unpacker == NULL
               ? read_plain(&self->raw, out, size_bytes, out_bytes)
               : self->unpacker->read(self->state, &self->raw, out, size_bytes, out_bytes);
}

uint64_t byte_source_used(const struct byte_source *self)
{
    return self->raw.taken_bytes;
}
