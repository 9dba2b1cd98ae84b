#include "proto/channel_door.h"

#include "common/fault.h"
#include "proto/channel_socket.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct connection {
    int fd;
    bool heard;
    uint64_t since_ms;
};

struct channel_door {
    void *socket;
    void *monitor;
    size_t count;
    struct connection connections[CHANNEL_BULK_CONNECTIONS_MAX];
};

enum status channel_door_new(struct channel_set *set, void *socket, struct channel_door **out)
{
    *out = NULL;
    struct channel_door *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the server's socket");
    }
    self->socket = socket;
    enum status status = channel_set_monitor(
        set, socket, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED, &self->monitor);
    if (status != STATUS_OK) {
        channel_door_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void channel_door_free(struct channel_door *self)
{
    if (self == NULL) {
        return;
    }
    (void)zmq_socket_monitor(self->socket, NULL, 0);
    if (self->monitor != NULL) {
        (void)zmq_close(self->monitor);
    }
    free(self);
}

static struct connection *find(struct channel_door *self, int fd)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->connections[i].fd == fd) {
            return &self->connections[i];
        }
    }
    return NULL;
}

static bool is_at(int fd, uint16_t port)
{
    struct sockaddr_storage local;
    socklen_t size_bytes = sizeof local;
    memset(&local, 0, sizeof local);
    if (getsockname(fd, (struct sockaddr *)&local, &size_bytes) != 0) {
        return false;
    }
    const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)(const void *)&local;
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)(const void *)&local;
    return (local.ss_family == AF_INET && ntohs(ipv4->sin_port) == port) ||
           (local.ss_family == AF_INET6 && ntohs(ipv6->sin6_port) == port);
}

/* The number may have gone to something else by now; if that is a connection at this port, it is
 * a newer one, and no harm is done: whoever is cut comes back. */
static void cut(int fd, uint16_t port)
{
    if (is_at(fd, port)) {
        (void)shutdown(fd, SHUT_RDWR);
    }
}

static void arrived(struct channel_door *self, int fd, uint16_t port, uint64_t now_ms)
{
    struct connection *connection = find(self, fd);
    if (connection == NULL && self->count < CHANNEL_BULK_CONNECTIONS_MAX) {
        connection = &self->connections[self->count++];
    }
    if (connection == NULL) {
        cut(fd, port);
        return;
    }
    *connection = (struct connection){.fd = fd, .since_ms = now_ms};
}

static void left(struct channel_door *self, int fd)
{
    struct connection *connection = find(self, fd);
    if (connection != NULL) {
        *connection = self->connections[--self->count];
    }
}

static void read_events(struct channel_door *self, uint16_t port, uint64_t now_ms)
{
    uint16_t event = 0;
    uint32_t value = 0;
    while (channel_set_event(self->monitor, &event, &value)) {
        if (event == ZMQ_EVENT_ACCEPTED) {
            arrived(self, (int)value, port, now_ms);
        } else {
            left(self, (int)value);
        }
    }
}

void channel_door_tend(struct channel_door *self, uint16_t port, uint64_t now_ms)
{
    read_events(self, port, now_ms);
    for (size_t i = 0; i < self->count; i++) {
        struct connection *connection = &self->connections[i];
        if (!connection->heard && now_ms - connection->since_ms > CHANNEL_BULK_SILENCE_MS_MAX) {
            cut(connection->fd, port); /* its end is told as an event */
        }
    }
}

void channel_door_heard(struct channel_door *self, int fd, uint16_t port, uint64_t now_ms)
{
    read_events(self, port, now_ms); /* that it came may not have been read yet */
    struct connection *connection = find(self, fd);
    if (connection != NULL) {
        connection->heard = true;
    }
}

size_t channel_door_count(const struct channel_door *self)
{
    return self->count;
}
