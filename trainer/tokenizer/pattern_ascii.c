#include "trainer/tokenizer/pattern_ascii.h"

#include <stdbool.h>

enum { SIGN, LETTER, DIGIT, SPACE, FOREIGN }; /* SIGN: [^\s\p{L}\p{N}] */

#define ROW_OF(kind) kind, kind, kind, kind, kind, kind, kind, kind
static const uint8_t KINDS[256] =
    {
        [0x09] = SPACE,  SPACE,           SPACE,           SPACE,
        SPACE,           [' '] = SPACE,   ['0'] = DIGIT,   DIGIT,
        ROW_OF(DIGIT),   ['A'] = LETTER,  LETTER,          ROW_OF(LETTER),
        ROW_OF(LETTER),  ROW_OF(LETTER),  ['a'] = LETTER,  LETTER,
        ROW_OF(LETTER),  ROW_OF(LETTER),  ROW_OF(LETTER),  [0x80] = ROW_OF(FOREIGN),
        ROW_OF(FOREIGN), ROW_OF(FOREIGN), ROW_OF(FOREIGN), ROW_OF(FOREIGN),
        ROW_OF(FOREIGN), ROW_OF(FOREIGN), ROW_OF(FOREIGN), ROW_OF(FOREIGN),
        ROW_OF(FOREIGN), ROW_OF(FOREIGN), ROW_OF(FOREIGN), ROW_OF(FOREIGN),
        ROW_OF(FOREIGN), ROW_OF(FOREIGN), ROW_OF(FOREIGN),
};

static bool is_line_end(uint8_t byte)
{
    return byte == '\r' || byte == '\n';
}

/* The end of the run of one kind that begins at `at`. */
static size_t run_end(const uint8_t *text, size_t length, size_t at, uint8_t kind)
{
    while (at < length && KINDS[text[at]] == kind) {
        at++;
    }
    return at;
}

/* `end`, when what stands there is ASCII. */
static size_t decided(const uint8_t *text, size_t length, size_t end)
{
    return end < length && KINDS[text[end]] != FOREIGN ? end : 0;
}

/* How long the English contraction behind the apostrophe at `at` is: 0 when there is none. Reads
 * at[1] and at[2], which must be there. */
static size_t contraction(const uint8_t *at, bool any_case)
{
    uint8_t fold = any_case ? 0x20 : 0;
    uint8_t first = at[1] | fold;
    uint8_t second = at[2] | fold;
    if (first == 's' || first == 't' || first == 'm' || first == 'd') {
        return 2;
    }
    bool two = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
               (first == 'l' && second == 'l');
    return two ? 3 : 0;
}

/* \s+(?!\S)|\s+: all spaces but the last, which belongs to what follows. */
static size_t spaces(size_t at, size_t end)
{
    return end - at == 1 ? end : end - 1;
}

size_t pattern_ascii_gpt2(const uint8_t *text, size_t length, size_t at)
{
    if (length - at < 3) {
        return 0;
    }
    if (text[at] == '\'') {
        size_t found = contraction(text + at, false);
        if (found > 0) {
            return at + found;
        }
    }
    size_t begin = text[at] == ' ' ? at + 1 : at;
    uint8_t kind = KINDS[text[begin]];
    if (kind == FOREIGN) {
        return 0;
    }
    if (kind != SPACE) {
        return decided(text, length, run_end(text, length, begin, kind));
    }
    size_t end = decided(text, length, run_end(text, length, at, SPACE));
    return end == 0 ? 0 : spaces(at, end);
}

/* \p{N}{1,3} */
static size_t digits(const uint8_t *text, size_t length, size_t at, size_t digits_max)
{
    size_t end = at + 1;
    while (end < length && end - at < digits_max && KINDS[text[end]] == DIGIT) {
        end++;
    }
    return end - at == digits_max ? end : decided(text, length, end);
}

/* ` ?[^\s\p{L}\p{N}]+[\r\n]*`, from the first sign on. */
static size_t signs(const uint8_t *text, size_t length, size_t at)
{
    size_t end = decided(text, length, run_end(text, length, at, SIGN));
    if (end == 0) {
        return 0;
    }
    while (end < length && is_line_end(text[end])) {
        end++;
    }
    return end < length ? end : 0;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t lines_or_spaces(const uint8_t *text, size_t length, size_t at)
{
    size_t end = decided(text, length, run_end(text, length, at, SPACE));
    for (size_t i = end; i > at; i--) {
        if (is_line_end(text[i - 1])) {
            return i;
        }
    }
    return end == 0 ? 0 : spaces(at, end);
}

size_t pattern_ascii_cl100k(const uint8_t *text, size_t length, size_t at, size_t digits_max)
{
    if (length - at < 3) {
        return 0;
    }
    uint8_t kind = KINDS[text[at]];
    uint8_t next = KINDS[text[at + 1]];
    if (kind == LETTER) {
        return decided(text, length, run_end(text, length, at, LETTER));
    }
    if (kind == DIGIT) {
        return digits(text, length, at, digits_max);
    }
    if (kind == FOREIGN || next == FOREIGN) {
        return 0;
    }
    if (text[at] == '\'') {
        size_t found = contraction(text + at, true);
        /* 're and the like with a character behind that only folds to ASCII: PCRE2 decides. */
        if (found > 0 || KINDS[text[at + 2]] == FOREIGN) {
            return found > 0 ? at + found : 0;
        }
    }
    if (next == LETTER && !is_line_end(text[at])) {
        return decided(text, length, run_end(text, length, at + 1, LETTER));
    }
    if (kind == SIGN || (text[at] == ' ' && next == SIGN)) {
        return signs(text, length, kind == SIGN ? at : at + 1);
    }
    return lines_or_spaces(text, length, at);
}
