/* shard_writer - the tokens of one split into shard files, listed in a manifest.
 *
 * Every error leaves a sentence. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_DATA_INGEST_SHARD_WRITER_H
#define DUGNAD_TRAINER_DATA_INGEST_SHARD_WRITER_H

#include "trainer/data/manifest.h"
#include "trainer/formats/output_file.h"

struct shard_writer {
    struct digest_stream hash; /* of the open shard */
    const char *folder;
    enum dataset_split split;
    uint64_t shard_tokens_max;
    struct manifest *manifest; /* gets an entry for each finished shard */
    uint64_t token_count;      /* in the open shard */
    struct manifest_shard shard;
    struct output_file file;
};

/* All arguments are borrowed until the writer is done; shard_tokens_max > 0. */
void shard_writer_init(struct shard_writer *self, const char *folder, enum dataset_split split,
                       uint64_t shard_tokens_max, struct manifest *manifest);

/* Appends tokens(count), beginning new shards as they fill up.
 * Errors: CANNOT_CREATE, IO, FULL, NO_MEMORY. */
MUST_CHECK enum status shard_writer_add(struct shard_writer *self, const uint16_t *tokens,
                                        size_t count);

/* Finishes the open shard, when there is one. */
MUST_CHECK enum status shard_writer_finish(struct shard_writer *self);

/* Drops the open shard; fine at any time. */
void shard_writer_abandon(struct shard_writer *self);

#endif
