/* data_build - text files to token shards and a manifest.
 *
 * Text is read in blocks; each block of the token stream goes to training or validation by a
 * seeded hash of its number, so both splits see all of the text and a rebuild is identical.
 * Memory is bounded by a block, whatever the size of the text. */
#ifndef DUGNAD_TRAINER_DATA_DATA_BUILD_H
#define DUGNAD_TRAINER_DATA_DATA_BUILD_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

struct data_build_options {
    const char *tokenizer_spec; /* as tokenizer_new */
    const char *out_folder;     /* made; must not hold a manifest yet */
    const char *const *files;   /* borrowed; "-" is standard input */
    size_t file_count;
    double validation_fraction; /* in (0, 0.5] */
    uint64_t shard_tokens_max;  /* tokens per shard file */
    uint64_t seed;
};

struct data_build_result {
    uint64_t train_tokens;
    uint64_t validation_tokens;
    uint64_t text_bytes;
    size_t shard_count;
};

/* Errors: NO_INPUT (a file is missing: nothing is written), BAD_DATA (no text at all),
 * CANNOT_CREATE, IO. The manifest is written last, so a broken build is never taken for a
 * finished one. */
MUST_CHECK enum status data_build(const struct data_build_options *options,
                                  struct data_build_result *out);

#endif
