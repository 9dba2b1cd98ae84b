/* text_source - several files of text, cut into pieces that can be encoded each on its own.
 *
 * A file is text, or JSON lines: one object per line, whose string field is a document. The name
 * says which: .jsonl and .ndjson are JSON lines. A file of text is one document. No piece spans two
 * files; pieces of text end where the caller says that what follows does not matter, pieces of JSON
 * lines end with a line. A byte order mark at a file's beginning is dropped.
 *
 * Memory is bounded by TEXT_SOURCE_PIECE_MAX, whatever the size of files and lines. Every error
 * leaves a sentence that names the file. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_DATA_INGEST_TEXT_SOURCE_H
#define DUGNAD_TRAINER_DATA_INGEST_TEXT_SOURCE_H

#include "common/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest line of JSON, and the longest stretch of text without a place to cut. */
enum { TEXT_SOURCE_PIECE_MAX = 64 << 20 };

enum text_format {
    TEXT_FORMAT_BY_NAME, /* standard input is plain text then */
    TEXT_FORMAT_PLAIN,
    TEXT_FORMAT_JSON_LINES
};

struct text_piece {
    uint8_t *data; /* (length), owned by whoever holds the piece */
    size_t length;
    size_t room;
    const char *file; /* borrowed */
    enum text_format format;
    uint64_t first_line;  /* from 1; of JSON lines only */
    uint64_t input_bytes; /* of all files, as they lie on disk, used up to the piece's end */
    bool ends_file;       /* the last piece of a file that has text */
};

struct text_source_options {
    const char *const *files; /* borrowed; "-" is standard input */
    size_t file_count;
    enum text_format format;
    size_t piece_bytes; /* of a piece, about; 0 < piece_bytes <= the maximum */
    /* How much of a plain text can be used now, as tokenizer_safe_length. */
    size_t (*safe_length)(const void *context, const uint8_t *text, size_t length);
    const void *safe_context;
    const atomic_bool *stop; /* borrowed; when true, waits end with AGAIN */
};

struct text_source;

/* Checks that every file is there and readable. *out_bytes is the sum of their sizes, 0 when one
 * of them has none (a pipe). Errors: NO_INPUT. */
MUST_CHECK enum status text_source_check(const char *const *files, size_t file_count,
                                         uint64_t *out_bytes);

/* The caller owns *out. Errors: NO_MEMORY. */
MUST_CHECK enum status text_source_new(const struct text_source_options *options,
                                       struct text_source **out);
void text_source_free(struct text_source *self); /* NULL is allowed. */

/* Reads the next piece into *piece, whose buffer is grown as needed and may be used again: a
 * zeroed piece has none. *out_found is false at the end of all text.
 * Errors: NO_INPUT, IO, AGAIN, NO_MEMORY, BAD_DATA (packed data, or a line that is too long). */
MUST_CHECK enum status text_source_next(struct text_source *self, struct text_piece *piece,
                                        bool *out_found);
void text_piece_deinit(struct text_piece *self); /* A zeroed one is allowed. */

#endif
