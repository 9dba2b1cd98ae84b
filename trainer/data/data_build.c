#include "trainer/data/data_build.h"

#include "common/fault.h"
#include "common/random.h"
#include "trainer/data/shard_writer.h"
#include "trainer/data/text_source.h"
#include "trainer/tokenizer/tokenizer.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* A text that fits one read is small: its blocks shrink so that both splits get several. */
enum {
    READ_BYTES = 4 << 20,
    BLOCK_TOKENS = 2048,
    BLOCK_TOKENS_MIN = 64,
    VALIDATION_BLOCKS_WANTED = 4
};

static const double BLOCKS_MAX = 0x1p40;

struct builder {
    struct shard_writer writers[MANIFEST_SPLIT_COUNT];
    const struct data_build_options *options;
    struct tokenizer *tokenizer;
    struct text_source source;
    struct manifest manifest;
    uint64_t block_tokens;
    uint64_t token_count; /* placed so far */
};

/* Validation block number j lies at a seeded place of [j, j + 1) / fraction: as random as single
 * draws, but spread evenly, so that a short text gets its share too. */
static bool is_validation_block(uint64_t block, double fraction, uint64_t seed)
{
    uint64_t first = (uint64_t)((double)block * fraction);
    for (uint64_t j = first > 0 ? first - 1 : 0; j <= first + 1; j++) {
        struct random random;
        random_init(&random, seed, j);
        double place = floor(((double)j + random_uniform(&random)) / fraction);
        if (place == (double)block) {
            return true;
        }
    }
    return false;
}

static enum status check_options(const struct data_build_options *options)
{
    if (!(options->validation_fraction > 0.0 && options->validation_fraction <= 0.5)) {
        return fault(STATUS_USAGE,
                     "the validation fraction is %g, but it must be over 0 and at "
                     "most 0.5",
                     options->validation_fraction);
    }
    if (options->shard_tokens_max == 0) {
        return fault(STATUS_USAGE, "a shard must hold at least one token");
    }
    if (options->file_count == 0) {
        return fault(STATUS_USAGE, "name at least one text file");
    }
    char path[FILES_PATH_MAX];
    enum status status = files_join(options->out_folder, "manifest.json", path);
    if (status == STATUS_OK && files_exists(path)) {
        status =
            fault(STATUS_CANNOT_CREATE, "%s holds data already; remove it or choose another folder",
                  options->out_folder);
    }
    return status;
}

/* `text_tokens` is the whole text's length when it is known, otherwise UINT64_MAX. */
static enum status choose_block(struct builder *self, uint64_t text_tokens)
{
    double fraction = self->options->validation_fraction;
    double wanted = fmin(ceil(VALIDATION_BLOCKS_WANTED / fraction), BLOCKS_MAX);
    uint64_t blocks = (uint64_t)wanted;
    uint64_t block = text_tokens / blocks;
    self->block_tokens = block < BLOCK_TOKENS ? block : BLOCK_TOKENS;
    if (text_tokens == 0) {
        return fault(STATUS_BAD_DATA, "the text files are empty; name files with text");
    }
    if (block < BLOCK_TOKENS_MIN) {
        return fault(STATUS_BAD_DATA,
                     "the text has %" PRIu64
                     " tokens, too few for training and a validation fraction of "
                     "%g; give at least %" PRIu64 " or a larger fraction",
                     text_tokens, fraction, blocks * BLOCK_TOKENS_MIN);
    }
    return STATUS_OK;
}

/* Hands each block's tokens to its split. */
static enum status place_tokens(struct builder *self, const uint16_t *tokens, size_t count)
{
    const struct data_build_options *options = self->options;
    while (count > 0) {
        uint64_t block = self->token_count / self->block_tokens;
        uint64_t room = (block + 1) * self->block_tokens - self->token_count;
        size_t taken = room < count ? (size_t)room : count;
        enum dataset_split split =
            is_validation_block(block, options->validation_fraction, options->seed)
                ? DATASET_VALIDATION
                : DATASET_TRAIN;
        enum status status = shard_writer_add(&self->writers[split], tokens, taken);
        if (status != STATUS_OK) {
            return status;
        }
        self->token_count += taken;
        tokens += taken;
        count -= taken;
    }
    return STATUS_OK;
}

