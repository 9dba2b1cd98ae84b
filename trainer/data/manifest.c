#include "trainer/data/manifest.h"

#include "common/fault.h"
#include "common/files.h"

#include <ctype.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB_MAX = 65536, SHARD_MAX_FIRST = 8 };

static const char MANIFEST_FILE[] = "manifest.json";
static const char FORMAT[] = "dugnad-data-1";
static const char *const SPLIT_NAMES[MANIFEST_SPLIT_COUNT] = {"train", "validation"};

const char *manifest_split_name(enum dataset_split split)
{
    return SPLIT_NAMES[split];
}

/* Letters, digits and - _ . with no dot in front: never a path, never hidden. */
static bool is_plain_name(const char *name)
{
    size_t length = name == NULL ? 0 : strlen(name);
    if (length == 0 || length >= MANIFEST_NAME_MAX || name[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)name[i];
        if (!(byte < 0x80 && isalnum(byte)) && strchr("-_.", byte) == NULL) {
            return false;
        }
    }
    return true;
}

static bool read_count(const json_t *value, uint64_t max, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

enum status manifest_add_shard(struct manifest *self, enum dataset_split split,
                               const struct manifest_shard *shard)
{
    struct manifest_split *place = &self->splits[split];
    size_t count = place->shard_count;
    uint64_t tokens_max = (uint64_t)1 << MANIFEST_TOKENS_MAX_LOG2;
    if (count >= DATASET_SHARDS_MAX || shard->token_count > tokens_max - place->token_count) {
        return fault(STATUS_FULL,
                     "the %s split has more than %d shards or 2^%d tokens; use larger shards or "
                     "less text",
                     SPLIT_NAMES[split], (int)DATASET_SHARDS_MAX, (int)MANIFEST_TOKENS_MAX_LOG2);
    }
    /* Full at SHARD_MAX_FIRST and at every power of two above it. */
    if (count == 0 || (count >= SHARD_MAX_FIRST && (count & (count - 1)) == 0)) {
        size_t room = count == 0 ? SHARD_MAX_FIRST : 2 * count;
        struct manifest_shard *grown = realloc(place->shards, room * sizeof(*grown));
        if (grown == NULL) {
            return fault(STATUS_NO_MEMORY, "no memory for the list of %zu shards", room);
        }
        place->shards = grown;
    }
    place->shards[place->shard_count++] = *shard;
    place->token_count += shard->token_count;
    return STATUS_OK;
}

static enum status parse_shard(const char *path, const json_t *value, struct manifest_shard *out)
{
    const char *file = json_string_value(json_object_get(value, "file"));
    const char *hex = json_string_value(json_object_get(value, "blake2b"));
    if (!is_plain_name(file)) {
        return fault(STATUS_BAD_DATA, "%s: a shard's file is not a plain file name", path);
    }
    (void)snprintf(out->file, sizeof(out->file), "%s", file);
    if (!read_count(json_object_get(value, "tokens"), (uint64_t)1 << MANIFEST_TOKENS_MAX_LOG2,
                    &out->token_count) ||
        out->token_count == 0) {
        return fault(STATUS_BAD_DATA, "%s: the tokens of shard %s are not a count", path, file);
    }
    if (hex == NULL || digest_from_hex(hex, &out->digest) != STATUS_OK) {
        return fault(STATUS_BAD_DATA, "%s: the blake2b of shard %s is not 64 hexadecimal digits",
                     path, file);
    }
    return STATUS_OK;
}

static enum status parse_split(const char *path, const json_t *splits, enum dataset_split split,
                               struct manifest *out)
{
    const json_t *value = json_object_get(splits, SPLIT_NAMES[split]);
    const json_t *shards = json_object_get(value, "shards");
    if (!json_is_array(shards)) {
        return fault(STATUS_BAD_DATA, "%s: the %s split has no list of shards", path,
                     SPLIT_NAMES[split]);
    }
    for (size_t i = 0; i < json_array_size(shards); i++) {
        struct manifest_shard shard = {0};
        enum status status = parse_shard(path, json_array_get(shards, i), &shard);
        if (status == STATUS_OK) {
            status = manifest_add_shard(out, split, &shard);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    uint64_t tokens = 0;
    if (!read_count(json_object_get(value, "tokens"), UINT64_MAX, &tokens) ||
        tokens != out->splits[split].token_count) {
        return fault(STATUS_BAD_DATA,
                     "%s: the tokens of the %s split are not the sum of its shards", path,
                     SPLIT_NAMES[split]);
    }
    return STATUS_OK;
}

static enum status parse_root(const char *path, const json_t *root, struct manifest *out)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const char *tokenizer = json_string_value(json_object_get(root, "tokenizer"));
    uint64_t vocab_size = 0;
    if (format == NULL || strcmp(format, FORMAT) != 0) {
        return fault(STATUS_BAD_DATA, "%s is not a manifest of the format %s", path, FORMAT);
    }
    if (!is_plain_name(tokenizer)) {
        return fault(STATUS_BAD_DATA, "%s: tokenizer is not a plain name", path);
    }
    (void)snprintf(out->tokenizer, sizeof(out->tokenizer), "%s", tokenizer);
    if (!read_count(json_object_get(root, "vocab_size"), VOCAB_MAX, &vocab_size) ||
        vocab_size == 0) {
        return fault(STATUS_BAD_DATA, "%s: vocab_size must be from 1 to %d", path, (int)VOCAB_MAX);
    }
    out->vocab_size = (uint32_t)vocab_size;
    const json_t *splits = json_object_get(root, "splits");
    enum status status = parse_split(path, splits, DATASET_TRAIN, out);
    return status == STATUS_OK ? parse_split(path, splits, DATASET_VALIDATION, out) : status;
}

enum status manifest_read(const char *folder, struct manifest *out)
{
    char path[FILES_PATH_MAX];
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    *out = (struct manifest){0};
    enum status status = files_join(folder, MANIFEST_FILE, path);
    if (status == STATUS_OK && !files_exists(path)) {
        status = fault(STATUS_NO_INPUT,
                       "there is no %s; make the data with 'dugnad data build --out %s FILE...'",
                       path, folder);
    }
    if (status == STATUS_OK) {
        status = files_read(path, DATASET_MANIFEST_MAX, &text, &size_bytes);
    }
    if (status != STATUS_OK) {
        return status;
    }
    json_error_t error;
    json_t *root = json_loadb((const char *)text, size_bytes, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        status = fault(STATUS_BAD_DATA, "%s:%d: not valid JSON: %s", path, error.line, error.text);
    } else {
        status = parse_root(path, root, out);
    }
    if (status == STATUS_OK) {
        out->digest = digest_of(text, size_bytes);
    } else {
        manifest_deinit(out);
    }
    json_decref(root);
    free(text);
    return status;
}

void manifest_deinit(struct manifest *self)
{
    for (size_t i = 0; i < MANIFEST_SPLIT_COUNT; i++) {
        free(self->splits[i].shards);
    }
    *self = (struct manifest){0};
}

static json_t *split_to_json(const struct manifest_split *split)
{
    json_t *shards = json_array();
    for (size_t i = 0; i < split->shard_count; i++) {
        const struct manifest_shard *shard = &split->shards[i];
        char hex[DIGEST_HEX_BYTES];
        digest_to_hex(&shard->digest, hex);
        json_t *value = json_pack("{s:s, s:I, s:s}", "file", shard->file, "tokens",
                                  (json_int_t)shard->token_count, "blake2b", hex);
        if (json_array_append_new(shards, value) != 0) {
            json_decref(shards);
            return NULL;
        }
    }
    return json_pack("{s:I, s:o}", "tokens", (json_int_t)split->token_count, "shards", shards);
}

enum status manifest_write(const struct manifest *self, const char *folder)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(folder, MANIFEST_FILE, path);
    if (status != STATUS_OK) {
        return status;
    }
    json_t *root =
        json_pack("{s:s, s:s, s:I, s:{s:o, s:o}}", "format", FORMAT, "tokenizer", self->tokenizer,
                  "vocab_size", (json_int_t)self->vocab_size, "splits", SPLIT_NAMES[DATASET_TRAIN],
                  split_to_json(&self->splits[DATASET_TRAIN]), SPLIT_NAMES[DATASET_VALIDATION],
                  split_to_json(&self->splits[DATASET_VALIDATION]));
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (text == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to write %s", path);
    }
    status = files_write_atomic(path, text, strlen(text), 0644);
    free(text);
    return status;
}
