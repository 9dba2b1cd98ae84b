#include "common/fault.h"
#include "trainer/tokenizer/byte_level.h"
#include "trainer/tokenizer/read_tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* A name in byte-level text holds at most two bytes for each byte of the token. */
enum { NAME_BYTES_MAX = BYTE_LEVEL_CHARACTER_MAX * TOKENIZER_TOKEN_BYTES_MAX };

static enum status add_name(struct recipe *out, const char *name, json_int_t id)
{
    uint8_t bytes[NAME_BYTES_MAX];
    size_t length = strlen(name);
    size_t byte_count = 0;
    if (id < 0) {
        return fault(STATUS_BAD_DATA, "the token '%.60s' has a negative id", name);
    }
    if (length > NAME_BYTES_MAX) {
        return fault(STATUS_BAD_DATA, "the token %lld has a name of %zu bytes; at most %d are read",
                     (long long)id, length, NAME_BYTES_MAX);
    }
    if (byte_level_read(name, length, bytes, &byte_count)) {
        return recipe_add_token(out, (uint64_t)id, TOKEN_PLAIN, bytes, byte_count);
    }
    return recipe_add_token(out, (uint64_t)id, TOKEN_LITERAL, name, length);
}

enum status read_vocab(const json_t *vocab, struct recipe *out)
{
    const char *name = NULL;
    json_t *id = NULL;
    if (!json_is_object(vocab)) {
        return fault(STATUS_BAD_DATA, "the vocabulary is no JSON object of names and ids");
    }
    if (json_object_size(vocab) > TOKENIZER_VOCAB_MAX) {
        return fault(STATUS_FULL,
                     "the tokenizer has %zu tokens; at most %d can be used here, so choose one "
                     "with a smaller vocabulary",
                     json_object_size(vocab), TOKENIZER_VOCAB_MAX);
    }
    json_object_foreach((json_t *)vocab, name, id)
    {
        if (!json_is_integer(id)) {
            return fault(STATUS_BAD_DATA, "the token '%.60s' has no whole number as its id", name);
        }
        enum status status = add_name(out, name, json_integer_value(id));
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Literal tokens do not count: nothing that is cut from text has their names. */
static bool find_name(const json_t *vocab, const struct recipe *out, const char *name,
                      size_t length, uint16_t *out_id)
{
    const json_t *id = json_object_getn(vocab, name, length);
    if (id == NULL) {
        return false;
    }
    *out_id = (uint16_t)json_integer_value(id);
    return out->tokens[*out_id].kind == TOKEN_PLAIN;
}

enum status read_merge(const json_t *vocab, const char *left, size_t left_length, const char *right,
                       size_t right_length, struct recipe *out)
{
    struct merge merge;
    char both[NAME_BYTES_MAX];
    if (left_length + right_length > sizeof(both)) {
        return fault(STATUS_BAD_DATA, "the merge %zu makes a token that is too long",
                     out->merge_count);
    }
    memcpy(both, left, left_length);
    memcpy(both + left_length, right, right_length);
    if (left_length == 0 || right_length == 0 ||
        !find_name(vocab, out, left, left_length, &merge.left) ||
        !find_name(vocab, out, right, right_length, &merge.right) ||
        !find_name(vocab, out, both, left_length + right_length, &merge.result)) {
        return fault(
            STATUS_BAD_DATA,
            "the merge %zu ('%.*s' and '%.*s') needs tokens that are not in the vocabulary",
            out->merge_count, (int)(left_length < 60 ? left_length : 60), left,
            (int)(right_length < 60 ? right_length : 60), right);
    }
    return recipe_add_merge(out, merge);
}

enum status read_merge_line(const json_t *vocab, const char *line, size_t length,
                            struct recipe *out)
{
    const char *space = memchr(line, ' ', length);
    if (space == NULL) {
        return fault(STATUS_BAD_DATA, "the merge %zu is not two names with a space between them",
                     out->merge_count);
    }
    size_t left_length = (size_t)(space - line);
    return read_merge(vocab, line, left_length, space + 1, length - left_length - 1, out);
}

enum status read_merges_text(const json_t *vocab, const char *text, size_t length,
                             struct recipe *out)
{
    const char *end = text + length;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && text < end) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        const char *next = line_end == NULL ? end : line_end + 1;
        size_t line_length = (size_t)((line_end == NULL ? end : line_end) - text);
        if (line_length > 0 && text[line_length - 1] == '\r') {
            line_length--;
        }
        bool is_version = strncmp(text, "#version", strlen("#version")) == 0;
        if (line_length > 0 && !is_version) {
            status = read_merge_line(vocab, text, line_length, out);
        }
        text = next;
    }
    return status;
}
