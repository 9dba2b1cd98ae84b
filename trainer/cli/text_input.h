/* text_input - a whole text from a file or standard input, which may be a pipe. */
#ifndef DUGNAD_TRAINER_CLI_TEXT_INPUT_H
#define DUGNAD_TRAINER_CLI_TEXT_INPUT_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

/* Reads `path`, "-" for standard input, up to size_max bytes. The caller owns *out: free().
 * Errors: NO_INPUT, FULL (longer than size_max), IO, NO_MEMORY, each with a sentence. */
MUST_CHECK enum status text_input_read(const char *path, size_t size_max, uint8_t **out,
                                       size_t *out_bytes);

#endif
