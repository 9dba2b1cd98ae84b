/* bpe_trainer - learns the merges of a byte-level BPE from text.
 *
 * Ids as Hugging Face's trainer gives them: special tokens, then the 256 bytes in the order of
 * their characters, then what merges make. The same text gives the same tokenizer. Memory follows
 * the number of different words, not the length of the text. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_BPE_TRAINER_H
#define DUGNAD_TRAINER_TOKENIZER_BPE_TRAINER_H

#include "common/status.h"
#include "trainer/tokenizer/tokenizer.h"

enum { BPE_TRAINER_VOCAB_MIN = 512, BPE_TRAINER_SPECIALS_MAX = 64 };

enum bpe_trainer_pattern { BPE_TRAINER_GPT2, BPE_TRAINER_CL100K };

struct bpe_trainer_options {
    uint32_t vocab_size; /* BPE_TRAINER_VOCAB_MIN to TOKENIZER_VOCAB_MAX, with bytes and specials */
    enum bpe_trainer_pattern pattern;
    const char *const *specials; /* (special_count) never part of a merge */
    size_t special_count;
    void (*progress)(void *context, uint32_t tokens, uint32_t target); /* may be NULL */
    void *context;
};

struct bpe_trainer;

/* Borrows the options' pointers. The caller owns *out. Errors: USAGE (a special token that is
 * empty, too long, not UTF-8, named twice or the name of a byte), NO_MEMORY. */
MUST_CHECK enum status bpe_trainer_new(const struct bpe_trainer_options *options,
                                       struct bpe_trainer **out);
void bpe_trainer_free(struct bpe_trainer *self); /* NULL is allowed. */

/* How much of text can be counted now so that what follows does not change the pieces, as
 * tokenizer_safe_length. */
size_t bpe_trainer_safe_length(const struct bpe_trainer *self, const uint8_t *text, size_t length);

/* Counts text, whose end is taken for the end of a piece. Errors: NO_MEMORY. */
MUST_CHECK enum status bpe_trainer_count(struct bpe_trainer *self, const uint8_t *text,
                                         size_t length);

/* Merges the most frequent neighbours again and again; of equal ones, those with the smallest ids.
 * Neighbours that occur once are not merged, so a short text may give fewer tokens than asked.
 * The caller owns *out. Errors: BAD_DATA (no text), NO_MEMORY. Call it once. */
MUST_CHECK enum status bpe_trainer_finish(struct bpe_trainer *self, struct tokenizer **out);

#endif
