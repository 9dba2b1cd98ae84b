#include "trainer/tokenizer/tokenizer_json.h"

#include "common/fault.h"
#include "trainer/tokenizer/byte_level.h"
#include "trainer/tokenizer/pattern.h"

#include <string.h>

enum { NAME_BYTES_MAX = BYTE_LEVEL_CHARACTER_MAX * TOKENIZER_TOKEN_BYTES_MAX + 1 };

/* What stands for the token in a vocabulary. */
static void name_token(const struct recipe *recipe, uint32_t id, char out[NAME_BYTES_MAX])
{
    size_t length = 0;
    const uint8_t *bytes = recipe_bytes(recipe, id, &length);
    if (recipe->tokens[id].kind == TOKEN_PLAIN) {
        byte_level_write(bytes, length, out);
    } else {
        memcpy(out, bytes, length);
        out[length] = '\0';
    }
}

static enum status no_memory(void)
{
    return fault(STATUS_NO_MEMORY, "no memory to write the tokenizer");
}

static enum status fill_vocab(const struct recipe *recipe, json_t *vocab)
{
    char name[NAME_BYTES_MAX];
    for (uint32_t id = 0; id < recipe->vocab_size; id++) {
        if (recipe->tokens[id].kind == TOKEN_NONE) {
            continue;
        }
        name_token(recipe, id, name);
        if (json_object_get(vocab, name) != NULL) {
            return fault(STATUS_BAD_DATA,
                         "two tokens are both written '%.60s', so the tokenizer cannot be saved as "
                         "tokenizer.json",
                         name);
        }
        if (json_object_set_new(vocab, name, json_integer(id)) != 0) {
            return no_memory();
        }
    }
    return STATUS_OK;
}

/* As "left right": both kinds are read everywhere, and this one takes one line. */
static enum status fill_merges(const struct recipe *recipe, json_t *merges)
{
    char left[NAME_BYTES_MAX];
    char right[NAME_BYTES_MAX];
    for (size_t i = 0; i < recipe->merge_count; i++) {
        name_token(recipe, recipe->merges[i].left, left);
        name_token(recipe, recipe->merges[i].right, right);
        if (json_array_append_new(merges, json_sprintf("%s %s", left, right)) != 0) {
            return no_memory();
        }
    }
    return STATUS_OK;
}

static enum status fill_added(const struct recipe *recipe, json_t *added)
{
    char name[NAME_BYTES_MAX];
    for (size_t i = 0; i < recipe->added_count; i++) {
        const struct added_token *token = &recipe->added[i];
        name_token(recipe, token->id, name);
        json_t *item =
            json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", token->id, "content", name,
                      "single_word", 0, "lstrip", token->strip_left, "rstrip", token->strip_right,
                      "normalized", token->normalized, "special", token->special);
        if (json_array_append_new(added, item) != 0) {
            return no_memory();
        }
    }
    return STATUS_OK;
}

static json_t *make_byte_level(bool use_regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", use_regex);
}

static json_t *make_pre_tokenizer(const char *regex)
{
    if (regex == NULL || strcmp(regex, pattern_regex(PATTERN_GPT2)) == 0) {
        return make_byte_level(regex != NULL);
    }
    json_t *split = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                              regex, "behavior", "Isolated", "invert", 0);
    return json_pack("{s:s, s:[o, o]}", "type", "Sequence", "pretokenizers", split,
                     make_byte_level(false));
}

static enum status dump(json_t *root, char **out)
{
    *out = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    return *out == NULL ? no_memory() : STATUS_OK;
}

/* Borrows its parts. */
static enum status make_root(const struct recipe *recipe, json_t *vocab, json_t *merges,
                             json_t *added, char **out)
{
    json_t *model = json_pack(
        "{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:O, s:O}", "type", "BPE", "dropout", "unk_token",
        "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
        "ignore_merges", recipe->ignore_merges, "vocab", vocab, "merges", merges);
    return dump(json_pack("{s:s, s:n, s:n, s:O, s:n, s:o, s:n, s:o, s:o}", "version", "1.0",
                          "truncation", "padding", "added_tokens", added, "normalizer",
                          "pre_tokenizer", make_pre_tokenizer(recipe->regex), "post_processor",
                          "decoder", make_byte_level(recipe->regex != NULL), "model", model),
                out);
}

enum status tokenizer_json_make(const struct recipe *recipe, char **out)
{
    json_t *vocab = json_object();
    json_t *merges = json_array();
    json_t *added = json_array();
    *out = NULL;
    enum status status = fill_vocab(recipe, vocab);
    if (status == STATUS_OK) {
        status = fill_merges(recipe, merges);
    }
    if (status == STATUS_OK) {
        status = fill_added(recipe, added);
    }
    if (status == STATUS_OK) {
        status = make_root(recipe, vocab, merges, added, out);
    }
    json_decref(vocab);
    json_decref(merges);
    json_decref(added);
    return status;
}

static enum status set_named(json_t *config, const char *key, const struct recipe *recipe,
                             int32_t id)
{
    char name[NAME_BYTES_MAX];
    if (id < 0) {
        return STATUS_OK;
    }
    name_token(recipe, (uint32_t)id, name);
    return json_object_set_new(config, key, json_string(name)) == 0 ? STATUS_OK : no_memory();
}

enum status tokenizer_json_make_config(const struct recipe *recipe, char **out)
{
    json_t *root = json_pack("{s:s, s:b, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                             "add_prefix_space", 0, "clean_up_tokenization_spaces", 0);
    *out = NULL;
    enum status status = set_named(root, "bos_token", recipe, recipe->begin_id);
    if (status == STATUS_OK) {
        status = set_named(root, "eos_token", recipe, recipe->end_id);
    }
    if (status != STATUS_OK) {
        json_decref(root);
        return status;
    }
    return dump(root, out);
}

static bool is_byte_vocab(const json_t *vocab)
{
    bool same = json_object_size(vocab) == BYTE_LEVEL_COUNT;
    for (unsigned i = 0; same && i < BYTE_LEVEL_COUNT; i++) {
        const uint8_t byte = (uint8_t)i;
        char character[BYTE_LEVEL_CHARACTER_MAX + 1];
        byte_level_write(&byte, 1, character);
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

bool tokenizer_json_is_bytes(const json_t *root)
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
