/* tokenizer_fixture - small tokenizers for tests, trained on the spot, and comparisons of ids. */
#ifndef DUGNAD_TESTS_UNIT_TOKENIZER_FIXTURE_H
#define DUGNAD_TESTS_UNIT_TOKENIZER_FIXTURE_H

#include "trainer/tokenizer/bpe_trainer.h"
#include "trainer/tokenizer/tokenizer.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char FIXTURE_END[] = "<|endoftext|>";

/* Text with repeated words, code, spaces and other scripts. */
static const char FIXTURE_TEXT[] =
    "the cat and the dog and the cat's house, they're there; we'll go there, I'd go there  too.\n"
    "for (int i = 0; i < 100; i++) {\n    total += values[i];\n    total += values[i];\n}\n\n"
    "1234567 1234567 \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xe6\x97\xa5\xe6\x9c\xac "
    "\xf0\x9f\x91\x8d\xf0\x9f\x91\x8d\xc2\xa0\xc2\xa0\xe3\x80\x80 the  the   the    the\t\tthe\n";

/* Appends to `text`, which has room for it. */
static inline void fixture_append(char *text, const char *more)
{
    memcpy(text + strlen(text), more, strlen(more) + 1);
}

/* A tokenizer of up to `vocab` tokens trained on `text`; the caller frees it. */
static inline struct tokenizer *fixture_train(const char *text, size_t length,
                                              enum bpe_trainer_pattern pattern, uint32_t vocab)
{
    const char *const specials[] = {FIXTURE_END};
    const struct bpe_trainer_options options = {
        .vocab_size = vocab, .pattern = pattern, .specials = specials, .special_count = 1};
    struct bpe_trainer *trainer = NULL;
    struct tokenizer *tokenizer = NULL;
    CU_ASSERT_EQUAL_FATAL(bpe_trainer_new(&options, &trainer), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(bpe_trainer_count(trainer, (const uint8_t *)text, length), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(bpe_trainer_finish(trainer, &tokenizer), STATUS_OK);
    bpe_trainer_free(trainer);
    return tokenizer;
}

struct fixture_ids {
    uint16_t *ids; /* (count) */
    size_t count;
};

static inline struct fixture_ids fixture_encode(const struct tokenizer *tokenizer, const void *text,
                                                size_t length)
{
    struct fixture_ids result = {0};
    CU_ASSERT_EQUAL_FATAL(tokenizer_encode(tokenizer, text, length, &result.ids, &result.count),
                          STATUS_OK);
    return result;
}

static inline int fixture_ids_equal(const struct fixture_ids *a, const struct fixture_ids *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof *a->ids) == 0;
}

/* Do the two tokenizers give the same ids for a text? */
static inline int fixture_same_ids(const struct tokenizer *a, const struct tokenizer *b,
                                   const void *text, size_t length)
{
    struct fixture_ids of_a = fixture_encode(a, text, length);
    struct fixture_ids of_b = fixture_encode(b, text, length);
    int same = fixture_ids_equal(&of_a, &of_b);
    free(of_a.ids);
    free(of_b.ids);
    return same;
}

/* Are the bytes of the ids the text? */
static inline int fixture_decodes_to(const struct tokenizer *tokenizer,
                                     const struct fixture_ids *ids, const uint8_t *text,
                                     size_t length)
{
    size_t at = 0;
    for (size_t i = 0; i < ids->count; i++) {
        size_t count = 0;
        const uint8_t *bytes = tokenizer_bytes_of(tokenizer, ids->ids[i], &count);
        if (at + count > length || memcmp(text + at, bytes, count) != 0) {
            return 0;
        }
        at += count;
    }
    return at == length;
}

#endif
