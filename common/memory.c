#include "common/memory.h"

#include "common/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The first number in a one-line file; "max" and missing files give UINT64_MAX. */
static uint64_t read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return UINT64_MAX;
    }
    char line[64];
    uint64_t value = UINT64_MAX;
    if (fgets(line, sizeof line, file) != NULL && line[0] >= '0' && line[0] <= '9') {
        value = strtoull(line, NULL, 10);
    }
    (void)fclose(file);
    return value;
}

static uint64_t kernel_available_bytes(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    if (file == NULL) {
        return UINT64_MAX;
    }
    char line[128];
    uint64_t value = UINT64_MAX;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "MemAvailable:", 13) == 0) {
            value = strtoull(line + 13, NULL, 10) * 1024U;
            break;
        }
    }
    (void)fclose(file);
    return value;
}

static uint64_t group_left_bytes(const char *limit_path, const char *usage_path)
{
    uint64_t limit = read_number(limit_path);
    uint64_t usage = read_number(usage_path);
    if (limit == UINT64_MAX || usage == UINT64_MAX) {
        return limit;
    }
    return limit > usage ? limit - usage : 0;
}

/* What a limit on the address space leaves: the limit less what is mapped already. */
static uint64_t address_space_left_bytes(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return UINT64_MAX;
    }
    uint64_t pages = read_number("/proc/self/statm");
    uint64_t mapped = pages == UINT64_MAX ? 0 : pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return limit.rlim_cur > mapped ? limit.rlim_cur - mapped : 0;
}

uint64_t memory_available_bytes(void)
{
    uint64_t left = kernel_available_bytes();
    left =
        least(left, group_left_bytes("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"));
    left = least(left, group_left_bytes("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                                        "/sys/fs/cgroup/memory/memory.usage_in_bytes"));
    left = least(left, address_space_left_bytes());
    return left;
}

enum status memory_check_fits(const char *what, uint64_t need_bytes, const char *advice)
{
    uint64_t left = memory_available_bytes();
    if (need_bytes <= left) {
        return STATUS_OK;
    }
    return fault(STATUS_NO_MEMORY,
                 "%s needs %" PRIu64 " MiB of memory and %" PRIu64 " MiB are free; %s", what,
                 (need_bytes >> 20) + 1, left >> 20, advice);
}
