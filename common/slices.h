/* slices - threads that each own one slice of a vector's index range.
 *
 * A slice is never touched by two threads, so what is done to its values needs no locks. One thread
 * alone is the caller's own: then nothing here starts or waits for another. */
#ifndef DUGNAD_COMMON_SLICES_H
#define DUGNAD_COMMON_SLICES_H

#include "common/status.h"

#include <stddef.h>

enum { SLICES_THREADS_MAX = 64 };

typedef void slices_function(void *context, size_t first, size_t count, size_t slice_index);

struct slices;

/* Cuts `value_count` > 0 values into one slice a thread, at multiples of `align` (small vectors get
 * fewer threads). Errors: NO_MEMORY, OS. The caller owns *out. */
MUST_CHECK enum status slices_new(size_t thread_count, size_t value_count, size_t align,
                                  struct slices **out);
void slices_free(struct slices *self); /* NULL is allowed. */

size_t slices_count(const struct slices *self);

/* Calls `function` once for each slice on the thread that owns it; returns when all are done. */
void slices_run(struct slices *self, slices_function *function, void *context);

#endif
