/* dugnad-gateway - owns the public ports of a coordinator, which starts it. */
#include "common/fault.h"
#include "coordinator/gateway/gateway.h"
#include "coordinator/gateway/relay_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const char help[] = "dugnad-gateway owns the public ports of a run. 'dugnad-coordinator "
                           "serve' starts it, and starts\n"
                           "another when it ends; there is nothing to be done with it by hand.\n";

/* The coordinator ends it, by closing the stream: a key pressed for both must not cut off what the
 * coordinator still has to say. */
static void ignore_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction action = {.sa_handler = SIG_IGN};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) {
        (void)sigaction(ignored[i], &action, NULL);
    }
}

static bool listens(int fd)
{
    int value = 0;
    socklen_t size_bytes = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size_bytes) == 0 && value != 0 &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* Whether the descriptors are those that a coordinator gives. */
static bool is_started_by_coordinator(const int listen_fds[GATEWAY_PORTS])
{
    int domain = 0;
    socklen_t size_bytes = sizeof domain;
    bool good =
        getsockopt(RELAY_GATEWAY_LINK_FD, SOL_SOCKET, SO_DOMAIN, &domain, &size_bytes) == 0 &&
        domain == AF_UNIX && fcntl(RELAY_GATEWAY_LINK_FD, F_SETFD, FD_CLOEXEC) == 0;
    for (int port = 0; port < GATEWAY_PORTS; port++) {
        good = good && listens(listen_fds[port]);
    }
    return good;
}

int main(int argc, char **argv)
{
    static const int listen_fds[GATEWAY_PORTS] = {RELAY_GATEWAY_LISTEN_FD,
                                                  RELAY_GATEWAY_LISTEN_FD + 1};
    if (argc > 1) {
        bool version = strcmp(argv[1], "--version") == 0;
        (void)fputs(version ? "dugnad-gateway " DUGNAD_VERSION "\n" : help, stdout);
        return version || strcmp(argv[1], "--help") == 0 ? 0 : status_exit_code(STATUS_USAGE);
    }
    if (!is_started_by_coordinator(listen_fds)) {
        return fault_report("dugnad-gateway",
                            fault(STATUS_USAGE, "'dugnad-coordinator serve' starts this program; "
                                                "it does nothing by itself"));
    }
    ignore_signals();
    if (sodium_init() < 0) {
        return fault_report("dugnad-gateway",
                            fault(STATUS_OS, "libsodium found no source of random numbers"));
    }
    enum status status = gateway_serve(RELAY_GATEWAY_LINK_FD, listen_fds);
    return status == STATUS_OK ? 0 : fault_report("dugnad-gateway", status);
}
