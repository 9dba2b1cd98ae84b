/* What the program's thread asks of a door. */
#include "common/clock.h"
#include "proto/channel/door_inside.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stddef.h>
#include <string.h>

enum { SLOT_DIGITS = 8 };

/* Lock held. */
static struct door_connection *find(struct door *self, struct door_ref ref)
{
    return ref.number != 0 && ref.slot < self->limits.connections_max &&
                   self->connections[ref.slot].number == ref.number
               ? &self->connections[ref.slot]
               : NULL;
}

/* The connection that has this name; NULL: none. Lock held. */
static struct door_connection *find_name(struct door *self, const char *name)
{
    static const size_t begin_bytes = sizeof DOOR_NAME_BEGIN - 1;
    uint8_t slot_bytes[SLOT_DIGITS / 2];
    size_t have = 0;
    if (strncmp(name, DOOR_NAME_BEGIN, begin_bytes) != 0 ||
        strlen(name) < begin_bytes + SLOT_DIGITS ||
        sodium_hex2bin(slot_bytes, sizeof slot_bytes, name + begin_bytes, SLOT_DIGITS, NULL, &have,
                       NULL) != 0 ||
        have != sizeof slot_bytes) {
        return NULL;
    }
    uint32_t slot = 0;
    for (size_t i = 0; i < sizeof slot_bytes; i++) {
        slot = slot << 8U | slot_bytes[i];
    }
    return slot < self->limits.connections_max && strcmp(self->connections[slot].name, name) == 0
               ? &self->connections[slot]
               : NULL;
}

