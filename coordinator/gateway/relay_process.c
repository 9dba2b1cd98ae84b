#include "coordinator/gateway/relay_process.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/open_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "dugnad-gateway"

enum { LOOK_MS = 5, ENVIRONMENT_MAX = 32 };

/* Beside the program that runs, as they are installed: not from a search path, in which somebody
 * else's could come first. */
static enum status find_program(char out[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - sizeof PROGRAM - 1);
    if (length <= 0) {
        return fault(STATUS_OS, "cannot learn where this program lies: %s; mount /proc",
                     strerror(errno));
    }
    out[length] = '\0';
    char *slash = strrchr(out, '/');
    (void)snprintf(slash + 1, sizeof PROGRAM, "%s", PROGRAM);
    if (access(out, X_OK) != 0) {
        return fault(STATUS_NO_INPUT,
                     "%s, which owns the public ports, cannot be run: %s; install all of Dugnad's "
                     "programs in one folder",
                     out, strerror(errno));
    }
    return STATUS_OK;
}

/* What the gateway is given, under numbers that cannot be among those that it is given them as. */
struct given {
    int link_fd;
    int listen_fds[GATEWAY_PORTS];
};

static int add_actions(posix_spawn_file_actions_t *actions, const struct given *given)
{
    int failed = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (failed == 0) {
        failed = posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
    }
    if (failed == 0) {
        failed = posix_spawn_file_actions_adddup2(actions, given->link_fd, RELAY_GATEWAY_LINK_FD);
    }
    for (int port = 0; port < GATEWAY_PORTS && failed == 0; port++) {
        failed = posix_spawn_file_actions_adddup2(actions, given->listen_fds[port],
                                                  RELAY_GATEWAY_LISTEN_FD + port);
    }
    if (failed == 0) {
        failed = posix_spawn_file_actions_addclosefrom_np(actions, RELAY_GATEWAY_FDS_END);
    }
    return failed;
}

/* What it holds is not the gateway's business, but for how programs are loaded and watched. */
static void keep_environment(char *out[ENVIRONMENT_MAX + 1])
{
    static const char *const kept[] = {"LD_",           "DUGNAD_DEBUGGABLE=", "ASAN_OPTIONS=",
                                       "LSAN_OPTIONS=", "UBSAN_OPTIONS=",     "TSAN_OPTIONS="};
    size_t count = 0;
    for (char **variable = environ; *variable != NULL && count < ENVIRONMENT_MAX; variable++) {
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
            if (strncmp(*variable, kept[i], strlen(kept[i])) == 0) {
                out[count++] = *variable;
                break;
            }
        }
    }
    out[count] = NULL;
}

static int spawn(const char *path, const struct given *given, pid_t *out_pid)
{
    char *arguments[] = {(char[]){PROGRAM}, NULL};
    char *environment[ENVIRONMENT_MAX + 1];
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0) {
        return failed;
    }
    keep_environment(environment);
    failed = add_actions(&actions, given);
    if (failed == 0) {
        failed = posix_spawn(out_pid, path, &actions, NULL, arguments, environment);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}

/* False: errno says why; what there is has to be closed all the same. */
static bool duplicate(int link_fd, const int listen_fds[GATEWAY_PORTS], struct given *out)
{
    out->link_fd = fcntl(link_fd, F_DUPFD_CLOEXEC, RELAY_GATEWAY_FDS_END);
    bool good = out->link_fd >= 0;
    for (int port = 0; port < GATEWAY_PORTS; port++) {
        out->listen_fds[port] =
            good ? fcntl(listen_fds[port], F_DUPFD_CLOEXEC, RELAY_GATEWAY_FDS_END) : -1;
        good = good && out->listen_fds[port] >= 0;
    }
    return good;
}

static void close_given(const struct given *given)
{
    if (given->link_fd >= 0) {
        (void)close(given->link_fd);
    }
    for (int port = 0; port < GATEWAY_PORTS; port++) {
        if (given->listen_fds[port] >= 0) {
            (void)close(given->listen_fds[port]);
        }
    }
}

enum status relay_process_start(const int listen_fds[GATEWAY_PORTS], struct relay_process *out)
{
    char path[PATH_MAX];
    int ends[2] = {-1, -1};
    struct given given;
    *out = (struct relay_process){.pid = 0, .fd = -1};
    enum status status = find_program(path);
    if (status != STATUS_OK) {
        return status;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return fault(STATUS_OS, "cannot make a socket for %s: %s%s", path, strerror(errno),
                     open_files_advice(errno));
    }
    int failed = duplicate(ends[1], listen_fds, &given) ? spawn(path, &given, &out->pid) : errno;
    (void)close(ends[1]);
    close_given(&given);
    if (failed != 0) {
        (void)close(ends[0]);
        out->pid = 0;
        return fault(STATUS_OS, "cannot start %s: %s%s", path, strerror(failed),
                     open_files_advice(failed));
    }
    out->fd = ends[0];
    return STATUS_OK;
}

/* By which a lack of memory, a crash, a call that is forbidden and a refusal are told apart. */
static void tell_how(struct relay_process *self, int ended)
{
    if (WIFSIGNALED(ended)) {
        const char *name = sigabbrev_np(WTERMSIG(ended));
        (void)snprintf(self->how, sizeof self->how, "it was ended by signal %d (%s)",
                       WTERMSIG(ended), name != NULL ? name : "?");
    } else if (WIFEXITED(ended)) {
        (void)snprintf(self->how, sizeof self->how, "it ended with exit code %d",
                       WEXITSTATUS(ended));
    }
}

void relay_process_end(struct relay_process *self, uint64_t wait_ms)
{
    uint64_t began_ms = clock_now_ms();
    if (self->pid <= 0) {
        return;
    }
    pid_t buried = 0;
    int ended = 0;
    while ((buried = waitpid(self->pid, &ended, WNOHANG)) == 0 &&
           clock_now_ms() - began_ms < wait_ms) {
        clock_sleep_ms(LOOK_MS);
    }
    if (buried == 0) {
        (void)kill(self->pid, SIGKILL);
        while (waitpid(self->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    } else if (buried == self->pid) {
        tell_how(self, ended);
    }
    self->pid = 0;
}
