#include "proto/channel/channel_set.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/open_files.h"
#include "proto/channel/channel_socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOCKETS_PER_ENDPOINT = 3, /* its own, and two for its events */
    SOCKETS_MAX = SOCKETS_PER_ENDPOINT * CHANNEL_ENDPOINTS_MAX + 8,
    CROWDED_MS = 2,
    IO_THREADS_MAX = 16,
    DOORS_MAX = 8,
    FILES_NEEDED = 8, /* libzmq opens two for each thread, and as many with the first socket */
    ENDPOINT_BYTES_MAX = 300,
    EVENT_BYTES = 6 /* uint16 event, uint32 value */
};

struct member {
    void *owner;
    void (*tend)(void *owner);
};

struct channel_set {
    void *context;
    struct zap *zap;        /* NULL: no server yet */
    uint64_t monitor_count; /* so far, for their names */
    bool crowded;           /* a send was told AGAIN since the last wait */
    size_t door_count;
    struct door *doors[DOORS_MAX]; /* of servers that were freed, the latest last */
    size_t count;
    struct member members[CHANNEL_ENDPOINTS_MAX];
    zmq_pollitem_t items[CHANNEL_ENDPOINTS_MAX + 1]; /* of the members, and wake_fd */
};

enum status channel_set_new(int io_thread_count, struct channel_set **out)
{
    *out = NULL;
    CHECK(io_thread_count > 0 && io_thread_count <= IO_THREADS_MAX);
    enum status status = open_files_prepare(FILES_NEEDED + 2 * (unsigned)io_thread_count);
    if (status != STATUS_OK) {
        return status;
    }
    struct channel_set *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the sockets");
    }
    self->context = zmq_ctx_new();
    if (self->context == NULL || zmq_ctx_set(self->context, ZMQ_IO_THREADS, io_thread_count) != 0 ||
        zmq_ctx_set(self->context, ZMQ_MAX_SOCKETS, SOCKETS_MAX) != 0) {
        status = fault(STATUS_OS, "cannot start ZeroMQ: %s", zmq_strerror(errno));
        channel_set_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void channel_set_free(struct channel_set *self)
{
    if (self == NULL) {
        return;
    }
    CHECK(self->count == 0);
    if (self->context != NULL) {
        (void)zmq_ctx_shutdown(self->context); /* ends the ZAP thread */
        zap_free(self->zap);
        while (zmq_ctx_term(self->context) != 0 && errno == EINTR) {
        }
    }
    for (size_t i = 0; i < self->door_count; i++) {
        door_free(self->doors[i]);
    }
    free(self);
}

enum status channel_set_socket(struct channel_set *self, int type, void **out)
{
    *out = zmq_socket(self->context, type);
    if (*out == NULL) {
        return fault(STATUS_OS, "cannot make a socket: %s%s", zmq_strerror(errno),
                     open_files_advice(errno));
    }
    return STATUS_OK;
}

enum status channel_set_check_keys(struct channel_set *self)
{
    return self->zap != NULL ? STATUS_OK : zap_new(self->context, &self->zap);
}

struct zap *channel_set_zap(struct channel_set *self)
{
    return self->zap;
}

enum status channel_set_monitor(struct channel_set *self, void *socket, int events, void **out)
{
    char name[CHANNEL_MONITOR_NAME_MAX];
    *out = NULL;
    (void)snprintf(name, sizeof name, "inproc://events-%" PRIu64, self->monitor_count++);
    if (zmq_socket_monitor(socket, name, events) != 0) {
        return fault(STATUS_OS, "cannot watch the connection: %s%s", zmq_strerror(errno),
                     open_files_advice(errno));
    }
    enum status status = channel_set_socket(self, ZMQ_PAIR, out);
    if (status == STATUS_OK) {
        status = channel_socket_set(*out, ZMQ_LINGER, 0);
    }
    /* Without a limit: the thread that tells an event waits for room, and whoever then ended the
     * monitor would wait for the thread. */
    if (status == STATUS_OK) {
        status = channel_socket_set(*out, ZMQ_RCVHWM, 0);
    }
    if (status == STATUS_OK && zmq_connect(*out, name) != 0) {
        status = fault(STATUS_OS, "cannot watch the connection: %s", zmq_strerror(errno));
    }
    if (status != STATUS_OK && *out != NULL) {
        (void)zmq_close(*out);
        *out = NULL;
    }
    return status;
}

bool channel_set_event(void *monitor, uint16_t *out_event, uint32_t *out_value)
{
    uint8_t frame[EVENT_BYTES] = {0};
    uint8_t endpoint[ENDPOINT_BYTES_MAX];
    if (zmq_recv(monitor, frame, sizeof frame, ZMQ_DONTWAIT) != EVENT_BYTES) {
        return false;
    }
    (void)zmq_recv(monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
    memcpy(out_event, frame, sizeof *out_event);
    memcpy(out_value, frame + sizeof *out_event, sizeof *out_value);
    return true;
}

enum status channel_set_add(struct channel_set *self, void *socket, void *owner,
                            void (*tend)(void *owner))
{
    if (self->count == CHANNEL_ENDPOINTS_MAX) {
        return fault(STATUS_FULL, "more than %d connections are asked for at once",
                     CHANNEL_ENDPOINTS_MAX);
    }
    self->members[self->count] = (struct member){owner, tend};
    self->items[self->count] =
        (zmq_pollitem_t){.socket = socket, .fd = -1, .events = ZMQ_POLLIN, .revents = 0};
    self->count++;
    return STATUS_OK;
}

void channel_set_remove(struct channel_set *self, const void *owner)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->members[i].owner == owner) {
            self->count--;
            self->members[i] = self->members[self->count];
            self->items[i] = self->items[self->count];
            return;
        }
    }
}

void channel_set_keep_door(struct channel_set *self, struct door *door)
{
    door_retire(door);
    if (self->door_count == DOORS_MAX) {
        door_free(self->doors[0]);
        self->door_count--;
        memmove(self->doors, self->doors + 1, self->door_count * sizeof(struct door *));
    }
    self->doors[self->door_count++] = door;
}

void channel_set_crowded(struct channel_set *self)
{
    self->crowded = true;
}

void channel_set_wait(struct channel_set *self, int wake_fd, int timeout_ms)
{
    for (size_t i = 0; i < self->count; i++) {
        self->members[i].tend(self->members[i].owner);
    }
    if (self->crowded && (timeout_ms < 0 || timeout_ms > CROWDED_MS)) {
        timeout_ms = CROWDED_MS;
    }
    self->crowded = false;
    self->items[self->count] =
        (zmq_pollitem_t){.socket = NULL, .fd = wake_fd, .events = ZMQ_POLLIN, .revents = 0};
    /* Whatever ends the wait, the caller looks at everything next. */
    (void)zmq_poll(self->items, (int)self->count + (wake_fd >= 0 ? 1 : 0), timeout_ms);
}
