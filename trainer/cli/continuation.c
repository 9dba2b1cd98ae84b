#include "trainer/cli/continuation.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/cli/load.h"
#include "trainer/model/decoder.h"

#include <stdlib.h>
#include <string.h>

struct continuation {
    struct loaded_model loaded;
    struct tokenizer *tokenizer;
    struct decoder *decoder;
    uint32_t vocab;
    uint16_t *tokens; /* (token_max): prompt and what was added */
    size_t token_max;
    size_t token_count;
    size_t prompt_count;
    size_t fed_first;     /* the token that the decoder holds first */
    float *logits;        /* (V) */
    float *prompt_logits; /* (V), behind the prompt */
    bool prompt_known;    /* prompt_logits are computed */
    /* The decoder's state behind the prompt. */
    size_t prompt_first;
    size_t prompt_length;
};

static uint64_t pass_bytes(const struct model *model, size_t context, const void *caller)
{
    (void)caller;
    return decoder_bytes(model, context);
}

static enum status check_vocab(const struct continuation *self, const char *folder)
{
    uint32_t known = model_config_of(self->loaded.model)->vocab_size;
    if (self->vocab > known) {
        return fault(STATUS_BAD_CONFIG,
                     "%s: tokenizer.json has %u tokens and the model knows %u: they do not belong "
                     "together",
                     folder, self->vocab, known);
    }
    return STATUS_OK;
}

/* What stands in front of a text that is still empty; -1: nothing. */
static int32_t first_token(const struct continuation *self)
{
    const struct model_config *config = model_config_of(self->loaded.model);
    const int32_t ids[] = {config->bos_id, tokenizer_begin_id(self->tokenizer), config->eos_id,
                           tokenizer_end_id(self->tokenizer)};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (ids[i] >= 0) {
            return ids[i];
        }
    }
    return -1;
}

static enum status encode(struct continuation *self, const struct continuation_plan *plan,
                          uint16_t **out, size_t *out_count)
{
    static const uint8_t NEW_LINE[] = "\n";
    enum status status =
        tokenizer_encode(self->tokenizer, plan->prompt, plan->prompt_bytes, out, out_count);
    if (status == STATUS_OK && *out_count == 0 && first_token(self) < 0) {
        free(*out);
        status = tokenizer_encode(self->tokenizer, NEW_LINE, 1, out, out_count);
    }
    return status;
}

static enum status prepare_tokens(struct continuation *self, const struct continuation_plan *plan)
{
    uint16_t *prompt = NULL;
    size_t count = 0;
    enum status status = encode(self, plan, &prompt, &count);
    if (status != STATUS_OK) {
        return status;
    }
    self->token_max = 1 + count + plan->tokens_max;
    self->tokens = calloc(self->token_max, sizeof(*self->tokens));
    if (self->tokens == NULL) {
        free(prompt);
        return fault(STATUS_NO_MEMORY, "no memory for %zu tokens", self->token_max);
    }
    int32_t first = count == 0 ? first_token(self) : -1;
    if (first >= 0) {
        self->tokens[self->token_count++] = (uint16_t)first;
    }
    memcpy(self->tokens + self->token_count, prompt, count * sizeof(*prompt));
    self->token_count += count;
    self->prompt_count = self->token_count;
    free(prompt);
    if (self->prompt_count == 0) {
        return fault(STATUS_BAD_CONFIG,
                     "the tokenizer in %s has no token to begin a text with; "
                     "give a --prompt",
                     plan->folder);
    }
    return STATUS_OK;
}

static enum status prepare_decoder(struct continuation *self)
{
    uint32_t V = model_config_of(self->loaded.model)->vocab_size;
    self->logits = calloc(V, sizeof(*self->logits));
    self->prompt_logits = calloc(V, sizeof(*self->prompt_logits));
    if (self->logits == NULL || self->prompt_logits == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for %u logits", V);
    }
    return decoder_new(self->loaded.model, self->loaded.context, &self->decoder);
}

