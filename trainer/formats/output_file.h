/* output_file - a file written in pieces that appears whole or not at all.
 *
 * files_write_atomic (common/files.h) for content that is too large to hold in memory: a
 * temporary name, fsync, rename, fsync of the folder. Every error leaves a sentence that names
 * the path. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_FORMATS_OUTPUT_FILE_H
#define DUGNAD_TRAINER_FORMATS_OUTPUT_FILE_H

#include "common/files.h"

struct output_file {
    uint8_t *buffer; /* what is not written yet; NULL when none is begun */
    size_t buffered_bytes;
    int fd;
    char path[FILES_PATH_MAX];
    char temporary[FILES_PATH_MAX];
};

/* Opens a temporary file beside `path`. On success end it with commit or abandon.
 * Errors: USAGE (path too long), CANNOT_CREATE. */
MUST_CHECK enum status output_file_begin(struct output_file *self, const char *path);

/* Appends. Errors: IO; the caller abandons the file then. */
MUST_CHECK enum status output_file_write(struct output_file *self, const void *data,
                                         size_t size_bytes);

/* Makes it durable and gives it its name; on an error the temporary file is removed.
 * Errors: CANNOT_CREATE; IO, after which the path may hold old or new content and the process must
 * end. */
MUST_CHECK enum status output_file_commit(struct output_file *self);

/* Removes the temporary file. Fine on a zeroed, committed or abandoned one. */
void output_file_abandon(struct output_file *self);

#endif
