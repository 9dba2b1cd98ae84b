/* open_files - how many files the program may have open at once.
 *
 * Of the process, whichever thread asks. */
#ifndef DUGNAD_COMMON_OPEN_FILES_H
#define DUGNAD_COMMON_OPEN_FILES_H

#include "common/status.h"

#include <stdint.h>

enum { OPEN_FILES_NEEDED_MAX = 64 };

/* Raises the limit as far as this user may, up to what a public port can use, and tries whether
 * `needed` <= OPEN_FILES_NEEDED_MAX more fit: libzmq ends the program where they do not.
 * Errors: OS with a sentence (too few). */
MUST_CHECK enum status open_files_prepare(unsigned needed);

/* How many times `files_each` > 0 of them fit within the limit, beside all else that a program
 * opens: at least 1, at most `most`. */
uint32_t open_files_room(uint32_t files_each, uint32_t most);

/* What follows errno's own text in a sentence: "" for an error of another kind. Static. */
const char *open_files_advice(int error);

#endif
