#include "proto/channel_listen.h"

#include "common/fault.h"
#include "common/open_files.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCHEME "tcp://"

/* Many peers come back at once after a restart. */
enum { HOST_MAX = 80, PORT_MAX = 65535, BACKLOG = 4096 };

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static bool is_port(const char *text)
{
    char *end = NULL;
    if (strcmp(text, "*") == 0) {
        return true;
    }
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long port = strtoul(text, &end, 10);
    return *end == '\0' && port <= PORT_MAX;
}

static enum status not_an_address(const char *listen)
{
    return fault(STATUS_USAGE,
                 "'%.100s' is not an address to listen on; write tcp://ADDRESS:PORT, for example "
                 "tcp://0.0.0.0:7700",
                 listen);
}

static enum status bind_failed(const char *listen, const char *option, int error)
{
    switch (error) {
    case EADDRINUSE:
        return fault(STATUS_UNAVAILABLE,
                     "%s is taken by another program; choose another port with %s (port 0: any "
                     "free one), or end that program",
                     listen, option);
    case EACCES:
        return fault(STATUS_UNAVAILABLE,
                     "%s is not open to this user; choose a port above 1023 with %s", listen,
                     option);
    case EADDRNOTAVAIL:
    case ENODEV:
        return fault(STATUS_UNAVAILABLE,
                     "%s is no address of this machine; choose another one with %s, for "
                     "example tcp://0.0.0.0:7700",
                     listen, option);
    case EINVAL:
        return not_an_address(listen);
    default:
        return fault(STATUS_OS, "cannot listen on %s: %s%s", listen, strerror(error),
                     open_files_advice(error));
    }
}

/* The part between the scheme and the last colon, without brackets. False: it is no address. */
static bool read_host(const char *listen, const char *colon, char out[HOST_MAX])
{
    const char *begin = listen + strlen(SCHEME);
    const char *end = colon;
    if (*begin == '[' && end - begin > 2 && end[-1] == ']') {
        begin++;
        end--;
    }
    if (end <= begin || end - begin >= HOST_MAX) {
        return false;
    }
    memcpy(out, begin, (size_t)(end - begin));
    out[end - begin] = '\0';
    return true;
}

/* 0, or an errno. Names are not looked up: an address to listen on is one of this machine. */
static int read_address(const char *host, uint16_t port, union address *out, socklen_t *out_bytes)
{
    struct addrinfo hints;
    struct addrinfo *found = NULL;
    memset(&hints, 0, sizeof hints);
    memset(out, 0, sizeof *out);
    hints.ai_flags = AI_NUMERICHOST;
    hints.ai_socktype = SOCK_STREAM;
    if (strcmp(host, "*") == 0) {
        out->ipv6.sin6_family = AF_INET6; /* all zeros: every address, IPv4 as well */
        *out_bytes = sizeof out->ipv6;
    } else {
        if (getaddrinfo(host, NULL, &hints, &found) != 0) {
            return ENODEV;
        }
        *out_bytes = found->ai_addrlen <= sizeof *out ? found->ai_addrlen : 0;
        memcpy(out, found->ai_addr, *out_bytes);
        freeaddrinfo(found);
    }
    if (out->any.sa_family == AF_INET6) {
        out->ipv6.sin6_port = htons(port);
    } else {
        out->ipv4.sin_port = htons(port);
    }
    return *out_bytes > 0 ? 0 : ENODEV;
}

/* A socket that listens, or -1 and errno. */
static int listen_there(const union address *address, socklen_t address_bytes)
{
    int on = 1;
    int off = 0;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    bool good = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                (address->any.sa_family != AF_INET6 ||
                 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
                bind(fd, &address->any, address_bytes) == 0 && listen(fd, BACKLOG) == 0;
    if (!good) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static bool read_port(int fd, uint16_t *out)
{
    union address local;
    socklen_t local_bytes = sizeof local;
    memset(&local, 0, sizeof local);
    if (getsockname(fd, &local.any, &local_bytes) != 0) {
        return false;
    }
    *out = ntohs(local.any.sa_family == AF_INET6 ? local.ipv6.sin6_port : local.ipv4.sin_port);
    return true;
}

/* *out_port is what stands behind the last colon. False: it is no address. */
static bool split(const char *listen, char out_host[HOST_MAX], const char **out_port)
{
    const char *colon = strrchr(listen, ':');
    if (strncmp(listen, SCHEME, strlen(SCHEME)) != 0 || strlen(listen) >= CHANNEL_LISTEN_MAX ||
        colon < listen + strlen(SCHEME) + 1 || !is_port(colon + 1) ||
        !read_host(listen, colon, out_host)) {
        return false;
    }
    *out_port = colon + 1;
    return true;
}

enum status channel_listen_beside(const char *listen, char out[CHANNEL_LISTEN_MAX])
{
    char host[HOST_MAX];
    const char *text = NULL;
    if (!split(listen, host, &text)) {
        return not_an_address(listen);
    }
    unsigned long port = strtoul(text, NULL, 10);
    if (port == PORT_MAX) {
        return fault(STATUS_USAGE,
                     "no port comes after that of %s; say where chunks go with --listen-bulk "
                     "tcp://ADDRESS:PORT",
                     listen);
    }
    (void)snprintf(out, CHANNEL_LISTEN_MAX, "%.*s%lu", (int)(text - listen), listen,
                   port == 0 ? 0 : port + 1);
    return STATUS_OK;
}

enum status channel_listen_at(const char *listen, const char *option, int *out_fd,
                              uint16_t *out_port)
{
    char host[HOST_MAX];
    const char *text = NULL;
    union address address;
    socklen_t address_bytes = 0;
    *out_fd = -1;
    if (!split(listen, host, &text)) {
        return not_an_address(listen);
    }
    /* "*" is 0 here: any free port. */
    uint16_t port = (uint16_t)strtoul(text, NULL, 10);
    int error = read_address(host, port, &address, &address_bytes);
    if (error != 0) {
        return bind_failed(listen, option, error);
    }
    int fd = listen_there(&address, address_bytes);
    if (fd < 0 && errno == EAFNOSUPPORT && strcmp(host, "*") == 0) {
        error = read_address("0.0.0.0", port, &address, &address_bytes);
        fd = error == 0 ? listen_there(&address, address_bytes) : -1;
    }
    if (fd < 0) {
        return bind_failed(listen, option, errno);
    }
    if (!read_port(fd, out_port)) {
        enum status status =
            fault(STATUS_OS, "cannot learn the port of %s: %s", listen, strerror(errno));
        (void)close(fd);
        return status;
    }
    *out_fd = fd;
    return STATUS_OK;
}

enum status channel_listen_on(int listen_fd, uint16_t *out_port)
{
    /* The door accepts when it was told that somebody is there; who is gone by then must not hold
     * it up. */
    int flags = fcntl(listen_fd, F_GETFL);
    if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        !read_port(listen_fd, out_port)) {
        return fault(STATUS_OS, "the listening socket cannot be used: %s", strerror(errno));
    }
    return STATUS_OK;
}
