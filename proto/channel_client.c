#include "common/check.h"
#include "common/fault.h"
#include "proto/channel_socket.h"
#include "proto/channel_tcp.h"
#include "proto/wire.h"

#include <arpa/inet.h>
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
    /* One handshake may fail because the server is just ending; three in a row mean its key. */
    FAILED_HANDSHAKES_MAX = 3
};

struct channel_client {
    struct channel_set *set;
    void *socket;
    void *monitor;
    size_t body_bytes_max;
    bool draining;
    bool handshaking; /* TCP stands, CURVE does not yet */
    bool connected;
    uint64_t connections;       /* so far */
    unsigned failed_handshakes; /* since the last one that worked */
    int fd;                     /* of the connection; -1: none */
    struct sockaddr_in6 remote;
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

/* Whether HOST is an IPv4 address or a bracketed IPv6 address: nothing that has to be looked up. */
static bool is_numeric(const char *address)
{
    char host[INET6_ADDRSTRLEN];
    uint8_t binary[sizeof(struct in6_addr)];
    size_t length = (size_t)(strrchr(address, ':') - address);
    bool ipv6 = length > 2 && address[0] == '[' && address[length - 1] == ']';
    const char *first = ipv6 ? address + 1 : address;
    length -= ipv6 ? 2 : 0;
    if (length >= sizeof host) {
        return false;
    }
    memcpy(host, first, length);
    host[length] = '\0';
    return inet_pton(ipv6 ? AF_INET6 : AF_INET, host, binary) == 1;
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
        {ZMQ_RECONNECT_IVL_MAX, use == CHANNEL_BULK ? BULK_RECONNECT_MS_MAX : RECONNECT_MS_MAX},
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
    char endpoint[LINK_ADDRESS_MAX + 8];
    (void)snprintf(endpoint, sizeof endpoint, "tcp://%s", address);
    if (zmq_connect(self->socket, endpoint) != 0) {
        return fault(STATUS_USAGE, "cannot connect to '%s': %s; check the address in the join link",
                     address, zmq_strerror(errno));
    }
    return STATUS_OK;
}

static enum status check_address(enum channel_use use, const char *address)
{
    const char *colon = strrchr(address, ':');
    if (strlen(address) >= LINK_ADDRESS_MAX || colon == NULL || colon == address) {
        return fault(STATUS_USAGE, "the address '%.100s' is not HOST:PORT", address);
    }
    if (use == CHANNEL_BULK && !is_numeric(address)) {
        return fault(STATUS_USAGE,
                     "'%.100s' is no IP address with a port; a peer that aggregates must be "
                     "announced by one",
                     address);
    }
    return STATUS_OK;
}

static void note_event(struct channel_client *self, uint16_t event, uint32_t value)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        self->handshaking = true;
        self->fd = channel_tcp_remote((int)value, &self->remote) ? (int)value : -1;
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
        self->fd = -1;
        break;
    }
}

/* Reads the socket's events; called often, so that they do not pile up. */
static void read_events(void *owner)
{
    struct channel_client *self = owner;
    uint16_t event = 0;
    uint32_t value = 0;
    while (channel_set_event(self->monitor, &event, &value)) {
        note_event(self, event, value);
    }
}

enum status channel_client_new(struct channel_set *set, enum channel_use use, const char *address,
                               const uint8_t public_key[IDENTITY_KEY_BYTES],
                               const struct identity *identity, struct channel_client **out)
{
    static const int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
                              ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                              ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    *out = NULL;
    enum status status = check_address(use, address);
    if (status != STATUS_OK) {
        return status;
    }
    struct channel_client *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the client's socket");
    }
    self->set = set;
    self->fd = -1;
    self->body_bytes_max = use == CHANNEL_BULK ? CHANNEL_BULK_BODY_MAX : WIRE_BODY_MAX;
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
    return self->failed_handshakes >= FAILED_HANDSHAKES_MAX ? CHANNEL_WRONG_KEY
                                                            : CHANNEL_CONNECTING;
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
    CHECK(body_size_bytes <= self->body_bytes_max);
    enum status status = channel_socket_send(self->socket, (struct channel_bytes){NULL, 0},
                                             (struct channel_bytes){head, head_size_bytes},
                                             (struct channel_bytes){body, body_size_bytes});
    if (status == STATUS_AGAIN) {
        channel_set_crowded(self->set);
    }
    return status;
}
