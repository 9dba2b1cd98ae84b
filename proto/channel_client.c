#include "common/fault.h"
#include "proto/channel_socket.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MONITOR_ENDPOINT "inproc://monitor"

enum {
    SOCKETS_MAX = 8,
    RECEIVE_MESSAGES_MAX = 64,
    SEND_MESSAGES_MAX = 512, /* two windows of chunks: control messages find room beside one */
    RECONNECT_MS = 100,
    RECONNECT_MS_MAX = 500,
    CONNECT_MS = 2000,
    /* One handshake may fail because the server is just ending; three in a row mean its key. */
    FAILED_HANDSHAKES_MAX = 3,
    EVENT_BYTES = 6 /* uint16 event, uint32 value */
};

struct channel_client {
    void *context;
    void *socket;
    void *monitor;
    bool draining;
    bool handshaking; /* TCP stands, CURVE does not yet */
    bool connected;
    uint64_t connections;       /* so far */
    unsigned failed_handshakes; /* since the last one that worked */
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

static enum status make_monitor(struct channel_client *self)
{
    int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
                 ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (zmq_socket_monitor(self->socket, MONITOR_ENDPOINT, events) != 0) {
        return fault(STATUS_OS, "cannot watch the connection: %s", zmq_strerror(errno));
    }
    self->monitor = zmq_socket(self->context, ZMQ_PAIR);
    if (self->monitor == NULL || zmq_connect(self->monitor, MONITOR_ENDPOINT) != 0) {
        return fault(STATUS_OS, "cannot watch the connection: %s", zmq_strerror(errno));
    }
    return channel_socket_set(self->monitor, ZMQ_LINGER, 0);
}

static enum status make_socket(struct channel_client *self, const struct join_link *link,
                               const struct identity *identity)
{
    static const struct channel_limits limits = {RECEIVE_MESSAGES_MAX, SEND_MESSAGES_MAX,
                                                 CHANNEL_CLIENT_LINGER_MS};
    const struct {
        int option;
        int value;
    } settings[] = {
        {ZMQ_RECONNECT_IVL, RECONNECT_MS},
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX},
        {ZMQ_CONNECT_TIMEOUT, CONNECT_MS},
        {ZMQ_IPV6, wants_ipv6(link->address) ? 1 : 0},
    };
    uint8_t server_key[IDENTITY_KEY_BYTES];
    if (identity_curve_of(link->coordinator_key, server_key) != STATUS_OK) {
        return fault(STATUS_USAGE, "the coordinator's key in the join link is no key; ask for a "
                                   "new link");
    }
    self->socket = zmq_socket(self->context, ZMQ_DEALER);
    if (self->socket == NULL) {
        return fault(STATUS_OS, "cannot make a socket: %s", zmq_strerror(errno));
    }
    enum status status = channel_socket_set_up(self->socket, identity, &limits);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && status == STATUS_OK; i++) {
        status = channel_socket_set(self->socket, settings[i].option, settings[i].value);
    }
    if (status == STATUS_OK &&
        zmq_setsockopt(self->socket, ZMQ_CURVE_SERVERKEY, server_key, sizeof server_key) != 0) {
        status = fault(STATUS_OS, "ZeroMQ refuses the coordinator's key: %s", zmq_strerror(errno));
    }
    return status;
}

static enum status connect_socket(struct channel_client *self, const char *address)
{
    char endpoint[LINK_ADDRESS_MAX + 8];
    (void)snprintf(endpoint, sizeof endpoint, "tcp://%s", address);
    if (zmq_connect(self->socket, endpoint) != 0) {
        return fault(STATUS_USAGE, "cannot connect to '%s': %s; check the address in the join link",
                     address, zmq_strerror(errno));
    }
    return STATUS_OK;
}

enum status channel_client_new(const struct join_link *link, const struct identity *identity,
                               struct channel_client **out)
{
    *out = NULL;
    if (memchr(link->address, '\0', sizeof link->address) == NULL ||
        strrchr(link->address, ':') == NULL) {
        return fault(STATUS_USAGE, "the address in the join link is not HOST:PORT");
    }
    struct channel_client *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the client's socket");
    }
    enum status status = STATUS_OK;
    self->context = zmq_ctx_new();
    if (self->context == NULL || zmq_ctx_set(self->context, ZMQ_MAX_SOCKETS, SOCKETS_MAX) != 0) {
        status = fault(STATUS_OS, "cannot start ZeroMQ: %s", zmq_strerror(errno));
        goto fail;
    }
    status = make_socket(self, link, identity);
    if (status != STATUS_OK) {
        goto fail;
    }
    status = make_monitor(self);
    if (status != STATUS_OK) {
        goto fail;
    }
    status = connect_socket(self, link->address);
    if (status != STATUS_OK) {
        goto fail;
    }
    *out = self;
    return STATUS_OK;
fail:
    channel_client_free(self);
    return status;
}

void channel_client_free(struct channel_client *self)
{
    if (self == NULL) {
        return;
    }
    if (self->socket != NULL) {
        (void)zmq_socket_monitor(self->socket, NULL, 0);
        (void)zmq_close(self->socket);
    }
    if (self->monitor != NULL) {
        (void)zmq_close(self->monitor);
    }
    if (self->context != NULL) {
        (void)zmq_ctx_term(self->context);
    }
    free(self);
}

static void note_event(struct channel_client *self, uint16_t event)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        self->handshaking = true;
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        self->handshaking = false;
        self->connected = true;
        self->connections++;
        self->failed_handshakes = 0;
        break;
    default: /* the connection is gone, in one of several words */
        if (self->handshaking) {
            self->failed_handshakes++;
        }
        self->handshaking = false;
        self->connected = false;
        break;
    }
}

/* Reads the socket's events; called often, so that libzmq never has to wait to tell one. */
static void read_events(struct channel_client *self)
{
    for (;;) {
        uint8_t frame[EVENT_BYTES] = {0};
        uint8_t endpoint[LINK_ADDRESS_MAX];
        uint16_t event = 0;
        if (zmq_recv(self->monitor, frame, sizeof frame, ZMQ_DONTWAIT) != EVENT_BYTES) {
            return;
        }
        (void)zmq_recv(self->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
        memcpy(&event, frame, sizeof event);
        note_event(self, event);
    }
}

enum channel_trouble channel_client_trouble(struct channel_client *self)
{
    read_events(self);
    if (self->connected) {
        return CHANNEL_FINE;
    }
    return self->failed_handshakes >= FAILED_HANDSHAKES_MAX ? CHANNEL_WRONG_KEY
                                                            : CHANNEL_CONNECTING;
}

uint64_t channel_client_connections(struct channel_client *self)
{
    read_events(self);
    return self->connections;
}

void channel_client_wait(struct channel_client *self, int wake_fd, int timeout_ms)
{
    read_events(self);
    channel_socket_wait(self->socket, wake_fd, timeout_ms);
}

enum status channel_client_receive(struct channel_client *self, struct channel_message *out)
{
    for (unsigned i = 0; i < CHANNEL_DROPS_PER_CALL_MAX; i++) {
        if (!channel_socket_drain(self->socket, &self->draining)) {
            break;
        }
        enum status status = channel_socket_receive(self->socket, out, &self->draining);
        if (status == STATUS_OK) {
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
    return channel_socket_send(self->socket, (struct channel_bytes){NULL, 0},
                               (struct channel_bytes){head, head_size_bytes},
                               (struct channel_bytes){body, body_size_bytes});
}