static enum status prepare(struct continuation *self, const struct continuation_plan *plan)
{
    const struct load_plan load = {.folder = plan->folder,
                                   .backend_name = plan->backend_name,
                                   .precision = plan->precision,
                                   /* a token has at least a byte */
                                   .context_max = 1 + plan->prompt_bytes + plan->tokens_max,
                                   .cut_context = true,
                                   .pass_bytes = pass_bytes};
    enum status status = tokenizer_new(plan->folder, &self->tokenizer);
    if (status == STATUS_OK) {
        self->vocab = tokenizer_vocab_size(self->tokenizer);
        status = loaded_model_init(&self->loaded, &load);
    }
    if (status == STATUS_OK) {
        status = check_vocab(self, plan->folder);
    }
    if (status == STATUS_OK) {
        status = prepare_tokens(self, plan);
    }
    return status == STATUS_OK ? prepare_decoder(self) : status;
}

enum status continuation_new(const struct continuation_plan *plan, struct continuation **out)
{
    *out = NULL;
    struct continuation *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to continue a text");
    }
    enum status status = prepare(self, plan);
    if (status != STATUS_OK) {
        continuation_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void continuation_free(struct continuation *self)
{
    if (self != NULL) {
        decoder_free(self->decoder);
        loaded_model_deinit(&self->loaded);
        tokenizer_free(self->tokenizer);
        free(self->tokens);
        free(self->logits);
        free(self->prompt_logits);
        free(self);
    }
}

uint32_t continuation_vocab(const struct continuation *self)
{
    return self->vocab;
}

size_t continuation_prompt_count(const struct continuation *self)
{
    return self->prompt_count;
}

void continuation_begin(struct continuation *self)
{
    self->token_count = self->prompt_count;
    if (self->prompt_known && self->fed_first == self->prompt_first) {
        decoder_cut(self->decoder, self->prompt_length);
    } else {
        decoder_cut(self->decoder, 0);
        self->fed_first = 0;
        self->prompt_known = false;
    }
}

/* Feeds what the decoder has not seen. */
static void feed(struct continuation *self)
{
    size_t first = self->fed_first + decoder_length(self->decoder);
    if (self->token_count - self->fed_first > self->loaded.context) {
        decoder_cut(self->decoder, 0);
        first = self->token_count - (self->loaded.context + 1) / 2;
        self->fed_first = first;
    }
    decoder_feed(self->decoder, self->loaded.weights, self->tokens + first,
                 self->token_count - first, self->logits);
}

const float *continuation_logits(struct continuation *self)
{
    bool at_prompt = self->token_count == self->prompt_count;
    if (at_prompt && self->prompt_known) {
        return self->prompt_logits;
    }
    feed(self);
    if (at_prompt) {
        memcpy(self->prompt_logits, self->logits, self->vocab * sizeof(*self->logits));
        self->prompt_first = self->fed_first;
        self->prompt_length = decoder_length(self->decoder);
        self->prompt_known = true;
    }
    return self->logits;
}

void continuation_add(struct continuation *self, uint16_t token)
{
    CHECK(token < self->vocab && self->token_count < self->token_max);
    self->tokens[self->token_count++] = token;
}

const uint16_t *continuation_added(const struct continuation *self, size_t *out_count)
{
    *out_count = self->token_count - self->prompt_count;
    return self->tokens + self->prompt_count;
}

bool continuation_is_end(const struct continuation *self, uint16_t token)
{
    return token == model_config_of(self->loaded.model)->eos_id ||
           token == tokenizer_end_id(self->tokenizer);
}

const uint8_t *continuation_bytes_of(const struct continuation *self, uint16_t token,
                                     size_t *out_length)
{
    if (tokenizer_is_special(self->tokenizer, token)) {
        *out_length = 0;
        return NULL;
    }
    return tokenizer_bytes_of(self->tokenizer, token, out_length);
}
