/* manifest - what a data folder holds: tokenizer, splits, shards with counts and hashes.
 *
 *     {"format":"dugnad-data-1","tokenizer":"bytes","vocab_size":256,"splits":{
 *        "train":{"tokens":N,"shards":[{"file":"train-00000.bin","tokens":n,"blake2b":"hex"}]},
 *        "validation":{...}}}
 *
 * A manifest may come from anybody: names are plain file names, so no shard lies outside of the
 * folder, and counts add up without overflow. Every error leaves a sentence that names the file. */
#ifndef DUGNAD_TRAINER_DATA_MANIFEST_H
#define DUGNAD_TRAINER_DATA_MANIFEST_H

#include "trainer/data/dataset.h"

enum { MANIFEST_NAME_MAX = 64, MANIFEST_SPLIT_COUNT = 2, MANIFEST_TOKENS_MAX_LOG2 = 40 };

struct manifest_shard {
    char file[MANIFEST_NAME_MAX];
    uint64_t token_count; /* > 0 */
    struct digest digest;
};

struct manifest_split {
    uint64_t token_count; /* the shards' sum */
    struct manifest_shard *shards;
    size_t shard_count;
};

struct manifest {
    char tokenizer[MANIFEST_NAME_MAX];
    uint32_t vocab_size;
    struct manifest_split splits[MANIFEST_SPLIT_COUNT]; /* by enum dataset_split */
    struct digest digest;                               /* of the file, when it was read */
};

/* "train" or "validation". */
const char *manifest_split_name(enum dataset_split split);

/* Reads folder/manifest.json. End *out with manifest_deinit() (on errors it is zeroed).
 * Errors: NO_INPUT, FULL, BAD_DATA, NO_MEMORY. */
MUST_CHECK enum status manifest_read(const char *folder, struct manifest *out);
void manifest_deinit(struct manifest *self); /* A zeroed one is allowed. */

/* Appends a shard and adds its tokens. Errors: FULL (too many shards), NO_MEMORY. */
MUST_CHECK enum status manifest_add_shard(struct manifest *self, enum dataset_split split,
                                          const struct manifest_shard *shard);

/* Writes folder/manifest.json atomically. Errors: CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status manifest_write(const struct manifest *self, const char *folder);

#endif
