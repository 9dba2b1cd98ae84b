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

enum status state_dir_find(const char *path, char *out)
{
    if (path == NULL) {
        return default_path(out);
    }
    size_t length = strlen(path);
    if (length >= FILES_PATH_MAX) {
        return fault(STATUS_USAGE, "the path of --state is too long");
    }
    memcpy(out, path, length + 1);
    return STATUS_OK;
}

/* Made when it is missing. */
static enum status choose(const char *path, char out[FILES_PATH_MAX])
{
    enum status status = state_dir_find(path, out);
    return status == STATUS_OK ? files_make_folder_as(out, 0700) : status;
}

static enum status open_identity(const char *folder, struct identity *out)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(folder, "identity.key", path);
    return status == STATUS_OK ? identity_open(path, out) : status;
}

enum status state_dir_open(const char *path, struct identity *out, struct sequence *out_sequence)
{
    char folder[FILES_PATH_MAX];
    enum status status = choose(path, folder);
    if (status == STATUS_OK) {
        status = take_lock(folder);
    }
    if (status == STATUS_OK) {
        status = sequence_open(folder, out_sequence);
    }
    return status == STATUS_OK ? open_identity(folder, out) : status;
}

enum status state_dir_key(const char *path, uint8_t out[IDENTITY_KEY_BYTES])
{
    char folder[FILES_PATH_MAX];
    struct identity identity;
    enum status status = choose(path, folder);
    if (status == STATUS_OK) {
        status = open_identity(folder, &identity);
    }
    if (status == STATUS_OK) {
        memcpy(out, identity.public_key, IDENTITY_KEY_BYTES);
        identity_wipe(&identity);
    }
    return status;
}
