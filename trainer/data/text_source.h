/* text_source - several text files read as one stream of bytes.
 *
 * Every error leaves a sentence that names the file. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_DATA_TEXT_SOURCE_H
#define DUGNAD_TRAINER_DATA_TEXT_SOURCE_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct text_source {
    const char *const *files;
    size_t file_count;
    size_t next_index; /* of the file to open next */
    FILE *stream;      /* the open file, or NULL */
    uint64_t bytes_read;
};

/* Checks that every file can be read; "-" is standard input. `files` is borrowed until deinit.
 * Errors: NO_INPUT. */
MUST_CHECK enum status text_source_init(struct text_source *self, const char *const *files,
                                        size_t file_count);
void text_source_deinit(struct text_source *self);

/* Fills out(size_bytes) with the next bytes; *out_bytes < size_bytes only at the end of the text.
 * Errors: NO_INPUT, IO. */
MUST_CHECK enum status text_source_read(struct text_source *self, uint8_t *out, size_t size_bytes,
                                        size_t *out_bytes);

#endif