bool door_match(struct door *self, int fd, uint64_t serial, struct door_ref *out,
                char host[CHANNEL_HOST_MAX])
{
    struct sockaddr_un remote;
    socklen_t remote_bytes = sizeof remote;
    char name[DOOR_NAME_MAX] = "";
    memset(&remote, 0, sizeof remote);
    *out = (struct door_ref){0};
    host[0] = '\0';
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&remote, &remote_bytes) != 0 ||
        remote.sun_family != AF_UNIX ||
        remote_bytes <= offsetof(struct sockaddr_un, sun_path) + 1 ||
        remote_bytes > sizeof remote) {
        return false;
    }
    size_t name_bytes = remote_bytes - offsetof(struct sockaddr_un, sun_path) - 1;
    if (remote.sun_path[0] != '\0' || name_bytes >= sizeof name) {
        return false;
    }
    memcpy(name, remote.sun_path + 1, name_bytes);
    (void)pthread_mutex_lock(&self->lock);
    struct door_connection *connection = find_name(self, name);
    /* Whoever had this descriptor before closed it before libzmq could greet this connection, and
     * so before this one's INITIATE went on: the serial of that key is not larger. */
    bool good = connection != NULL && connection->number != 0 && connection->serial == 0 &&
                connection->phase >= DOOR_READY && serial > connection->initiate_serial;
    if (good) {
        connection->serial = serial;
        *out = (struct door_ref){connection->number, door_slot(self, connection)};
        memcpy(host, connection->host, CHANNEL_HOST_MAX);
        if (connection->phase == DOOR_CLOSING) {
            door_call(self, connection); /* it was kept for this */
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    return good;
}

void door_admit(struct door *self, struct door_ref ref)
{
    (void)pthread_mutex_lock(&self->lock);
    struct door_connection *connection = find(self, ref);
    if (connection != NULL) {
        connection->admitted = true;
        door_call(self, connection);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

/* Lock held. */
static void cut(struct door *self, struct door_connection *connection, enum channel_reason reason)
{
    if (!connection->cut) {
        connection->cut = true;
        connection->cut_reason = reason;
        door_call(self, connection);
    }
    if (connection->tcp.fd >= 0) {
        (void)shutdown(connection->tcp.fd, SHUT_RDWR); /* the thread may take a while to come by */
    }
}

void door_cut(struct door *self, struct door_ref ref)
{
    (void)pthread_mutex_lock(&self->lock);
    struct door_connection *connection = find(self, ref);
    if (connection != NULL) {
        cut(self, connection, 0);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

void door_cut_silent(struct door *self)
{
    (void)pthread_mutex_lock(&self->lock);
    for (uint32_t i = 0; i < self->limits.connections_max; i++) {
        struct door_connection *connection = &self->connections[i];
        if (connection->phase >= DOOR_READY && connection->serial == 0 && connection->tcp.fd >= 0) {
            cut(self, connection, 0);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
}

bool door_stands(struct door *self, struct door_ref ref)
{
    (void)pthread_mutex_lock(&self->lock);
    const struct door_connection *connection = find(self, ref);
    bool stands = connection != NULL && connection->tcp.fd >= 0 && !connection->cut;
    (void)pthread_mutex_unlock(&self->lock);
    return stands;
}

/* Lock held. */
static void call_if_room(struct door *self, struct door_connection *connection)
{
    /* Not for every few bytes; and less than what a window has beyond the largest message. */
    if (connection->stalled &&
        door_room(self, connection) >= door_window(self, connection) / DOOR_ROOM_AGAIN_PART) {
        door_call(self, connection);
    }
    if (self->ceiling_hit && self->flight_bytes < self->limits.total_flight_max / 2) {
        self->ceiling_hit = false;
        self->look_at_all = true;
        door_wake(self);
    }
}

bool door_taken(struct door *self, struct door_ref ref, size_t head_size_bytes,
                size_t body_size_bytes)
{
    bool good = true;
    uint64_t now_ms = clock_now_ms();
    (void)pthread_mutex_lock(&self->lock);
    struct door_connection *connection = find(self, ref);
    if (connection != NULL) {
        door_flow_landed(self, connection,
                         door_frame_bytes(head_size_bytes) + door_frame_bytes(body_size_bytes) +
                             (uint64_t)2 * DOOR_FRAME_COST);
        connection->stalled_ms = now_ms;
        call_if_room(self, connection);
        good = body_size_bytes > self->limits.small_body_max ||
               door_bucket_take(&connection->small_messages, self->limits.small_messages_per_s,
                                self->limits.small_messages_burst, now_ms);
        if (!good) {
            cut(self, connection, CHANNEL_TOO_FAST);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    return good;
}

void door_idle(struct door *self)
{
    uint64_t now_ms = clock_now_ms();
    (void)pthread_mutex_lock(&self->lock);
    self->idle_ms = now_ms;
    (void)pthread_mutex_unlock(&self->lock);
}

static uint64_t message_bytes(size_t head_size_bytes, size_t body_size_bytes)
{
    return door_frame_bytes(head_size_bytes) + door_frame_bytes(body_size_bytes);
}

enum status door_reserve(struct door *self, struct door_ref ref, size_t head_size_bytes,
                         size_t body_size_bytes)
{
    enum status status = STATUS_STALE;
    (void)pthread_mutex_lock(&self->lock);
    struct door_connection *connection = find(self, ref);
    if (connection != NULL && connection->tcp.fd >= 0 && !connection->cut) {
        const struct door_limits *limits = &self->limits;
        uint64_t most = body_size_bytes > 0 ? limits->queued_body_max : limits->queued_head_max;
        /* As with what comes in: whoever has most queued waits first. */
        uint64_t left = limits->total_queued_max > self->queued_bytes
                            ? limits->total_queued_max - self->queued_bytes
                            : 0;
        status = connection->queued_bytes < most && connection->queued_bytes < left ? STATUS_OK
                                                                                    : STATUS_AGAIN;
        if (status == STATUS_OK) {
            uint64_t bytes = message_bytes(head_size_bytes, body_size_bytes);
            connection->queued_bytes += bytes;
            self->queued_bytes += bytes;
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    return status;
}

void door_release(struct door *self, struct door_ref ref, size_t head_size_bytes,
                  size_t body_size_bytes)
{
    (void)pthread_mutex_lock(&self->lock);
    struct door_connection *connection = find(self, ref);
    if (connection != NULL) {
        door_flow_unqueued(self, connection, message_bytes(head_size_bytes, body_size_bytes));
    }
    (void)pthread_mutex_unlock(&self->lock);
}

static struct tcp_info tcp_info_of(struct door *self, struct door_ref ref)
{
    struct tcp_info info;
    socklen_t size_bytes = sizeof info;
    memset(&info, 0, sizeof info); /* an older kernel fills in less */
    (void)pthread_mutex_lock(&self->lock);
    struct door_connection *connection = find(self, ref);
    if (connection != NULL && connection->tcp.fd >= 0 &&
        getsockopt(connection->tcp.fd, IPPROTO_TCP, TCP_INFO, &info, &size_bytes) != 0) {
        memset(&info, 0, sizeof info);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return info;
}

uint64_t door_delivered_bytes(struct door *self, struct door_ref ref)
{
    return tcp_info_of(self, ref).tcpi_bytes_acked;
}

uint64_t door_received_bytes(struct door *self, struct door_ref ref)
{
    return tcp_info_of(self, ref).tcpi_bytes_received;
}

bool door_incident(struct door *self, struct door_incident *out)
{
    (void)pthread_mutex_lock(&self->lock);
    bool found = door_incidents_next(&self->incidents, out);
    (void)pthread_mutex_unlock(&self->lock);
    return found;
}

void door_figures_now(struct door *self, struct door_figures *out)
{
    (void)pthread_mutex_lock(&self->lock);
    *out = (struct door_figures){
        .connections = self->connection_count,
        .unproven = self->unproven_count,
        .slots = self->slot_count,
        .flight_bytes = self->flight_bytes,
        .queued_bytes = self->queued_bytes,
        .refused = self->refused_count,
    };
    (void)pthread_mutex_unlock(&self->lock);
}
