#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "proto/channel/channel_inflow.h"
#include "proto/channel/channel_socket.h"
#include "proto/channel/channel_tcp.h"
#include "proto/channel/door_address.h"
#include "proto/channel_address.h"
#include "proto/wire.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RECEIVE_MESSAGES_MAX = 64,
    SEND_MESSAGES_MAX = 512, /* two windows of chunks: control messages find room beside one */
    RECONNECT_MS = 100,
    RECONNECT_MS_MAX = 500,
    BULK_RECONNECT_MS_MAX = 2000, /* its work goes on without it */
    CONNECT_MS = 2000,
    /* One handshake may fail because the server is just ending; three in a row mean its key, or a
     * front that has nobody behind it: all that libzmq tells of either is that it was closed. */
    FAILED_HANDSHAKES_MAX = 3,
    REDIAL_MS = 1000,
    ENDPOINT_MAX = LINK_ADDRESS_MAX + 8
};

struct channel_client {
    struct channel_set *set;
    void *socket;
    void *monitor;
    size_t body_bytes_max;
    bool draining;
    bool handshaking; /* TCP stands, CURVE does not yet */
    bool connected;
    bool shut_out;              /* as the latest handshake said */
    uint64_t connections;       /* so far */
    unsigned failed_handshakes; /* since the last one that worked */
    int fd;                     /* of the connection; -1: none */
    struct sockaddr_in6 remote;
    struct channel_inflow inflow; /* of the connection */
    uint64_t gone_ms; /* when it went, and nobody has begun to connect again since; 0: not so */
    char endpoint[ENDPOINT_MAX];
};

/* A name that has IPv4 addresses is used by them: libzmq tries only one family, and an IPv6
 * address in the DNS does not mean that there is a way to it. */
static bool wants_ipv6(const char *address)
{
    char host[LINK_ADDRESS_MAX];
    if (address[0] == '[') {
        return true;
    }
    (void)snprintf(host, sizeof host, "%.*s", (int)(strrchr(address, ':') - address), address);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    bool ipv4 = false;
    bool ipv6 = false;
    if (getaddrinfo(host, NULL, &hints, &found) != 0) {
        return false; /* the name may come to exist later */
    }
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        ipv4 = ipv4 || at->ai_family == AF_INET;
        ipv6 = ipv6 || at->ai_family == AF_INET6;
    }
    freeaddrinfo(found);
    return ipv6 && !ipv4;
}

static enum status make_socket(struct channel_client *self, enum channel_use use,
                               const char *address, const uint8_t *public_key,
                               const struct identity *identity)
{
    const struct channel_limits limits = {RECEIVE_MESSAGES_MAX, SEND_MESSAGES_MAX,
                                          self->body_bytes_max, CHANNEL_CLIENT_LINGER_MS};
    const struct {
        int option;
        int value;
    } settings[] = {
        {ZMQ_RECONNECT_IVL, RECONNECT_MS},
        {ZMQ_RECONNECT_IVL_MAX, use == CHANNEL_CONTROL ? RECONNECT_MS_MAX : BULK_RECONNECT_MS_MAX},
        {ZMQ_CONNECT_TIMEOUT, CONNECT_MS},
        {ZMQ_IPV6, wants_ipv6(address) ? 1 : 0},
    };
    uint8_t server_key[IDENTITY_KEY_BYTES];
    if (identity_curve_of(public_key, server_key) != STATUS_OK) {
        return fault(STATUS_USAGE, "the key that belongs to '%.100s' is no key; ask for a new link",
                     address);
    }
    enum status status = channel_set_socket(self->set, ZMQ_DEALER, &self->socket);
    if (status == STATUS_OK) {
        status = channel_socket_set_up(self->socket, identity, &limits);
    }
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && status == STATUS_OK; i++) {
        status = channel_socket_set(self->socket, settings[i].option, settings[i].value);
    }
    if (status == STATUS_OK &&
        zmq_setsockopt(self->socket, ZMQ_CURVE_SERVERKEY, server_key, sizeof server_key) != 0) {
        status = fault(STATUS_OS, "ZeroMQ refuses the key that belongs to '%.100s': %s", address,
                       zmq_strerror(errno));
    }
    return status;
}

