#include "coordinator/gateway/gateway_confine.h"

#include "common/fault.h"
#include "common/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Each connection needs three files; accept spins when they run out. */
static const rlim_t OPEN_FILES_WANTED = 65536;

static void raise_open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < OPEN_FILES_WANTED) {
        limit.rlim_cur = limit.rlim_max < OPEN_FILES_WANTED ? limit.rlim_max : OPEN_FILES_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* fewer connections are no reason not to start */
    }
}

/* The shadow memory of a sanitizer counts. */
static enum status limit_memory(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return STATUS_OK;
#else
    const struct rlimit limit = {.rlim_cur = GATEWAY_MEMORY_BYTES_MAX,
                                 .rlim_max = GATEWAY_MEMORY_BYTES_MAX};
    return setrlimit(RLIMIT_DATA, &limit) == 0
               ? STATUS_OK
               : fault(STATUS_OS, "the gateway's memory cannot be limited: %s", strerror(errno));
#endif
}

enum status gateway_confine(struct sandbox_result *out)
{
    /* TCP to peers that are dialled; unix sockets to itself, between the door and libzmq. */
    static const struct sandbox_rules rules = {.connects_tcp = true, .uses_unix = true};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return fault(STATUS_OS, "the gateway cannot be bound to the coordinator's life: %s",
                     strerror(errno));
    }
    raise_open_files();
    enum status status = process_protect();
    if (status == STATUS_OK) {
        status = limit_memory();
    }
    return status == STATUS_OK ? sandbox_enter(&rules, out) : status;
}
