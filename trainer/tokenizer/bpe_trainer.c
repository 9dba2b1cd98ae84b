#include "trainer/tokenizer/bpe_trainer.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/tokenizer/byte_level.h"
#include "trainer/tokenizer/bytes_hash.h"
#include "trainer/tokenizer/pair_queue.h"
#include "trainer/tokenizer/piece_counts.h"
#include "trainer/tokenizer/runs.h"
#include "trainer/tokenizer/tokenizer_parts.h"
#include "trainer/tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT_LEAST = 2, NO_TOKEN = UINT32_MAX, PROGRESS_EVERY = 256 };

struct bpe_trainer {
    struct bpe_trainer_options options;
    struct tokenizer *base; /* bytes and special tokens, no merges: it cuts the text */
    struct pattern_cursor cursor;
    struct piece_counts counts;
};

/* The words behind each other, NO_TOKEN before, between and behind them. A token covers as many
 * places as it has bytes; its id stands in `starts` at its first and in `ends` at its last. */
struct words {
    uint32_t *starts; /* NO_TOKEN inside a token */
    uint32_t *ends;   /* anything inside a token */
    uint32_t *pieces; /* the piece that a place belongs to */
};

struct learning {
    const struct counted_piece *pieces;
    struct recipe *recipe;
    struct piece_table made; /* all tokens but the special ones, by their bytes */
    struct words words;
    struct pair_queue queue;
};

static enum status check_special(const char *text)
{
    size_t length = strlen(text);
    uint8_t bytes[TOKENIZER_TOKEN_BYTES_MAX];
    size_t count = 0;
    if (length == 0 || length > TOKENIZER_TOKEN_BYTES_MAX ||
        utf8_valid_prefix((const uint8_t *)text, length) != length) {
        return fault(STATUS_USAGE, "a special token must be UTF-8 text of 1 to %d bytes",
                     TOKENIZER_TOKEN_BYTES_MAX);
    }
    if (byte_level_read(text, length, bytes, &count) && count == 1) {
        return fault(STATUS_USAGE, "the special token '%s' is the name of a byte; use a longer one",
                     text);
    }
    return STATUS_OK;
}

static enum status fill_base(const struct bpe_trainer_options *options, struct recipe *recipe)
{
    enum status status = recipe_init(recipe);
    for (size_t i = 0; status == STATUS_OK && i < options->special_count; i++) {
        struct added_token added = {.id = (uint16_t)i, .special = true};
        status = check_special(options->specials[i]);
        if (status == STATUS_OK) {
            status =
                recipe_add_added(recipe, added, options->specials[i], strlen(options->specials[i]));
        }
    }
    for (unsigned i = 0; status == STATUS_OK && i < BYTE_LEVEL_COUNT; i++) {
        const uint8_t byte = byte_level_by_order(i);
        status = recipe_add_token(recipe, options->special_count + i, TOKEN_PLAIN, &byte, 1);
    }
    if (status == STATUS_OK) {
        status = recipe_set_regex(
            recipe,
            pattern_regex(options->pattern == BPE_TRAINER_CL100K ? PATTERN_CL100K : PATTERN_GPT2));
    }
    recipe_guess_ends(recipe);
    return status;
}

