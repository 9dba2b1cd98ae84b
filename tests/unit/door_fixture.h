/* door_fixture - a door on 127.0.0.1 with a plain unix socket behind it in place of libzmq's.
 *
 * The test's own thread plays the clients, libzmq and the program, so each step is in its hands. */
#ifndef DUGNAD_TESTS_UNIT_DOOR_FIXTURE_H
#define DUGNAD_TESTS_UNIT_DOOR_FIXTURE_H

#include "common/clock.h"
#include "proto/channel/door.h"
#include "proto/channel/door_framing.h"
#include "tests/unit/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000, INITIATE_BYTES = 309, READY_BYTES = 40, TICK_MS = 5 };

struct fixture {
    struct door *door;
    _Atomic uint64_t counter;
    int inner_listen;
    struct sockaddr_in address;
};

/* One connection, from all sides. */
struct line {
    int tcp;   /* the client's */
    int inner; /* libzmq's */
    struct door_ref ref;
    uint64_t serial;
};

static inline int listen_tcp(struct sockaddr_in *out)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof *out;
    memset(out, 0, sizeof *out);
    out->sin_family = AF_INET;
    out->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)out, sizeof *out), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 1024), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)out, &size), 0);
    return fd;
}

static inline void begin(struct fixture *self, const struct door_limits *limits)
{
    struct door_inner inner;
    memset(self, 0, sizeof *self);
    memset(&inner, 0, sizeof inner);
    self->inner_listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    CU_ASSERT_EQUAL_FATAL(bind(self->inner_listen, (struct sockaddr *)&any, sizeof any.sun_family),
                          0);
    CU_ASSERT_EQUAL_FATAL(listen(self->inner_listen, 1024), 0);
    inner.address_bytes = sizeof inner.address;
    CU_ASSERT_EQUAL_FATAL(
        getsockname(self->inner_listen, (struct sockaddr *)&inner.address, &inner.address_bytes),
        0);
    CU_ASSERT_EQUAL_FATAL(
        door_new(listen_tcp(&self->address), &inner, limits, &self->counter, &self->door),
        STATUS_OK);
}

static inline void end(struct fixture *self)
{
    door_free(self->door);
    (void)close(self->inner_listen);
}

static inline struct door_limits control_limits(void)
{
    struct door_limits limits;
    door_limits_default(CHANNEL_CONTROL, &limits);
    limits.counts_messages = false; /* most tests say the same bytes again and again */
    return limits;
}

/* Who is turned away at once may find the connection reset by the time that it stands. */
static inline bool is_taken(const struct fixture *self, int fd)
{
    return connect(fd, (const struct sockaddr *)&self->address, sizeof self->address) == 0 ||
           errno == ECONNRESET;
}

/* A client's connection; -1: none could be made. Its calls wait at most PATIENCE_MS. */
static inline int dial(const struct fixture *self)
{
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        !is_taken(self, fd)) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    return fd;
}

static inline bool says(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* Exactly so many bytes; into nowhere when out is NULL. */
static inline bool hears(int fd, uint8_t *out, size_t size)
{
    uint8_t spare[4096];
    for (size_t at = 0; at < size;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        size_t want = size - at;
        want = out == NULL && want > sizeof spare ? sizeof spare : want;
        if (poll(&item, 1, PATIENCE_MS) != 1) {
            return false;
        }
        ssize_t have = recv(fd, out != NULL ? out + at : spare, want, MSG_DONTWAIT);
        if (have <= 0) {
            return false;
        }
        at += (size_t)have;
    }
    return true;
}

/* Whatever it still says, the other side ends it within so many ms. */
static inline bool hears_the_end(int fd, uint64_t patience_ms)
{
    uint8_t spare[4096];
    uint64_t deadline_ms = clock_now_ms() + patience_ms;
    while (clock_now_ms() < deadline_ms) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        (void)poll(&item, 1, TICK_MS);
        ssize_t have = recv(fd, spare, sizeof spare, MSG_DONTWAIT);
        if (have == 0 || (have < 0 && errno != EAGAIN)) {
            return true;
        }
    }
    return false;
}

/* libzmq's end of the next connection that the door opens; -1: none comes. */
static inline int inner_accepts(const struct fixture *self, int patience_ms)
{
    struct pollfd item = {.fd = self->inner_listen, .events = POLLIN};
    return poll(&item, 1, patience_ms) == 1 ? accept4(self->inner_listen, NULL, NULL, SOCK_CLOEXEC)
                                            : -1;
}

/* A frame: header, then `body_bytes` of which the first are `begin`. Its length. */
static inline size_t put_frame(uint8_t *out, uint8_t flags, const char *begin_text,
                               size_t body_bytes)
{
    size_t header_bytes = (flags & 2) != 0 ? 9 : 2;
    out[0] = flags;
    for (size_t i = 1; i < header_bytes; i++) {
        out[i] = (uint8_t)(header_bytes - 1 - i < sizeof(size_t)
                               ? body_bytes >> 8 * (header_bytes - 1 - i)
                               : 0);
    }
    memset(out + header_bytes, 0, body_bytes);
    memcpy(out + header_bytes, begin_text, strlen(begin_text));
    return header_bytes + body_bytes;
}

