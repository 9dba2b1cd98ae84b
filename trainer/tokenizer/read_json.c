#include "common/fault.h"
#include "trainer/tokenizer/byte_level.h"
#include "trainer/tokenizer/pattern.h"
#include "trainer/tokenizer/read_tokenizer.h"

#include <string.h>

static bool is_type(const json_t *part, const char *type)
{
    const char *found = json_string_value(json_object_get(part, "type"));
    return found != NULL && strcmp(found, type) == 0;
}

static const char *type_of(const json_t *part)
{
    const char *found = json_string_value(json_object_get(part, "type"));
    return found != NULL ? found : "(none)";
}

static bool is_set(const json_t *part, const char *key)
{
    return json_is_true(json_object_get(part, key));
}

static bool is_absent(const json_t *value)
{
    return value == NULL || json_is_null(value) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

/* Where nothing says use_regex, Hugging Face's library takes true. */
static bool uses_regex(const json_t *byte_level)
{
    const json_t *use = json_object_get(byte_level, "use_regex");
    return use == NULL || json_is_true(use);
}

static enum status check_byte_level(const json_t *part)
{
    const json_t *prefix = json_object_get(part, "add_prefix_space");
    if (prefix == NULL || json_is_true(prefix)) {
        return fault(STATUS_BAD_DATA, "the pre_tokenizer adds a space before the text "
                                      "(add_prefix_space), which is not supported here");
    }
    return STATUS_OK;
}

/* A Split whose matches and what is between them all become pieces. */
static enum status read_split(const json_t *split, struct recipe *out)
{
    const json_t *pattern = json_object_get(split, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex");
    const json_t *behavior = json_object_get(split, "behavior");
    const char *how = json_is_string(behavior) ? json_string_value(behavior) : "(none)";
    if (!json_is_string(regex)) {
        return fault(STATUS_BAD_DATA, "the pre_tokenizer splits by something other than a Regex, "
                                      "which is not supported here");
    }
    enum status status = recipe_set_regex(out, json_string_value(regex));
    if (status != STATUS_OK) {
        return status;
    }
    struct pattern *compiled = NULL;
    status = pattern_new(out->regex, &compiled);
    if (status != STATUS_OK) {
        return status;
    }
    /* What is removed is what the pattern leaves, and a known pattern leaves nothing. */
    bool removes_nothing = strcmp(how, "Removed") == 0 && is_set(split, "invert") &&
                           pattern_family_of(compiled) != PATTERN_OTHER;
    pattern_free(compiled);
    if (strcmp(how, "Isolated") != 0 && !removes_nothing) {
        return fault(
            STATUS_BAD_DATA,
            "the pre_tokenizer splits with the behavior %.40s, which is not supported here; "
            "Isolated is",
            how);
    }
    return STATUS_OK;
}

static enum status read_last_byte_level(const json_t *part, struct recipe *out)
{
    enum status status = check_byte_level(part);
    if (status != STATUS_OK || !uses_regex(part)) {
        return status;
    }
    if (out->regex != NULL) {
        return fault(STATUS_BAD_DATA, "the pre_tokenizer splits twice (ByteLevel with use_regex "
                                      "after a Split), which is not supported here");
    }
    return recipe_set_regex(out, pattern_regex(PATTERN_GPT2));
}

/* ByteLevel alone, or after one Split. */
static enum status read_pre_tokenizer(const json_t *before, struct recipe *out)
{
    if (is_type(before, "ByteLevel")) {
        return read_last_byte_level(before, out);
    }
    const json_t *parts = json_object_get(before, "pretokenizers");
    size_t count = json_array_size(parts);
    const json_t *last = count > 0 ? json_array_get(parts, count - 1) : NULL;
    const json_t *first = json_array_get(parts, 0);
    if (!is_type(before, "Sequence") || count > 2 || !is_type(last, "ByteLevel") ||
        (count == 2 && !is_type(first, "Split"))) {
        return fault(STATUS_BAD_DATA,
                     "the pre_tokenizer (%.40s) is neither ByteLevel nor a Sequence of one Split "
                     "and ByteLevel; only byte-level BPE is read here",
                     type_of(before));
    }
    enum status status = count == 2 ? read_split(first, out) : STATUS_OK;
    return status == STATUS_OK ? read_last_byte_level(last, out) : status;
}

static enum status check_model(const json_t *model)
{
    const json_t *type = json_object_get(model, "type");
    if (!json_is_object(model) || (type != NULL && !is_type(model, "BPE"))) {
        return fault(STATUS_BAD_DATA, "the model is %.40s; only byte-level BPE is read here",
                     type_of(model));
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (!is_absent(dropout) && json_number_value(dropout) != 0.0) {
        return fault(STATUS_BAD_DATA, "the model drops merges at random (dropout), which is not "
                                      "supported here");
    }
    if (!is_absent(json_object_get(model, "continuing_subword_prefix")) ||
        !is_absent(json_object_get(model, "end_of_word_suffix"))) {
        return fault(STATUS_BAD_DATA, "the model marks the parts of a word "
                                      "(continuing_subword_prefix or end_of_word_suffix), which is "
                                      "not supported here");
    }
    return STATUS_OK;
}

static enum status read_merges(const json_t *vocab, const json_t *merges, struct recipe *out)
{
    if (!json_is_array(merges)) {
        return fault(STATUS_BAD_DATA, "the model's merges are no JSON array");
    }
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *item = json_array_get(merges, i);
        const json_t *left = json_array_get(item, 0);
        const json_t *right = json_array_get(item, 1);
        enum status status = STATUS_OK;
        if (json_is_string(item)) {
            status = read_merge_line(vocab, json_string_value(item), json_string_length(item), out);
        } else if (json_array_size(item) == 2 && json_is_string(left) && json_is_string(right)) {
            status = read_merge(vocab, json_string_value(left), json_string_length(left),
                                json_string_value(right), json_string_length(right), out);
        } else {
            status = fault(STATUS_BAD_DATA, "the merge %zu is neither two names nor a text", i);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status read_added_token(const json_t *item, const json_t *vocab, struct recipe *out)
{
    const json_t *id = json_object_get(item, "id");
    const json_t *content = json_object_get(item, "content");
    if (!json_is_integer(id) || json_integer_value(id) < 0 || !json_is_string(content)) {
        return fault(STATUS_BAD_DATA, "an added token has no id or no content");
    }
    if (json_integer_value(id) >= TOKENIZER_VOCAB_MAX) {
        return fault(
            STATUS_FULL, "the added token '%.60s' has the id %lld; ids up to %d can be used here",
            json_string_value(content), (long long)json_integer_value(id), TOKENIZER_VOCAB_MAX - 1);
    }
    struct added_token added = {.id = (uint16_t)json_integer_value(id),
                                .special = is_set(item, "special"),
                                .strip_left = is_set(item, "lstrip"),
                                .strip_right = is_set(item, "rstrip"),
                                .normalized = is_set(item, "normalized")};
    if (is_set(item, "single_word")) {
        return fault(STATUS_BAD_DATA,
                     "the added token '%.60s' stands only for whole words (single_word), which is "
                     "not supported here",
                     json_string_value(content));
    }
    const json_t *listed = json_object_get(vocab, json_string_value(content));
    bool agrees = listed == NULL ? out->tokens[added.id].kind == TOKEN_NONE
                                 : json_integer_value(listed) == added.id;
    if (!agrees) {
        return fault(STATUS_BAD_DATA,
                     "the added token '%.60s' and the vocabulary disagree on its id",
                     json_string_value(content));
    }
    return recipe_add_added(out, added, json_string_value(content), json_string_length(content));
}

static enum status read_added(const json_t *added, const json_t *vocab, struct recipe *out)
{
    enum status status = STATUS_OK;
    if (added != NULL && !json_is_null(added) && !json_is_array(added)) {
        return fault(STATUS_BAD_DATA, "added_tokens is no JSON array");
    }
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(added); i++) {
        status = read_added_token(json_array_get(added, i), vocab, out);
    }
    return status;
}

enum status read_tokenizer_json(const json_t *root, struct recipe *out)
{
    const json_t *model = json_object_get(root, "model");
    const json_t *vocab = json_object_get(model, "vocab");
    const json_t *normalizer = json_object_get(root, "normalizer");
    if (normalizer != NULL && !json_is_null(normalizer)) {
        return fault(STATUS_BAD_DATA,
                     "the tokenizer changes text first (normalizer %.40s), which "
                     "is not supported here",
                     type_of(normalizer));
    }
    enum status status = check_model(model);
    if (status == STATUS_OK) {
        status = read_pre_tokenizer(json_object_get(root, "pre_tokenizer"), out);
    }
    if (status == STATUS_OK) {
        status = read_vocab(vocab, out);
    }
    if (status == STATUS_OK) {
        status = read_merges(vocab, json_object_get(model, "merges"), out);
    }
    if (status == STATUS_OK) {
        status = read_added(json_object_get(root, "added_tokens"), vocab, out);
    }
    out->ignore_merges = is_set(model, "ignore_merges");
    return status;
}
