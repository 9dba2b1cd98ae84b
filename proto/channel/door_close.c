#include "proto/channel/door_inside.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    SILENCE_MS = 5000,
    MATCH_MS_MAX = 2000 /* for the program to read what a client said that is gone already */
};

static void unwatch(struct door *self, struct door_line *line)
{
    if (line->events != 0) {
        (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, line->fd, NULL);
        line->events = 0;
    }
}

static void forget_rest(struct door_rest *rest)
{
    free(rest->bytes);
    *rest = (struct door_rest){0};
}

static void remove_unproven(struct door *self, struct door_connection *connection)
{
    if (connection->older != DOOR_NOBODY) {
        self->connections[connection->older].newer = connection->newer;
    } else {
        self->oldest_unproven = connection->newer;
    }
    if (connection->newer != DOOR_NOBODY) {
        self->connections[connection->newer].older = connection->older;
    } else {
        self->newest_unproven = connection->older;
    }
}

void door_proved(struct door *self, struct door_connection *connection, uint64_t now_ms)
{
    remove_unproven(self, connection);
    door_address_proven(connection->address);
    connection->proven = true;
    connection->since_ms = now_ms;
    (void)pthread_mutex_lock(&self->lock);
    connection->phase = DOOR_OPEN;
    self->unproven_count--;
    (void)pthread_mutex_unlock(&self->lock);
}

void door_free_slot(struct door *self, struct door_connection *connection)
{
    (void)pthread_mutex_lock(&self->lock);
    door_flow_forget(self, connection);
    connection->number = 0;
    connection->phase = DOOR_FREE;
    connection->name[0] = '\0';
    self->slot_count--;
    (void)pthread_mutex_unlock(&self->lock);
    self->free_slots[self->free_count++] = door_slot(self, connection);
}

/* TCP is gone, and so is libzmq's end; but of what it had, the program may not have seen all. */
static void drain(struct door *self, struct door_connection *connection, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&self->lock);
    connection->phase = DOOR_DRAINING;
    bool empty = connection->flight_bytes == 0;
    (void)pthread_mutex_unlock(&self->lock);
    connection->since_ms = now_ms;
    if (empty) {
        door_free_slot(self, connection);
    }
}

static void close_tcp(struct door *self, struct door_connection *connection,
                      enum channel_reason reason)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (reason != 0) {
        /* What the kernel keeps for it goes at once. */
        (void)setsockopt(connection->tcp.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    unwatch(self, &connection->tcp);
    (void)pthread_mutex_lock(&self->lock);
    (void)close(connection->tcp.fd);
    connection->tcp.fd = -1;
    self->connection_count--;
    self->unproven_count -= connection->proven ? 0 : 1;
    if (reason != 0) {
        struct door_incident incident = {.reason = reason, .serial = connection->serial};
        memcpy(incident.host, connection->host, sizeof incident.host);
        door_incidents_add(&self->incidents, &incident);
    }
    door_flow_unqueued(self, connection, connection->queued_bytes);
    (void)pthread_mutex_unlock(&self->lock);
    if (!connection->proven) {
        remove_unproven(self, connection);
    }
    door_address_leave(connection->address, connection->proven);
    connection->address = NULL;
}

/* Its descriptor at the other end is counted until libzmq has closed it: this one will tell. */
static void dismiss(struct door_connection *connection)
{
    (void)shutdown(connection->inner.fd, SHUT_WR);
    connection->dismissed = true;
}

void door_end(struct door *self, struct door_connection *connection, enum channel_reason reason,
              uint64_t now_ms)
{
    if (connection->tcp.fd < 0) {
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    if (reason == 0 && connection->cut) {
        reason = connection->cut_reason; /* its end was seen before the call that tells why */
    }
    (void)pthread_mutex_unlock(&self->lock);
    close_tcp(self, connection, reason);
    forget_rest(&connection->to_inner);
    forget_rest(&connection->to_tcp);
    if (connection->inner.fd < 0) {
        drain(self, connection, now_ms);
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    bool spoke = reason == 0 && !connection->cut && connection->serial == 0 &&
                 connection->phase == DOOR_OPEN && connection->flight_bytes > 0;
    connection->phase = DOOR_CLOSING;
    (void)pthread_mutex_unlock(&self->lock);
    connection->since_ms = now_ms;
    door_watch(self, connection);
    if (!spoke) {
        dismiss(connection);
    }
}

void door_dismiss(struct door *self, struct door_connection *connection, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&self->lock);
    bool done = connection->serial != 0 || connection->flight_bytes == 0 || self->ending;
    (void)pthread_mutex_unlock(&self->lock);
    if (!connection->dismissed && (done || now_ms - connection->since_ms > MATCH_MS_MAX)) {
        dismiss(connection);
    }
}

/* Why libzmq may have closed: it tells nobody. */
static enum channel_reason reason_of(const struct door_connection *connection, bool retired,
                                     uint64_t now_ms)
{
    if (retired) {
        return 0;
    }
    if (!connection->proven) {
        return CHANNEL_NO_KEY;
    }
    /* Else it was silent for longer than its heartbeats allow. */
    return now_ms - connection->heard_ms < SILENCE_MS ? CHANNEL_MALFORMED : 0;
}

void door_inner_ended(struct door *self, struct door_connection *connection, uint64_t now_ms)
{
    unwatch(self, &connection->inner);
    (void)close(connection->inner.fd);
    connection->inner.fd = -1;
    connection->inner_closed = true;
    forget_rest(&connection->to_inner);
    if (connection->phase == DOOR_CLOSING) {
        drain(self, connection, now_ms);
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    bool retired = self->retired;
    (void)pthread_mutex_unlock(&self->lock);
    enum channel_reason reason = reason_of(connection, retired, now_ms);
    if (reason != 0 || connection->to_tcp.bytes == NULL) {
        door_end(self, connection, reason, now_ms);
        return;
    }
    door_watch(self, connection); /* what it said last goes out first */
}
