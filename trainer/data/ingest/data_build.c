#include "trainer/data/ingest/data_build.h"

#include "common/clock.h"
#include "common/cores.h"
#include "common/fault.h"
#include "common/random.h"
#include "trainer/data/ingest/shard_writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The tokens of a small text are held until all are known: its blocks shrink so that both splits
 * get several. */
enum {
    SMALL_TEXT_BYTES = 4 << 20,
    BLOCK_TOKENS = 2048,
    BLOCK_TOKENS_MIN = 64,
    VALIDATION_BLOCKS_WANTED = 4
};

static const double BLOCKS_MAX = 0x1p40;

struct builder {
    struct shard_writer writers[MANIFEST_SPLIT_COUNT];
    const struct data_build_options *options;
    struct tokenizer *tokenizer;
    struct manifest manifest;
    struct data_build_progress progress;
    uint64_t block_tokens; /* 0: not chosen yet */
    uint64_t token_count;  /* placed so far */
    uint16_t *held;        /* (held_count), the tokens until then */
    size_t held_count;
    size_t held_room;
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
    if (options->threads > PIPELINE_THREADS_MAX || options->piece_bytes > TEXT_SOURCE_PIECE_MAX) {
        return fault(STATUS_USAGE, "at most %d threads can encode pieces of at most %d bytes",
                     PIPELINE_THREADS_MAX, TEXT_SOURCE_PIECE_MAX);
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

static enum status hold_tokens(struct builder *self, const uint16_t *tokens, size_t count)
{
    if (count > self->held_room - self->held_count) {
        size_t room = 2 * (self->held_count + count);
        uint16_t *grown = realloc(self->held, room * sizeof(*grown));
        if (grown == NULL) {
            return fault(STATUS_NO_MEMORY, "no memory for %zu tokens", room);
        }
        self->held = grown;
        self->held_room = room;
    }
    for (size_t i = 0; i < count; i++) {
        self->held[self->held_count + i] = tokens[i];
    }
    self->held_count += count;
    return STATUS_OK;
}

/* Ends the holding: the text has `text_tokens` tokens, or UINT64_MAX when it is not small. */
static enum status place_held(struct builder *self, uint64_t text_tokens)
{
    uint16_t *held = self->held;
    self->held = NULL;
    enum status status = choose_block(self, text_tokens);
    if (status == STATUS_OK) {
        status = place_tokens(self, held, self->held_count);
    }
    free(held);
    return status;
}

static enum status place_piece(struct builder *self, const struct pipeline_piece *piece)
{
    enum status status = STATUS_OK;
    self->progress.text_bytes += piece->text_bytes;
    self->progress.token_count += piece->count;
    self->progress.input_bytes = piece->input_bytes;
    if (self->block_tokens == 0 && self->progress.text_bytes < SMALL_TEXT_BYTES) {
        return hold_tokens(self, piece->ids, piece->count);
    }
    if (self->block_tokens == 0) {
        status = place_held(self, UINT64_MAX);
    }
    return status == STATUS_OK ? place_tokens(self, piece->ids, piece->count) : status;
}

static enum status place_text(struct builder *self, struct pipeline *pipeline)
{
    const struct data_build_options *options = self->options;
    for (;;) {
        struct pipeline_piece piece;
        bool found = false;
        enum status status = pipeline_next(pipeline, &piece, &found);
        if (status == STATUS_OK && !found) {
            break;
        }
        if (status == STATUS_OK) {
            status = place_piece(self, &piece);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (options->on_progress != NULL) {
            options->on_progress(options->progress_context, &self->progress);
        }
    }
    return self->block_tokens == 0 ? place_held(self, self->held_count) : STATUS_OK;
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
    const struct data_build_options *options = self->options;
    const struct pipeline_options plan = {
        .files = options->files,
        .file_count = options->file_count,
        .format = options->format,
        .piece_bytes = options->piece_bytes > 0 ? options->piece_bytes : PIPELINE_PIECE_BYTES,
        .encoder = {.tokenizer = self->tokenizer,
                    .field = options->field,
                    .separate = !options->no_separator},
        .threads = options->threads > 0 ? options->threads : cores_usable(PIPELINE_THREADS_MAX),
    };
    struct pipeline *pipeline = NULL;
    enum status status = files_make_folder(options->out_folder);
    if (status == STATUS_OK) {
        status = pipeline_new(&plan, &pipeline);
    }
    if (status == STATUS_OK) {
        status = place_text(self, pipeline);
    }
    pipeline_free(pipeline);
    if (status == STATUS_OK) {
        status = finish(self);
    }
    if (status != STATUS_OK) {
        remove_shards(self);
    }
    return status;
}

static void report(const struct builder *self, uint64_t begin_ns, struct data_build_result *out)
{
    const struct manifest_split *splits = self->manifest.splits;
    out->train_tokens = splits[DATASET_TRAIN].token_count;
    out->validation_tokens = splits[DATASET_VALIDATION].token_count;
    out->text_bytes = self->progress.text_bytes;
    out->input_bytes = self->progress.input_bytes;
    out->shard_count = splits[DATASET_TRAIN].shard_count + splits[DATASET_VALIDATION].shard_count;
    out->seconds = (double)(clock_now_ns() - begin_ns) * 1e-9;
}

enum status data_build(const struct data_build_options *options, struct data_build_result *out)
{
    struct builder self = {.options = options};
    uint64_t begin_ns = clock_now_ns();
    for (size_t i = 0; i < MANIFEST_SPLIT_COUNT; i++) {
        shard_writer_init(&self.writers[i], options->out_folder, (enum dataset_split)i,
                          options->shard_tokens_max, &self.manifest);
    }
    enum status status = check_options(options);
    if (status == STATUS_OK) {
        status = tokenizer_new(options->tokenizer_spec, &self.tokenizer);
    }
    if (status == STATUS_OK) {
        status = text_source_check(options->files, options->file_count, &self.progress.input_total);
    }
    if (status == STATUS_OK) {
        status = build(&self);
    }
    if (status == STATUS_OK) {
        report(&self, begin_ns, out);
    }
    for (size_t i = 0; i < MANIFEST_SPLIT_COUNT; i++) {
        shard_writer_abandon(&self.writers[i]);
    }
    free(self.held);
    tokenizer_free(self.tokenizer);
    manifest_deinit(&self.manifest);
    return status;
}
