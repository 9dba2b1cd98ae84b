#include "common/fault.h"
#include "trainer/tokenizer/bpe.h"
#include "trainer/tokenizer/bytes_hash.h"
#include "trainer/tokenizer/pattern.h"
#include "trainer/tokenizer/piece_table.h"
#include "trainer/tokenizer/read_tokenizer.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* How many ranks OpenAI's files with GPT-2's pattern have: r50k_base and p50k_base. */
enum { R50K_RANKS = 50256, P50K_RANKS = 50280, BASE64_MAX = TOKENIZER_TOKEN_BYTES_MAX / 3 * 4 + 4 };

static const char END_OF_TEXT[] = "<|endoftext|>";

struct ranks {
    struct recipe *recipe;
    struct piece_table tokens; /* of those that are read */
    size_t count;
};

static enum status bad_line(size_t line)
{
    return fault(STATUS_BAD_DATA, "line %zu is not a token in base64 and its rank", line);
}

static enum status add_token(struct ranks *self, uint64_t rank, const uint8_t *bytes, size_t length)
{
    if (length == 0) {
        return fault(STATUS_BAD_DATA, "the token of rank %llu is empty", (unsigned long long)rank);
    }
    if (piece_table_find(&self->tokens, bytes_hash(bytes, length), bytes, length) >= 0) {
        return fault(STATUS_BAD_DATA, "the token of rank %llu is listed twice",
                     (unsigned long long)rank);
    }
    enum status status = recipe_add_token(self->recipe, rank, TOKEN_PLAIN, bytes, length);
    if (status == STATUS_OK) {
        piece_table_add(&self->tokens, (uint32_t)rank);
        self->count++;
    }
    return status;
}

static enum status read_line(struct ranks *self, const char *line, size_t length, size_t number)
{
    uint8_t bytes[TOKENIZER_TOKEN_BYTES_MAX];
    size_t byte_count = 0;
    const char *space = memchr(line, ' ', length);
    if (space == NULL || space - line > BASE64_MAX) {
        return bad_line(number);
    }
    if (sodium_base642bin(bytes, sizeof(bytes), line, (size_t)(space - line), NULL, &byte_count,
                          NULL, sodium_base64_VARIANT_ORIGINAL) != 0) {
        return bad_line(number);
    }
    uint64_t rank = 0;
    const char *end = line + length;
    const char *digit = space + 1;
    for (; digit < end && *digit >= '0' && *digit <= '9' && rank <= TOKENIZER_VOCAB_MAX; digit++) {
        rank = 10 * rank + (uint64_t)(*digit - '0');
    }
    if (rank > TOKENIZER_VOCAB_MAX) {
        rank = TOKENIZER_VOCAB_MAX;
    } else if (digit == space + 1 || digit != end) {
        return bad_line(number);
    }
    return add_token(self, rank, bytes, byte_count);
}

static enum status read_lines(struct ranks *self, const char *text, size_t length)
{
    const char *end = text + length;
    enum status status = STATUS_OK;
    for (size_t number = 1; status == STATUS_OK && text < end; number++) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        size_t line_length = (size_t)((line_end == NULL ? end : line_end) - text);
        const char *next = line_end == NULL ? end : line_end + 1;
        if (line_length > 0 && text[line_length - 1] == '\r') {
            line_length--;
        }
        if (line_length > 0) {
            status = read_line(self, text, line_length, number);
        }
        text = next;
    }
    return status;
}

static int32_t find_part(const struct ranks *self, const uint8_t *bytes, size_t length)
{
    return piece_table_find(&self->tokens, bytes_hash(bytes, length), bytes, length);
}

/* The two parts that a token's bytes come to when neighbours are merged whose concatenation has
 * the lowest rank, below the token's own. False when more than two are left: then no merge makes
 * the token, and only a piece that is equal to it becomes it. */
static bool split_token(const struct ranks *self, uint32_t rank, struct merge *out)
{
    size_t length = 0;
    const uint8_t *bytes = recipe_bytes(self->recipe, rank, &length);
    uint16_t starts[TOKENIZER_TOKEN_BYTES_MAX + 1] = {0};
    int32_t ranks[TOKENIZER_TOKEN_BYTES_MAX] = {0}; /* of the concatenation of parts i and i + 1 */
    size_t count = length;
    for (size_t i = 0; i <= length; i++) {
        starts[i] = (uint16_t)i;
    }
    for (size_t i = 0; i + 1 < count; i++) {
        ranks[i] = find_part(self, bytes + i, 2);
    }
    while (count > 2) {
        size_t best = count;
        for (size_t i = 0; i + 1 < count; i++) {
            bool lower = ranks[i] >= 0 && (uint32_t)ranks[i] < rank;
            best = lower && (best == count || ranks[i] < ranks[best]) ? i : best;
        }
        if (best == count) {
            return false;
        }
        count--;
        memmove(starts + best + 1, starts + best + 2, (count - best) * sizeof(*starts));
        memmove(ranks + best, ranks + best + 1, (count - best - 1) * sizeof(*ranks));
        for (size_t i = best > 0 ? best - 1 : 0; i <= best && i + 1 < count; i++) {
            ranks[i] = find_part(self, bytes + starts[i], (size_t)(starts[i + 2] - starts[i]));
        }
    }
    int32_t left = find_part(self, bytes, starts[1]);
    int32_t right = find_part(self, bytes + starts[1], length - starts[1]);
    *out = (struct merge){(uint16_t)left, (uint16_t)right, (uint16_t)rank};
    return left >= 0 && right >= 0;
}

static enum status derive_merges(struct ranks *self)
{
    enum status status = STATUS_OK;
    for (uint32_t rank = 0; status == STATUS_OK && rank < self->recipe->vocab_size; rank++) {
        const struct recipe_token *token = &self->recipe->tokens[rank];
        struct merge merge;
        if (token->kind == TOKEN_PLAIN && token->length > 1 && split_token(self, rank, &merge)) {
            status = recipe_add_merge(self->recipe, merge);
        }
    }
    return status;
}

/* The first id that no rank takes: r50k_base ends before it, p50k_base leaves it out. */
static enum status add_end_of_text(struct ranks *self)
{
    uint32_t id = 0;
    while (id < self->recipe->vocab_size && self->recipe->tokens[id].kind != TOKEN_NONE) {
        id++;
    }
    if (id == TOKENIZER_VOCAB_MAX) {
        return STATUS_OK;
    }
    struct added_token added = {.id = (uint16_t)id, .special = true};
    return recipe_add_added(self->recipe, added, END_OF_TEXT, strlen(END_OF_TEXT));
}

enum status read_tiktoken(const char *text, size_t length, struct recipe *out)
{
    struct ranks self = {.recipe = out};
    enum status status = piece_table_init(&self.tokens, out, TOKENIZER_VOCAB_MAX);
    if (status == STATUS_OK) {
        status = read_lines(&self, text, length);
    }
    if (status == STATUS_OK) {
        status = recipe_check_bytes(out);
    }
    if (status == STATUS_OK) {
        status = derive_merges(&self);
    }
    if (status == STATUS_OK) {
        status = add_end_of_text(&self);
    }
    if (status == STATUS_OK) {
        bool gpt2 = self.count == R50K_RANKS || self.count == P50K_RANKS;
        status = recipe_set_regex(out, pattern_regex(gpt2 ? PATTERN_GPT2 : PATTERN_CL100K));
    }
    out->ignore_merges = true; /* a piece that is a token is looked up first */
    piece_table_deinit(&self.tokens);
    return status;
}
