#include "proto/channel/door.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/open_files.h"
#include "proto/channel/door_inside.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, TICK_MS = 100 };

static void serve_event(struct door *self, const struct epoll_event *event, uint64_t now_ms)
{
    uint32_t slot = (uint32_t)event->data.u64 >> 1U;
    struct door_connection *connection = &self->connections[slot];
    /* An event of before may be of one that the slot belonged to. */
    if (connection->phase == DOOR_FREE ||
        (connection->number & UINT32_MAX) != event->data.u64 >> 32U) {
        return;
    }
    bool broken = (event->events & (EPOLLERR | EPOLLHUP)) != 0;
    if ((event->data.u64 & 1U) == DOOR_SIDE_INNER) {
        if ((event->events & EPOLLOUT) != 0) {
            door_flush_in(self, connection);
        }
        if (broken || (event->events & EPOLLIN) != 0) {
            door_pump_out(self, connection, now_ms);
        }
        return;
    }
    if ((event->events & EPOLLOUT) != 0) {
        door_flush_out(self, connection, now_ms);
    }
    bool unread = connection->deaf || connection->stalled || connection->to_inner.bytes != NULL;
    if (broken && unread) {
        door_end(self, connection, 0, now_ms); /* its last words cannot be read now */
    } else if (broken || (event->events & EPOLLIN) != 0) {
        (void)door_pump_in(self, connection, now_ms);
    }
}

/* The program admitted it, cut it, or took something from it. */
static void answer_call(struct door *self, uint32_t slot, uint64_t now_ms)
{
    struct door_connection *connection = &self->connections[slot];
    (void)pthread_mutex_lock(&self->lock);
    connection->called = false;
    bool cut = connection->cut;
    enum channel_reason reason = connection->cut_reason;
    (void)pthread_mutex_unlock(&self->lock);
    if (connection->phase == DOOR_FREE) {
        return;
    }
    if (connection->phase == DOOR_CLOSING) {
        door_dismiss(self, connection, now_ms);
    } else if (cut) {
        door_end(self, connection, reason, now_ms);
    } else if (connection->stalled) {
        (void)door_pump_in(self, connection, now_ms);
    }
}

static void answer_calls(struct door *self, uint64_t now_ms)
{
    uint64_t count = 0;
    ssize_t had = read(self->wake_fd, &count, sizeof count);
    (void)had; /* that there was something is known */
    for (;;) {
        (void)pthread_mutex_lock(&self->lock);
        bool all = self->look_at_all;
        self->look_at_all = false;
        bool any = self->called_count > 0;
        uint32_t slot = any ? self->called[--self->called_count] : 0;
        (void)pthread_mutex_unlock(&self->lock);
        if (any) {
            answer_call(self, slot, now_ms);
        }
        for (uint32_t i = 0; all && i < self->limits.connections_max; i++) {
            if (self->connections[i].phase == DOOR_OPEN && self->connections[i].stalled) {
                (void)door_pump_in(self, &self->connections[i], now_ms);
            }
        }
        if (!any) {
            return;
        }
    }
}

/* Everybody's last words are with the kernel. */
static bool all_said(struct door *self, uint64_t now_ms)
{
    bool any = false;
    for (uint32_t i = 0; i < self->limits.connections_max; i++) {
        struct door_connection *connection = &self->connections[i];
        if (connection->phase == DOOR_OPENING) {
            door_end(self, connection, 0, now_ms);
        }
        any = any || (connection->phase != DOOR_FREE && connection->phase != DOOR_DRAINING);
    }
    return !any;
}

/* False: the thread is to end. */
static bool tend(struct door *self, uint64_t now_ms, uint64_t *ending_ms)
{
    (void)pthread_mutex_lock(&self->lock);
    bool retired = self->retired;
    bool ending = self->ending;
    (void)pthread_mutex_unlock(&self->lock);
    if (retired && self->listen_fd >= 0) {
        door_watch_listener(self, false);
        (void)close(self->listen_fd);
        self->listen_fd = -1;
    }
    if (self->accept_again_ms <= now_ms) {
        door_watch_listener(self, true);
    }
    if (now_ms - self->tended_ms >= TICK_MS) {
        self->tended_ms = now_ms;
        door_tend(self, now_ms);
    }
    if (ending && *ending_ms == 0) {
        *ending_ms = now_ms;
    }
    return !ending || (!all_said(self, now_ms) && now_ms - *ending_ms < DOOR_END_MS_MAX);
}

