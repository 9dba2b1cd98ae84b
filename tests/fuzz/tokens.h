/* tokens - what must hold of every tokenizer that could be read, for the targets of its files. */
#ifndef DUGNAD_TESTS_FUZZ_TOKENS_H
#define DUGNAD_TESTS_FUZZ_TOKENS_H

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"
#include "trainer/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Tables for the vocabulary of small.h. */
enum { TOKENS_BASE_BYTES = FUZZ_JSON_BASE_BYTES + 128 * 1024 };

/* Every id that comes out is of the vocabulary. */
static inline void tokens_encode(const struct tokenizer *tokenizer, struct fuzz_bytes text)
{
    uint16_t *ids = NULL;
    size_t count = 0;
    (void)tokenizer_safe_length(tokenizer, text.data, text.size_bytes);
    if (tokenizer_encode(tokenizer, text.data, text.size_bytes, &ids, &count) != STATUS_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        CHECK(ids[i] < tokenizer_vocab_size(tokenizer));
        (void)tokenizer_bytes_of(tokenizer, ids[i], &length);
        CHECK(length > 0 && length <= TOKENIZER_TOKEN_BYTES_MAX);
    }
    free(ids);
}

static inline void tokens_write_again(const struct tokenizer *tokenizer)
{
    struct tokenizer *again = NULL;
    enum status status = tokenizer_write(tokenizer, "/out");
    /* Two tokens may have one name in JSON. */
    CHECK(status == STATUS_OK || status == STATUS_BAD_DATA || !fuzz_is_calm());
    if (status != STATUS_OK) {
        return;
    }
    status = tokenizer_new("/out/tokenizer.json", &again);
    CHECK(status == STATUS_OK || !fuzz_is_calm());
    if (status == STATUS_OK) {
        CHECK(strcmp(tokenizer_name(tokenizer), tokenizer_name(again)) == 0);
        CHECK(tokenizer_vocab_size(tokenizer) == tokenizer_vocab_size(again));
        tokenizer_free(again);
    }
}

/* Reads `spec`, of files of size_bytes together, and does with it what the programs do. */
static inline void tokens_read(const char *spec, size_t size_bytes, struct fuzz_bytes text)
{
    struct tokenizer *tokenizer = NULL;
    fuzz_memory_begin();
    enum status status = tokenizer_new(spec, &tokenizer);
    fuzz_memory_end(size_bytes, FUZZ_JSON_FACTOR * size_bytes + TOKENS_BASE_BYTES);
    if (status != STATUS_OK) {
        return;
    }
    for (size_t i = 0; i < tokenizer_merge_count(tokenizer); i++) {
        uint32_t left = 0;
        uint32_t right = 0;
        tokenizer_merge(tokenizer, i, &left, &right);
        CHECK(left < tokenizer_vocab_size(tokenizer) && right < tokenizer_vocab_size(tokenizer));
    }
    (void)tokenizer_end_id(tokenizer);
    (void)tokenizer_begin_id(tokenizer);
    (void)tokenizer_is_special(tokenizer, 0);
    (void)tokenizer_pattern_name(tokenizer);
    tokens_encode(tokenizer, text);
    tokens_write_again(tokenizer);
    tokenizer_free(tokenizer);
}

#endif
