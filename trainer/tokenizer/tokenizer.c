#include "trainer/tokenizer/tokenizer.h"

#include "common/check.h"
#include "common/digest.h"
#include "common/fault.h"
#include "trainer/tokenizer/bytes_hash.h"
#include "trainer/tokenizer/read_tokenizer.h"
#include "trainer/tokenizer/tokenizer_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_DIGITS = 16, BYTE_VOCAB_SIZE = 256 };

static const char BYTES_NAME[] = "bytes";

/* Tokens whose bytes, met as a piece, give the token itself. With ignore_merges that is every
 * token; else a token may be one that merges never reach. */
static enum status fill_pieces(struct tokenizer *self)
{
    const struct recipe *recipe = &self->recipe;
    enum status status = piece_table_init(&self->pieces, recipe, recipe->vocab_size);
    for (uint32_t id = 0; status == STATUS_OK && id < recipe->vocab_size; id++) {
        size_t length = 0;
        const uint8_t *bytes = recipe_bytes(recipe, id, &length);
        if (recipe->tokens[id].kind != TOKEN_PLAIN || length == 0) {
            continue;
        }
        uint16_t ids[TOKENIZER_TOKEN_BYTES_MAX] = {(uint16_t)id};
        size_t count = 1;
        if (!recipe->ignore_merges) {
            status = bpe_encode(&self->bpe, bytes, length, ids, &count);
        }
        if (status == STATUS_OK && count == 1 && ids[0] == id) {
            piece_table_add(&self->pieces, id);
        }
    }
    return status;
}

static void hash_text(struct digest_stream *stream, const void *text, size_t length)
{
    uint64_t length_first = length;
    digest_update(stream, &length_first, sizeof(length_first));
    digest_update(stream, text, length);
}

/* A hash over all that decides the ids of a text. */
static void make_name(struct tokenizer *self)
{
    const struct recipe *recipe = &self->recipe;
    const char *known = pattern_regex(pattern_family_of(self->pattern));
    const char *regex = known != NULL ? known : recipe->regex;
    struct digest_stream stream;
    digest_begin(&stream);
    hash_text(&stream, regex, regex == NULL ? 0 : strlen(regex));
    uint8_t ignore_merges = recipe->ignore_merges ? 1 : 0;
    digest_update(&stream, &ignore_merges, sizeof(ignore_merges));
    for (uint32_t id = 0; id < recipe->vocab_size; id++) {
        size_t length = 0;
        const uint8_t *bytes = recipe_bytes(recipe, id, &length);
        hash_text(&stream, bytes, length);
    }
    for (size_t i = 0; i < recipe->merge_count; i++) {
        const struct merge *merge = &recipe->merges[i];
        const uint16_t pair[] = {merge->left, merge->right, merge->result};
        digest_update(&stream, pair, sizeof(pair));
    }
    for (uint32_t id = 0; id < recipe->vocab_size; id++) {
        uint8_t is_added = recipe->tokens[id].kind == TOKEN_ADDED ? 1 : 0;
        digest_update(&stream, &is_added, sizeof(is_added));
    }
    const struct added_set *sets[] = {&self->raw, &self->normalized};
    for (unsigned i = 0; i < 2; i++) {
        for (size_t j = 0; j < sets[i]->count; j++) {
            const struct added_token *added = &sets[i]->sorted[j];
            const uint16_t facts[] = {added->id, added->strip_left, added->strip_right,
                                      added->normalized};
            digest_update(&stream, facts, sizeof(facts));
        }
    }
    struct digest digest = digest_end(&stream);
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(&digest, hex);
    (void)snprintf(self->name, sizeof(self->name), "bpe-%.*s", NAME_DIGITS, hex);
}

