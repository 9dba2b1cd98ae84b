#include "peer/shell/confine.h"

#include "common/fault.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "peer/daemon/state_space.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is read while the peer runs. Looking up names: /etc with what it links to, and the plug-ins
 * in the library folders. Memory and processors: /proc and /sys, which the libraries ask too. */
static const char *const FOR_ALL[] = {"/lib",
                                      "/lib64",
                                      "/usr/lib",
                                      "/usr/lib64",
                                      "/usr/share/zoneinfo",
                                      "/run/systemd/resolve",
                                      "/run/NetworkManager",
                                      "/run/resolvconf",
                                      "/proc/meminfo",
                                      "/proc/cpuinfo",
                                      "/proc/self/statm",
                                      "/sys/devices/system/cpu",
                                      "/sys/devices/system/node",
                                      "/sys/fs/cgroup",
                                      "/dev/urandom",
                                      "/dev/null"};

/* Files that are replaced by others of their name, as when a laptop changes networks, can be named
 * by their folder alone. It holds secrets that only root can read, so root gets just these. */
static const char *const ETC[] = {"/etc"};
static const char *const ETC_OF_ROOT[] = {
    "/etc/resolv.conf", "/etc/hosts",     "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
    "/etc/services",    "/etc/localtime", "/etc/ld.so.cache",   "/etc/protocols"};

enum { FOR_ALL_COUNT = sizeof FOR_ALL / sizeof FOR_ALL[0], ETC_COUNT_MAX = 9 };
_Static_assert(sizeof ETC_OF_ROOT / sizeof ETC_OF_ROOT[0] == ETC_COUNT_MAX, "a place for each");

/* A rule for a file of /proc holds as long as the kernel remembers that very entry: until the end,
 * when something has it open. */
static void keep_in_mind(const char *path)
{
    int fd = open(path, O_PATH | O_CLOEXEC); // NOLINT(clang-analyzer-unix.Stream): stays open
    (void)fd;
}

static size_t list_paths(const char *out[FOR_ALL_COUNT + ETC_COUNT_MAX])
{
    size_t count = 0;
    for (; count < FOR_ALL_COUNT; count++) {
        out[count] = FOR_ALL[count];
    }
    bool root = geteuid() == 0;
    const char *const *etc = root ? ETC_OF_ROOT : ETC;
    for (size_t i = 0; i < (root ? ETC_COUNT_MAX : 1); i++) {
        out[count++] = etc[i];
    }
    return count;
}

static bool is_plain_file(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

/* No file grows beyond what the whole folder may hold. A log that goes to a file is a file too, and
 * grows as its owner likes. */
static void limit_files(uint64_t disk_bytes_max)
{
    struct rlimit limit = {.rlim_cur = disk_bytes_max, .rlim_max = disk_bytes_max};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (is_plain_file(STDOUT_FILENO) || is_plain_file(STDERR_FILENO)) {
        return;
    }
    (void)sigaction(SIGXFSZ, &ignore, NULL); /* the write fails instead */
    (void)setrlimit(RLIMIT_FSIZE, &limit);
}

static enum status enter(const struct confine_wish *wish)
{
    const char *read_paths[FOR_ALL_COUNT + ETC_COUNT_MAX];
    const char *const write_paths[] = {wish->state};
    const struct sandbox_rules rules = {.read_paths = read_paths,
                                        .read_count = list_paths(read_paths),
                                        .write_paths = write_paths,
                                        .write_count = 1,
                                        .binds_tcp = wish->aggregates,
                                        .connects_tcp = true,
                                        .uses_unix = wish->aggregates,
                                        .makes_code = wish->makes_code};
    struct sandbox_result result;
    keep_in_mind("/proc/meminfo");
    keep_in_mind("/proc/self/statm");
    enum status status = sandbox_enter(&rules, &result);
    if (status != STATUS_OK) {
        return status;
    }
    if (result.missing[0] != '\0') {
        log_warn("peer", "confined", "sandbox=partly missing=\"%s\"", result.missing);
        (void)fprintf(stderr,
                      "dugnad-peer: this kernel cannot hold the peer to all limits; missing: %s\n",
                      result.missing);
    } else {
        log_info("peer", "confined", "sandbox=on");
    }
    return STATUS_OK;
}

enum status confine(const struct confine_wish *wish)
{
    enum status status = state_space_check(wish->state, 0, wish->disk_bytes_max);
    if (status != STATUS_OK) {
        return status;
    }
    limit_files(wish->disk_bytes_max);
    if (!wish->bare) {
        return enter(wish);
    }
    log_warn("peer", "confined", "sandbox=off");
    (void)fputs("dugnad-peer: WITHOUT A SANDBOX: whoever finds a hole in this program through the "
                "network can do here whatever you can\n",
                stderr);
    return STATUS_OK;
}
