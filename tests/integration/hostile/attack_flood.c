/* Connections that never prove a key, as many at once as the server lets stand; or that come and go
 * as fast as they can (mode storm). */
#include "common/clock.h"
#include "tests/integration/hostile/attack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPEN_MAX = 19000, EVENTS_MAX = 512, BATCH = 256, FDS_MAX = 20000, WAIT_MS = 20 };

struct flood {
    struct attack *attack;
    int epoll;
    bool storms;
    bool greets;
    uint64_t began_ms;
    uint64_t opened_ms[FDS_MAX]; /* of each descriptor; 0: not open */
    bool greeted[FDS_MAX];
    uint64_t started;
    uint64_t connected;
    uint64_t failed; /* could not even be begun: this machine's own limits */
    uint64_t open;
    uint64_t open_max;
    uint64_t held_ms_max;
};

static void ends(struct flood *self, int fd)
{
    uint64_t held_ms = clock_now_ms() - self->opened_ms[fd];
    self->held_ms_max = held_ms > self->held_ms_max ? held_ms : self->held_ms_max;
    self->opened_ms[fd] = 0;
    self->open--;
    (void)close(fd);
}

static void starts(struct flood *self)
{
    int fd = raw_connect(&self->attack->address, attack_source(self->attack, self->started));
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.fd = fd};
    self->started++;
    if (fd < 0 || fd >= FDS_MAX || epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        self->failed++;
        if (fd >= 0) {
            (void)close(fd);
        }
        return;
    }
    self->opened_ms[fd] = clock_now_ms();
    self->greeted[fd] = false;
    self->open++;
    self->open_max = self->open > self->open_max ? self->open : self->open_max;
}

/* The first time that it can be written to it is connected. */
static void is_connected(struct flood *self, int fd)
{
    uint8_t greeting[RAW_GREETING_BYTES];
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
    self->greeted[fd] = true;
    self->connected++;
    if (self->storms) {
        struct linger reset = {.l_onoff = 1};
        if (self->connected % 2 == 0) {
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        }
        ends(self, fd);
        return;
    }
    if (self->greets) {
        raw_greeting("CURVE", false, greeting);
        (void)send(fd, greeting, sizeof greeting, MSG_NOSIGNAL);
    }
    (void)epoll_ctl(self->epoll, EPOLL_CTL_MOD, fd, &event);
}

static void hears(struct flood *self, const struct epoll_event *event)
{
    uint8_t bytes[256];
    int fd = event->data.fd;
    if ((event->events & (EPOLLERR | EPOLLHUP)) != 0) {
        ends(self, fd);
        return;
    }
    if ((event->events & EPOLLOUT) != 0 && !self->greeted[fd]) {
        is_connected(self, fd);
    }
    if (self->opened_ms[fd] != 0 && (event->events & (EPOLLIN | EPOLLRDHUP)) != 0) {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            ends(self, fd);
        }
    }
}

/* Connections are begun evenly over the duration, so that they meet many steps of the run. */
static uint64_t due(const struct flood *self, uint64_t now_ms)
{
    const struct attack *attack = self->attack;
    uint64_t passed_ms = now_ms - self->began_ms;
    return passed_ms >= attack->duration_ms ? attack->count
                                            : attack->count * passed_ms / attack->duration_ms + 1;
}

bool attack_flood(struct attack *attack)
{
    enum { PATIENCE_MS = 15000 };
    struct epoll_event events[EVENTS_MAX];
    struct flood *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return false;
    }
    self->attack = attack;
    self->storms = strcmp(attack->mode, "storm") == 0;
    self->greets = strcmp(attack->mode, "greeting") == 0;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    self->began_ms = clock_now_ms();
    uint64_t end_ms = self->began_ms + attack->duration_ms + PATIENCE_MS;
    while ((self->started < attack->count || self->open > 0) && clock_now_ms() < end_ms) {
        uint64_t until = due(self, clock_now_ms());
        for (int i = 0; i < BATCH && self->started < until && self->open < OPEN_MAX; i++) {
            starts(self);
        }
        int count = epoll_wait(self->epoll, events, EVENTS_MAX, WAIT_MS);
        for (int i = 0; i < count; i++) {
            hears(self, &events[i]);
        }
    }
    report_begin(attack);
    report_number("started", self->started);
    report_number("connected", self->connected);
    report_number("failed", self->failed);
    report_number("open_max", self->open_max);
    report_number("uncut", self->open);
    report_number("held_ms_max", self->open > 0 ? ATTACK_NEVER_MS : self->held_ms_max);
    report_end();
    bool made = self->started - self->failed > 0;
    (void)close(self->epoll);
    free(self);
    return made;
}
