/* disk - the system calls that touch files: the only place where folders, files and their syncing
 * are named to the kernel.
 *
 * Every function does one call (or one loop of it) and changes nothing else, so that a crash can be
 * put between any two. The simulator is linked with a disk of its own that keeps what is in memory
 * apart from what is durable, tears, fills and fails. Nothing here leaves a sentence in fault.h:
 * the caller knows what it was for; errno says why.
 *
 * Thread-safe as the kernel's. */
#ifndef DUGNAD_COMMON_DISK_H
#define DUGNAD_COMMON_DISK_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { DISK_NAME_MAX = 256 };

enum disk_open {
    DISK_READ,        /* must exist */
    DISK_READ_ITSELF, /* and be no symbolic link (errno ELOOP) */
    DISK_CREATE,      /* must not exist; for writing */
    DISK_APPEND,      /* must exist; every write goes to the end */
    DISK_LOCK /* made when missing, given no more rights than `mode` when it is there; locked
                 for this process until closed or it ends */
};

/* Returns a descriptor >= 0, or -1 with errno (DISK_LOCK held by another: EWOULDBLOCK). `mode` is
 * that of a file made. Close with disk_close. */
int disk_open(const char *path, enum disk_open how, mode_t mode);

/* Bytes of an open plain file; -1 with errno (another kind of file: EINVAL). */
int64_t disk_size(int fd);

/* Whether an open file is this user's own and nobody else may read or write it. */
bool disk_is_private(int fd);

/* Reads exactly size_bytes at `offset`; false with errno (the file is shorter: ENODATA). */
bool disk_read(int fd, uint64_t offset, void *out, size_t size_bytes);

/* Writes all of it at the end; false with errno; a part may be there then. */
bool disk_write(int fd, const void *data, size_t size_bytes);

/* What was written is durable when it returns true (fsync). After false nothing is known of what
 * reached the disk: the process must end. */
bool disk_sync(int fd);

/* What is read from here on is what the disk holds: it is synced, and the page cache forgets it.
 * After a failed sync of an earlier process the cache may show what never reached the disk, and no
 * later sync would write it (Rebello et al., ATC 2020). False with errno, as disk_sync. */
bool disk_refresh(int fd);
bool disk_close(int fd); /* false with errno */

/* Names become durable with disk_sync_folder of the folder that they stand in. False with errno. */
bool disk_truncate(const char *path, uint64_t size_bytes);
bool disk_rename(const char *from, const char *to);     /* takes the place of `to`, as rename(2) */
bool disk_rename_new(const char *from, const char *to); /* nothing may be there: errno EEXIST */
bool disk_unlink(const char *path);
bool disk_make_folder(const char *path, mode_t mode);
bool disk_remove_folder(const char *path); /* an empty one */
bool disk_sync_folder(const char *path);

enum disk_kind { DISK_MISSING, DISK_FILE, DISK_FOLDER, DISK_OTHER };
/* Does not follow a last link ("path/." does). What cannot be looked at is DISK_OTHER. */
enum disk_kind disk_kind_of(const char *path);

/* Calls `visit` with each name in the folder ("." and ".." left out) in no order, until it returns
 * false; false with errno when the folder cannot be read. */
bool disk_list(const char *path, bool (*visit)(void *context, const char *name), void *context);

/* A read-only view of a whole file, private to the caller; NULL with errno (an empty file: NULL
 * with errno 0). End it with disk_unmap. */
const uint8_t *disk_map(int fd, size_t size_bytes);
void disk_unmap(const uint8_t *data, size_t size_bytes);

/* Bytes that an ordinary user can still write where `path` lies; UINT64_MAX when unknown. */
uint64_t disk_free_bytes(const char *path);

#endif
