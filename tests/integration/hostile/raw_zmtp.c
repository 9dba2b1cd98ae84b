#include "tests/integration/hostile/raw_zmtp.h"

#include "common/clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGEST_SMALL = 255, CONNECT_MS = 5000, SIZE_BYTES = 8, MECHANISM_AT = 12, SERVER_AT = 32 };

static const uint32_t source_net = 0x7F010000; /* 127.1.0.0 */

static int wait_for(int fd, short events, uint64_t deadline_ms)
{
    uint64_t now_ms = clock_now_ms();
    struct pollfd item = {.fd = fd, .events = events};
    int left_ms = now_ms < deadline_ms ? (int)(deadline_ms - now_ms) : 0;
    return poll(&item, 1, left_ms);
}

int raw_connect(const struct sockaddr_in *address, unsigned source)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (source > 0) {
        struct sockaddr_in from = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(source_net + source)};
        /* The port is chosen at connect(), where each address has all of them. */
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, (const struct sockaddr *)&from, sizeof from) != 0) {
            (void)close(fd);
            return -1;
        }
    }
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
        errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool raw_open(const struct sockaddr_in *address, unsigned source, struct raw_socket *out)
{
    int error = 0;
    socklen_t error_bytes = sizeof error;
    *out = (struct raw_socket){.fd = raw_connect(address, source)};
    if (out->fd < 0) {
        return false;
    }
    out->in = malloc(RAW_FRAME_MAX + RAW_HEADER_MAX);
    if (out->in == NULL || wait_for(out->fd, POLLOUT, clock_now_ms() + CONNECT_MS) != 1 ||
        getsockopt(out->fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) != 0 || error != 0) {
        raw_close(out);
        return false;
    }
    return true;
}

void raw_close(struct raw_socket *self)
{
    if (self->fd >= 0) {
        (void)close(self->fd);
    }
    free(self->in);
    *self = (struct raw_socket){.fd = -1};
}

enum raw_result raw_send(struct raw_socket *self, const void *data, size_t size_bytes,
                         uint64_t deadline_ms, size_t *out_sent)
{
    const uint8_t *bytes = data;
    size_t sent = 0;
    enum raw_result result = RAW_OK;
    while (sent < size_bytes && result == RAW_OK) {
        ssize_t count = send(self->fd, bytes + sent, size_bytes - sent, MSG_NOSIGNAL);
        if (count > 0) {
            sent += (size_t)count;
        } else if (errno != EAGAIN && errno != EINTR) {
            result = RAW_CUT;
        } else if (wait_for(self->fd, POLLOUT, deadline_ms) == 0) {
            result = RAW_LATE;
        }
    }
    if (out_sent != NULL) {
        *out_sent = sent;
    }
    return result;
}

/* Reads on until `count` bytes wait. */
static enum raw_result fill(struct raw_socket *self, size_t count, uint64_t deadline_ms)
{
    while (self->in_count < count) {
        ssize_t got = recv(self->fd, self->in + self->in_count,
                           RAW_FRAME_MAX + RAW_HEADER_MAX - self->in_count, 0);
        if (got > 0) {
            self->in_count += (size_t)got;
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return RAW_CUT;
        } else if (wait_for(self->fd, POLLIN, deadline_ms) == 0) {
            return RAW_LATE;
        }
    }
    return RAW_OK;
}

static void take(struct raw_socket *self)
{
    self->in_count -= self->in_used;
    memmove(self->in, self->in + self->in_used, self->in_count);
    self->in_used = 0;
}

enum raw_result raw_read(struct raw_socket *self, uint8_t *out, size_t size_bytes,
                         uint64_t deadline_ms)
{
    take(self);
    enum raw_result result = fill(self, size_bytes, deadline_ms);
    if (result == RAW_OK) {
        memcpy(out, self->in, size_bytes);
        self->in_used = size_bytes;
    }
    return result;
}

enum raw_result raw_read_frame(struct raw_socket *self, uint64_t deadline_ms, struct raw_frame *out)
{
    take(self);
    enum raw_result result = fill(self, 2, deadline_ms);
    size_t header_bytes = 2;
    uint64_t size_bytes = result == RAW_OK ? self->in[1] : 0;
    if (result == RAW_OK && (self->in[0] & RAW_LARGE) != 0) {
        header_bytes = RAW_HEADER_MAX;
        result = fill(self, header_bytes, deadline_ms);
        size_bytes = 0;
        for (size_t i = 1; i < header_bytes && result == RAW_OK; i++) {
            size_bytes = size_bytes << 8U | self->in[i];
        }
    }
    if (result == RAW_OK && size_bytes > RAW_FRAME_MAX) {
        result = RAW_BAD;
    }
    if (result == RAW_OK) {
        result = fill(self, header_bytes + (size_t)size_bytes, deadline_ms);
    }
    if (result == RAW_OK) {
        *out = (struct raw_frame){self->in[0], self->in + header_bytes, (size_t)size_bytes};
        self->in_used = header_bytes + (size_t)size_bytes;
    }
    return result;
}

enum raw_result raw_await_cut(struct raw_socket *self, uint64_t deadline_ms)
{
    enum raw_result result = RAW_OK;
    while (result == RAW_OK) {
        self->in_count = 0;
        self->in_used = 0;
        result = fill(self, 1, deadline_ms);
    }
    return result;
}

void raw_greeting(const char *mechanism, bool as_server, uint8_t out[RAW_GREETING_BYTES])
{
    static const uint8_t start[MECHANISM_AT] = {0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1};
    memset(out, 0, RAW_GREETING_BYTES);
    memcpy(out, start, sizeof start);
    memcpy(out + MECHANISM_AT, mechanism, strlen(mechanism));
    out[SERVER_AT] = as_server ? 1 : 0;
}

size_t raw_header(uint8_t flags, uint64_t size_bytes, uint8_t out[RAW_HEADER_MAX])
{
    if (size_bytes <= LARGEST_SMALL && (flags & RAW_LARGE) == 0) {
        out[0] = flags;
        out[1] = (uint8_t)size_bytes;
        return 2;
    }
    out[0] = flags | RAW_LARGE;
    for (unsigned i = 0; i < SIZE_BYTES; i++) {
        out[1 + i] = (uint8_t)(size_bytes >> (8U * (SIZE_BYTES - 1U - i)));
    }
    return RAW_HEADER_MAX;
}
