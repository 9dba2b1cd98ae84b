/* data_build - files of text to token shards and a manifest.
 *
 * Text is encoded in pieces by several threads (pipeline.h); each block of the token stream goes
 * to training or validation by a seeded hash of its number, so both splits see all of the text.
 * The result depends on the files and options, but not on the number of threads. Memory is
 * bounded, whatever the size of the text (pipeline.h). */
#ifndef DUGNAD_TRAINER_DATA_INGEST_DATA_BUILD_H
#define DUGNAD_TRAINER_DATA_INGEST_DATA_BUILD_H

#include "trainer/data/ingest/pipeline.h"

struct data_build_progress {
    uint64_t input_bytes; /* of the files as they lie on disk, done so far */
    uint64_t input_total; /* 0: not known */
    uint64_t text_bytes;
    uint64_t token_count;
};

struct data_build_options {
    const char *tokenizer_spec; /* as tokenizer_new */
    const char *out_folder;     /* made; must not hold a manifest yet */
    const char *const *files;   /* borrowed; "-" is standard input */
    size_t file_count;
    enum text_format format;
    const char *field;          /* of JSON lines: holds the text */
    bool no_separator;          /* put nothing between documents */
    double validation_fraction; /* in (0, 0.5] */
    uint64_t shard_tokens_max;  /* tokens per shard file */
    uint64_t seed;
    size_t threads;     /* that encode; 0: as many as this process may use */
    size_t piece_bytes; /* of text handed to a thread; 0: a good size */
    /* Called by the calling thread after each piece; NULL: not. */
    void (*on_progress)(void *context, const struct data_build_progress *progress);
    void *progress_context;
};

struct data_build_result {
    uint64_t train_tokens;
    uint64_t validation_tokens;
    uint64_t text_bytes;
    uint64_t input_bytes; /* of the files as they lie on disk */
    size_t shard_count;
    double seconds;
};

/* Errors: NO_INPUT (a file is missing: nothing is written), BAD_DATA (no text at all, or broken
 * input), CANNOT_CREATE, IO, OS, NO_MEMORY. The manifest is written last, so a broken build is
 * never taken for a finished one; a failed one leaves no shards. */
MUST_CHECK enum status data_build(const struct data_build_options *options,
                                  struct data_build_result *out);

#endif
