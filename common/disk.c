#include "common/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* For what is given up on the way: the first error is the one to tell. */
static void close_quietly(int fd)
{
    int error = errno;
    (void)close(fd);
    errno = error;
}

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd = -1;
    do {
        fd = open(path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Who can open a file, if only to read it, can lock it. */
static void tighten(int fd, mode_t mode)
{
    struct stat facts;
    if (fstat(fd, &facts) == 0 && (facts.st_mode & ALLPERMS & ~mode) != 0) {
        (void)fchmod(fd, facts.st_mode & mode); /* another user's stays as it is */
    }
}

static int open_locked(const char *path, mode_t mode)
{
    int fd = open_retrying(path, O_RDWR | O_CREAT, mode);
    if (fd >= 0) {
        tighten(fd, mode);
    }
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EINTR) {
            close_quietly(fd);
            return -1;
        }
    }
    return fd;
}

int disk_open(const char *path, enum disk_open how, mode_t mode)
{
    switch (how) {
    case DISK_READ:
        return open_retrying(path, O_RDONLY, 0);
    case DISK_READ_ITSELF:
        return open_retrying(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    case DISK_CREATE:
        return open_retrying(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    case DISK_APPEND:
        return open_retrying(path, O_WRONLY | O_APPEND, 0);
    case DISK_LOCK:
        return open_locked(path, mode);
    }
    errno = EINVAL;
    return -1;
}

int64_t disk_size(int fd)
{
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        return -1;
    }
    if (!S_ISREG(facts.st_mode) || facts.st_size < 0) {
        errno = EINVAL;
        return -1;
    }
    return facts.st_size;
}

bool disk_is_private(int fd)
{
    struct stat facts;
    return fstat(fd, &facts) == 0 && (facts.st_mode & (S_IRWXG | S_IRWXO)) == 0 &&
           facts.st_uid == geteuid();
}

bool disk_read(int fd, uint64_t offset, void *out, size_t size_bytes)
{
    uint8_t *bytes = out;
    size_t done = 0;
    if (offset > INT64_MAX || size_bytes > INT64_MAX - offset) {
        errno = ENODATA;
        return false;
    }
    while (done < size_bytes) {
        ssize_t got = pread(fd, bytes + done, size_bytes - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            errno = got == 0 ? ENODATA : errno;
            return false;
        }
        done += (size_t)got;
    }
    return true;
}

bool disk_write(int fd, const void *data, size_t size_bytes)
{
    const uint8_t *bytes = data;
    size_t done = 0;
    while (done < size_bytes) {
        ssize_t put = write(fd, bytes + done, size_bytes - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return false;
        }
        done += (size_t)put;
    }
    return true;
}

bool disk_sync(int fd)
{
    /* Interrupted means that nothing has failed yet: it may be asked again. */
    while (fsync(fd) != 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

bool disk_refresh(int fd)
{
    if (!disk_sync(fd)) {
        return false;
    }
    int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    errno = error != 0 ? error : errno;
    return error == 0;
}

bool disk_close(int fd)
{
    /* On Linux the descriptor is gone after EINTR as well; closing it again would hit another. */
    return close(fd) == 0 || errno == EINTR;
}

bool disk_truncate(const char *path, uint64_t size_bytes)
{
    if (size_bytes > INT64_MAX) {
        errno = EFBIG;
        return false;
    }
    while (truncate(path, (off_t)size_bytes) != 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

bool disk_rename(const char *from, const char *to)
{
    return rename(from, to) == 0;
}

bool disk_rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return true;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return false;
    }
    /* Some network file systems cannot; a second name is as exclusive. */
    return link(from, to) == 0 && unlink(from) == 0;
}

bool disk_unlink(const char *path)
{
    return unlink(path) == 0;
}

bool disk_make_folder(const char *path, mode_t mode)
{
    return mkdir(path, mode) == 0;
}

bool disk_remove_folder(const char *path)
{
    return rmdir(path) == 0;
}

bool disk_sync_folder(const char *path)
{
    int fd = open_retrying(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return false;
    }
    bool synced = disk_sync(fd);
    close_quietly(fd);
    return synced;
}

enum disk_kind disk_kind_of(const char *path)
{
    struct stat facts;
    if (lstat(path, &facts) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? DISK_MISSING : DISK_OTHER;
    }
    return S_ISREG(facts.st_mode) ? DISK_FILE : S_ISDIR(facts.st_mode) ? DISK_FOLDER : DISK_OTHER;
}

bool disk_list(const char *path, bool (*visit)(void *context, const char *name), void *context)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return false;
    }
    bool going = true;
    int error = 0;
    while (going) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            error = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            going = visit(context, entry->d_name);
        }
    }
    (void)closedir(folder);
    errno = error;
    return error == 0;
}

const uint8_t *disk_map(int fd, size_t size_bytes)
{
    if (size_bytes == 0) {
        errno = 0;
        return NULL;
    }
    void *data = mmap(NULL, size_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    return data == MAP_FAILED ? NULL : data;
}

void disk_unmap(const uint8_t *data, size_t size_bytes)
{
    if (data != NULL) {
        (void)munmap((void *)data, size_bytes);
    }
}

uint64_t disk_free_bytes(const char *path)
{
    struct statvfs facts;
    if (statvfs(path, &facts) != 0 || facts.f_frsize == 0 ||
        facts.f_bavail > UINT64_MAX / facts.f_frsize) {
        return UINT64_MAX;
    }
    return (uint64_t)facts.f_bavail * facts.f_frsize;
}
