#include "trainer/data/dataset.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/files.h"
#include "trainer/data/manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "shards are little-endian uint16");

struct shard {
    struct file_view view;
    uint64_t first; /* the split's number of its first token */
    uint64_t token_count;
};

struct dataset {
    struct manifest manifest;
    uint64_t token_count;
    struct shard *shards;
    size_t shard_count;
};

/* Ids index tables in the model: one that is too large must not get there. */
static enum status check_ids(const char *path, const struct shard *shard, uint32_t vocab_size)
{
    const uint16_t *ids = (const uint16_t *)(const void *)shard->view.data;
    uint16_t largest = 0;
    for (uint64_t i = 0; i < shard->token_count; i++) {
        largest = ids[i] > largest ? ids[i] : largest;
    }
    if (largest >= vocab_size) {
        return fault(STATUS_BAD_DATA,
                     "%s has the token id %u, but the vocabulary has %u; build "
                     "the data again",
                     path, largest, vocab_size);
    }
    return STATUS_OK;
}

static enum status open_shard(const char *folder, const struct manifest_shard *facts,
                              uint32_t vocab_size, struct shard *out)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(folder, facts->file, path);
    if (status == STATUS_OK) {
        status = files_map(path, &out->view);
    }
    if (status != STATUS_OK) {
        return status;
    }
    out->token_count = facts->token_count;
    uint64_t expected_bytes = facts->token_count * sizeof(uint16_t);
    if (out->view.size_bytes != expected_bytes) {
        return fault(STATUS_CORRUPT,
                     "%s has %zu bytes, but its manifest says %" PRIu64 "; build the data again",
                     path, out->view.size_bytes, expected_bytes);
    }
    struct digest digest = digest_of(out->view.data, out->view.size_bytes);
    if (!digest_equal(&digest, &facts->digest)) {
        return fault(STATUS_CORRUPT,
                     "%s is damaged: its hash is not the manifest's; build the "
                     "data again",
                     path);
    }
    return check_ids(path, out, vocab_size);
}

static enum status open_shards(struct dataset *self, const char *folder, enum dataset_split split)
{
    const struct manifest_split *facts = &self->manifest.splits[split];
    self->shards = calloc(facts->shard_count + 1, sizeof(*self->shards));
    if (self->shards == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for %zu shards", facts->shard_count);
    }
    for (size_t i = 0; i < facts->shard_count; i++) {
        struct shard *shard = &self->shards[i];
        self->shard_count = i + 1;
        shard->first = self->token_count;
        enum status status =
            open_shard(folder, &facts->shards[i], self->manifest.vocab_size, shard);
        if (status != STATUS_OK) {
            return status;
        }
        self->token_count += shard->token_count;
    }
    return STATUS_OK;
}

enum status dataset_open(const char *folder, enum dataset_split split, struct dataset **out)
{
    *out = NULL;
    struct dataset *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to open %s", folder);
    }
    enum status status = manifest_read(folder, &self->manifest);
    if (status == STATUS_OK) {
        status = open_shards(self, folder, split);
    }
    if (status != STATUS_OK) {
        dataset_close(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void dataset_close(struct dataset *self)
{
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->shard_count; i++) {
        files_unmap(&self->shards[i].view);
    }
    manifest_deinit(&self->manifest);
    free(self->shards);
    free(self);
}

uint64_t dataset_token_count(const struct dataset *self)
{
    return self->token_count;
}

uint32_t dataset_vocab_size(const struct dataset *self)
{
    return self->manifest.vocab_size;
}

const char *dataset_tokenizer_name(const struct dataset *self)
{
    return self->manifest.tokenizer;
}

struct digest dataset_manifest_digest(const struct dataset *self)
{
    return self->manifest.digest;
}

/* The index of the shard that holds this token. */
static size_t find_shard(const struct dataset *self, uint64_t token)
{
    size_t low = 0;
    size_t high = self->shard_count - 1;
    while (low < high) {
        size_t middle = low + (high - low + 1) / 2;
        if (self->shards[middle].first <= token) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

void dataset_read(const struct dataset *self, uint64_t first, size_t count, uint16_t *out)
{
    CHECK(first <= self->token_count && count <= self->token_count - first);
    if (count == 0) {
        return;
    }
    for (size_t i = find_shard(self, first); count > 0; i++) {
        const struct shard *shard = &self->shards[i];
        uint64_t skipped = first - shard->first;
        uint64_t here = shard->token_count - skipped;
        size_t taken = here < count ? (size_t)here : count;
        memcpy(out, shard->view.data + skipped * sizeof(*out), taken * sizeof(*out));
        out += taken;
        first += taken;
        count -= taken;
    }
}

enum status dataset_tokenizer_new(const char *folder, struct tokenizer **out)
{
    struct manifest manifest;
    *out = NULL;
    enum status status = manifest_read(folder, &manifest);
    if (status == STATUS_OK) {
        status = tokenizer_new(folder, out);
    }
    if (status == STATUS_OK && (strcmp(tokenizer_name(*out), manifest.tokenizer) != 0 ||
                                tokenizer_vocab_size(*out) != manifest.vocab_size)) {
        status = fault(STATUS_CORRUPT,
                       "the tokenizer in %s is %s with %u tokens, but the data was made with %s "
                       "of %u tokens; build the data again",
                       folder, tokenizer_name(*out), tokenizer_vocab_size(*out), manifest.tokenizer,
                       manifest.vocab_size);
        tokenizer_free(*out);
        *out = NULL;
    }
    manifest_deinit(&manifest);
    return status;
}
