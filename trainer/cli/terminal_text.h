/* terminal_text - bytes of a model made safe for a terminal while they stream.
 *
 * Invalid UTF-8 and control characters other than newline and tab become U+FFFD: a model may
 * write anything, escape sequences included. One owner. */
#ifndef DUGNAD_TRAINER_CLI_TERMINAL_TEXT_H
#define DUGNAD_TRAINER_CLI_TERMINAL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct terminal_text {
    FILE *stream;
    uint8_t pending[4]; /* the beginning of a character */
    size_t pending_count;
};

void terminal_text_init(struct terminal_text *self, FILE *stream);

/* Writes what is complete; an incomplete character waits for the next call. */
void terminal_text_put(struct terminal_text *self, const uint8_t *bytes, size_t count);

/* Writes what waits. */
void terminal_text_end(struct terminal_text *self);

#endif
