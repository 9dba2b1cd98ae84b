/* json_line - the text of one field of a JSON object (RFC 8259), found without building a tree.
 *
 * A tree can take twenty times the memory of its text, and lines come from anybody. Strings are
 * unescaped where they stand: that never makes them longer. Bytes above 0x7f are taken as they
 * are, so a line need not be UTF-8.
 *
 * Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_DATA_INGEST_JSON_LINE_H
#define DUGNAD_TRAINER_DATA_INGEST_JSON_LINE_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

enum { JSON_LINE_DEPTH_MAX = 512 };

struct json_line_text {
    uint8_t *data; /* inside of the line */
    size_t length;
    const char *why; /* on errors: what is wrong, without a full stop; a constant */
};

/* Finds the string `field` of the object that is the whole of line(length); of several with that
 * name the last counts. The line's bytes change.
 * Errors: BAD_DATA with out->why (no valid object), NO_INPUT (the object has no such field),
 * BAD_SHAPE (it is no string). */
MUST_CHECK enum status json_line_find(uint8_t *line, size_t length, const char *field,
                                      struct json_line_text *out);

#endif
