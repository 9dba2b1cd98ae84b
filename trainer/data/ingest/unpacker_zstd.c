/* Zstandard (RFC 8878) through libzstd: one or more frames, of a limited window. */
#include "common/fault.h"
#include "trainer/data/ingest/byte_source.h"
#include "trainer/data/ingest/unpacker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

struct zstd {
    ZSTD_DCtx *context;
    bool inside; /* a frame is begun and not finished */
    bool any;    /* a frame is finished */
};

static void *begin(void)
{
    struct zstd *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->context = ZSTD_createDCtx();
    if (self->context == NULL ||
        ZSTD_isError(
            ZSTD_DCtx_setParameter(self->context, ZSTD_d_windowLogMax, BYTE_SOURCE_WINDOW_LOG2))) {
        (void)ZSTD_freeDCtx(self->context);
        free(self);
        return NULL;
    }
    return self;
}

static void end(void *state)
{
    struct zstd *self = state;
    (void)ZSTD_freeDCtx(self->context);
    free(self);
}

static enum status fail(const struct raw_file *raw, size_t code)
{
    ZSTD_ErrorCode error = ZSTD_getErrorCode(code);
    if (error == ZSTD_error_memory_allocation) {
        return fault(STATUS_NO_MEMORY, "no memory to unpack %s", raw->file);
    }
    if (error == ZSTD_error_frameParameter_windowTooLarge) {
        return fault(STATUS_BAD_DATA,
                     "%s needs a window of more than %d MiB to unpack; pack it again without "
                     "--long or --ultra",
                     raw->file, 1 << (BYTE_SOURCE_WINDOW_LOG2 - 20));
    }
    return fault(STATUS_BAD_DATA,
                 "%s is not zstd data or is damaged at byte %" PRIu64
                 " (%s); copy or download it again",
                 raw->file, raw->taken_bytes, ZSTD_getErrorString(error));
}

static enum status read_text(void *state, struct raw_file *raw, uint8_t *out, size_t size_bytes,
                             size_t *out_bytes)
{
    struct zstd *self = state;
    ZSTD_outBuffer text = {.dst = out, .size = size_bytes};
    *out_bytes = 0;
    while (text.pos < text.size) {
        const uint8_t *data = NULL;
        size_t ready = 0;
        enum status status = raw_file_peek(raw, &data, &ready);
        if (status != STATUS_OK || (ready == 0 && self->any && !self->inside)) {
            return status;
        }
        /* At the file's end zstd may still hold text that did not fit before. */
        ZSTD_inBuffer packed = {.src = data, .size = ready};
        size_t text_before = text.pos;
        size_t code = ZSTD_decompressStream(self->context, &text, &packed);
        raw_file_take(raw, packed.pos);
        *out_bytes = text.pos;
        if (ZSTD_isError(code)) {
            return fail(raw, code);
        }
        self->inside = code != 0;
        self->any = self->any || code == 0;
        if (self->inside && ready == 0 && text.pos == text_before) {
            return fault(STATUS_BAD_DATA,
                         "%s ends after %" PRIu64
                         " bytes in the middle of its zstd data; copy or download it again",
                         raw->file, raw->taken_bytes);
        }
    }
    return STATUS_OK;
}

const struct unpacker unpacker_zstd = {.begin = begin, .end = end, .read = read_text};
