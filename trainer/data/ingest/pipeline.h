/* pipeline - files of text to token ids, on several threads.
 *
 * One thread reads and cuts the text into pieces, `threads` workers encode pieces, and the caller
 * takes the results in the order of the text: what it gets does not depend on the number of
 * threads. The first failure in the order of the text ends it, whichever thread met it.
 *
 * At most PIPELINE_SLOTS(threads) pieces, and PIPELINE_TEXT_MAX bytes of text or one piece, are on
 * their way: memory is bounded. One owner; not thread-safe itself. */
#ifndef DUGNAD_TRAINER_DATA_INGEST_PIPELINE_H
#define DUGNAD_TRAINER_DATA_INGEST_PIPELINE_H

#include "trainer/data/ingest/piece_encoder.h"

enum {
    PIPELINE_THREADS_MAX = 64,
    PIPELINE_TEXT_MAX = 64 << 20,
    PIPELINE_PIECE_BYTES = 512 << 10 /* a good size: cheap to hand over, soon encoded */
};

/* Each worker has a piece at hand, and one waits for it; two more for the reader and the caller. */
#define PIPELINE_SLOTS(threads) (2 * (threads) + 2)

struct pipeline_options {
    const char *const *files; /* borrowed; as text_source's */
    size_t file_count;
    enum text_format format;
    size_t piece_bytes;
    struct piece_encoder encoder;
    size_t threads; /* 1 to PIPELINE_THREADS_MAX */
};

struct pipeline_piece {
    const uint16_t *ids; /* (count); valid until the next call */
    size_t count;
    uint64_t text_bytes;  /* encoded in this piece */
    uint64_t input_bytes; /* of all files, as they lie on disk, used up to its end */
};

struct pipeline;

/* Starts the threads. Everything borrowed stays until pipeline_free(). The caller owns *out.
 * Errors: NO_MEMORY, OS. */
MUST_CHECK enum status pipeline_new(const struct pipeline_options *options, struct pipeline **out);

/* Waits for the next piece; *out_found is false at the end of the text.
 * Errors: those of text_source_next and piece_encode; no further call then. */
MUST_CHECK enum status pipeline_next(struct pipeline *self, struct pipeline_piece *out,
                                     bool *out_found);

/* Ends the threads, wherever they are, and frees all. NULL is allowed. */
void pipeline_free(struct pipeline *self);

#endif
