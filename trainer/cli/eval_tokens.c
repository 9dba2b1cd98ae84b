#include "trainer/cli/eval_tokens.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/cli/text_input.h"
#include "trainer/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

struct eval_tokens {
    struct dataset *data; /* NULL: a text */
    uint16_t *tokens;     /* (token_count) of the text */
    uint64_t token_count;
    uint32_t vocab;
    struct tokenizer *tokenizer; /* NULL: not known */
};

/* The tokenizer that made the data, from its folder or the model's; NULL: in neither. */
static struct tokenizer *find_tokenizer(const char *name, const char *folder,
                                        const char *model_folder)
{
    struct tokenizer *found = NULL;
    if (dataset_tokenizer_new(folder, &found) == STATUS_OK) {
        return found;
    }
    if (tokenizer_new(model_folder, &found) == STATUS_OK &&
        strcmp(tokenizer_name(found), name) == 0) {
        return found;
    }
    tokenizer_free(found);
    return NULL;
}

enum status eval_tokens_open_data(const char *folder, enum dataset_split split,
                                  const char *model_folder, struct eval_tokens **out)
{
    *out = NULL;
    struct eval_tokens *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to measure a model");
    }
    enum status status = dataset_open(folder, split, &self->data);
    if (status != STATUS_OK) {
        eval_tokens_close(self);
        return status;
    }
    self->token_count = dataset_token_count(self->data);
    self->vocab = dataset_vocab_size(self->data);
    self->tokenizer = find_tokenizer(dataset_tokenizer_name(self->data), folder, model_folder);
    *out = self;
    return STATUS_OK;
}

static enum status encode_text(struct eval_tokens *self, const char *path, const char *model_folder)
{
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    size_t count = 0;
    enum status status = tokenizer_new(model_folder, &self->tokenizer);
    if (status == STATUS_OK) {
        status = text_input_read(path, EVAL_TEXT_BYTES_MAX, &text, &size_bytes);
    }
    if (status == STATUS_OK) {
        status = tokenizer_encode(self->tokenizer, text, size_bytes, &self->tokens, &count);
    }
    free(text);
    self->token_count = count;
    self->vocab = status == STATUS_OK ? tokenizer_vocab_size(self->tokenizer) : 0;
    return status;
}

enum status eval_tokens_open_text(const char *path, const char *model_folder,
                                  struct eval_tokens **out)
{
    *out = NULL;
    struct eval_tokens *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to measure a model");
    }
    enum status status = encode_text(self, path, model_folder);
    if (status != STATUS_OK) {
        eval_tokens_close(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void eval_tokens_close(struct eval_tokens *self)
{
    if (self != NULL) {
        dataset_close(self->data);
        tokenizer_free(self->tokenizer);
        free(self->tokens);
        free(self);
    }
}

uint64_t eval_tokens_count(const struct eval_tokens *self)
{
    return self->token_count;
}

uint32_t eval_tokens_vocab(const struct eval_tokens *self)
{
    return self->vocab;
}

void eval_tokens_read(const struct eval_tokens *self, uint64_t first, size_t count, uint16_t *out)
{
    CHECK(first <= self->token_count && count <= self->token_count - first);
    if (self->data != NULL) {
        dataset_read(self->data, first, count, out);
    } else {
        memcpy(out, self->tokens + first, count * sizeof(*out));
    }
}

bool eval_tokens_knows_bytes(const struct eval_tokens *self)
{
    return self->tokenizer != NULL;
}

uint64_t eval_tokens_bytes(const struct eval_tokens *self, const uint16_t *tokens, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count && self->tokenizer != NULL; i++) {
        size_t length = 0;
        (void)tokenizer_bytes_of(self->tokenizer, tokens[i], &length);
        bytes += tokenizer_is_special(self->tokenizer, tokens[i]) ? 0 : length;
    }
    return bytes;
}
