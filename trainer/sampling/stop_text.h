/* stop_text - ends a streamed text before the first of several stop strings.
 *
 * Bytes that may be the beginning of a stop string are held back until the next ones decide, so
 * a stop is found, and not a byte of it is let through, however the text is cut into tokens.
 * The stop that is complete first ends the text; of those complete at the same byte the longest.
 * Each stop is followed by a Knuth-Morris-Pratt automaton (SIAM J. Comput. 6(2), 1977).
 *
 * Pure; one owner. */
#ifndef DUGNAD_TRAINER_SAMPLING_STOP_TEXT_H
#define DUGNAD_TRAINER_SAMPLING_STOP_TEXT_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STOP_COUNT_MAX = 16, STOP_BYTES_MAX = 1024 };

struct stop_text;

/* Where text goes that is no part of a stop; `bytes` is borrowed for the call. */
struct stop_sink {
    void *context;
    void (*put)(void *context, const uint8_t *bytes, size_t count);
};

/* `stops`, shape (count), NUL-terminated, are borrowed until stop_text_free.
 * The caller owns *out. Errors: USAGE with a sentence (an empty one, one longer than
 * STOP_BYTES_MAX, more than STOP_COUNT_MAX), NO_MEMORY. */
MUST_CHECK enum status stop_text_new(const char *const *stops, size_t count,
                                     struct stop_text **out);
void stop_text_free(struct stop_text *self); /* NULL is allowed. */

/* Begins a new text. */
void stop_text_begin(struct stop_text *self);

/* Takes the next bytes of the text, and hands those to the sink that are decided. True when a stop
 * is complete: the text has ended, and what follows is dropped. */
bool stop_text_put(struct stop_text *self, const uint8_t *bytes, size_t count,
                   const struct stop_sink *sink);

/* The text is over: what was held back goes to the sink, unless a stop was found. */
void stop_text_end(struct stop_text *self, const struct stop_sink *sink);

/* The stop that ended the text; NULL: none yet. */
const char *stop_text_found(const struct stop_text *self);

#endif