static enum status place_text(struct builder *self, uint8_t *buffer)
{
    bool first = true;
    size_t got = READ_BYTES;
    while (got == READ_BYTES) {
        uint16_t *tokens = NULL;
        size_t count = 0;
        enum status status = text_source_read(&self->source, buffer, READ_BYTES, &got);
        if (status == STATUS_OK) {
            status = tokenizer_encode(self->tokenizer, buffer, got, &tokens, &count);
        }
        if (status == STATUS_OK && first) {
            status = choose_block(self, got < READ_BYTES ? count : UINT64_MAX);
        }
        if (status == STATUS_OK) {
            status = place_tokens(self, tokens, count);
        }
        free(tokens);
        if (status != STATUS_OK) {
            return status;
        }
        first = false;
    }
    return STATUS_OK;
}

static enum status finish(struct builder *self)
{
    const struct data_build_options *options = self->options;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < MANIFEST_SPLIT_COUNT; i++) {
        status = shard_writer_finish(&self->writers[i]);
    }
    if (status == STATUS_OK && self->manifest.splits[DATASET_VALIDATION].token_count == 0) {
        status = fault(STATUS_BAD_DATA,
                       "the text is too short for a validation fraction of %g; "
                       "use a larger fraction",
                       options->validation_fraction);
    }
    if (status == STATUS_OK) {
        status = tokenizer_write(self->tokenizer, options->out_folder);
    }
    if (status != STATUS_OK) {
        return status;
    }
    (void)snprintf(self->manifest.tokenizer, sizeof(self->manifest.tokenizer), "%s",
                   tokenizer_name(self->tokenizer));
    self->manifest.vocab_size = tokenizer_vocab_size(self->tokenizer);
    return manifest_write(&self->manifest, options->out_folder);
}

/* A failed build leaves no shards behind that nobody can use. */
static void remove_shards(const struct builder *self)
{
    for (size_t i = 0; i < MANIFEST_SPLIT_COUNT; i++) {
        const struct manifest_split *split = &self->manifest.splits[i];
        for (size_t j = 0; j < split->shard_count; j++) {
            char path[FILES_PATH_MAX];
            if (files_join(self->options->out_folder, split->shards[j].file, path) == STATUS_OK) {
                (void)unlink(path);
            }
        }
    }
}

static enum status build(struct builder *self)
{
    uint8_t *buffer = malloc(READ_BYTES);
    if (buffer == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to read text");
    }
    enum status status = files_make_folder(self->options->out_folder);
    if (status == STATUS_OK) {
        status = place_text(self, buffer);
    }
    if (status == STATUS_OK) {
        status = finish(self);
    }
    free(buffer);
    if (status != STATUS_OK) {
        remove_shards(self);
    }
    return status;
}

enum status data_build(const struct data_build_options *options, struct data_build_result *out)
{
    struct builder self = {.options = options};
    for (size_t i = 0; i < MANIFEST_SPLIT_COUNT; i++) {
        shard_writer_init(&self.writers[i], options->out_folder, (enum dataset_split)i,
                          options->shard_tokens_max, &self.manifest);
    }
    enum status status = check_options(options);
    if (status == STATUS_OK) {
        status = tokenizer_new(options->tokenizer_spec, &self.tokenizer);
    }
    if (status == STATUS_OK) {
        status = text_source_init(&self.source, options->files, options->file_count);
    }
    if (status == STATUS_OK) {
        status = build(&self);
    }
    if (status == STATUS_OK) {
        const struct manifest_split *splits = self.manifest.splits;
        out->train_tokens = splits[DATASET_TRAIN].token_count;
        out->validation_tokens = splits[DATASET_VALIDATION].token_count;
        out->text_bytes = self.source.bytes_read;
        out->shard_count =
            splits[DATASET_TRAIN].shard_count + splits[DATASET_VALIDATION].shard_count;
    }
    for (size_t i = 0; i < MANIFEST_SPLIT_COUNT; i++) {
        shard_writer_abandon(&self.writers[i]);
    }
    text_source_deinit(&self.source);
    tokenizer_free(self.tokenizer);
    manifest_deinit(&self.manifest);
    return status;
}
