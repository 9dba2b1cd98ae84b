#include "proto/channel/door_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    WELCOME_BODY_MAX = 256,
    SERVER_COMMAND_MAX = 1024, /* READY and ERROR */
    PROGRESS_BYTES = 16 * 1024 /* a reader that takes less in all its time is a slow one */
};

static void ask(struct door *self, struct door_connection *connection, enum door_side side,
                uint32_t events)
{
    struct door_line *line = side == DOOR_SIDE_TCP ? &connection->tcp : &connection->inner;
    if (line->fd < 0 || line->events == events) {
        return;
    }
    struct epoll_event event = {.events = events};
    event.data.u64 = (connection->number & UINT32_MAX) << 32U |
                     (uint64_t)door_slot(self, connection) << 1U | (uint64_t)side;
    /* Without any the descriptor is taken out: its end would be told again and again. */
    int operation = line->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(self->epoll_fd, operation, line->fd, &event) == 0) {
        line->events = events;
    }
}

void door_watch(struct door *self, struct door_connection *connection)
{
    bool reads = !connection->deaf && !connection->stalled && connection->to_inner.bytes == NULL;
    bool hears = connection->to_tcp.bytes == NULL;
    ask(self, connection, DOOR_SIDE_TCP, (reads ? EPOLLIN : 0U) | (hears ? 0U : EPOLLOUT));
    ask(self, connection, DOOR_SIDE_INNER,
        (hears ? EPOLLIN : 0U) | (connection->to_inner.bytes != NULL ? EPOLLOUT : 0U));
}

