#include "trainer/tokenizer/tokenizer_json.h"

#include "common/fault.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { BYTE_COUNT = 256, CHARACTER_BYTES_MAX = 3 };

static bool is_printable_in_gpt2(unsigned byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* GPT-2's byte_to_unicode: printable Latin-1 stands for itself, the others get the characters
 * from U+0100 on, in order. Writes UTF-8 with a final NUL. */
static void character_of_byte(unsigned byte, char out[CHARACTER_BYTES_MAX])
{
    unsigned code = byte;
    if (!is_printable_in_gpt2(byte)) {
        code = BYTE_COUNT;
        for (unsigned i = 0; i < byte; i++) {
            code += !is_printable_in_gpt2(i);
        }
    }
    size_t length = 0;
    if (code >= 0x80) {
        out[length++] = (char)(0xc0U | (code >> 6));
        code = 0x80U | (code & 0x3fU);
    }
    out[length++] = (char)code;
    out[length] = '\0';
}

static json_t *make_vocab(void)
{
    json_t *vocab = json_object();
    for (unsigned byte = 0; byte < BYTE_COUNT; byte++) {
        char character[CHARACTER_BYTES_MAX];
        character_of_byte(byte, character);
        if (json_object_set_new(vocab, character, json_integer(byte)) != 0) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

static json_t *make_byte_level(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", 0);
}

char *tokenizer_json_make(void)
{
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:[]}", "type", "BPE", "dropout",
                  "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                  "byte_fallback", 0, "ignore_merges", 0, "vocab", make_vocab(), "merges");
    json_t *root =
        json_pack("{s:s, s:n, s:n, s:[], s:n, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation",
                  "padding", "added_tokens", "normalizer", "pre_tokenizer", make_byte_level(),
                  "post_processor", "decoder", make_byte_level(), "model", model);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    return text;
}

char *tokenizer_json_make_config(void)
{
    json_t *root = json_pack("{s:s, s:b, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                             "add_prefix_space", 0, "clean_up_tokenization_spaces", 0);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    return text;
}

static bool is_byte_vocab(const json_t *vocab)
{
    bool same = json_object_size(vocab) == BYTE_COUNT;
    for (unsigned byte = 0; same && byte < BYTE_COUNT; byte++) {
        char character[CHARACTER_BYTES_MAX];
        character_of_byte(byte, character);
        const json_t *id = json_object_get(vocab, character);
        same = json_is_integer(id) && json_integer_value(id) == (json_int_t)byte;
    }
    return same;
}

static bool is_type(const json_t *part, const char *type)
{
    const char *found = json_string_value(json_object_get(part, "type"));
    return found != NULL && strcmp(found, type) == 0;
}

static bool is_absent(const json_t *value)
{
    return value == NULL || json_is_null(value) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

/* Whatever would make Hugging Face's library encode differently counts. */
static bool is_byte_tokenizer(const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    const json_t *before = json_object_get(root, "pre_tokenizer");
    return is_type(model, "BPE") && is_byte_vocab(json_object_get(model, "vocab")) &&
           is_absent(json_object_get(model, "merges")) && is_type(before, "ByteLevel") &&
           !json_is_true(json_object_get(before, "add_prefix_space")) &&
           is_absent(json_object_get(root, "normalizer")) &&
           is_absent(json_object_get(root, "post_processor")) &&
           is_absent(json_object_get(root, "added_tokens"));
}

enum status tokenizer_json_check(const char *path, const char *text, size_t length)
{
    json_error_t error;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return fault(STATUS_BAD_DATA, "%s:%d: not valid JSON: %s", path, error.line, error.text);
    }
    bool accepted = is_byte_tokenizer(root);
    json_decref(root);
    if (!accepted) {
        return fault(STATUS_BAD_DATA,
                     "%s is not the byte tokenizer, the only one that this version reads", path);
    }
    return STATUS_OK;
}
