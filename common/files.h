/* files - reading, and writing that either happened whole or did not happen.
 *
 * Every error leaves a sentence in fault.h that names the path. Thread-safe. */
#ifndef DUGNAD_COMMON_FILES_H
#define DUGNAD_COMMON_FILES_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { FILES_PATH_MAX = 4096 };

/* Writes "folder/name" to out, which holds FILES_PATH_MAX bytes.
 * Errors: USAGE when it does not fit. */
MUST_CHECK enum status files_join(const char *folder, const char *name, char *out);

bool files_exists(const char *path);    /* also true of what cannot be looked at */
bool files_is_folder(const char *path); /* or a link to one */

/* Reads a whole file of at most size_max bytes; a NUL follows the data and is not counted.
 * The caller owns *out: free(). Errors: NO_INPUT, BAD_DATA (larger than size_max), IO, NO_MEMORY.
 */
MUST_CHECK enum status files_read(const char *path, size_t size_max, uint8_t **out,
                                  size_t *out_size_bytes);

/* Writes through a temporary name, fsync, rename and fsync of the folder: after a crash the
 * path holds the old content or the new, never a mixture. `mode` as for open(2).
 * Errors: CANNOT_CREATE; IO, after which the path may hold either and the process must end. */
MUST_CHECK enum status files_write_atomic(const char *path, const void *data, size_t size_bytes,
                                          mode_t mode);

/* The same for a file that must not exist yet, such as a secret: nothing is ever written over or
 * through what is there, a link included, also when it came there in this moment.
 * Errors: CANNOT_CREATE, IO. */
MUST_CHECK enum status files_write_new(const char *path, const void *data, size_t size_bytes,
                                       mode_t mode);

/* Puts new content in place for whoever reads it, without waiting for the disk: after a power loss
 * the path may hold old content, new, or a torn mixture. For what can be made again. Errors as
 * files_write_atomic. */
MUST_CHECK enum status files_replace(const char *path, const void *data, size_t size_bytes,
                                     mode_t mode);

/* Makes a folder and its missing parents, with durable names. Fine when it is there.
 * Errors: CANNOT_CREATE, IO. */
MUST_CHECK enum status files_make_folder(const char *path);

/* The same with the mode, as for mkdir(2), of those that it makes. */
MUST_CHECK enum status files_make_folder_as(const char *path, mode_t mode);

/* Deletes a folder and all in it; fine when there is none. Does not follow links. Errors: IO. */
MUST_CHECK enum status files_remove_folder(const char *path);

/* Moves a finished folder (or file) to its place and syncs the parent folder. The target must
 * not exist. Errors: CANNOT_CREATE. */
MUST_CHECK enum status files_rename(const char *from, const char *to);

/* fsync of a folder, so that names in it survive a crash. Errors: IO. */
MUST_CHECK enum status files_sync_folder(const char *path);

/* A read-only view of a whole file. */
struct file_view {
    const uint8_t *data; /* NULL when size_bytes is 0 */
    size_t size_bytes;
};
/* Errors: NO_INPUT, IO. End it with files_unmap(). */
MUST_CHECK enum status files_map(const char *path, struct file_view *out);
void files_unmap(struct file_view *view); /* A zeroed view is allowed. */

#endif
