/* unpacker - what a packed format offers to byte_source. */
#ifndef DUGNAD_TRAINER_DATA_INGEST_UNPACKER_H
#define DUGNAD_TRAINER_DATA_INGEST_UNPACKER_H

#include "trainer/data/ingest/raw_file.h"

struct unpacker {
    void *(*begin)(void); /* a new state; NULL: no memory */
    void (*end)(void *state);
    /* Unpacks raw into out(size_bytes); *out_bytes < size_bytes only at the end.
     * Errors: as byte_source_read. */
    enum status (*read)(void *state, struct raw_file *raw, uint8_t *out, size_t size_bytes,
                        size_t *out_bytes);
};

extern const struct unpacker unpacker_gzip;
extern const struct unpacker unpacker_zstd;

#endif