static enum status connect_socket(struct channel_client *self, const char *address)
{
    (void)snprintf(self->endpoint, sizeof self->endpoint, "tcp://%s", address);
    if (zmq_connect(self->socket, self->endpoint) != 0) {
        return fault(STATUS_USAGE, "cannot connect to '%s': %s; check the address in the join link",
                     address, zmq_strerror(errno));
    }
    return STATUS_OK;
}

static void note_event(struct channel_client *self, uint16_t event, uint32_t value)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        self->gone_ms = 0;
        self->handshaking = true;
        self->fd = channel_tcp_remote((int)value, &self->remote) ? (int)value : -1;
        self->inflow = (struct channel_inflow){0};
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        self->handshaking = false;
        self->connected = true;
        self->connections++;
        self->failed_handshakes = 0;
        self->shut_out = false;
        break;
    case ZMQ_EVENT_CONNECT_DELAYED:
    case ZMQ_EVENT_CONNECT_RETRIED:
        self->gone_ms = 0; /* it is being tried again */
        break;
    default: /* the connection is gone, in one of several words */
        self->gone_ms = clock_now_ms();
        if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
            self->shut_out = true; /* ZeroMQ tries no more */
        } else if (self->handshaking) {
            self->failed_handshakes++;
            self->shut_out = false;
        }
        self->handshaking = false;
        self->connected = false;
        self->fd = -1;
        break;
    }
}

/* libzmq connects again by itself, but not after a frame that is not what the protocol says: one
 * bit that somebody on the way has changed would end it for good. */
static void redial(struct channel_client *self)
{
    self->gone_ms = clock_now_ms(); /* once more when this fails as well */
    (void)zmq_disconnect(self->socket, self->endpoint);
    (void)zmq_connect(self->socket, self->endpoint);
}

/* Ends a connection of which more came than makes messages; what libzmq keeps of it is freed. */
static void check_inflow(struct channel_client *self)
{
    int events = 0;
    size_t events_bytes = sizeof events;
    /* Before what waits is known: what was read until now is a whole message, or part of one. */
    uint64_t read_bytes = channel_tcp_read_bytes(self->fd, &self->remote);
    if (read_bytes <= CHANNEL_INFLOW_FREE_BYTES ||
        zmq_getsockopt(self->socket, ZMQ_EVENTS, &events, &events_bytes) != 0) {
        return;
    }
    unsigned message_count =
        CHANNEL_INFLOW_MESSAGES + ((events & ZMQ_POLLIN) != 0 ? (unsigned)RECEIVE_MESSAGES_MAX : 0);
    if (channel_inflow_exceeds(&self->inflow, read_bytes,
                               channel_inflow_message_bytes(WIRE_HEAD_MAX, self->body_bytes_max),
                               message_count, clock_now_ms())) {
        (void)zmq_disconnect(self->socket, self->endpoint);
        self->connected = false;
        self->fd = -1;
        self->gone_ms = clock_now_ms(); /* another one after a while, as when it breaks */
    }
}

static void take_events(struct channel_client *self)
{
    uint16_t event = 0;
    uint32_t value = 0;
    while (channel_set_event(self->monitor, &event, &value)) {
        note_event(self, event, value);
    }
}

/* Reads the socket's events; called often, so that they do not pile up. */
static void read_events(void *owner)
{
    struct channel_client *self = owner;
    take_events(self);
    if (self->gone_ms != 0 && clock_now_ms() - self->gone_ms > REDIAL_MS) {
        redial(self);
    }
    if (self->connected) {
        check_inflow(self);
    }
}

