#include "proto/channel/door_inside.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

enum {
    LEAK_EVERY_MS = 1000,
    PATIENCE_TIMES = 3,  /* as long with strangers, while the program hears nobody */
    DRAIN_MS_MAX = 10000 /* the program has not taken what it had; it is forgotten */
};

/* libzmq has read all that was forwarded. */
static bool libzmq_has_all(const struct door_connection *connection)
{
    int left_bytes = 0;
    return connection->to_inner.bytes == NULL &&
           ioctl(connection->inner.fd, SIOCOUTQ, &left_bytes) == 0 && left_bytes == 0;
}

/* What one connection is to be cut for. *out_waits: it has only been waiting for the ceiling. */
static enum channel_reason judge(struct door *self, const struct door_connection *connection,
                                 uint64_t now_ms, bool *out_waits)
{
    const struct door_limits *limits = &self->limits;
    (void)pthread_mutex_lock(&self->lock);
    bool admitted = connection->admitted;
    uint64_t stalled_ms = connection->stalled_ms;
    uint64_t idle_ms = self->idle_ms;
    *out_waits = connection->flight_bytes < door_window(self, connection);
    (void)pthread_mutex_unlock(&self->lock);
    uint64_t slow_ms = admitted ? limits->slow_member_ms_max : limits->slow_stranger_ms_max;
    uint64_t known_ms = now_ms - connection->since_ms;
    if (connection->to_tcp.bytes != NULL && now_ms - connection->waits_ms > slow_ms) {
        return CHANNEL_SLOW_READER;
    }
    if (!admitted && known_ms > limits->stranger_ms_max &&
        (idle_ms > connection->since_ms + limits->stranger_ms_max ||
         known_ms > (uint64_t)PATIENCE_TIMES * limits->stranger_ms_max)) {
        return CHANNEL_NOT_ADMITTED;
    }
    if (connection->stalled && idle_ms >= stalled_ms + limits->unfinished_ms_max &&
        libzmq_has_all(connection)) {
        return CHANNEL_UNFINISHED;
    }
    return 0;
}

/* Heartbeats are no messages: what they take is given back in time. */
static void leak(struct door *self, struct door_connection *connection, uint64_t passed_ms)
{
    (void)pthread_mutex_lock(&self->lock);
    door_flow_landed(self, connection, self->limits.leak_bytes_per_s * passed_ms / LEAK_EVERY_MS);
    (void)pthread_mutex_unlock(&self->lock);
}

static bool drained(struct door *self, const struct door_connection *connection, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&self->lock);
    bool done = connection->flight_bytes == 0 || self->idle_ms > connection->since_ms;
    (void)pthread_mutex_unlock(&self->lock);
    return done || now_ms - connection->since_ms > DRAIN_MS_MAX;
}

static void end_slow_handshakes(struct door *self, uint64_t now_ms)
{
    while (self->oldest_unproven != DOOR_NOBODY) {
        struct door_connection *connection = &self->connections[self->oldest_unproven];
        if (now_ms - connection->since_ms <= self->limits.handshake_ms_max) {
            return;
        }
        door_end(self, connection, CHANNEL_NO_KEY, now_ms);
    }
}

void door_tend(struct door *self, uint64_t now_ms)
{
    struct door_connection *longest = NULL;
    uint64_t passed_ms = now_ms - self->leaked_ms;
    bool leaks = passed_ms >= LEAK_EVERY_MS;
    self->leaked_ms = leaks ? now_ms : self->leaked_ms;
    end_slow_handshakes(self, now_ms);
    for (uint32_t slot = 0; slot < self->limits.connections_max; slot++) {
        struct door_connection *connection = &self->connections[slot];
        bool waits = false;
        if (connection->phase == DOOR_DRAINING && drained(self, connection, now_ms)) {
            door_free_slot(self, connection);
        }
        if (connection->phase == DOOR_CLOSING) {
            door_dismiss(self, connection, now_ms);
        }
        if (connection->phase != DOOR_OPEN) {
            continue;
        }
        if (leaks) {
            leak(self, connection, passed_ms);
        }
        enum channel_reason reason = judge(self, connection, now_ms, &waits);
        if (reason == CHANNEL_UNFINISHED && waits) {
            /* Others may have filled the ceiling: one is cut, and then there is room to see. */
            longest = longest == NULL || connection->stalled_ms < longest->stalled_ms ? connection
                                                                                      : longest;
        } else if (reason != 0) {
            door_end(self, connection, reason, now_ms);
        } else if (connection->stalled) {
            (void)door_pump_in(self, connection, now_ms);
        }
    }
    if (longest != NULL) {
        door_end(self, longest, CHANNEL_UNFINISHED, now_ms);
    }
}
