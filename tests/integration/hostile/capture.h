/* capture - what a relay kept of the frames that a client sent, and reads back for a replay.
 *
 * A file is a row of frames, each behind its length (uint32 of this machine). */
#ifndef DUGNAD_HOSTILE_CAPTURE_H
#define DUGNAD_HOSTILE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct captured {
    const uint8_t *data; /* with its header; the first is the greeting */
    size_t size_bytes;
};

struct capture {
    uint8_t *bytes;
    struct captured *frames;
    size_t frame_count;
};

/* False: could not be written. */
bool capture_write(FILE *file, const uint8_t *data, size_t size_bytes);

/* False: no such file, or not whole. End with capture_free(). */
bool capture_read(const char *path, struct capture *out);
void capture_free(struct capture *self);

/* The first frame whose command has this name ("\x08INITIATE"), or NULL. */
const struct captured *capture_find(const struct capture *self, const char *name);

/* Whether a frame with its header is a command or message of this name. */
bool capture_is(const struct captured *frame, const char *name);

#endif
