#include "trainer/tokenizer/recipe.h"

#include "common/fault.h"
#include "trainer/tokenizer/byte_level.h"

#include <stdlib.h>
#include <string.h>

static enum status no_memory(void)
{
    return fault(STATUS_NO_MEMORY, "no memory for the tokenizer");
}

enum status recipe_init(struct recipe *self)
{
    *self = (struct recipe){.begin_id = -1, .end_id = -1};
    self->tokens = calloc(TOKENIZER_VOCAB_MAX, sizeof(*self->tokens));
    return self->tokens == NULL ? no_memory() : STATUS_OK;
}

void recipe_deinit(struct recipe *self)
{
    free(self->tokens);
    free(self->bytes);
    free(self->merges);
    free(self->added);
    free(self->regex);
    *self = (struct recipe){0};
}

/* Makes room for `extra` more items; `*items` keeps its value on error. */
static enum status grow(void **items, size_t *capacity, size_t used, size_t extra, size_t item_size)
{
    if (*capacity - used >= extra) {
        return STATUS_OK;
    }
    size_t wanted = 2 * *capacity + extra;
    void *larger = realloc(*items, wanted * item_size);
    if (larger == NULL) {
        return no_memory();
    }
    *items = larger;
    *capacity = wanted;
    return STATUS_OK;
}

static enum status check_id(uint64_t id)
{
    if (id >= TOKENIZER_VOCAB_MAX) {
        return fault(
            STATUS_FULL,
            "the tokenizer has the token id %llu; ids up to %d can be used here, so choose "
            "a tokenizer with a smaller vocabulary",
            (unsigned long long)id, TOKENIZER_VOCAB_MAX - 1);
    }
    return STATUS_OK;
}

static enum status store_bytes(struct recipe *self, uint32_t id, const void *bytes, size_t length)
{
    if (length > TOKENIZER_TOKEN_BYTES_MAX) {
        return fault(STATUS_BAD_DATA, "token %u has %zu bytes of text; at most %d are allowed", id,
                     length, TOKENIZER_TOKEN_BYTES_MAX);
    }
    void *items = self->bytes;
    enum status status = grow(&items, &self->bytes_capacity, self->bytes_used, length + 1, 1);
    self->bytes = items;
    if (status != STATUS_OK) {
        return status;
    }
    struct recipe_token *token = &self->tokens[id];
    token->offset = (uint32_t)self->bytes_used;
    token->length = (uint16_t)length;
    memcpy(self->bytes + self->bytes_used, bytes, length);
    self->bytes_used += length;
    if (id >= self->vocab_size) {
        self->vocab_size = id + 1;
    }
    return STATUS_OK;
}

enum status recipe_add_token(struct recipe *self, uint64_t id, enum token_kind kind,
                             const void *bytes, size_t length)
{
    enum status status = check_id(id);
    if (status != STATUS_OK) {
        return status;
    }
    if (self->tokens[id].kind != TOKEN_NONE) {
        return fault(STATUS_BAD_DATA, "two tokens have the id %u", (unsigned)id);
    }
    status = store_bytes(self, (uint32_t)id, bytes, length);
    if (status == STATUS_OK) {
        self->tokens[id].kind = (uint8_t)kind;
    }
    return status;
}

enum status recipe_add_merge(struct recipe *self, struct merge merge)
{
    if (self->merge_count == RECIPE_MERGES_MAX) {
        return fault(STATUS_FULL, "the tokenizer has more than %d merges", RECIPE_MERGES_MAX);
    }
    void *items = self->merges;
    enum status status =
        grow(&items, &self->merge_capacity, self->merge_count, 1, sizeof(*self->merges));
    self->merges = items;
    if (status == STATUS_OK) {
        self->merges[self->merge_count++] = merge;
    }
    return status;
}

enum status recipe_add_added(struct recipe *self, struct added_token added, const void *bytes,
                             size_t length)
{
    if (length == 0) {
        return fault(STATUS_BAD_DATA, "the added token %u has no text", added.id);
    }
    if (self->tokens[added.id].kind == TOKEN_ADDED) {
        return fault(STATUS_BAD_DATA, "the added token %u is listed twice", added.id);
    }
    if (self->added_count == RECIPE_ADDED_MAX) {
        return fault(STATUS_FULL, "the tokenizer has more than %d added tokens", RECIPE_ADDED_MAX);
    }
    void *items = self->added;
    enum status status =
        grow(&items, &self->added_capacity, self->added_count, 1, sizeof(*self->added));
    self->added = items;
    if (status == STATUS_OK) {
        status = store_bytes(self, added.id, bytes, length);
    }
    if (status == STATUS_OK) {
        self->tokens[added.id].kind = TOKEN_ADDED;
        self->added[self->added_count++] = added;
    }
    return status;
}

enum status recipe_set_regex(struct recipe *self, const char *regex)
{
    free(self->regex);
    self->regex = strdup(regex);
    return self->regex == NULL ? no_memory() : STATUS_OK;
}

enum status recipe_check_bytes(const struct recipe *self)
{
    bool found[BYTE_LEVEL_COUNT] = {false};
    for (uint32_t id = 0; id < self->vocab_size; id++) {
        const struct recipe_token *token = &self->tokens[id];
        if (token->kind == TOKEN_PLAIN && token->length == 1) {
            found[self->bytes[token->offset]] = true;
        }
    }
    for (unsigned byte = 0; byte < BYTE_LEVEL_COUNT; byte++) {
        if (!found[byte]) {
            return fault(
                STATUS_BAD_DATA,
                "the tokenizer has no token for the byte 0x%02x, so it cannot encode every "
                "text; use a byte-level BPE with all 256 bytes",
                byte);
        }
    }
    return STATUS_OK;
}

int32_t recipe_find_added(const struct recipe *self, const char *text)
{
    for (size_t i = 0; i < self->added_count; i++) {
        size_t length = 0;
        const uint8_t *bytes = recipe_bytes(self, self->added[i].id, &length);
        if (length == strlen(text) && memcmp(bytes, text, length) == 0) {
            return self->added[i].id;
        }
    }
    return -1;
}

void recipe_guess_ends(struct recipe *self)
{
    static const char *const end_names[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"};
    static const char *const begin_names[] = {"<|begin_of_text|>", "<s>", "<bos>", "<|endoftext|>"};
    for (size_t i = 0; self->end_id < 0 && i < sizeof(end_names) / sizeof(end_names[0]); i++) {
        self->end_id = recipe_find_added(self, end_names[i]);
    }
    for (size_t i = 0; self->begin_id < 0 && i < sizeof(begin_names) / sizeof(begin_names[0]);
         i++) {
        self->begin_id = recipe_find_added(self, begin_names[i]);
    }
}

const uint8_t *recipe_bytes(const struct recipe *self, uint32_t id, size_t *out_length)
{
    if (id >= self->vocab_size) {
        *out_length = 0;
        return (const uint8_t *)"";
    }
    *out_length = self->tokens[id].length;
    return self->bytes + self->tokens[id].offset;
}
