#include "proto/channel/door_inside.h"

#include <unistd.h>

enum { STRANGERS_PART = 4 }; /* of the ceiling over all, the last of so many parts is for members */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t door_window(const struct door *self, const struct door_connection *connection)
{
    return connection->admitted ? self->limits.member_flight_max : self->limits.stranger_flight_max;
}

/* A connection may have as much in flight as is free in all (dynamic thresholds: Choudhury and
 * Hahne, IEEE/ACM Trans. Networking 6(2), 1998): the fullest wait first, and something is always
 * left for those that have little. Of two bytes that are free one is for it, since what it reads is
 * not free any more. */
uint64_t door_room(const struct door *self, const struct door_connection *connection)
{
    uint64_t own_bytes = connection->flight_bytes;
    uint64_t window_bytes = door_window(self, connection);
    uint64_t ceiling = self->limits.total_flight_max;
    if (!connection->admitted) {
        ceiling -= ceiling / STRANGERS_PART;
    }
    uint64_t taken_bytes = self->flight_bytes + own_bytes;
    uint64_t shared_bytes = ceiling > taken_bytes ? (ceiling - taken_bytes) / 2 : 0;
    return window_bytes > own_bytes ? least(window_bytes - own_bytes, shared_bytes) : 0;
}

void door_flow_landed(struct door *self, struct door_connection *connection, uint64_t bytes)
{
    bytes = least(bytes, connection->flight_bytes);
    connection->flight_bytes -= bytes;
    self->flight_bytes -= bytes;
}

/* Heartbeats are queued by nobody, so this may be more than what waits. */
void door_flow_unqueued(struct door *self, struct door_connection *connection, uint64_t bytes)
{
    bytes = least(bytes, connection->queued_bytes);
    connection->queued_bytes -= bytes;
    self->queued_bytes -= bytes;
}

void door_flow_forget(struct door *self, struct door_connection *connection)
{
    door_flow_landed(self, connection, connection->flight_bytes);
    door_flow_unqueued(self, connection, connection->queued_bytes);
}

void door_wake(struct door *self)
{
    uint64_t one = 1;
    /* It cannot be full, and if it could, the thread would be awake. */
    ssize_t written = write(self->wake_fd, &one, sizeof one);
    (void)written;
}

void door_call(struct door *self, struct door_connection *connection)
{
    if (connection->called) {
        return;
    }
    connection->called = true;
    self->called[self->called_count++] = door_slot(self, connection);
    if (self->called_count == 1) {
        door_wake(self);
    }
}
