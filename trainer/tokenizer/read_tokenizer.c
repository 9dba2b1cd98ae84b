#include "trainer/tokenizer/read_tokenizer.h"

#include "common/disk.h"
#include "common/fault.h"
#include "common/files.h"
#include "trainer/tokenizer/pattern.h"
#include "trainer/tokenizer/tokenizer_json.h"
#include "trainer/tokenizer/tokenizer_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char TIKTOKEN_SUFFIX[] = ".tiktoken";

static bool ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text);
    return length >= strlen(suffix) && strcmp(text + length - strlen(suffix), suffix) == 0;
}

static enum status read_root(const char *path, json_t **out)
{
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    json_error_t error;
    *out = NULL;
    enum status status = files_read(path, READ_TOKENIZER_BYTES_MAX, &text, &size_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    *out = json_loadb((const char *)text, size_bytes, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (*out == NULL) {
        return fault(STATUS_BAD_DATA, "%s:%d: not valid JSON: %s", path, error.line, error.text);
    }
    return STATUS_OK;
}

/* The path of another file in the same folder. */
static enum status beside(const char *path, const char *name, char out[FILES_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int length = slash == NULL
                     ? snprintf(out, FILES_PATH_MAX, "%s", name)
                     : snprintf(out, FILES_PATH_MAX, "%.*s/%s", (int)(slash - path), path, name);
    if (length < 0 || length >= FILES_PATH_MAX) {
        return fault(STATUS_NO_INPUT, "the path %.200s is too long; use a shorter one", path);
    }
    return STATUS_OK;
}

/* merges.txt, or vocab.bpe as OpenAI called it. GPT-2's files name no pattern and no added token:
 * they are known. */
static enum status read_vocab_and_merges(const char *path, const json_t *vocab, struct recipe *out)
{
    static const char end_of_text[] = "<|endoftext|>";
    char merges_path[FILES_PATH_MAX];
    enum status status = beside(path, "vocab.bpe", merges_path);
    if (status == STATUS_OK && !files_exists(merges_path)) {
        status = beside(path, "merges.txt", merges_path);
    }
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    if (status == STATUS_OK) {
        status = tokenizer_name_fault(path, read_vocab(vocab, out));
    }
    if (status == STATUS_OK) {
        status = files_read(merges_path, READ_TOKENIZER_BYTES_MAX, &text, &size_bytes);
    }
    if (status == STATUS_OK) {
        status = read_merges_text(vocab, (const char *)text, size_bytes, out);
        status = tokenizer_name_fault(merges_path, status);
    }
    free(text);
    const json_t *end = json_object_get(vocab, end_of_text);
    if (status == STATUS_OK && end != NULL) {
        struct added_token added = {.id = (uint16_t)json_integer_value(end), .special = true};
        status = recipe_add_added(out, added, end_of_text, strlen(end_of_text));
    }
    return status == STATUS_OK ? recipe_set_regex(out, pattern_regex(PATTERN_GPT2)) : status;
}

static enum status read_json_file(const char *path, struct recipe *out, bool *out_is_bytes)
{
    json_t *root = NULL;
    enum status status = read_root(path, &root);
    if (status != STATUS_OK) {
        return status;
    }
    const json_t *model = json_object_get(root, "model");
    if (tokenizer_json_is_bytes(root)) {
        *out_is_bytes = true;
    } else if (json_is_object(root) && (model == NULL || json_is_integer(model))) {
        status = read_vocab_and_merges(path, root, out);
    } else {
        status = tokenizer_name_fault(path, read_tokenizer_json(root, out));
    }
    json_decref(root);
    return status;
}

static enum status read_tiktoken_file(const char *path, struct recipe *out)
{
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    enum status status = files_read(path, READ_TOKENIZER_BYTES_MAX, &text, &size_bytes);
    if (status == STATUS_OK) {
        status = tokenizer_name_fault(path, read_tiktoken((const char *)text, size_bytes, out));
    }
    free(text);
    return status;
}

/* "eos_token" is a text, or an object with "content". */
static int32_t find_named(const json_t *config, const char *key, const struct recipe *recipe)
{
    const json_t *value = json_object_get(config, key);
    const json_t *text = json_is_object(value) ? json_object_get(value, "content") : value;
    return json_is_string(text) ? recipe_find_added(recipe, json_string_value(text)) : -1;
}

static enum status read_ends(const char *path, struct recipe *out)
{
    char config_path[FILES_PATH_MAX];
    enum status status = beside(path, "tokenizer_config.json", config_path);
    if (status == STATUS_OK && files_exists(config_path)) {
        json_t *config = NULL;
        status = read_root(config_path, &config);
        out->end_id = find_named(config, "eos_token", out);
        out->begin_id = find_named(config, "bos_token", out);
        json_decref(config);
    }
    recipe_guess_ends(out);
    return status;
}

/* The folder's .tiktoken files. */
struct tiktoken_search {
    const char *folder;
    char *path; /* of the one found */
    size_t count;
    enum status status;
};

static bool see_name(void *context, const char *name)
{
    struct tiktoken_search *search = context;
    if (!ends_with(name, TIKTOKEN_SUFFIX)) {
        return true;
    }
    search->status =
        search->count++ == 0
            ? files_join(search->folder, name, search->path)
            : fault(STATUS_NO_INPUT, "%s holds several .tiktoken files; name the one to read",
                    search->folder);
    return search->status == STATUS_OK;
}

static enum status find_tiktoken(const char *folder, char out[FILES_PATH_MAX])
{
    struct tiktoken_search search = {.folder = folder, .path = out};
    (void)disk_list(folder, see_name, &search);
    if (search.status == STATUS_OK && search.count == 0) {
        return fault(STATUS_NO_INPUT,
                     "%s holds no tokenizer: neither tokenizer.json nor vocab.json nor a "
                     ".tiktoken file",
                     folder);
    }
    return search.status;
}

static enum status find_in_folder(const char *folder, char out[FILES_PATH_MAX])
{
    static const char *const names[] = {"tokenizer.json", "vocab.json"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        enum status status = files_join(folder, names[i], out);
        if (status != STATUS_OK || files_exists(out)) {
            return status;
        }
    }
    return find_tiktoken(folder, out);
}

enum status read_tokenizer(const char *spec, struct recipe *out, bool *out_is_bytes)
{
    char path[FILES_PATH_MAX];
    *out_is_bytes = false;
    enum status status = recipe_init(out);
    int length = snprintf(path, sizeof(path), "%s", spec);
    if (status == STATUS_OK && (length < 0 || (size_t)length >= sizeof(path))) {
        status = fault(STATUS_NO_INPUT, "the path %.200s is too long; use a shorter one", spec);
    }
    if (status == STATUS_OK && files_is_folder(spec)) {
        status = find_in_folder(spec, path);
    }
    if (status == STATUS_OK) {
        status = ends_with(path, TIKTOKEN_SUFFIX) ? read_tiktoken_file(path, out)
                                                  : read_json_file(path, out, out_is_bytes);
    }
    if (status == STATUS_OK && !*out_is_bytes) {
        status = read_ends(path, out);
    }
    return status;
}