enum status channel_client_new(struct channel_set *set, enum channel_use use, const char *address,
                               const uint8_t public_key[IDENTITY_KEY_BYTES],
                               const struct identity *identity, struct channel_client **out)
{
    /* Not HANDSHAKE_FAILED_PROTOCOL: libzmq 4.3.4 tells it of any bad frame before it looks at
     * errno again, which the telling has changed. It then keeps the connection, and aborts the
     * process at the next bytes. */
    static const int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
                              ZMQ_EVENT_CONNECT_DELAYED | ZMQ_EVENT_CONNECT_RETRIED |
                              ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                              ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    *out = NULL;
    enum status status = channel_address_check(use, address);
    if (status != STATUS_OK) {
        return status;
    }
    struct channel_client *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the client's socket");
    }
    self->set = set;
    self->fd = -1;
    self->body_bytes_max = use == CHANNEL_CONTROL ? WIRE_BODY_MAX : CHANNEL_BULK_BODY_MAX;
    status = make_socket(self, use, address, public_key, identity);
    if (status == STATUS_OK) {
        status = channel_set_monitor(set, self->socket, events, &self->monitor);
    }
    if (status == STATUS_OK) {
        status = channel_set_add(set, self->socket, self, read_events);
    }
    if (status == STATUS_OK) {
        status = connect_socket(self, address);
    }
    if (status != STATUS_OK) {
        channel_client_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void channel_client_free(struct channel_client *self)
{
    if (self == NULL) {
        return;
    }
    channel_set_remove(self->set, self);
    if (self->socket != NULL) {
        (void)zmq_socket_monitor(self->socket, NULL, 0);
        (void)zmq_close(self->socket);
    }
    if (self->monitor != NULL) {
        (void)zmq_close(self->monitor);
    }
    free(self);
}

void channel_client_drop(struct channel_client *self)
{
    int at_once = 0;
    if (self != NULL) {
        (void)zmq_setsockopt(self->socket, ZMQ_LINGER, &at_once, sizeof at_once);
        channel_client_free(self);
    }
}

enum channel_trouble channel_client_trouble(struct channel_client *self)
{
    read_events(self);
    if (self->connected) {
        return CHANNEL_FINE;
    }
    return self->shut_out                                     ? CHANNEL_SHUT_OUT
           : self->failed_handshakes >= FAILED_HANDSHAKES_MAX ? CHANNEL_WRONG_KEY
                                                              : CHANNEL_CONNECTING;
}

void channel_client_host(struct channel_client *self, char out[CHANNEL_HOST_MAX])
{
    struct sockaddr_storage remote = {.ss_family = AF_UNSPEC};
    read_events(self);
    memcpy(&remote, &self->remote, sizeof self->remote);
    door_host_text(&remote, out);
}

uint64_t channel_client_connections(struct channel_client *self)
{
    read_events(self);
    return self->connections;
}

uint64_t channel_client_delivered_bytes(struct channel_client *self)
{
    read_events(self);
    return channel_tcp_delivered_bytes(self->fd, &self->remote);
}

enum status channel_client_receive(struct channel_client *self, struct channel_message *out)
{
    take_events(self); /* what comes now is of the connection that stands now */
    for (unsigned i = 0; i < CHANNEL_DROPS_PER_CALL_MAX; i++) {
        if (!channel_socket_drain(self->socket, &self->draining)) {
            break;
        }
        enum status status = channel_socket_receive(self->socket, out, &self->draining);
        if (status == STATUS_OK) {
            channel_inflow_take(&self->inflow, out->head_size_bytes, out->body_size_bytes);
            return STATUS_OK;
        }
        channel_message_close(out);
        if (status == STATUS_AGAIN) {
            return STATUS_AGAIN;
        }
    }
    return STATUS_AGAIN;
}

enum status channel_client_send(struct channel_client *self, const uint8_t *head,
                                size_t head_size_bytes, const uint8_t *body, size_t body_size_bytes)
{
    CHECK(body_size_bytes <= self->body_bytes_max);
    enum status status = channel_socket_send(self->socket, (struct channel_bytes){NULL, 0},
                                             (struct channel_bytes){head, head_size_bytes},
                                             (struct channel_bytes){body, body_size_bytes});
    if (status == STATUS_AGAIN) {
        channel_set_crowded(self->set);
    }
    return status;
}
