/* raw_file - the bytes of one file or of standard input, as they are, through a small buffer.
 *
 * Every error leaves a sentence that names the file. One owner; not thread-safe, but for *stop,
 * which another thread may set. */
#ifndef DUGNAD_TRAINER_DATA_INGEST_RAW_FILE_H
#define DUGNAD_TRAINER_DATA_INGEST_RAW_FILE_H

#include "common/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RAW_FILE_BUFFER_BYTES = 128 << 10 };

struct raw_file {
    const char *file;        /* borrowed; "-" is standard input */
    const atomic_bool *stop; /* borrowed */
    int descriptor;
    bool may_wait; /* a pipe or a terminal: bytes come when they come */
    size_t begin;  /* buffer[begin, end) is read, but not taken */
    size_t end;
    uint64_t taken_bytes; /* handed out so far */
    uint8_t buffer[RAW_FILE_BUFFER_BYTES];
};

/* Opens `file`; a wait for bytes ends soon after *stop is true. End it with raw_file_close().
 * Errors: NO_INPUT. */
MUST_CHECK enum status raw_file_open(struct raw_file *self, const char *file,
                                     const atomic_bool *stop);
void raw_file_close(struct raw_file *self);

/* Fills the buffer when it is empty. *out_ready bytes stand at *out_data then; 0 at the end.
 * Errors: IO, AGAIN (stopped). */
MUST_CHECK enum status raw_file_peek(struct raw_file *self, const uint8_t **out_data,
                                     size_t *out_ready);

/* Takes the first `count` of the bytes that stand ready (CHECKed). */
void raw_file_take(struct raw_file *self, size_t count);

#endif
