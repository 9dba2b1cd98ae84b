/* packed - gzip members and zstd frames for tests. */
#ifndef DUGNAD_TESTS_UNIT_PACKED_H
#define DUGNAD_TESTS_UNIT_PACKED_H

#include "tests/unit/scratch.h"

#include <stdint.h>
#define ZLIB_CONST /* next_in is only read */
#include <zlib.h>
#include <zstd.h>

enum { PACKED_MAX = 1 << 20 };

/* A file that grows. */
struct packed {
    uint8_t data[PACKED_MAX];
    size_t length;
};

static inline void packed_add(struct packed *self, const void *data, size_t length)
{
    CU_ASSERT_FATAL(length <= sizeof self->data - self->length);
    memcpy(self->data + self->length, data, length);
    self->length += length;
}

__attribute__((unused)) static void packed_add_gzip(struct packed *self, const void *text,
                                                    size_t length)
{
    z_stream stream = {0};
    CU_ASSERT_EQUAL_FATAL(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
                          Z_OK);
    stream.next_in = text;
    stream.avail_in = (unsigned)length;
    stream.next_out = self->data + self->length;
    stream.avail_out = (unsigned)(sizeof self->data - self->length);
    CU_ASSERT_EQUAL_FATAL(deflate(&stream, Z_FINISH), Z_STREAM_END);
    self->length = sizeof self->data - stream.avail_out;
    CU_ASSERT_EQUAL(deflateEnd(&stream), Z_OK);
}

/* window_log 0: the library's choice. With a checksum, as zstd(1) writes. */
__attribute__((unused)) static void packed_add_zstd(struct packed *self, const void *text,
                                                    size_t length, int window_log)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    CU_ASSERT_PTR_NOT_NULL_FATAL(context);
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    ZSTD_inBuffer in = {.src = text, .size = length};
    ZSTD_outBuffer out = {.dst = self->data, .size = sizeof self->data, .pos = self->length};
    /* Begun before the size is told, so that the frame names its window. */
    CU_ASSERT_FALSE_FATAL(ZSTD_isError(ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush)));
    CU_ASSERT_EQUAL_FATAL(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0);
    self->length = out.pos;
    (void)ZSTD_freeCCtx(context);
}

#endif
