/* terminal_text - bytes of a model made into valid UTF-8 while they stream.
 *
 * What is no UTF-8 becomes U+FFFD. So do control characters other than newline and tab, unless
 * the caller asks for them: a model may write anything, escape sequences included, and a terminal
 * would obey. One owner. */
#ifndef DUGNAD_TRAINER_SAMPLING_TERMINAL_TEXT_H
#define DUGNAD_TRAINER_SAMPLING_TERMINAL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct terminal_text {
    FILE *stream;
    bool keeps_controls;
    uint8_t pending[4]; /* the beginning of a character */
    size_t pending_count;
};

/* For a terminal. `stream` is borrowed. */
void terminal_text_init(struct terminal_text *self, FILE *stream);

/* For a reader that control characters cannot harm, such as an encoder of JSON. */
void terminal_text_init_controls(struct terminal_text *self, FILE *stream);

/* Writes what is complete; an incomplete character waits for the next call. */
void terminal_text_put(struct terminal_text *self, const uint8_t *bytes, size_t count);

/* Writes what waits. */
void terminal_text_end(struct terminal_text *self);

#endif
