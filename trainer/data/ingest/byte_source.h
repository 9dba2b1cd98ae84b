/* byte_source - the bytes of one file, unpacked when its name ends in .gz or .zst.
 *
 * Unpacking streams: memory is bounded by the formats' windows, 32 KiB for gzip and
 * BYTE_SOURCE_WINDOW_LOG2 for zstd, however large the unpacked text is. Files of several gzip
 * members or zstd frames are read to their end.
 *
 * Every error leaves a sentence that names the file. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_DATA_INGEST_BYTE_SOURCE_H
#define DUGNAD_TRAINER_DATA_INGEST_BYTE_SOURCE_H

#include "common/status.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { BYTE_SOURCE_WINDOW_LOG2 = 27 }; /* what `zstd -d` accepts too without being asked */

enum byte_packing { BYTE_PACKING_NONE, BYTE_PACKING_GZIP, BYTE_PACKING_ZSTD };

struct byte_source;

/* How `file` is packed, by its name alone; *out_bare_length is the name's length without that
 * ending. */
enum byte_packing byte_source_packing(const char *file, size_t *out_bare_length);

/* `file` and `stop` are borrowed until close; "-" is standard input. A read that waits for bytes
 * ends with AGAIN soon after *stop is true. The caller owns *out.
 * Errors: NO_INPUT, NO_MEMORY. */
MUST_CHECK enum status byte_source_open(const char *file, const atomic_bool *stop,
                                        struct byte_source **out);
void byte_source_close(struct byte_source *self); /* NULL is allowed. */

/* Fills out(size_bytes); *out_bytes < size_bytes only at the end.
 * Errors: IO, AGAIN, NO_MEMORY, BAD_DATA (not of its format, damaged or cut off). */
MUST_CHECK enum status byte_source_read(struct byte_source *self, uint8_t *out, size_t size_bytes,
                                        size_t *out_bytes);

/* Bytes of the file itself that were used so far. */
uint64_t byte_source_used(const struct byte_source *self);

#endif
