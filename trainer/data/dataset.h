/* dataset - token shards on disk with a manifest.
 *
 * A folder holds manifest.json and shard files of little-endian uint16 token ids. The manifest
 * names the tokenizer, and per split ("train", "validation") the shards with their token counts
 * and BLAKE2b-256 hashes. A dataset is one split, seen as one long run of tokens.
 *
 * Immutable after dataset_open, so thread-safe. Every error leaves a sentence. */
#ifndef DUGNAD_TRAINER_DATA_DATASET_H
#define DUGNAD_TRAINER_DATA_DATASET_H

#include "common/digest.h"
#include "common/status.h"
#include "trainer/tokenizer/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

enum { DATASET_SHARDS_MAX = 65536, DATASET_MANIFEST_MAX = 64 << 20 };
enum dataset_split { DATASET_TRAIN, DATASET_VALIDATION };

struct dataset;

/* Maps the split's shards and checks sizes, hashes and that every id is below the vocabulary.
 * The caller owns *out. Errors: NO_INPUT, BAD_DATA, CORRUPT (names the shard and says to build
 * the data again), NO_MEMORY. */
MUST_CHECK enum status dataset_open(const char *folder, enum dataset_split split,
                                    struct dataset **out);
void dataset_close(struct dataset *self); /* NULL is allowed. */

uint64_t dataset_token_count(const struct dataset *self);
uint32_t dataset_vocab_size(const struct dataset *self);
const char *dataset_tokenizer_name(const struct dataset *self);
/* Hash of the manifest file: names the data in checkpoints and logs. */
struct digest dataset_manifest_digest(const struct dataset *self);

/* Copies tokens [first, first + count) to out; the range lies inside the split (CHECKed). */
void dataset_read(const struct dataset *self, uint64_t first, size_t count, uint16_t *out);

/* Loads the tokenizer that lies in a data folder and checks that it is the one the manifest
 * names. The caller owns *out. Errors: those of tokenizer_new and of reading the manifest; CORRUPT
 * when it is another tokenizer. */
MUST_CHECK enum status dataset_tokenizer_new(const char *folder, struct tokenizer **out);

#endif
