#include "coordinator/gateway/gateway.h"

#include "common/clock.h"
#include "common/fault.h"
#include "coordinator/gateway/gateway_check.h"
#include "coordinator/gateway/gateway_confine.h"
#include "coordinator/gateway/gateway_state.h"
#include "proto/channel/channel_server.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    IO_THREADS = 2, /* CURVE costs a core about 0.3 GB/s */
    START_MS_MAX = 10000,
    MESSAGES_PER_TURN = 256,
    PING_TURNS_MAX = 8, /* before a ping is answered although more is there */
    TELL_MS = 20,       /* of facts that change all the time */
    WAIT_MS = 100,
    CHUNKS_WAIT_MS = 2, /* for room, while what is said at the other port is still heard */
    END_MS_MAX = 500
};

void gateway_tell(struct gateway *self, const struct gateway_frame *frame)
{
    self->failed = self->failed || gateway_link_put(self->link, frame) != STATUS_OK;
}

static void tell_text(struct gateway *self, enum gateway_frame_type type, const char *text)
{
    size_t length = strnlen(text, GATEWAY_TEXT_MAX);
    gateway_tell(self, &(struct gateway_frame){
                           .type = type, .head = (const uint8_t *)text, .head_size_bytes = length});
}

static void tell_ready(struct gateway *self, const struct sandbox_result *confined)
{
    struct gateway_ready ready = {
        .files = confined->files, .network = confined->network, .calls = confined->calls};
    uint8_t head[GATEWAY_READY_BYTES_MIN + GATEWAY_TEXT_MAX];
    (void)snprintf(ready.missing, sizeof ready.missing, "%s", confined->missing);
    size_t head_size_bytes = gateway_ready_write(&ready, head);
    gateway_tell(self, &(struct gateway_frame){.type = GATEWAY_READY,
                                               .head = head,
                                               .head_size_bytes = head_size_bytes});
}

static enum status read_start(struct gateway *self)
{
    uint64_t began_ms = clock_now_ms();
    struct gateway_frame frame;
    enum status status = STATUS_AGAIN;
    while ((status = gateway_link_read(self->link, &frame)) == STATUS_AGAIN) {
        struct pollfd watched = {.fd = gateway_link_fd(self->link), .events = POLLIN};
        if (clock_now_ms() - began_ms > START_MS_MAX) {
            return fault(STATUS_STALE, "the coordinator says nothing");
        }
        (void)poll(&watched, 1, WAIT_MS);
    }
    if (status != STATUS_OK || frame.type != GATEWAY_START) {
        return fault(STATUS_PROTOCOL, "no coordinator is at the other end: dugnad-gateway is "
                                      "started by dugnad-coordinator serve alone");
    }
    status = identity_of_curve(frame.head, frame.head + IDENTITY_KEY_BYTES, &self->identity);
    gateway_link_wipe(self->link);
    return status;
}

static enum status watch_link(struct gateway *self)
{
    struct epoll_event event = {.events = EPOLLIN};
    self->events_fd = epoll_create1(EPOLL_CLOEXEC);
    return self->events_fd >= 0 && epoll_ctl(self->events_fd, EPOLL_CTL_ADD,
                                             gateway_link_fd(self->link), &event) == 0
               ? STATUS_OK
               : fault(STATUS_OS, "cannot wait for the coordinator: %s", strerror(errno));
}

/* A descriptor is -1 once it is a server's. */
static enum status open_ports(struct gateway *self, int listen_fds[GATEWAY_PORTS],
                              struct sandbox_result *confined)
{
    static const enum channel_use uses[GATEWAY_PORTS] = {CHANNEL_CONTROL, CHANNEL_CHUNKS};
    enum status status = read_start(self);
    if (status == STATUS_OK) {
        status = gateway_confine(confined);
    }
    if (status == STATUS_OK) {
        status = watch_link(self);
    }
    if (status == STATUS_OK) {
        status = channel_set_new(IO_THREADS, &self->set);
    }
    for (int port = 0; port < GATEWAY_PORTS && status == STATUS_OK; port++) {
        status = channel_server_new_at(self->set, uses[port], listen_fds[port], &self->identity,
                                       &self->servers[port]);
        listen_fds[port] = status == STATUS_OK ? -1 : listen_fds[port];
    }
    return status;
}

