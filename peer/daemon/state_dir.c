#include "peer/daemon/state_dir.h"

#include "common/fault.h"
#include "common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static enum status default_path(char *out)
{
    const char *state = getenv("XDG_STATE_HOME");
    if (state != NULL && state[0] == '/') {
        return files_join(state, "dugnad", out);
    }
    const char *home = getenv("HOME");
    if (home == NULL || home[0] != '/') {
        return fault(STATUS_USAGE, "there is no home folder; give --state DIR");
    }
    return files_join(home, ".local/state/dugnad", out);
}

static enum status take_lock(const char *folder)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(folder, "lock", path);
    if (status != STATUS_OK) {
        return status;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return fault(STATUS_UNAVAILABLE,
                     "another dugnad-peer uses %s; give this one its own with --state DIR", folder);
    }
    return STATUS_OK; /* stays open, and so locked, as long as the process lives */
}

enum status state_dir_open(const char *path, struct identity *out)
{
    char folder[FILES_PATH_MAX];
    char key[FILES_PATH_MAX];
    enum status status = STATUS_OK;
    if (path == NULL) {
        status = default_path(folder);
        path = folder;
    }
    if (status == STATUS_OK) {
        status = files_make_folder(path);
    }
    if (status == STATUS_OK) {
        status = take_lock(path);
    }
    if (status == STATUS_OK) {
        status = files_join(path, "identity.key", key);
    }
    return status == STATUS_OK ? identity_open(key, out) : status;
}
