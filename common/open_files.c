#include "common/open_files.h"

#include "common/check.h"
#include "common/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    KEPT_MIN = 64, /* for everything else that a program opens */
    KEPT_PART = 8
};

/* A public port may need so many. */
static const rlim_t wanted = 65536;

/* Fewer are no reason not to start. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

enum status open_files_prepare(unsigned needed)
{
    int fds[OPEN_FILES_NEEDED_MAX];
    unsigned count = 0;
    int error = 0;
    CHECK(needed <= OPEN_FILES_NEEDED_MAX);
    raise_limit();
    while (count < needed && (fds[count] = eventfd(0, EFD_CLOEXEC)) >= 0) {
        count++;
    }
    error = count < needed ? errno : 0;
    for (unsigned i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    return error == 0
               ? STATUS_OK
               : fault(STATUS_OS, "only %u more files can be opened, and %u are needed: %s%s",
                       count, needed, strerror(error), open_files_advice(error));
}

uint32_t open_files_room(uint32_t files_each, uint32_t most)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return most;
    }
    rlim_t kept = limit.rlim_cur / KEPT_PART;
    kept = kept < KEPT_MIN ? KEPT_MIN : kept;
    rlim_t room = limit.rlim_cur > kept ? (limit.rlim_cur - kept) / files_each : 0;
    return room == 0 ? 1 : room < most ? (uint32_t)room : most;
}

const char *open_files_advice(int error)
{
    switch (error) {
    case EMFILE:
        return "; raise the limit of open files (ulimit -n)";
    case ENFILE:
        return "; end other programs, or raise the machine's limit of open files (fs.file-max)";
    default:
        return "";
    }
}
