/* utf8 - where text is valid UTF-8, and which characters are spaces. Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_UTF8_H
#define DUGNAD_TRAINER_TOKENIZER_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* How many bytes from the start are valid UTF-8 (RFC 3629: shortest forms, no surrogates). */
size_t utf8_valid_prefix(const uint8_t *text, size_t length);

/* How many bytes at the end (0 to 3) may be the beginning of a character that is still to come. */
size_t utf8_unfinished_tail(const uint8_t *text, size_t length);

/* How many bytes of Unicode White_Space stand at the start, or at the end, of text. */
size_t utf8_spaces_at_start(const uint8_t *text, size_t length);
size_t utf8_spaces_at_end(const uint8_t *text, size_t length);

#endif
