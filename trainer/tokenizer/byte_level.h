/* byte_level - GPT-2's way to write any bytes as printable text.
 *
 * Printable Latin-1 stands for itself, the other bytes for the characters from U+0100 on, in
 * order: a space is U+0120. Vocabularies and merges are written in it. Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_BYTE_LEVEL_H
#define DUGNAD_TRAINER_TOKENIZER_BYTE_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BYTE_LEVEL_COUNT = 256, BYTE_LEVEL_CHARACTER_MAX = 2 };

/* Writes length bytes as text with a final NUL. `out` holds 2 * length + 1 bytes. */
void byte_level_write(const uint8_t *bytes, size_t length, char *out);

/* Reads what byte_level_write wrote; `out` holds length bytes. False when a character of `text`
 * stands for no byte. */
bool byte_level_read(const char *text, size_t length, uint8_t *out, size_t *out_length);

/* The byte at `place` (0 to 255) when bytes are ordered by their characters: the order in which
 * Hugging Face's trainer numbers them. */
uint8_t byte_level_by_order(unsigned place);

#endif
