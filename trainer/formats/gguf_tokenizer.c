#include "trainer/formats/gguf_tokenizer.h"

#include "common/fault.h"
#include "trainer/tokenizer/byte_level.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOKEN_NORMAL = 1, /* llama.cpp's numbers for kinds of tokens */
    TOKEN_CONTROL = 3,
    TOKEN_UNUSED = 5,
    TEXT_MAX = BYTE_LEVEL_CHARACTER_MAX * TOKENIZER_TOKEN_BYTES_MAX + 16
};

/* A token's text as it stands in the file; 0 when there is no such token, or no tokenizer. */
static size_t text_of(const struct tokenizer *tokenizer, uint32_t id, uint8_t out[TEXT_MAX])
{
    size_t length = 0;
    const uint8_t *bytes = tokenizer != NULL ? tokenizer_bytes_of(tokenizer, id, &length) : NULL;
    if (length == 0 || length > TOKENIZER_TOKEN_BYTES_MAX) {
        return 0;
    }
    if (tokenizer_is_special(tokenizer, id)) {
        memcpy(out, bytes, length);
        return length;
    }
    byte_level_write(bytes, length, (char *)out);
    return strlen((const char *)out);
}

static void set_tokens(struct gguf *gguf, const struct tokenizer *tokenizer, uint32_t vocab_size)
{
    uint8_t text[TEXT_MAX];
    gguf_set_texts(gguf, "tokenizer.ggml.tokens", vocab_size);
    for (uint32_t id = 0; id < vocab_size; id++) {
        size_t length = text_of(tokenizer, id, text);
        if (length == 0) {
            length = (size_t)snprintf((char *)text, sizeof(text), "[PAD%u]", id);
        }
        gguf_push_text(gguf, text, length);
    }
    gguf_set_i32s(gguf, "tokenizer.ggml.token_type", vocab_size);
    for (uint32_t id = 0; id < vocab_size; id++) {
        int32_t type = TOKEN_UNUSED;
        if (text_of(tokenizer, id, text) > 0) {
            type = tokenizer_is_special(tokenizer, id) ? TOKEN_CONTROL : TOKEN_NORMAL;
        }
        gguf_push_i32(gguf, type);
    }
}

static void set_merges(struct gguf *gguf, const struct tokenizer *tokenizer)
{
    uint8_t text[2 * TEXT_MAX + 1];
    size_t count = tokenizer != NULL ? tokenizer_merge_count(tokenizer) : 0;
    gguf_set_texts(gguf, "tokenizer.ggml.merges", count);
    for (size_t i = 0; i < count; i++) {
        uint32_t left = 0;
        uint32_t right = 0;
        tokenizer_merge(tokenizer, i, &left, &right);
        size_t length = text_of(tokenizer, left, text);
        text[length++] = ' ';
        length += text_of(tokenizer, right, text + length);
        gguf_push_text(gguf, text, length);
    }
}

static void set_id(struct gguf *gguf, const char *key, int32_t id)
{
    if (id >= 0) {
        gguf_set_u32(gguf, key, (uint32_t)id);
    }
}

static enum status check(const struct model_config *config, const struct tokenizer *tokenizer)
{
    if (tokenizer_vocab_size(tokenizer) > config->vocab_size) {
        return fault(STATUS_BAD_CONFIG,
                     "the tokenizer has %u tokens and the model knows %u: they do not belong "
                     "together",
                     tokenizer_vocab_size(tokenizer), config->vocab_size);
    }
    if (tokenizer_pattern_name(tokenizer) == NULL) {
        return fault(STATUS_BAD_CONFIG,
                     "llama.cpp has no name for the pattern by which this tokenizer cuts text; "
                     "export with --format hf");
    }
    return STATUS_OK;
}

enum status gguf_tokenizer_set(struct gguf *gguf, const struct model_config *config,
                               const struct tokenizer *tokenizer)
{
    int32_t begin = config->bos_id;
    int32_t end = config->eos_id;
    if (tokenizer != NULL) {
        enum status status = check(config, tokenizer);
        if (status != STATUS_OK) {
            return status;
        }
        begin = begin >= 0 ? begin : tokenizer_begin_id(tokenizer);
        end = end >= 0 ? end : tokenizer_end_id(tokenizer);
    }
    gguf_set_text(gguf, "tokenizer.ggml.model", "gpt2");
    gguf_set_text(gguf, "tokenizer.ggml.pre",
                  tokenizer != NULL ? tokenizer_pattern_name(tokenizer) : "default");
    set_tokens(gguf, tokenizer, config->vocab_size);
    set_merges(gguf, tokenizer);
    set_id(gguf, "tokenizer.ggml.bos_token_id", begin);
    set_id(gguf, "tokenizer.ggml.eos_token_id", end);
    /* A model with a token of its own for the beginning was trained to see it there. */
    gguf_set_flag(gguf, "tokenizer.ggml.add_bos_token", begin >= 0 && begin != end);
    gguf_set_flag(gguf, "tokenizer.ggml.add_space_prefix", false);
    return STATUS_OK;
}
