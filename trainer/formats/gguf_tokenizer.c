#include "trainer/formats/gguf_tokenizer.h"

#include "common/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOKEN_NORMAL = 1, /* llama.cpp's numbers for kinds of tokens */
    TOKEN_CONTROL = 3,
    TOKEN_UNUSED = 5,
    BYTE_COUNT = 256,
    CHARACTER_BYTES = 2, /* UTF-8 of one byte's character */
    TEXT_MAX = CHARACTER_BYTES * TOKENIZER_TOKEN_BYTES_MAX + 16
};

/* GPT-2's alphabet: each byte as a character that is neither space nor control. */
struct alphabet {
    uint16_t codes[BYTE_COUNT];
};

static void alphabet_init(struct alphabet *self)
{
    unsigned next = BYTE_COUNT;
    for (unsigned byte = 0; byte < BYTE_COUNT; byte++) {
        bool printable =
            (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        self->codes[byte] = (uint16_t)(printable ? byte : next++);
    }
}

/* Writes at most TEXT_MAX bytes; returns how many. */
static size_t spell(const struct alphabet *alphabet, const uint8_t *bytes, size_t length,
                    uint8_t *out)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned code = alphabet->codes[bytes[i]];
        if (code >= 0x80) {
            out[used++] = (uint8_t)(0xc0U | (code >> 6));
            code = 0x80U | (code & 0x3fU);
        }
        out[used++] = (uint8_t)code;
    }
    return used;
}

/* A token's text as it stands in the file; 0 when there is no such token, or no tokenizer. */
static size_t text_of(const struct tokenizer *tokenizer, const struct alphabet *alphabet,
                      uint32_t id, uint8_t out[TEXT_MAX])
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
    return spell(alphabet, bytes, length, out);
}

static void set_tokens(struct gguf *gguf, const struct tokenizer *tokenizer,
                       const struct alphabet *alphabet, uint32_t vocab_size)
{
    uint8_t text[TEXT_MAX];
    gguf_set_texts(gguf, "tokenizer.ggml.tokens", vocab_size);
    for (uint32_t id = 0; id < vocab_size; id++) {
        size_t length = text_of(tokenizer, alphabet, id, text);
        if (length == 0) {
            length = (size_t)snprintf((char *)text, sizeof(text), "[PAD%u]", id);
        }
        gguf_push_text(gguf, text, length);
    }
    gguf_set_i32s(gguf, "tokenizer.ggml.token_type", vocab_size);
    for (uint32_t id = 0; id < vocab_size; id++) {
        int32_t type = TOKEN_UNUSED;
        if (text_of(tokenizer, alphabet, id, text) > 0) {
            type = tokenizer_is_special(tokenizer, id) ? TOKEN_CONTROL : TOKEN_NORMAL;
        }
        gguf_push_i32(gguf, type);
    }
}

static void set_merges(struct gguf *gguf, const struct tokenizer *tokenizer,
                       const struct alphabet *alphabet)
{
    uint8_t text[2 * TEXT_MAX + 1];
    size_t count = tokenizer != NULL ? tokenizer_merge_count(tokenizer) : 0;
    gguf_set_texts(gguf, "tokenizer.ggml.merges", count);
    for (size_t i = 0; i < count; i++) {
        uint32_t left = 0;
        uint32_t right = 0;
        tokenizer_merge(tokenizer, i, &left, &right);
        size_t length = text_of(tokenizer, alphabet, left, text);
        text[length++] = ' ';
        length += text_of(tokenizer, alphabet, right, text + length);
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
    struct alphabet alphabet;
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
    alphabet_init(&alphabet);
    gguf_set_text(gguf, "tokenizer.ggml.model", "gpt2");
    gguf_set_text(gguf, "tokenizer.ggml.pre",
                  tokenizer != NULL ? tokenizer_pattern_name(tokenizer) : "default");
    set_tokens(gguf, tokenizer, &alphabet, config->vocab_size);
    set_merges(gguf, tokenizer, &alphabet);
    set_id(gguf, "tokenizer.ggml.bos_token_id", begin);
    set_id(gguf, "tokenizer.ggml.eos_token_id", end);
    /* A model with a token of its own for the beginning was trained to see it there. */
    gguf_set_flag(gguf, "tokenizer.ggml.add_bos_token", begin >= 0 && begin != end);
    gguf_set_flag(gguf, "tokenizer.ggml.add_space_prefix", false);
    return STATUS_OK;
}