enum status bpe_trainer_new(const struct bpe_trainer_options *options, struct bpe_trainer **out)
{
    CHECK(options->vocab_size >= BPE_TRAINER_VOCAB_MIN &&
          options->vocab_size <= TOKENIZER_VOCAB_MAX);
    CHECK(options->special_count <= BPE_TRAINER_SPECIALS_MAX);
    *out = NULL;
    struct bpe_trainer *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to train the tokenizer");
    }
    self->options = *options;
    struct recipe recipe;
    enum status status = fill_base(options, &recipe);
    if (status == STATUS_OK) {
        status = tokenizer_take_recipe(&recipe, &self->base);
        status = status == STATUS_BAD_DATA ? STATUS_USAGE : status;
    }
    recipe_deinit(&recipe);
    if (status == STATUS_OK) {
        status = pattern_cursor_init(&self->cursor, self->base->pattern);
    }
    if (status == STATUS_OK) {
        status = piece_counts_init(&self->counts);
    }
    if (status != STATUS_OK) {
        bpe_trainer_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void bpe_trainer_free(struct bpe_trainer *self)
{
    if (self != NULL) {
        piece_counts_deinit(&self->counts);
        pattern_cursor_deinit(&self->cursor);
        tokenizer_free(self->base);
        free(self);
    }
}

size_t bpe_trainer_safe_length(const struct bpe_trainer *self, const uint8_t *text, size_t length)
{
    return tokenizer_safe_length(self->base, text, length);
}

static enum status count_run(struct bpe_trainer *self, const uint8_t *text, size_t length)
{
    enum status status = STATUS_OK;
    for (size_t at = 0, end = 0; status == STATUS_OK && at < length; at = end) {
        status = pattern_next(&self->cursor, text, length, at, &end);
        if (status == STATUS_OK) {
            status = piece_counts_add(&self->counts, text + at, end - at);
        }
    }
    return status;
}

enum status bpe_trainer_count(struct bpe_trainer *self, const uint8_t *text, size_t length)
{
    struct runs runs;
    struct run run;
    enum status status = STATUS_OK;
    runs_init(&runs, &self->base->raw, &self->base->normalized, text, length);
    while (status == STATUS_OK && runs_next(&runs, &run)) {
        if (run.kind == RUN_TEXT) {
            status = count_run(self, text + run.start, run.end - run.start);
        }
    }
    return status;
}

static enum status words_init(struct words *self, size_t places)
{
    self->starts = malloc(places * sizeof(*self->starts));
    self->ends = malloc(places * sizeof(*self->ends));
    self->pieces = malloc(places * sizeof(*self->pieces));
    if (self->starts == NULL || self->ends == NULL || self->pieces == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to train the tokenizer");
    }
    return STATUS_OK;
}

static void words_deinit(struct words *self)
{
    free(self->starts);
    free(self->ends);
    free(self->pieces);
}

/* Lays the pieces out and counts their pairs. */
static enum status lay_out(struct learning *self, const struct piece_counts *counts,
                           const uint16_t byte_ids[BYTE_LEVEL_COUNT])
{
    struct words *words = &self->words;
    enum status status = words_init(words, counts->text_used + counts->count + 1);
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t place = 0;
    words->starts[0] = words->ends[0] = NO_TOKEN;
    for (size_t i = 0; status == STATUS_OK && i < counts->count; i++) {
        const struct counted_piece *piece = &counts->pieces[i];
        for (uint32_t j = 0; status == STATUS_OK && j < piece->length; j++) {
            place++;
            words->starts[place] = byte_ids[counts->text[piece->text_at + j]];
            words->ends[place] = words->starts[place];
            words->pieces[place] = (uint32_t)i;
            if (j > 0) {
                status = pair_queue_add(&self->queue, words->starts[place - 1],
                                        words->starts[place], piece->count, place - 1);
            }
        }
        place++;
        words->starts[place] = words->ends[place] = NO_TOKEN;
    }
    return status == STATUS_OK ? pair_queue_settle(&self->queue) : status;
}

static uint32_t length_of(const struct learning *self, uint32_t id)
{
    return self->recipe->tokens[id].length;
}

/* Makes one token of the pair at `place`, if it is still there, and counts its new neighbours. */
static enum status merge_at(struct learning *self, uint32_t place, uint32_t left, uint32_t right,
                            uint32_t result)
{
    struct words *words = &self->words;
    uint32_t second = place + length_of(self, left);
    if (words->starts[place] != left || words->starts[second] != right) {
        return STATUS_OK;
    }
    uint64_t weight = self->pieces[words->pieces[place]].count;
    uint32_t after = second + length_of(self, right);
    uint32_t before_id = words->ends[place - 1];
    uint32_t after_id = words->starts[after];
    words->starts[place] = result;
    words->starts[second] = NO_TOKEN;
    words->ends[after - 1] = result;
    enum status status = STATUS_OK;
    if (before_id != NO_TOKEN) {
        pair_queue_remove(&self->queue, before_id, left, weight);
        status = pair_queue_add(&self->queue, before_id, result, weight,
                                place - length_of(self, before_id));
    }
    if (status == STATUS_OK && after_id != NO_TOKEN) {
        pair_queue_remove(&self->queue, right, after_id, weight);
        status = pair_queue_add(&self->queue, result, after_id, weight, place);
    }
    return status;
}

/* Is there a special token with the name of these bytes? Then no merge may make them, since the
 * two could not be told apart in tokenizer.json. */
static bool is_special_name(const struct recipe *recipe, const uint8_t *bytes, size_t length)
{
    char name[BYTE_LEVEL_CHARACTER_MAX * TOKENIZER_TOKEN_BYTES_MAX + 1];
    byte_level_write(bytes, length, name);
    return recipe_find_added(recipe, name) >= 0;
}

/* The token that the pair makes: a new one, or one that another merge made before. *out is
 * NO_TOKEN when the pair must not be merged. */
static enum status make_token(struct learning *self, uint32_t left, uint32_t right, uint32_t *out)
{
    uint8_t bytes[TOKENIZER_TOKEN_BYTES_MAX];
    struct recipe *recipe = self->recipe;
    size_t left_length = length_of(self, left);
    size_t length = left_length + length_of(self, right);
    *out = NO_TOKEN;
    if (length > sizeof(bytes)) {
        return STATUS_OK;
    }
    memcpy(bytes, recipe->bytes + recipe->tokens[left].offset, left_length);
    memcpy(bytes + left_length, recipe->bytes + recipe->tokens[right].offset, length - left_length);
    int32_t known = piece_table_find(&self->made, bytes_hash(bytes, length), bytes, length);
    if (known >= 0) {
        *out = (uint32_t)known;
        return STATUS_OK;
    }
    if (is_special_name(recipe, bytes, length)) {
        return STATUS_OK;
    }
    uint32_t id = recipe->vocab_size;
    enum status status = recipe_add_token(recipe, id, TOKEN_PLAIN, bytes, length);
    if (status == STATUS_OK) {
        piece_table_add(&self->made, id);
        *out = id;
    }
    return status;
}

static enum status merge_pair(struct learning *self, const struct pair *pair)
{
    uint32_t left = pair->key >> 16;
    uint32_t right = pair->key & UINT16_MAX;
    uint32_t result = NO_TOKEN;
    enum status status = make_token(self, left, right, &result);
    if (status != STATUS_OK || result == NO_TOKEN) {
        return status;
    }
    status = recipe_add_merge(self->recipe,
                              (struct merge){(uint16_t)left, (uint16_t)right, (uint16_t)result});
    for (uint32_t i = 0; status == STATUS_OK && i < pair->place_count; i++) {
        status = merge_at(self, pair->places[i], left, right, result);
    }
    return status == STATUS_OK ? pair_queue_settle(&self->queue) : status;
}

static enum status learn(struct learning *self, const struct bpe_trainer_options *options)
{
    enum status status = STATUS_OK;
    struct pair pair;
    uint32_t told = 0;
    while (status == STATUS_OK && self->recipe->vocab_size < options->vocab_size &&
           pair_queue_pop(&self->queue, COUNT_LEAST, &pair)) {
        status = merge_pair(self, &pair);
        free(pair.places);
        if (options->progress != NULL && self->recipe->vocab_size >= told + PROGRESS_EVERY) {
            told = self->recipe->vocab_size;
            options->progress(options->context, told, options->vocab_size);
        }
    }
    return status;
}

static enum status learn_from_counts(struct bpe_trainer *self, struct recipe *recipe)
{
    struct learning learning = {.pieces = self->counts.pieces, .recipe = recipe};
    enum status status = pair_queue_init(&learning.queue);
    if (status == STATUS_OK) {
        status = piece_table_init(&learning.made, recipe, self->options.vocab_size);
    }
    for (uint32_t id = 0; status == STATUS_OK && id < recipe->vocab_size; id++) {
        if (recipe->tokens[id].kind == TOKEN_PLAIN) {
            piece_table_add(&learning.made, id);
        }
    }
    if (status == STATUS_OK) {
        status = lay_out(&learning, &self->counts, self->base->bpe.byte_ids);
    }
    if (status == STATUS_OK) {
        status = learn(&learning, &self->options);
    }
    words_deinit(&learning.words);
    piece_table_deinit(&learning.made);
    pair_queue_deinit(&learning.queue);
    return status;
}

enum status bpe_trainer_finish(struct bpe_trainer *self, struct tokenizer **out)
{
    struct recipe recipe;
    *out = NULL;
    if (self->counts.count == 0) {
        return fault(STATUS_BAD_DATA, "there is no text to train on; name files with text");
    }
    enum status status = fill_base(&self->options, &recipe);
    if (status == STATUS_OK) {
        status = learn_from_counts(self, &recipe);
    }
    if (status == STATUS_OK) {
        status = tokenizer_take_recipe(&recipe, out);
    }
    recipe_deinit(&recipe);
    return status;
}
