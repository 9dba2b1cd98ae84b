#include "common/sandbox.h"

#include "common/fault.h"
#include "common/sandbox_parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

/* The thread sanitizer has one thread of its own from the start. */
#if defined(__SANITIZE_THREAD__)
enum { THREADS_MAX = 2 };
#else
enum { THREADS_MAX = 1 };
#endif

static enum status check_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        return fault(STATUS_OS,
                     "the sandbox cannot count this process's threads in /proc/self/task: %s; "
                     "mount /proc",
                     strerror(errno));
    }
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;) { // NOLINT(*-mt-unsafe)
        count += entry->d_name[0] != '.';
    }
    (void)closedir(tasks);
    if (count > THREADS_MAX) {
        return fault(STATUS_OS,
                     "the sandbox would hold only one of this process's %zu threads: it must be "
                     "entered before others are started, also by a library that is loaded "
                     "(OPENBLAS_NUM_THREADS=1, no LD_PRELOAD)",
                     count);
    }
    return STATUS_OK;
}

static void tell_filter(struct sandbox_result *out, char missing[SANDBOX_MISSING_MAX])
{
    out->calls = sandbox_has_filters();
    if (!out->calls) {
        size_t length = strlen(missing);
        (void)snprintf(missing + length, SANDBOX_MISSING_MAX - length, "%sfilter of system calls",
                       length > 0 ? ", " : "");
    }
}

enum status sandbox_enter(const struct sandbox_rules *rules, struct sandbox_result *out)
{
    static char missing[SANDBOX_MISSING_MAX];
    int abi = sandbox_landlock_abi();
    sandbox_tell_landlock(rules, abi, out, missing);
    tell_filter(out, missing);
    out->missing = missing;
    enum status status = check_threads();
    if (status != STATUS_OK) {
        return status;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fault(STATUS_OS, "the sandbox cannot give up new privileges: %s", strerror(errno));
    }
    if (abi > 0) {
        status = sandbox_enter_landlock(rules, abi);
    }
    if (status == STATUS_OK && out->calls) {
        status = sandbox_enter_filter(rules);
    }
    return status;
}
