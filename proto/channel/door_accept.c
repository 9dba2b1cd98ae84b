#include "proto/channel/door_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    ACCEPTS_AT_ONCE = 64, /* then it is the connections' turn */
    PAUSE_MS = 100,       /* without a descriptor to spare, or memory */
    USER_TIMEOUT_MS = 60000,
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_INTERVAL_S = 10,
    NAME_RANDOM_BYTES = 16
};

/* What `watch` says; a pause asks epoll for nothing, so that a full backlog does not wake us. */
void door_watch_listener(struct door *self, bool watch)
{
    if (self->accepting == watch || self->listen_fd < 0) {
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = DOOR_EVENT_LISTENER};
    if (epoll_ctl(self->epoll_fd, watch ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, self->listen_fd, &event) ==
        0) {
        self->accepting = watch;
    }
}

static void set_up(int fd)
{
    static const struct {
        int level;
        int option;
        int value;
    } settings[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        /* A connection that is slower to notice its end is no reason to refuse it. */
        (void)setsockopt(fd, settings[i].level, settings[i].option, &settings[i].value,
                         sizeof settings[i].value);
    }
}

/* Closes at once, and leaves nothing behind for the kernel to keep. */
static void turn_away(struct door *self, int fd, const struct sockaddr_storage *remote)
{
    struct door_incident incident = {.reason = CHANNEL_CROWDED};
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    door_host_text(remote, incident.host);
    (void)pthread_mutex_lock(&self->lock);
    self->refused_count++;
    door_incidents_add(&self->incidents, &incident);
    (void)pthread_mutex_unlock(&self->lock);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(fd);
}

static void append_unproven(struct door *self, struct door_connection *connection)
{
    int32_t slot = (int32_t)door_slot(self, connection);
    connection->older = self->newest_unproven;
    connection->newer = DOOR_NOBODY;
    if (self->newest_unproven != DOOR_NOBODY) {
        self->connections[self->newest_unproven].newer = slot;
    } else {
        self->oldest_unproven = slot;
    }
    self->newest_unproven = slot;
}

static void let_in(struct door *self, int fd, const struct sockaddr_storage *remote,
                   struct door_address *address, uint64_t now_ms)
{
    struct door_connection *connection = &self->connections[self->free_slots[--self->free_count]];
    (void)pthread_mutex_lock(&self->lock);
    bool called = connection->called; /* for who had the slot before; it stays in the list */
    memset(connection, 0, sizeof *connection);
    connection->called = called;
    connection->number = atomic_fetch_add(self->counter, 1) + 1;
    connection->phase = DOOR_OPENING;
    connection->tcp.fd = fd;
    connection->inner.fd = -1;
    door_host_text(remote, connection->host);
    self->connection_count++;
    self->unproven_count++;
    self->slot_count++;
    (void)pthread_mutex_unlock(&self->lock);
    connection->address = address;
    connection->since_ms = now_ms;
    connection->heard_ms = now_ms;
    append_unproven(self, connection);
    /* As libzmq, which answers before it has read: a new socket takes this much. */
    if (send(fd, door_greeting, sizeof door_greeting, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        (ssize_t)sizeof door_greeting) {
        door_end(self, connection, 0, now_ms);
        return;
    }
    door_watch(self, connection);
}

static void welcome(struct door *self, int fd, const struct sockaddr_storage *remote,
                    uint64_t now_ms)
{
    struct door_address *address =
        self->free_count > 0 ? door_addresses_enter(self->addresses, remote, &self->limits, now_ms)
                             : NULL;
    if (address == NULL) {
        turn_away(self, fd, remote);
        return;
    }
    /* The oldest makes room: it has had the most time, and a flood that turns newcomers away
     * would turn away the honest as well. */
    if (self->unproven_count >= self->limits.unproven_max) {
        door_end(self, &self->connections[self->oldest_unproven], CHANNEL_CROWDED, now_ms);
    }
    set_up(fd);
    let_in(self, fd, remote, address, now_ms);
}

/* Without a descriptor accept() would be told of the same connection for ever: one is given up to
 * take it and close it. */
static void accept_without_files(struct door *self, uint64_t now_ms)
{
    if (self->spare_fd >= 0) {
        (void)close(self->spare_fd);
        self->spare_fd = -1;
        struct sockaddr_storage remote;
        socklen_t remote_bytes = sizeof remote;
        memset(&remote, 0, sizeof remote);
        int fd = accept4(self->listen_fd, (struct sockaddr *)&remote, &remote_bytes,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            turn_away(self, fd, &remote);
        }
        self->spare_fd = fcntl(self->wake_fd, F_DUPFD_CLOEXEC, 0);
    }
    door_watch_listener(self, false);
    self->accept_again_ms = now_ms + PAUSE_MS;
}

void door_accept(struct door *self, uint64_t now_ms)
{
    if (self->spare_fd < 0) {
        self->spare_fd = fcntl(self->wake_fd, F_DUPFD_CLOEXEC, 0);
    }
    for (unsigned i = 0; i < ACCEPTS_AT_ONCE && self->listen_fd >= 0; i++) {
        struct sockaddr_storage remote;
        socklen_t remote_bytes = sizeof remote;
        memset(&remote, 0, sizeof remote);
        int fd = accept4(self->listen_fd, (struct sockaddr *)&remote, &remote_bytes,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(self, fd, &remote, now_ms);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            accept_without_files(self, now_ms);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
        /* Everything else is the end of one newcomer. */
    }
}

/* A name for our end of the unix connection that nobody can guess and that says which connection
 * it is: libzmq's end can be asked for it. */
static socklen_t make_name(const struct door *self, struct door_connection *connection,
                           struct sockaddr_un *out)
{
    uint8_t chance[NAME_RANDOM_BYTES];
    char hex[2 * NAME_RANDOM_BYTES + 1];
    char name[DOOR_NAME_MAX];
    randombytes_buf(chance, sizeof chance);
    (void)sodium_bin2hex(hex, sizeof hex, chance, sizeof chance);
    (void)snprintf(name, sizeof name, DOOR_NAME_FORMAT "-%s", door_slot(self, connection), hex);
    size_t length = strlen(name);
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path + 1, name, length);
    memcpy(connection->name, name, sizeof connection->name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

bool door_connect_inner(struct door *self, struct door_connection *connection, uint64_t now_ms)
{
    struct sockaddr_un name;
    (void)pthread_mutex_lock(&self->lock);
    socklen_t name_bytes = make_name(self, connection, &name);
    (void)pthread_mutex_unlock(&self->lock);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* libzmq aborts where it cannot accept: a descriptor has to be left for its end as well. */
    int other_end = fcntl(self->wake_fd, F_DUPFD_CLOEXEC, 0);
    bool enough = fd >= 0 && other_end >= 0;
    if (other_end >= 0) {
        (void)close(other_end);
    }
    /* A full backlog is EAGAIN: libzmq is behind. */
    if (!enough || bind(fd, (struct sockaddr *)&name, name_bytes) != 0 ||
        connect(fd, (const struct sockaddr *)&self->inner.address, self->inner.address_bytes) !=
            0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        door_end(self, connection, CHANNEL_CROWDED, now_ms);
        return false;
    }
    connection->inner.fd = fd;
    return true;
}