static void tell_heard(struct gateway *self, enum gateway_port port,
                       const struct channel_message *incoming)
{
    uint64_t number = gateway_outer_number(port, incoming->connection);
    struct gateway_sender sender;
    memcpy(sender.curve_key, incoming->curve_key, IDENTITY_KEY_BYTES);
    memcpy(sender.host, incoming->host, CHANNEL_HOST_MAX);
    gateway_sender_write(&sender, self->head);
    memcpy(self->head + GATEWAY_SENDER_BYTES, incoming->head, incoming->head_size_bytes);
    gateway_tell(self, &(struct gateway_frame){.type = GATEWAY_HEARD,
                                               .number = number,
                                               .head = self->head,
                                               .head_size_bytes =
                                                   GATEWAY_SENDER_BYTES + incoming->head_size_bytes,
                                               .body = incoming->body,
                                               .body_size_bytes = incoming->body_size_bytes});
}

static void cut(struct gateway *self, enum gateway_port port,
                const struct channel_message *incoming, uint64_t now_ms)
{
    struct channel_incident incident = {.reason = CHANNEL_MALFORMED,
                                        .has_key = true,
                                        .connection =
                                            gateway_outer_number(port, incoming->connection)};
    memcpy(incident.curve_key, incoming->curve_key, IDENTITY_KEY_BYTES);
    memcpy(incident.host, incoming->host, CHANNEL_HOST_MAX);
    channel_incidents_add(&self->incidents, &incident, now_ms);
    gateway_drop_line(self, incident.connection);
}

/* True: all that is there was heard. */
static bool hear(struct gateway *self, enum gateway_port port, uint64_t now_ms)
{
    /* Chunks leave room for what else there is to tell. */
    size_t most_bytes = port == GATEWAY_BULK_PORT ? GATEWAY_CHUNKS_BYTES : GATEWAY_CROWDED_BYTES;
    for (int i = 0; i < MESSAGES_PER_TURN; i++) {
        struct channel_message incoming;
        if (gateway_link_queued_bytes(self->link) >= most_bytes) {
            return false;
        }
        if (channel_server_receive(self->servers[port], &incoming) != STATUS_OK) {
            return true;
        }
        if (gateway_check_heard(&self->message, port, incoming.head, incoming.head_size_bytes,
                                incoming.body_size_bytes)) {
            tell_heard(self, port, &incoming);
        } else {
            cut(self, port, &incoming, now_ms);
        }
        channel_message_close(&incoming);
    }
    return false;
}

static void tell_incident(struct gateway *self, const struct channel_incident *incident)
{
    uint8_t head[GATEWAY_INCIDENT_BYTES];
    gateway_incident_write(incident, head);
    gateway_tell(self, &(struct gateway_frame){.type = GATEWAY_INCIDENT,
                                               .number = incident->connection,
                                               .head = head,
                                               .head_size_bytes = sizeof head});
}

static void tell_incidents(struct gateway *self, uint64_t now_ms)
{
    struct channel_incident incident;
    for (int port = 0; port < GATEWAY_PORTS; port++) {
        while (channel_server_incident(self->servers[port], &incident)) {
            if (incident.connection > 0) {
                incident.connection =
                    gateway_outer_number((enum gateway_port)port, incident.connection);
            }
            tell_incident(self, &incident);
        }
    }
    while (channel_incidents_next(&self->incidents, now_ms, &incident)) {
        tell_incident(self, &incident);
    }
}

static void answer(struct gateway *self, bool heard_all)
{
    if (self->ping != 0 && (heard_all || ++self->ping_turns >= PING_TURNS_MAX)) {
        gateway_tell(self, &(struct gateway_frame){.type = GATEWAY_PONG, .number = self->ping});
        self->ping = 0;
    }
}

static enum status turn(struct gateway *self)
{
    uint64_t now_ms = clock_now_ms();
    bool tells = now_ms - self->told_ms >= TELL_MS;
    self->told_ms = tells ? now_ms : self->told_ms;
    self->due_ms = UINT64_MAX;
    enum status status = gateway_take_orders(self, now_ms);
    gateway_send_turn(self, now_ms, tells);
    gateway_calls_turn(self, now_ms, tells);
    bool heard_all = hear(self, GATEWAY_CONTROL_PORT, now_ms);
    heard_all = hear(self, GATEWAY_BULK_PORT, now_ms) && heard_all;
    if (tells) {
        tell_incidents(self, now_ms);
    }
    answer(self, heard_all);
    (void)gateway_link_flush(self->link);
    if (status == STATUS_OK && self->failed) {
        status = fault(STATUS_STALE, "the coordinator does not listen");
    }
    return status;
}

