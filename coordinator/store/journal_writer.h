/* journal_writer - what appending keeps, for journal_writer.c and journal_open.c alone. */
#ifndef DUGNAD_COORDINATOR_STORE_JOURNAL_WRITER_H
#define DUGNAD_COORDINATOR_STORE_JOURNAL_WRITER_H

#include "coordinator/store/journal_file.h"

struct journal {
    char run_path[FILES_PATH_MAX];
    char path[FILES_PATH_MAX]; /* of the present segment */
    int fd;
    uint64_t segment;  /* its version */
    uint64_t bytes;    /* in it */
    uint64_t sequence; /* of the next record */
    struct digest previous;
    bool failed;     /* nothing is known of what is on disk: only closing is left */
    uint8_t *buffer; /* filling zeros, header and meta part of one record */
    size_t capacity;
};

/* An object without a segment. Errors: NO_MEMORY, USAGE (path too long). */
MUST_CHECK enum status journal_alloc(const char *run_path, struct journal **out);

/* Opens the segment of self->path for appending. Errors: IO. */
MUST_CHECK enum status journal_attach(struct journal *self);

#endif
