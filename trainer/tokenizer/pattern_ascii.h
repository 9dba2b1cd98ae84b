/* pattern_ascii - the well-known patterns on plain ASCII, many times faster than by PCRE2.
 *
 * Each gives the end of the piece that begins at `at`, or 0 when other characters, or the end of
 * the text, could play a part: then PCRE2 decides. Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_PATTERN_ASCII_H
#define DUGNAD_TRAINER_TOKENIZER_PATTERN_ASCII_H

#include <stddef.h>
#include <stdint.h>

size_t pattern_ascii_gpt2(const uint8_t *text, size_t length, size_t at);

/* digits_max: how many digits make a piece. */
size_t pattern_ascii_cl100k(const uint8_t *text, size_t length, size_t at, size_t digits_max);

#endif
