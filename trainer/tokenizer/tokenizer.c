#include "trainer/tokenizer/tokenizer.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/files.h"
#include "trainer/tokenizer/tokenizer_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BYTE_VOCAB_SIZE = 256 };

static const char BYTES_NAME[] = "bytes";

struct tokenizer {
    uint32_t vocab_size;
    uint8_t bytes[BYTE_VOCAB_SIZE]; /* the text of each token */
};

static enum status check_file(const char *spec)
{
    char path[FILES_PATH_MAX];
    struct stat facts;
    int length = snprintf(path, sizeof(path), "%s", spec);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return fault(STATUS_NO_INPUT, "the path %.200s is too long; use a shorter one", spec);
    }
    if (stat(spec, &facts) == 0 && S_ISDIR(facts.st_mode)) {
        enum status status = files_join(spec, "tokenizer.json", path);
        if (status != STATUS_OK) {
            return status;
        }
    }
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    enum status status = files_read(path, TOKENIZER_JSON_MAX, &text, &size_bytes);
    if (status == STATUS_OK) {
        status = tokenizer_json_check(path, (const char *)text, size_bytes);
    }
    free(text);
    return status;
}

enum status tokenizer_new(const char *spec, struct tokenizer **out)
{
    *out = NULL;
    if (strcmp(spec, BYTES_NAME) != 0) {
        enum status status = check_file(spec);
        if (status != STATUS_OK) {
            return status;
        }
    }
    struct tokenizer *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the tokenizer");
    }
    self->vocab_size = BYTE_VOCAB_SIZE;
    for (unsigned i = 0; i < BYTE_VOCAB_SIZE; i++) {
        self->bytes[i] = (uint8_t)i;
    }
    *out = self;
    return STATUS_OK;
}

void tokenizer_free(struct tokenizer *self)
{
    free(self);
}

const char *tokenizer_name(const struct tokenizer *self)
{
    (void)self;
    return BYTES_NAME;
}

uint32_t tokenizer_vocab_size(const struct tokenizer *self)
{
    return self->vocab_size;
}

enum status tokenizer_encode(const struct tokenizer *self, const uint8_t *text, size_t length,
                             uint16_t **out, size_t *out_count)
{
    (void)self;
    *out_count = 0;
    *out = calloc(length + 1, sizeof(**out));
    if (*out == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to encode %zu bytes of text", length);
    }
    for (size_t i = 0; i < length; i++) {
        (*out)[i] = text[i];
    }
    *out_count = length;
    return STATUS_OK;
}

const uint8_t *tokenizer_bytes_of(const struct tokenizer *self, uint32_t id, size_t *out_length)
{
    *out_length = id < self->vocab_size ? 1 : 0;
    return &self->bytes[id < self->vocab_size ? id : 0];
}

static enum status write_made(const char *folder, const char *name, char *text)
{
    char path[FILES_PATH_MAX];
    if (text == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to write %s/%s", folder, name);
    }
    enum status status = files_join(folder, name, path);
    if (status == STATUS_OK) {
        status = files_write_atomic(path, text, strlen(text), 0644);
    }
    free(text);
    return status;
}

enum status tokenizer_write(const struct tokenizer *self, const char *folder)
{
    (void)self;
    enum status status = write_made(folder, "tokenizer.json", tokenizer_json_make());
    if (status == STATUS_OK) {
        status = write_made(folder, "tokenizer_config.json", tokenizer_json_make_config());
    }
    return status;
}

bool tokenizer_is_special(const struct tokenizer *self, uint32_t id)
{
    (void)self;
    (void)id;
    return false;
}

int32_t tokenizer_end_id(const struct tokenizer *self)
{
    (void)self;
    return -1;
}

int32_t tokenizer_begin_id(const struct tokenizer *self)
{
    (void)self;
    return -1;
}

size_t tokenizer_merge_count(const struct tokenizer *self)
{
    (void)self;
    return 0;
}

void tokenizer_merge(const struct tokenizer *self, size_t index, uint32_t *left, uint32_t *right)
{
    CHECK(index < tokenizer_merge_count(self));
    *left = 0;
    *right = 0;
}

const char *tokenizer_pattern_name(const struct tokenizer *self)
{
    (void)self;
    return "gpt-2"; /* without merges every pattern cuts into bytes in the end */
}