enum status tokenizer_take_recipe(struct recipe *recipe, struct tokenizer **out)
{
    *out = NULL;
    struct tokenizer *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        recipe_deinit(recipe);
        return fault(STATUS_NO_MEMORY, "no memory for the tokenizer");
    }
    self->recipe = *recipe;
    *recipe = (struct recipe){0};
    enum status status = recipe_check_bytes(&self->recipe);
    if (status == STATUS_OK) {
        status = bpe_init(&self->bpe, &self->recipe);
    }
    if (status == STATUS_OK) {
        status = fill_pieces(self);
    }
    if (status == STATUS_OK) {
        status = pattern_new(self->recipe.regex, &self->pattern);
    }
    if (status == STATUS_OK) {
        status = added_set_init(&self->raw, &self->recipe, false);
    }
    if (status == STATUS_OK) {
        status = added_set_init(&self->normalized, &self->recipe, true);
    }
    if (status != STATUS_OK) {
        tokenizer_free(self);
        return status;
    }
    make_name(self);
    *out = self;
    return STATUS_OK;
}

static enum status make_byte_tokenizer(struct tokenizer **out)
{
    struct tokenizer *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the tokenizer");
    }
    self->is_bytes = true;
    (void)snprintf(self->name, sizeof(self->name), "%s", BYTES_NAME);
    enum status status = recipe_init(&self->recipe);
    for (unsigned i = 0; status == STATUS_OK && i < BYTE_VOCAB_SIZE; i++) {
        status = recipe_add_token(&self->recipe, i, TOKEN_PLAIN, &(uint8_t){(uint8_t)i}, 1);
    }
    if (status != STATUS_OK) {
        tokenizer_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

enum status tokenizer_new(const char *spec, struct tokenizer **out)
{
    *out = NULL;
    bool is_bytes = true;
    struct recipe recipe = {0};
    enum status status = STATUS_OK;
    if (strcmp(spec, BYTES_NAME) != 0) {
        status = read_tokenizer(spec, &recipe, &is_bytes);
    }
    if (status == STATUS_OK && is_bytes) {
        status = make_byte_tokenizer(out);
    } else if (status == STATUS_OK) {
        status = tokenizer_name_fault(spec, tokenizer_take_recipe(&recipe, out));
    }
    recipe_deinit(&recipe);
    return status;
}

enum status tokenizer_name_fault(const char *path, enum status status)
{
    char text[FAULT_TEXT_MAX];
    if (status == STATUS_OK || status == STATUS_NO_MEMORY) {
        return status;
    }
    (void)snprintf(text, sizeof(text), "%s", fault_text());
    return fault(status, "%s: %s", path, text);
}

void tokenizer_free(struct tokenizer *self)
{
    if (self != NULL) {
        added_set_deinit(&self->raw);
        added_set_deinit(&self->normalized);
        pattern_free(self->pattern);
        piece_table_deinit(&self->pieces);
        bpe_deinit(&self->bpe);
        recipe_deinit(&self->recipe);
        free(self);
    }
}

const char *tokenizer_name(const struct tokenizer *self)
{
    return self->name;
}

uint32_t tokenizer_vocab_size(const struct tokenizer *self)
{
    return self->recipe.vocab_size;
}

const uint8_t *tokenizer_bytes_of(const struct tokenizer *self, uint32_t id, size_t *out_length)
{
    return recipe_bytes(&self->recipe, id, out_length);
}

bool tokenizer_is_special(const struct tokenizer *self, uint32_t id)
{
    return id < self->recipe.vocab_size && self->recipe.tokens[id].kind == TOKEN_ADDED;
}

int32_t tokenizer_end_id(const struct tokenizer *self)
{
    return self->recipe.end_id;
}

int32_t tokenizer_begin_id(const struct tokenizer *self)
{
    return self->recipe.begin_id;
}

size_t tokenizer_merge_count(const struct tokenizer *self)
{
    return self->recipe.merge_count;
}

void tokenizer_merge(const struct tokenizer *self, size_t index, uint32_t *left, uint32_t *right)
{
    CHECK(index < self->recipe.merge_count);
    *left = self->recipe.merges[index].left;
    *right = self->recipe.merges[index].right;
}

const char *tokenizer_pattern_name(const struct tokenizer *self)
{
    if (self->recipe.merge_count == 0) {
        return "gpt-2"; /* where nothing is merged, every pattern gives the same ids */
    }
    switch (pattern_family_of(self->pattern)) {
    case PATTERN_GPT2:
        return "gpt-2";
    case PATTERN_CL100K:
        return "llama-bpe";
    case PATTERN_QWEN2:
        return "qwen2";
    case PATTERN_NONE:
    case PATTERN_OTHER:
        break;
    }
    return NULL;
}
