/* progress - one line on a terminal that says how far a long job is.
 *
 * Nothing is written unless stderr is a terminal. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_CLI_PROGRESS_H
#define DUGNAD_TRAINER_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRESS_LINE_MAX = 80 }; /* with the final NUL: it fits the usual terminal */

struct progress {
    uint64_t begin_ms;
    uint64_t drawn_ms; /* when the line was last drawn */
    bool enabled;
    bool is_drawn;
};

/* With `quiet` nothing is ever written. */
void progress_init(struct progress *self, bool quiet);

/* Says that `done` of `total` bytes (0: not known) gave `tokens` tokens; drawn some times a
 * second, however often it is called. */
void progress_show(struct progress *self, uint64_t done, uint64_t total, uint64_t tokens);

/* Erases the line; fine at any time, and a later show draws it again. */
void progress_erase(struct progress *self);

/* The line's text after elapsed_ms: pure. */
void progress_text(uint64_t done, uint64_t total, uint64_t tokens, uint64_t elapsed_ms,
                   char out[PROGRESS_LINE_MAX]);

#endif
