#include "common/process.h"

#include "common/fault.h"
#include "common/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum status process_protect(void)
{
    const char *debugged = getenv(PROCESS_DEBUG_VARIABLE);
    if (debugged != NULL && strcmp(debugged, "1") == 0) {
        return STATUS_OK;
    }
    struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return fault(STATUS_OS,
                     "this system does not let the process keep its memory to itself: %s",
                     strerror(errno));
    }
    return STATUS_OK;
}

void process_hide_argument(char *argument)
{
    secret_wipe(argument, strlen(argument));
}
