#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "proto/channel_door.h"
#include "proto/channel_socket.h"
#include "proto/channel_table.h"
#include "proto/channel_tcp.h"
#include "proto/wire.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ZAP_DOMAIN "dugnad"
/* RFC 27; zmq.h names them among the drafts only. */
#define PROPERTY_USER_ID "User-Id"
#define PROPERTY_PEER_ADDRESS "Peer-Address"
#define IPV4_IN_IPV6 "::ffff:"

enum {
    OPTION_ZAP_ENFORCE_DOMAIN = 93, /* in libzmq 4.3, though its name is behind a draft macro */
    BACKLOG = 4096,
    RECEIVE_MESSAGES_MAX = 16,
    SEND_MESSAGES_MAX = 512, /* two windows of chunks: control messages find room beside one */
    ENDPOINT_MAX = 300,
    PORT_MAX = 65535
};

struct channel_server {
    struct channel_set *set;
    void *socket;
    struct channel_table *table;
    struct channel_door *door; /* NULL: everybody may come and stay */
    size_t body_bytes_max;
    uint64_t dropped_count;
    uint16_t port;
    bool draining;
};

static bool is_port(const char *text)
{
    char *end = NULL;
    if (strcmp(text, "*") == 0) {
        return true;
    }
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long port = strtoul(text, &end, 10);
    return *end == '\0' && port <= PORT_MAX;
}

static enum status not_an_address(const char *listen)
{
    return fault(STATUS_USAGE,
                 "'%.100s' is not an address to listen on; write tcp://ADDRESS:PORT, for example "
                 "tcp://0.0.0.0:7700",
                 listen);
}

static enum status bind_failed(const char *listen, int error)
{
    switch (error) {
    case EADDRINUSE:
        return fault(STATUS_UNAVAILABLE,
                     "%s is taken by another program; choose another port with --listen "
                     "tcp://ADDRESS:PORT (port 0: any free one), or end that program",
                     listen);
    case EACCES:
        return fault(STATUS_UNAVAILABLE,
                     "%s is not open to this user; choose a port above 1023 with --listen", listen);
    case EADDRNOTAVAIL:
    case ENODEV:
        return fault(STATUS_UNAVAILABLE,
                     "%s is no address of this machine; choose another one with --listen, for "
                     "example tcp://0.0.0.0:7700",
                     listen);
    case EINVAL:
        return not_an_address(listen);
    default:
        return fault(STATUS_OS, "cannot listen on %s: %s", listen, zmq_strerror(error));
    }
}

static enum status bind_socket(struct channel_server *self, const char *listen)
{
    const char *colon = strrchr(listen, ':');
    if (strncmp(listen, "tcp://", 6) != 0 || strlen(listen) >= ENDPOINT_MAX || colon < listen + 7 ||
        !is_port(colon + 1)) {
        return not_an_address(listen);
    }
    if (zmq_bind(self->socket, listen) != 0) {
        return bind_failed(listen, errno);
    }
    char endpoint[ENDPOINT_MAX] = "";
    size_t endpoint_bytes = sizeof endpoint;
    if (zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_bytes) != 0 ||
        strrchr(endpoint, ':') == NULL) {
        return fault(STATUS_OS, "cannot learn the port of %s: %s", listen, zmq_strerror(errno));
    }
    self->port = (uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10);
    return STATUS_OK;
}

static enum status make_socket(struct channel_server *self, const struct identity *identity)
{
    const struct channel_limits limits = {RECEIVE_MESSAGES_MAX, SEND_MESSAGES_MAX,
                                          self->body_bytes_max, CHANNEL_SERVER_LINGER_MS};
    static const struct {
        int option;
        int value;
    } settings[] = {
        {ZMQ_CURVE_SERVER, 1},    {OPTION_ZAP_ENFORCE_DOMAIN, 1}, {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_ROUTER_HANDOVER, 0}, {ZMQ_BACKLOG, BACKLOG},         {ZMQ_IPV6, 1},
    };
    enum status status = channel_set_socket(self->set, ZMQ_ROUTER, &self->socket);
    if (status == STATUS_OK) {
        status = channel_socket_set_up(self->socket, identity, &limits);
    }
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && status == STATUS_OK; i++) {
        status = channel_socket_set(self->socket, settings[i].option, settings[i].value);
    }
    if (status == STATUS_OK &&
        zmq_setsockopt(self->socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) != 0) {
        status = fault(STATUS_OS, "cannot check keys: %s", zmq_strerror(errno));
    }
    return status;
}