static int wait_ms_of(const struct gateway *self)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t wait_ms = self->call_count > 0 ? TELL_MS : WAIT_MS;
    uint64_t due_ms = self->due_ms > now_ms ? self->due_ms - now_ms : 0;
    return (int)(due_ms < wait_ms ? due_ms : wait_ms);
}

/* Chunks are not heard meanwhile, or nothing is, so that nobody's message may wake us: one that
 * waits would do so again and again. */
static void wait_for_room(struct gateway *self, size_t queued_bytes)
{
    struct pollfd watched = {.fd = gateway_link_fd(self->link), .events = POLLIN | POLLOUT};
    int wait_ms = wait_ms_of(self);
    if (queued_bytes < GATEWAY_CROWDED_BYTES && wait_ms > CHUNKS_WAIT_MS) {
        wait_ms = CHUNKS_WAIT_MS;
    }
    (void)poll(&watched, 1, wait_ms);
}

static void wait_for_any(struct gateway *self)
{
    size_t queued_bytes = gateway_link_queued_bytes(self->link);
    if (queued_bytes >= GATEWAY_CHUNKS_BYTES) {
        wait_for_room(self, queued_bytes);
        return;
    }
    if (self->watches_out != (queued_bytes > 0)) {
        struct epoll_event event = {.events = EPOLLIN | (queued_bytes > 0 ? EPOLLOUT : 0U)};
        self->watches_out = queued_bytes > 0;
        (void)epoll_ctl(self->events_fd, EPOLL_CTL_MOD, gateway_link_fd(self->link), &event);
    }
    channel_set_wait(self->set, self->events_fd, wait_ms_of(self));
}

/* What the core said last still goes to the connections' queues. */
static void finish(struct gateway *self)
{
    uint64_t began_ms = clock_now_ms();
    uint64_t now_ms = began_ms;
    while (self->lines->busy != NULL && now_ms - began_ms < END_MS_MAX) {
        gateway_send_turn(self, now_ms, false);
        clock_sleep_ms(1);
        now_ms = clock_now_ms();
    }
}

static void close_all(struct gateway *self)
{
    if (self->lines != NULL) {
        gateway_lines_clear(self->lines);
    }
    while (self->call_count > 0) {
        gateway_hang_up(self, self->calls[0].number, false);
    }
    for (int port = 0; port < GATEWAY_PORTS; port++) {
        channel_server_free(self->servers[port]);
    }
    channel_set_free(self->set);
    if (self->events_fd >= 0) {
        (void)close(self->events_fd);
    }
    gateway_link_free(self->link);
    free(self->lines);
    identity_wipe(&self->identity);
    free(self);
}

static enum status serve(struct gateway *self, int listen_fds[GATEWAY_PORTS])
{
    struct sandbox_result confined = {.missing = ""};
    enum status status = open_ports(self, listen_fds, &confined);
    if (status != STATUS_OK) {
        tell_text(self, GATEWAY_FAILED, fault_text()[0] != '\0' ? fault_text() : "no memory");
        return status;
    }
    tell_ready(self, &confined);
    while ((status = turn(self)) == STATUS_OK) {
        wait_for_any(self);
    }
    if (status == STATUS_STALE && !self->failed) {
        finish(self);
        return STATUS_OK; /* the core ended the stream */
    }
    return status == STATUS_PROTOCOL ? fault(status, "the coordinator broke the rules") : status;
}

enum status gateway_serve(int link_fd, const int listen_fds[GATEWAY_PORTS])
{
    int left_fds[GATEWAY_PORTS];
    struct gateway *self = calloc(1, sizeof *self);
    if (self != NULL) {
        self->events_fd = -1;
        self->lines = calloc(1, sizeof *self->lines);
    }
    if (self == NULL || self->lines == NULL ||
        gateway_link_new(link_fd, GATEWAY_CORE, GATEWAY_QUEUE_BYTES_MAX, &self->link) !=
            STATUS_OK) {
        if (self != NULL) {
            free(self->lines);
        }
        free(self);
        return fault(STATUS_NO_MEMORY, "no memory for the gateway");
    }
    memcpy(left_fds, listen_fds, sizeof left_fds);
    enum status status = serve(self, left_fds);
    for (int port = 0; port < GATEWAY_PORTS; port++) {
        if (left_fds[port] >= 0) {
            (void)close(left_fds[port]);
        }
    }
    close_all(self);
    return status;
}