static bool later(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* Sends what can be sent and keeps the rest. Below 0: the line is broken, or there is no memory;
 * else how many bytes went out. */
static ssize_t send_or_keep(int fd, const uint8_t *bytes, size_t size_bytes, struct door_rest *rest)
{
    ssize_t sent = send(fd, bytes, size_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        if (!later()) {
            return -1;
        }
        sent = 0;
    }
    if ((size_t)sent < size_bytes) {
        size_t left_bytes = size_bytes - (size_t)sent;
        rest->bytes = malloc(left_bytes);
        if (rest->bytes == NULL) {
            return -1;
        }
        memcpy(rest->bytes, bytes + sent, left_bytes);
        rest->at = 0;
        rest->size_bytes = left_bytes;
    }
    return sent;
}

/* As send_or_keep, of what was kept. */
static ssize_t send_rest(int fd, struct door_rest *rest)
{
    ssize_t sent =
        send(fd, rest->bytes + rest->at, rest->size_bytes - rest->at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        return later() ? 0 : -1;
    }
    rest->at += (size_t)sent;
    if (rest->at == rest->size_bytes) {
        free(rest->bytes);
        *rest = (struct door_rest){0};
    }
    return sent;
}

static void say_inner(struct door *self, struct door_connection *connection, const uint8_t *bytes,
                      size_t size_bytes)
{
    connection->deaf =
        send_or_keep(connection->inner.fd, bytes, size_bytes, &connection->to_inner) < 0;
    door_watch(self, connection);
}

static void set_phase(struct door *self, struct door_connection *connection, enum door_phase phase)
{
    (void)pthread_mutex_lock(&self->lock);
    connection->phase = phase;
    if (phase == DOOR_READY) {
        connection->initiate_serial = atomic_load(self->counter);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

/* The greeting and the HELLO: libzmq hears of it only when both are there. */
static void read_opening(struct door *self, struct door_connection *connection,
                         const uint8_t *bytes, size_t size_bytes, uint64_t now_ms)
{
    memcpy(connection->opening + connection->opening_count, bytes, size_bytes);
    connection->opening_count += size_bytes;
    if (door_opening_check(connection->opening, connection->opening_count) != STATUS_OK) {
        door_end(self, connection, CHANNEL_MALFORMED, now_ms);
        return;
    }
    if (connection->opening_count == DOOR_OPENING_BYTES &&
        door_connect_inner(self, connection, now_ms)) {
        set_phase(self, connection, DOOR_WELCOME);
        say_inner(self, connection, connection->opening, DOOR_OPENING_BYTES);
    }
}

static enum channel_reason reason_of(enum status status)
{
    return status == STATUS_OUT_OF_RANGE ? CHANNEL_OVERSIZE : CHANNEL_MALFORMED;
}

static void read_initiate(struct door *self, struct door_connection *connection,
                          const uint8_t *bytes, size_t size_bytes, uint64_t now_ms)
{
    size_t used = 0;
    struct door_command *command = &connection->client_command;
    enum status status =
        door_command_read(command, bytes, size_bytes, self->limits.initiate_bytes_max, &used);
    if (status == STATUS_OK && used < size_bytes) {
        status = STATUS_PROTOCOL; /* it speaks before it is answered */
    }
    if (status == STATUS_OK && door_command_whole(command)) {
        if (!door_command_is(command, "INITIATE") || command->total_bytes < DOOR_INITIATE_MIN) {
            status = STATUS_PROTOCOL;
        } else {
            set_phase(self, connection, DOOR_READY); /* before libzmq can check the key */
        }
    }
    if (status != STATUS_OK) {
        door_end(self, connection, reason_of(status), now_ms);
        return;
    }
    say_inner(self, connection, bytes, size_bytes);
}

static void forward_in(struct door *self, struct door_connection *connection, const uint8_t *bytes,
                       size_t size_bytes, uint64_t now_ms)
{
    struct door_frames frames;
    (void)pthread_mutex_lock(&self->lock);
    uint64_t window_bytes = door_window(self, connection);
    (void)pthread_mutex_unlock(&self->lock);
    uint64_t body_max =
        window_bytes < self->limits.frame_body_max ? window_bytes : self->limits.frame_body_max;
    connection->framing.counts = self->limits.counts_messages;
    enum status status =
        door_framing_read(&connection->framing, bytes, size_bytes, body_max, &frames);
    if (status != STATUS_OK) {
        door_end(self, connection, reason_of(status), now_ms);
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    connection->flight_bytes += frames.cost_bytes;
    self->flight_bytes += frames.cost_bytes;
    (void)pthread_mutex_unlock(&self->lock);
    say_inner(self, connection, bytes, size_bytes);
}

/* How much may be read from a client now. */
static size_t readable(struct door *self, struct door_connection *connection, uint64_t now_ms)
{
    if (connection->phase == DOOR_OPENING) {
        return DOOR_OPENING_BYTES - connection->opening_count;
    }
    if (connection->phase != DOOR_OPEN) {
        return self->limits.initiate_bytes_max;
    }
    (void)pthread_mutex_lock(&self->lock);
    uint64_t room = door_room(self, connection);
    if (room == 0 && !connection->full) {
        connection->stalled_ms = now_ms;
    }
    /* What leaks is room for a few bytes, each second: no reason to wait anew. */
    connection->full = room == 0 || (connection->full &&
                                     room < door_window(self, connection) / DOOR_ROOM_AGAIN_PART);
    connection->stalled = room == 0;
    self->ceiling_hit = self->ceiling_hit ||
                        (room == 0 && connection->flight_bytes < door_window(self, connection));
    (void)pthread_mutex_unlock(&self->lock);
    return room < sizeof self->scratch ? (size_t)room : sizeof self->scratch;
}

bool door_pump_in(struct door *self, struct door_connection *connection, uint64_t now_ms)
{
    if (connection->tcp.fd < 0 || connection->deaf || connection->to_inner.bytes != NULL) {
        return false;
    }
    size_t most = readable(self, connection, now_ms);
    if (most == 0) {
        door_watch(self, connection);
        return false;
    }
    ssize_t have = recv(connection->tcp.fd, self->scratch, most, MSG_DONTWAIT);
    if (have < 0 && later()) {
        door_watch(self, connection);
        return false;
    }
    if (have <= 0) {
        door_end(self, connection, 0, now_ms);
        return false;
    }
    connection->heard_ms = now_ms;
    switch (connection->phase) {
    case DOOR_OPENING:
        read_opening(self, connection, self->scratch, (size_t)have, now_ms);
        break;
    case DOOR_INITIATE:
        read_initiate(self, connection, self->scratch, (size_t)have, now_ms);
        break;
    case DOOR_OPEN:
        forward_in(self, connection, self->scratch, (size_t)have, now_ms);
        break;
    case DOOR_WELCOME:
    case DOOR_READY: /* it speaks before it is answered */
    case DOOR_FREE:
    case DOOR_CLOSING:
    case DOOR_DRAINING:
        door_end(self, connection, CHANNEL_MALFORMED, now_ms);
        break;
    }
    return true;
}

/* Nothing can be sent to a client any more; what it said last may still be there to be read. */
static void end_after_last_words(struct door *self, struct door_connection *connection,
                                 uint64_t now_ms)
{
    while (connection->phase == DOOR_OPEN && door_pump_in(self, connection, now_ms)) {
    }
    door_end(self, connection, 0, now_ms);
}

/* Reads what libzmq answers to a handshake: which of it the client may see begins at *out_from,
 * because the door has greeted already. Errors: PROTOCOL. */
static enum status read_answer(struct door *self, struct door_connection *connection,
                               const uint8_t *bytes, size_t size_bytes, size_t *out_from,
                               uint64_t now_ms)
{
    size_t greeting_left = DOOR_GREETING_BYTES - connection->server_greeting_bytes;
    size_t at = size_bytes < greeting_left ? size_bytes : greeting_left;
    connection->server_greeting_bytes += at;
    *out_from = at;
    while (at < size_bytes && connection->phase < DOOR_OPEN) {
        size_t used = 0;
        struct door_command *command = &connection->server_command;
        if (door_command_read(command, bytes + at, size_bytes - at, SERVER_COMMAND_MAX, &used) !=
            STATUS_OK) {
            return STATUS_PROTOCOL;
        }
        at += used;
        if (!door_command_whole(command)) {
            break;
        }
        if (connection->phase == DOOR_WELCOME && door_command_is(command, "WELCOME")) {
            set_phase(self, connection, DOOR_INITIATE);
        } else if (connection->phase == DOOR_READY && door_command_is(command, "READY")) {
            door_proved(self, connection, now_ms);
        }
        *command = (struct door_command){0};
    }
    return STATUS_OK;
}

/* What goes to the client is taken, whether by the kernel or into the rest. */
static void sent_out(struct door *self, struct door_connection *connection, ssize_t sent,
                     uint64_t now_ms)
{
    connection->progress_bytes += (uint64_t)sent;
    if (connection->to_tcp.bytes == NULL || connection->waits_ms == 0 ||
        connection->progress_bytes >= PROGRESS_BYTES) {
        connection->waits_ms = now_ms;
        connection->progress_bytes = 0;
    }
    if (connection->phase == DOOR_OPEN && sent > 0) {
        (void)pthread_mutex_lock(&self->lock);
        door_flow_unqueued(self, connection, (uint64_t)sent);
        (void)pthread_mutex_unlock(&self->lock);
    }
}

void door_pump_out(struct door *self, struct door_connection *connection, uint64_t now_ms)
{
    if (connection->inner.fd < 0 || connection->to_tcp.bytes != NULL) {
        return;
    }
    ssize_t have = recv(connection->inner.fd, self->scratch, sizeof self->scratch, MSG_DONTWAIT);
    if (have < 0 && later()) {
        return;
    }
    if (have <= 0) {
        door_inner_ended(self, connection, now_ms);
        return;
    }
    if (connection->tcp.fd < 0) {
        return; /* nobody hears it any more */
    }
    size_t from = 0;
    if (connection->phase < DOOR_OPEN &&
        read_answer(self, connection, self->scratch, (size_t)have, &from, now_ms) != STATUS_OK) {
        door_end(self, connection, CHANNEL_NO_KEY, now_ms);
        return;
    }
    if (from < (size_t)have) {
        connection->waits_ms = 0;
        ssize_t sent = send_or_keep(connection->tcp.fd, self->scratch + from, (size_t)have - from,
                                    &connection->to_tcp);
        if (sent < 0) {
            end_after_last_words(self, connection, now_ms);
            return;
        }
        sent_out(self, connection, sent, now_ms);
    }
    door_watch(self, connection);
}

void door_flush_in(struct door *self, struct door_connection *connection)
{
    if (connection->to_inner.bytes == NULL || connection->inner.fd < 0) {
        return;
    }
    if (send_rest(connection->inner.fd, &connection->to_inner) < 0) {
        connection->deaf = true;
        free(connection->to_inner.bytes);
        connection->to_inner = (struct door_rest){0};
    }
    door_watch(self, connection);
}

void door_flush_out(struct door *self, struct door_connection *connection, uint64_t now_ms)
{
    if (connection->to_tcp.bytes == NULL || connection->tcp.fd < 0) {
        return;
    }
    ssize_t sent = send_rest(connection->tcp.fd, &connection->to_tcp);
    if (sent < 0) {
        end_after_last_words(self, connection, now_ms);
        return;
    }
    if (connection->to_tcp.bytes == NULL && connection->inner_closed) {
        door_end(self, connection, 0, now_ms);
        return;
    }
    sent_out(self, connection, sent, now_ms);
    door_watch(self, connection);
}