static void *run(void *argument)
{
    struct door *self = argument;
    struct epoll_event events[EVENTS_MAX];
    uint64_t ending_ms = 0;
    uint64_t now_ms = clock_now_ms();
    while (tend(self, now_ms, &ending_ms)) {
        bool quiet = self->free_count == self->limits.connections_max && self->accepting;
        int count = epoll_wait(self->epoll_fd, events, EVENTS_MAX, quiet ? -1 : TICK_MS);
        now_ms = clock_now_ms();
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == DOOR_EVENT_WAKE) {
                answer_calls(self, now_ms);
            } else if (events[i].data.u64 == DOOR_EVENT_LISTENER) {
                door_accept(self, now_ms);
            } else {
                serve_event(self, &events[i], now_ms);
            }
        }
    }
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(struct door *self)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    int masked = pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&self->thread, NULL, run, self);
    if (masked == 0) {
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return result;
}

/* All but the thread. */
static enum status prepare(struct door *self)
{
    uint32_t count = self->limits.connections_max;
    self->connections = calloc(count, sizeof *self->connections);
    self->called = calloc(count, sizeof *self->called);
    self->free_slots = calloc(count, sizeof *self->free_slots);
    if (self->connections == NULL || self->called == NULL || self->free_slots == NULL ||
        door_addresses_new(&self->addresses) != STATUS_OK) {
        return fault(STATUS_OS, "no memory for %u connections", (unsigned)count);
    }
    for (uint32_t i = 0; i < count; i++) {
        self->free_slots[i] = count - 1 - i;
    }
    self->free_count = count;
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = DOOR_EVENT_WAKE};
    if (self->epoll_fd < 0 || self->wake_fd < 0 ||
        epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->wake_fd, &event) != 0) {
        return fault(STATUS_OS, "cannot watch connections: %s%s", strerror(errno),
                     open_files_advice(errno));
    }
    door_watch_listener(self, true);
    return STATUS_OK;
}

static void release(struct door *self)
{
    const int descriptors[] = {self->epoll_fd, self->wake_fd, self->listen_fd, self->spare_fd};
    for (uint32_t i = 0; self->connections != NULL && i < self->limits.connections_max; i++) {
        struct door_connection *connection = &self->connections[i];
        if (connection->phase != DOOR_FREE && connection->tcp.fd >= 0) {
            (void)close(connection->tcp.fd);
        }
        if (connection->phase != DOOR_FREE && connection->inner.fd >= 0) {
            (void)close(connection->inner.fd);
        }
        free(connection->to_inner.bytes);
        free(connection->to_tcp.bytes);
    }
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (descriptors[i] >= 0) {
            (void)close(descriptors[i]);
        }
    }
    door_addresses_free(self->addresses);
    free(self->connections);
    free(self->called);
    free(self->free_slots);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

enum status door_new(int listen_fd, const struct door_inner *inner,
                     const struct door_limits *limits, _Atomic uint64_t *counter, struct door **out)
{
    *out = NULL;
    struct door *self = calloc(1, sizeof *self);
    if (self == NULL || pthread_mutex_init(&self->lock, NULL) != 0) {
        free(self);
        return fault(STATUS_OS, "no memory for the door before the sockets");
    }
    self->limits = *limits;
    self->inner = *inner;
    self->counter = counter;
    self->listen_fd = listen_fd;
    self->epoll_fd = -1;
    self->wake_fd = -1;
    self->spare_fd = -1;
    self->oldest_unproven = DOOR_NOBODY;
    self->newest_unproven = DOOR_NOBODY;
    self->leaked_ms = clock_now_ms();
    self->tended_ms = self->leaked_ms;
    enum status status = prepare(self);
    if (status == STATUS_OK) {
        int result = start_thread(self);
        if (result != 0) {
            status = fault(STATUS_OS,
                           "no thread for the door before the sockets: %s; end other programs or "
                           "raise the limit of processes",
                           strerror(result));
        }
    }
    if (status != STATUS_OK) {
        self->listen_fd = -1;
        release(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void door_retire(struct door *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->retired = true;
    door_wake(self);
    (void)pthread_mutex_unlock(&self->lock);
}

void door_free(struct door *self)
{
    if (self == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    self->retired = true;
    self->ending = true;
    door_wake(self);
    (void)pthread_mutex_unlock(&self->lock);
    (void)pthread_join(self->thread, NULL);
    release(self);
}