/* Greeting and HELLO. */
static inline bool client_opens(int tcp)
{
    uint8_t bytes[DOOR_OPENING_BYTES];
    memcpy(bytes, door_greeting, DOOR_GREETING_BYTES);
    bytes[32] = 0;
    (void)put_frame(bytes + DOOR_GREETING_BYTES, 4, "\5HELLO", 200);
    return says(tcp, bytes, sizeof bytes) && hears(tcp, NULL, DOOR_GREETING_BYTES);
}

static inline bool client_initiates(int tcp)
{
    uint8_t bytes[INITIATE_BYTES];
    (void)put_frame(bytes, 6, "\x08INITIATE", 300);
    return hears(tcp, NULL, DOOR_WELCOME_BYTES) && says(tcp, bytes, sizeof bytes);
}

static inline bool inner_welcomes(int inner)
{
    uint8_t bytes[DOOR_GREETING_BYTES + DOOR_WELCOME_BYTES];
    memcpy(bytes, door_greeting, DOOR_GREETING_BYTES);
    (void)put_frame(bytes + DOOR_GREETING_BYTES, 4, "\7WELCOME", DOOR_WELCOME_BYTES - 2);
    return hears(inner, NULL, DOOR_OPENING_BYTES) && says(inner, bytes, sizeof bytes);
}

static inline bool inner_is_ready(int inner)
{
    uint8_t bytes[READY_BYTES];
    (void)put_frame(bytes, 4, "\5READY", READY_BYTES - 2);
    return hears(inner, NULL, INITIATE_BYTES) && says(inner, bytes, sizeof bytes);
}

static inline void hang_up(struct line *line)
{
    if (line->tcp >= 0) {
        (void)close(line->tcp);
    }
    if (line->inner >= 0) {
        (void)close(line->inner);
    }
    line->tcp = -1;
    line->inner = -1;
}

/* A whole handshake, and the program's match. */
static inline bool connects(struct fixture *self, struct line *out)
{
    char host[CHANNEL_HOST_MAX];
    *out = (struct line){.tcp = dial(self), .inner = -1};
    if (out->tcp < 0 || !client_opens(out->tcp)) {
        return false;
    }
    out->inner = inner_accepts(self, PATIENCE_MS);
    if (out->inner < 0 || !inner_welcomes(out->inner) || !client_initiates(out->tcp) ||
        !hears(out->inner, NULL, 1)) {
        return false;
    }
    out->serial = atomic_fetch_add(&self->counter, 1) + 1;
    uint8_t bytes[READY_BYTES];
    (void)put_frame(bytes, 4, "\5READY", READY_BYTES - 2);
    return hears(out->inner, NULL, INITIATE_BYTES - 1) && says(out->inner, bytes, sizeof bytes) &&
           hears(out->tcp, NULL, READY_BYTES) &&
           door_match(self->door, out->inner, out->serial, &out->ref, host) &&
           strcmp(host, "127.0.0.1") == 0;
}

static inline bool connects_as_member(struct fixture *self, struct line *out)
{
    if (!connects(self, out)) {
        return false;
    }
    door_admit(self->door, out->ref);
    return true;
}

/* A message of a head and a body as libzmq's CURVE sends it; its length. */
static inline size_t put_message(uint8_t *out, size_t head_bytes, size_t body_bytes)
{
    size_t size = put_frame(out, head_bytes + 33 > 255 ? 2 : 0, "\7MESSAGE", head_bytes + 33);
    return size +
           put_frame(out + size, body_bytes + 33 > 255 ? 2 : 0, "\7MESSAGE", body_bytes + 33);
}

static inline struct door_figures figures(struct fixture *self)
{
    struct door_figures out;
    door_figures_now(self->door, &out);
    return out;
}

/* Waits until the door has told of a cut for this reason. */
static inline bool tells(struct fixture *self, enum channel_reason reason,
                         struct door_incident *out)
{
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (clock_now_ms() < deadline_ms) {
        while (door_incident(self->door, out)) {
            if (out->reason == reason) {
                return true;
            }
        }
        clock_sleep_ms(TICK_MS);
    }
    return false;
}

/* Waits until so many slots are in use. */
static inline bool slots_become(struct fixture *self, uint32_t count)
{
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (figures(self).slots != count) {
        door_idle(self->door);
        if (clock_now_ms() > deadline_ms) {
            return false;
        }
        clock_sleep_ms(TICK_MS);
    }
    return true;
}

/* Memory for a test; zeroed. */
static inline uint8_t *need(size_t size_bytes)
{
    uint8_t *memory = calloc(1, size_bytes);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

#endif