static void tend(void *owner)
{
    struct channel_server *self = owner;
    if (self->door != NULL) {
        channel_door_tend(self->door, self->port, clock_now_ms());
    }
}

enum status channel_server_new(struct channel_set *set, enum channel_use use, const char *listen,
                               const struct identity *identity, struct channel_server **out)
{
    *out = NULL;
    struct channel_server *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the server's socket");
    }
    self->set = set;
    self->body_bytes_max = use == CHANNEL_BULK ? CHANNEL_BULK_BODY_MAX : WIRE_BODY_MAX;
    enum status status = channel_table_new(&self->table);
    if (status == STATUS_OK) {
        status = channel_set_check_keys(set); /* before anybody can connect */
    }
    if (status == STATUS_OK) {
        status = make_socket(self, identity);
    }
    if (status == STATUS_OK && use == CHANNEL_BULK) {
        status = channel_door_new(set, self->socket, &self->door);
    }
    if (status == STATUS_OK) {
        status = channel_set_add(set, self->socket, self, tend);
    }
    if (status == STATUS_OK) {
        status = bind_socket(self, listen);
    }
    if (status != STATUS_OK) {
        channel_server_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void channel_server_free(struct channel_server *self)
{
    if (self == NULL) {
        return;
    }
    channel_set_remove(self->set, self);
    channel_door_free(self->door);
    if (self->socket != NULL) {
        (void)zmq_close(self->socket);
    }
    channel_table_free(self->table);
    free(self);
}

uint16_t channel_server_port(const struct channel_server *self)
{
    return self->port;
}

uint64_t channel_server_dropped(const struct channel_server *self)
{
    return self->dropped_count;
}

/* The key that the connection's handshake proved. libzmq 4.3.4 may lose the metadata of a
 * message's first frame, so this reads that of the head; without it there is no sender. */
static bool read_key(zmq_msg_t *head, uint8_t out[IDENTITY_KEY_BYTES])
{
    const char *hex = zmq_msg_gets(head, PROPERTY_USER_ID);
    size_t size_bytes = 0;
    return hex != NULL && strlen(hex) == (size_t)2 * IDENTITY_KEY_BYTES &&
           sodium_hex2bin(out, IDENTITY_KEY_BYTES, hex, (size_t)2 * IDENTITY_KEY_BYTES, NULL,
                          &size_bytes, NULL) == 0 &&
           size_bytes == IDENTITY_KEY_BYTES;
}

/* As in HOST:PORT. An address with a scope means something on one machine's link alone. */
static void read_host(zmq_msg_t *head, char out[CHANNEL_HOST_MAX])
{
    const char *address = zmq_msg_gets(head, PROPERTY_PEER_ADDRESS);
    out[0] = '\0';
    if (address == NULL || strlen(address) + 2 >= CHANNEL_HOST_MAX ||
        strchr(address, '%') != NULL) {
        return;
    }
    if (strncmp(address, IPV4_IN_IPV6, strlen(IPV4_IN_IPV6)) == 0 && strchr(address, '.') != NULL) {
        address += strlen(IPV4_IN_IPV6);
    }
    (void)snprintf(out, CHANNEL_HOST_MAX, strchr(address, ':') != NULL ? "[%s]" : "%s", address);
}

static void remember(struct channel_server *self, const struct channel_message *message,
                     const uint8_t routing_id[CHANNEL_ROUTING_ID_BYTES], int fd)
{
    struct channel_connection *connection = channel_table_touch(self->table, message->curve_key);
    if (connection->fd != fd ||
        memcmp(connection->routing_id, routing_id, CHANNEL_ROUTING_ID_BYTES) != 0) {
        memcpy(connection->routing_id, routing_id, CHANNEL_ROUTING_ID_BYTES);
        connection->fd = channel_tcp_remote(fd, &connection->remote) ? fd : -1;
    }
}

/* Receives one message. Errors: AGAIN; PROTOCOL: it was bad, is dropped and its connection cut. */
static enum status receive_one(struct channel_server *self, struct channel_message *out)
{
    zmq_msg_t routing;
    uint8_t routing_id[CHANNEL_ROUTING_ID_BYTES] = {0};
    (void)zmq_msg_init(&routing);
    if (zmq_msg_recv(&routing, self->socket, ZMQ_DONTWAIT) < 0) {
        (void)zmq_msg_close(&routing);
        return STATUS_AGAIN;
    }
    /* Our clients let the server choose; who brings an id of its own wants somebody else's. */
    const uint8_t *id = zmq_msg_data(&routing);
    bool good = zmq_msg_size(&routing) == sizeof routing_id && id[0] == 0;
    if (good) {
        memcpy(routing_id, id, sizeof routing_id);
    }
    (void)zmq_msg_close(&routing);
    enum status status = channel_socket_receive(self->socket, out, &self->draining);
    zmq_msg_t *head = &channel_frames_of(out)->head;
    int fd = zmq_msg_get(head, ZMQ_SRCFD);
    if (status == STATUS_OK && good && read_key(head, out->curve_key)) {
        read_host(head, out->host);
        remember(self, out, routing_id, fd);
        if (self->door != NULL) {
            channel_door_heard(self->door, fd, self->port, clock_now_ms());
        }
        return STATUS_OK;
    }
    self->dropped_count++;
    if (fd >= 0) {
        (void)shutdown(fd, SHUT_RDWR);
    }
    channel_message_close(out);
    return STATUS_PROTOCOL;
}

enum status channel_server_receive(struct channel_server *self, struct channel_message *out)
{
    for (unsigned i = 0; i < CHANNEL_DROPS_PER_CALL_MAX; i++) {
        if (!channel_socket_drain(self->socket, &self->draining)) {
            break;
        }
        enum status status = receive_one(self, out);
        if (status != STATUS_PROTOCOL) {
            return status;
        }
    }
    return STATUS_AGAIN;
}

enum status channel_server_send(struct channel_server *self,
                                const uint8_t curve_key[IDENTITY_KEY_BYTES], const uint8_t *head,
                                size_t head_size_bytes, const uint8_t *body, size_t body_size_bytes)
{
    CHECK(body_size_bytes <= self->body_bytes_max);
    struct channel_connection *connection = channel_table_find(self->table, curve_key);
    if (connection == NULL) {
        return STATUS_STALE;
    }
    enum status status = channel_socket_send(
        self->socket, (struct channel_bytes){connection->routing_id, sizeof connection->routing_id},
        (struct channel_bytes){head, head_size_bytes},
        (struct channel_bytes){body, body_size_bytes});
    if (status == STATUS_STALE) {
        connection->used = false;
    } else if (status == STATUS_AGAIN) {
        channel_set_crowded(self->set);
    }
    return status;
}

void channel_server_disconnect(struct channel_server *self,
                               const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    struct channel_connection *connection = channel_table_find(self->table, curve_key);
    if (connection == NULL) {
        return;
    }
    if (channel_tcp_is(connection->fd, &connection->remote)) {
        (void)shutdown(connection->fd, SHUT_RDWR);
    }
    connection->used = false;
}

uint64_t channel_server_delivered_bytes(struct channel_server *self,
                                        const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    const struct channel_connection *connection = channel_table_find(self->table, curve_key);
    return connection != NULL ? channel_tcp_delivered_bytes(connection->fd, &connection->remote)
                              : 0;
}
