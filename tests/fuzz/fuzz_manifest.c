/* A data folder: its manifest, a shard whose hash the manifest is given when it asks for it, and a
 * tokenizer. */
#include "common/files.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"
#include "trainer/data/manifest.h"

#include <string.h>

enum { BASE_BYTES = FUZZ_JSON_BASE_BYTES };

/* Stands for the hash of the shard beside the manifest. */
static const char hole[] = "HHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHH";

static void fill_holes(char *text, const struct digest *hash)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(hash, hex);
    for (char *at = strstr(text, hole); at != NULL; at = strstr(at, hole)) {
        memcpy(at, hex, DIGEST_HEX_BYTES - 1);
    }
}

static bool same_split(const struct manifest_split *a, const struct manifest_split *b)
{
    bool same = a->token_count == b->token_count && a->shard_count == b->shard_count;
    for (size_t i = 0; same && i < a->shard_count; i++) {
        same = strcmp(a->shards[i].file, b->shards[i].file) == 0 &&
               a->shards[i].token_count == b->shards[i].token_count &&
               digest_equal(&a->shards[i].digest, &b->shards[i].digest);
    }
    return same;
}

static void write_again(const struct manifest *manifest)
{
    struct manifest again;
    enum status status = manifest_write(manifest, "/out");
    if (status == STATUS_OK) {
        status = manifest_read("/out", &again);
    }
    CHECK(status == STATUS_OK || !fuzz_is_calm());
    CHECK(strcmp(manifest_split_name(DATASET_TRAIN), "train") == 0);
    if (status == STATUS_OK) {
        CHECK(strcmp(manifest->tokenizer, again.tokenizer) == 0);
        CHECK(manifest->vocab_size == again.vocab_size);
        CHECK(same_split(&manifest->splits[0], &again.splits[0]) &&
              same_split(&manifest->splits[1], &again.splits[1]));
        manifest_deinit(&again);
    }
}

static void read_tokens(enum dataset_split split)
{
    struct dataset *dataset = NULL;
    uint16_t tokens[64];
    if (dataset_open("/data", split, &dataset) != STATUS_OK) {
        return;
    }
    struct digest digest = dataset_manifest_digest(dataset);
    struct digest none = {{0}};
    CHECK(!digest_equal(&digest, &none) && strlen(dataset_tokenizer_name(dataset)) > 0);
    uint64_t count = dataset_token_count(dataset);
    for (uint64_t first = 0; first <= count; first += 7) {
        uint64_t left = count - first;
        size_t taken = left < 64 ? (size_t)left : 64;
        dataset_read(dataset, first, taken, tokens);
        for (size_t i = 0; i < taken; i++) {
            CHECK(tokens[i] < dataset_vocab_size(dataset));
        }
    }
    dataset_close(dataset);
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    struct fuzz_bytes json = fuzz_section(&in);
    struct manifest manifest;
    struct tokenizer *tokenizer = NULL;
    struct fuzz_bytes shard = fuzz_section(&in);
    struct digest hash = digest_of(shard.data, shard.size_bytes);
    char *text = fuzz_text(json);
    fill_holes(text, &hash);
    if (json.size_bytes > 0) {
        fuzz_disk_put("/data/manifest.json", (const uint8_t *)text, json.size_bytes);
    }
    fuzz_disk_put("/data/train-00000.bin", shard.data, shard.size_bytes);
    fuzz_disk_put("/data/tokenizer.json", in.data, in.size_bytes);
    fuzz_own_free(text);
    fuzz_memory_begin();
    enum status status = manifest_read("/data", &manifest);
    fuzz_memory_end(json.size_bytes, FUZZ_JSON_FACTOR * json.size_bytes + BASE_BYTES);
    if (status == STATUS_OK) {
        write_again(&manifest);
        manifest_deinit(&manifest);
    }
    read_tokens(DATASET_TRAIN);
    read_tokens(DATASET_VALIDATION);
    fuzz_ignore(dataset_tokenizer_new("/data", &tokenizer));
    tokenizer_free(tokenizer);
}
