#include "common/fault.h"
#include "common/sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What headers older than the kernel do not name (Linux's include/uapi/linux/landlock.h). */
static const uint64_t FS_TRUNCATE = 1U << 14;
static const uint64_t FS_DEVICE_CALLS = 1U << 15;
static const uint64_t TCP_BIND = 1U << 0;
static const uint64_t TCP_CONNECT = 1U << 1;
static const uint64_t SCOPE_ABSTRACT_SOCKETS = 1U << 0;
static const uint64_t SCOPE_SIGNALS = 1U << 1;

enum { ABI_REFER = 2 };

/* The address sanitizer's leak detector reads its process's threads and maps there at the end. */
#if defined(__SANITIZE_ADDRESS__)
static const char *const SANITIZER_READS = "/proc";
#else
static const char *const SANITIZER_READS = NULL;
#endif

/* The whole of Landlock's version 6: older kernels take it when the fields they lack are 0. */
struct ruleset {
    uint64_t files;
    uint64_t tcp;
    uint64_t scopes;
};

int sandbox_landlock_abi(void)
{
    long abi =
        syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static uint64_t reading(void)
{
    return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
}

static uint64_t writing(void)
{
    return reading() | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
           LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
           LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE;
}

/* Rights that mean something for what is no folder; the kernel refuses others there. */
static uint64_t of_a_file(void)
{
    return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
           LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE | FS_DEVICE_CALLS;
}

static uint64_t all_of_files(int abi)
{
    uint64_t all = ((uint64_t)LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    all |= abi >= ABI_REFER ? LANDLOCK_ACCESS_FS_REFER : 0;
    all |= abi >= LANDLOCK_ABI_TRUNCATE ? FS_TRUNCATE : 0;
    return all | (abi >= LANDLOCK_ABI_DEVICES ? FS_DEVICE_CALLS : 0);
}

/* What is handled and has no rule is forbidden. */
static struct ruleset handled(const struct sandbox_rules *rules, int abi)
{
    struct ruleset out = {.files = all_of_files(abi)};
    if (abi >= LANDLOCK_ABI_TCP) {
        out.tcp = (rules->binds_tcp ? 0 : TCP_BIND) | (rules->connects_tcp ? 0 : TCP_CONNECT);
    }
    if (abi >= LANDLOCK_ABI_SCOPES) {
        out.scopes = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS;
    }
    return out;
}

/* A path that is not there needs no rule: `optional` ones are passed over. */
static enum status allow(int ruleset, const char *path, uint64_t rights, bool optional)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        if (optional) {
            return STATUS_OK;
        }
        return fault(STATUS_OS, "the sandbox cannot open %s: %s", path, strerror(errno));
    }
    struct stat info;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    bool fine = fstat(fd, &info) == 0;
    if (fine && !S_ISDIR(info.st_mode)) {
        rule.allowed_access &= of_a_file();
    }
    fine =
        fine && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0U) == 0;
    enum status status = STATUS_OK;
    if (!fine) {
        status = fault(STATUS_OS, "the sandbox cannot allow %s: %s", path, strerror(errno));
    }
    (void)close(fd);
    return status;
}

enum status sandbox_enter_landlock(const struct sandbox_rules *rules, int abi)
{
    struct ruleset wanted = handled(rules, abi);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &wanted, sizeof wanted, 0U);
    if (ruleset < 0) {
        return fault(STATUS_OS, "the sandbox cannot make file rules: %s", strerror(errno));
    }
    enum status status = STATUS_OK;
    if (SANITIZER_READS != NULL) {
        status = allow(ruleset, SANITIZER_READS, reading() & wanted.files, true);
    }
    for (size_t i = 0; status == STATUS_OK && i < rules->read_count; i++) {
        status = allow(ruleset, rules->read_paths[i], reading() & wanted.files, true);
    }
    for (size_t i = 0; status == STATUS_OK && i < rules->write_count; i++) {
        status = allow(ruleset, rules->write_paths[i], writing() & wanted.files, false);
    }
    if (status == STATUS_OK && syscall(SYS_landlock_restrict_self, ruleset, 0U) != 0) {
        status = fault(STATUS_OS, "the sandbox cannot apply its file rules: %s", strerror(errno));
    }
    (void)close(ruleset);
    return status;
}

void sandbox_tell_landlock(const struct sandbox_rules *rules, int abi, struct sandbox_result *out,
                           char missing[SANDBOX_MISSING_MAX])
{
    const struct {
        bool lacks;
        const char *name;
    } parts[] = {
        {abi == 0, "file rules (Landlock, Linux 5.13)"},
        {abi > 0 && abi < LANDLOCK_ABI_TRUNCATE, "cutting files that exist (Linux 6.2)"},
        /* With both there is nothing to hold; with neither the filter forbids the sockets. */
        {abi < LANDLOCK_ABI_TCP && rules->binds_tcp != rules->connects_tcp,
         "rules for TCP ports (Linux 6.7)"},
        {abi < LANDLOCK_ABI_SCOPES && rules->uses_unix,
         "abstract sockets of other programs (Linux 6.12)"},
    };
    size_t length = 0;
    missing[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].lacks && length < SANDBOX_MISSING_MAX) {
            int put = snprintf(missing + length, SANDBOX_MISSING_MAX - length, "%s%s",
                               length > 0 ? ", " : "", parts[i].name);
            length += put > 0 ? (size_t)put : 0;
        }
    }
    out->files = abi > 0;
    out->network = !parts[2].lacks;
}
