#include "proto/channel/channel_server.h"

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "proto/channel/channel_connections.h"
#include "proto/channel/channel_inner.h"
#include "proto/channel/channel_socket.h"
#include "proto/channel/door.h"
#include "proto/channel_incidents.h"
#include "proto/channel_listen.h"
#include "proto/wire.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ZAP_DOMAIN "dugnad"
/* RFC 27; zmq.h names it among the drafts only. */
#define PROPERTY_USER_ID "User-Id"

enum {
    OPTION_ZAP_ENFORCE_DOMAIN = 93, /* in libzmq 4.3, though its name is behind a draft macro */
    BACKLOG = 1024,                 /* more than have not proved a key */
    RECEIVE_MESSAGES_MAX = 16,
    SEND_MESSAGES_MAX = 512, /* two windows of chunks: control messages find room beside one */
    SWEEP_MS = 200,
    ENDED_MS = 5000, /* for which one that ended is known: what it had sent may still be read */
    AWAKE_MS_MAX = 500
};

struct channel_server {
    struct channel_set *set;
    void *socket;
    enum channel_use use;
    size_t body_bytes_max;
    struct channel_connections *connections;
    struct door *door;
    struct channel_incidents incidents;
    /* Time in which the program could read: what waited while it was busy with something else is
     * not late. */
    uint64_t awake_ms;
    uint64_t tended_ms;
    uint64_t swept_ms;
    uint16_t port;
    bool draining;
};

static enum status make_socket(struct channel_server *self, const struct identity *identity)
{
    const struct channel_limits limits = {RECEIVE_MESSAGES_MAX, SEND_MESSAGES_MAX,
                                          self->body_bytes_max, CHANNEL_SERVER_LINGER_MS};
    static const struct {
        int option;
        int value;
    } settings[] = {
        {ZMQ_CURVE_SERVER, 1},    {OPTION_ZAP_ENFORCE_DOMAIN, 1}, {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_ROUTER_HANDOVER, 0}, {ZMQ_BACKLOG, BACKLOG},
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

/* Ends a connection, as far as it is known; nothing more is received from it. */
static void cut(struct channel_server *self, struct channel_connection *connection)
{
    door_cut(self->door, connection->door);
    connection->standing = CHANNEL_CUT;
    connection->ended_ms = connection->ended_ms > 0 ? connection->ended_ms : self->awake_ms;
}

static void cut_for(struct channel_server *self, struct channel_connection *connection,
                    enum channel_reason reason)
{
    struct channel_incident incident = {
        .reason = reason, .has_key = true, .connection = connection->number};
    memcpy(incident.curve_key, connection->curve_key, IDENTITY_KEY_BYTES);
    memcpy(incident.host, connection->host, sizeof incident.host);
    channel_incidents_add(&self->incidents, &incident, clock_now_ms());
    cut(self, connection);
}

/* What the door cut, with the key where it is known. */
static void hear_the_door(struct channel_server *self)
{
    struct door_incident cut;
    uint64_t now_ms = clock_now_ms();
    while (door_incident(self->door, &cut)) {
        struct channel_incident incident = {.reason = cut.reason, .count = cut.count};
        struct channel_connection *connection =
            cut.serial > 0 ? channel_connections_find(self->connections, cut.serial) : NULL;
        if (connection != NULL) {
            incident.has_key = true;
            incident.connection = connection->number;
            memcpy(incident.curve_key, connection->curve_key, IDENTITY_KEY_BYTES);
        }
        memcpy(incident.host, cut.host, sizeof incident.host);
        channel_incidents_add(&self->incidents, &incident, now_ms);
    }
}

/* Forgets connections that have ended. */
static void sweep(struct channel_server *self)
{
    struct channel_connection *at = NULL;
    hear_the_door(self); /* while their keys are known */
    for (size_t i = 0; (at = channel_connections_next(self->connections, &i)) != NULL;) {
        if (at->ended_ms == 0 && !door_stands(self->door, at->door)) {
            at->ended_ms = self->awake_ms;
        } else if (at->ended_ms > 0 && self->awake_ms - at->ended_ms > ENDED_MS) {
            channel_connections_remove(self->connections, at);
        }
    }
}

static void tend(void *owner)
{
    struct channel_server *self = owner;
    uint64_t now_ms = clock_now_ms();
    uint64_t passed_ms = now_ms - self->tended_ms;
    self->awake_ms += passed_ms < AWAKE_MS_MAX ? passed_ms : AWAKE_MS_MAX;
    self->tended_ms = now_ms;
    if (self->awake_ms - self->swept_ms >= SWEEP_MS) {
        self->swept_ms = self->awake_ms;
        sweep(self);
    }
}

/* Everything but the door. */
static enum status prepare(struct channel_server *self, const struct identity *identity,
                           const struct door_limits *limits, struct door_inner *out_inner)
{
    enum status status = channel_connections_new(limits->connections_max, &self->connections);
    if (status == STATUS_OK) {
        status = channel_set_check_keys(self->set); /* before anybody can connect */
    }
    if (status == STATUS_OK) {
        status = make_socket(self, identity);
    }
    if (status == STATUS_OK) {
        status = channel_inner_bind(self->socket, out_inner);
    }
    if (status == STATUS_OK) {
        status = channel_set_add(self->set, self->socket, self, tend);
    }
    return status;
}

enum status channel_server_new_at(struct channel_set *set, enum channel_use use, int listen_fd,
                                  const struct identity *identity, struct channel_server **out)
{
    struct door_limits limits;
    struct door_inner inner;
    *out = NULL;
    struct channel_server *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the server's socket");
    }
    self->set = set;
    self->use = use;
    self->body_bytes_max = use == CHANNEL_CONTROL ? WIRE_BODY_MAX : CHANNEL_BULK_BODY_MAX;
    self->tended_ms = clock_now_ms();
    self->awake_ms = 1; /* 0 stands for never */
    door_limits_default(use, &limits);
    enum status status = channel_listen_on(listen_fd, &self->port);
    if (status == STATUS_OK) {
        status = prepare(self, identity, &limits, &inner);
    }
    if (status == STATUS_OK) {
        status = door_new(listen_fd, &inner, &limits, zap_counter(), &self->door);
    }
    if (status != STATUS_OK) {
        channel_server_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

enum status channel_server_new(struct channel_set *set, enum channel_use use, const char *listen,
                               const struct identity *identity, struct channel_server **out)
{
    int listen_fd = -1;
    uint16_t port = 0;
    *out = NULL;
    const char *option =
        use == CHANNEL_BULK ? "--aggregate [HOST:]PORT" : "--listen tcp://ADDRESS:PORT";
    enum status status = channel_listen_at(listen, option, &listen_fd, &port);
    if (status == STATUS_OK) {
        status = channel_server_new_at(set, use, listen_fd, identity, out);
        if (status != STATUS_OK) {
            (void)close(listen_fd);
        }
    }
    return status;
}

void channel_server_free(struct channel_server *self)
{
    if (self == NULL) {
        return;
    }
    channel_set_remove(self->set, self);
    if (self->socket != NULL) {
        (void)zmq_close(self->socket);
    }
    if (self->door != NULL) {
        channel_set_keep_door(self->set, self->door); /* what was sent still goes out */
    }
    channel_connections_free(self->connections);
    free(self);
}

uint16_t channel_server_port(const struct channel_server *self)
{
    return self->port;
}

/* Room for a new connection; strangers make way. NULL: everybody here is a member. */
static struct channel_connection *make_room(struct channel_server *self, uint64_t number)
{
    struct channel_connection *connection = channel_connections_add(self->connections, number);
    if (connection != NULL) {
        return connection;
    }
    struct channel_connection *spare = channel_connections_spare(self->connections);
    if (spare == NULL) {
        return NULL;
    }
    if (spare->ended_ms == 0) {
        cut_for(self, spare, CHANNEL_CROWDED);
    }
    channel_connections_remove(self->connections, spare);
    return channel_connections_add(self->connections, number);
}

/* Whoever sent a message, by what its handshake proved. libzmq 4.3.4 may lose the metadata of a
 * message's first frame, so this reads that of the head. NULL: without it there is no sender, nor
 * when its connection is gone. */
static struct channel_connection *sender_of(struct channel_server *self, zmq_msg_t *head,
                                            zmq_msg_t *routing)
{
    struct door_ref door;
    char host[CHANNEL_HOST_MAX];
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint64_t number = 0;
    const uint8_t *routing_id = zmq_msg_data(routing);
    if (!zap_read_user_id(zmq_msg_gets(head, PROPERTY_USER_ID), curve_key, &number)) {
        return NULL;
    }
    struct channel_connection *connection = channel_connections_find(self->connections, number);
    if (connection != NULL) {
        return connection;
    }
    if (!door_match(self->door, zmq_msg_get(head, ZMQ_SRCFD), number, &door, host)) {
        return NULL;
    }
    connection = make_room(self, number);
    if (connection == NULL) {
        door_cut(self->door, door);
        return NULL;
    }
    memcpy(connection->curve_key, curve_key, IDENTITY_KEY_BYTES);
    memcpy(connection->host, host, sizeof connection->host);
    connection->door = door;
    if (zap_is_barred(channel_set_zap(self->set), curve_key)) {
        cut_for(self, connection, CHANNEL_BARRED);
    } else if (zmq_msg_size(routing) != CHANNEL_ROUTING_ID_BYTES || routing_id[0] != 0) {
        /* Our clients let the server choose; who brings an id of its own wants somebody else's. */
        cut_for(self, connection, CHANNEL_MALFORMED);
    } else {
        memcpy(connection->routing_id, routing_id, CHANNEL_ROUTING_ID_BYTES);
    }
    return connection;
}

/* Why a stranger may not say this; 0: it may. */
static enum channel_reason judge_stranger(const struct channel_server *self,
                                          struct channel_connection *connection,
                                          const struct channel_message *message)
{
    if (++connection->messages > CHANNEL_STRANGER_MESSAGES_MAX) {
        return CHANNEL_NOT_ADMITTED;
    }
    bool small = message->head_size_bytes <= CHANNEL_STRANGER_HEAD_MAX &&
                 (self->use == CHANNEL_BULK || message->body_size_bytes == 0);
    return small ? 0 : CHANNEL_OVERSIZE;
}

/* Whether the program gets to see a message; whoever sent a bad one is cut. */
static bool is_good(struct channel_server *self, struct channel_connection *connection,
                    enum status status, const struct channel_message *message)
{
    enum channel_reason reason = 0;
    if (connection->standing == CHANNEL_CUT) {
        return false;
    }
    if (status != STATUS_OK) {
        reason = CHANNEL_MALFORMED;
    } else if (connection->standing == CHANNEL_STRANGER) {
        reason = judge_stranger(self, connection, message);
    }
    if (reason != 0) {
        cut_for(self, connection, reason);
    }
    return reason == 0;
}

/* Receives one message. Errors: AGAIN; PROTOCOL: it is not for the program. */
static enum status receive_one(struct channel_server *self, struct channel_message *out)
{
    zmq_msg_t routing;
    (void)zmq_msg_init(&routing);
    if (zmq_msg_recv(&routing, self->socket, ZMQ_DONTWAIT) < 0) {
        (void)zmq_msg_close(&routing);
        door_idle(self->door);
        return STATUS_AGAIN;
    }
    enum status status = channel_socket_receive(self->socket, out, &self->draining);
    zmq_msg_t *head = &channel_frames_of(out)->head;
    struct channel_connection *connection = sender_of(self, head, &routing);
    (void)zmq_msg_close(&routing);
    if (connection != NULL &&
        !door_taken(self->door, connection->door, out->head_size_bytes, out->body_size_bytes)) {
        cut(self, connection); /* the door tells why */
    }
    if (connection != NULL && is_good(self, connection, status, out)) {
        memcpy(out->curve_key, connection->curve_key, IDENTITY_KEY_BYTES);
        memcpy(out->host, connection->host, sizeof out->host);
        out->connection = connection->number;
        out->bulk = false;
        return STATUS_OK;
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

enum status channel_server_send(struct channel_server *self, uint64_t connection,
                                const uint8_t *head, size_t head_size_bytes, const uint8_t *body,
                                size_t body_size_bytes)
{
    CHECK(body_size_bytes <= self->body_bytes_max);
    struct channel_connection *to = channel_connections_find(self->connections, connection);
    if (to == NULL || to->ended_ms > 0) {
        return STATUS_STALE;
    }
    enum status status = door_reserve(self->door, to->door, head_size_bytes, body_size_bytes);
    if (status == STATUS_OK) {
        status = channel_socket_send(self->socket,
                                     (struct channel_bytes){to->routing_id, sizeof to->routing_id},
                                     (struct channel_bytes){head, head_size_bytes},
                                     (struct channel_bytes){body, body_size_bytes});
        if (status != STATUS_OK) {
            door_release(self->door, to->door, head_size_bytes, body_size_bytes);
        }
    }
    if (status == STATUS_STALE) {
        to->ended_ms = self->awake_ms;
    } else if (status == STATUS_AGAIN) {
        channel_set_crowded(self->set);
    }
    return status;
}

void channel_server_admit(struct channel_server *self, uint64_t connection)
{
    struct channel_connection *member = channel_connections_find(self->connections, connection);
    struct channel_connection *at = NULL;
    if (member == NULL || member->standing == CHANNEL_CUT) {
        return;
    }
    member->standing = CHANNEL_MEMBER;
    door_admit(self->door, member->door);
    for (size_t i = 0; (at = channel_connections_next(self->connections, &i)) != NULL;) {
        if (at != member && memcmp(at->curve_key, member->curve_key, IDENTITY_KEY_BYTES) == 0) {
            cut(self, at);
        }
    }
}

void channel_server_cut(struct channel_server *self, uint64_t connection)
{
    struct channel_connection *found = channel_connections_find(self->connections, connection);
    if (found != NULL) {
        cut(self, found);
    }
}

/* Which key is behind a connection that has said nothing yet is not known: all of those are cut.
 * Others come back in a moment, and the barred one does not get in. */
enum status channel_server_bar(struct channel_server *self,
                               const uint8_t curve_key[IDENTITY_KEY_BYTES], bool barred)
{
    enum status status = zap_bar(channel_set_zap(self->set), curve_key, barred);
    struct channel_connection *at = NULL;
    for (size_t i = 0; barred && (at = channel_connections_next(self->connections, &i)) != NULL;) {
        if (at->standing != CHANNEL_CUT &&
            memcmp(at->curve_key, curve_key, IDENTITY_KEY_BYTES) == 0) {
            cut_for(self, at, CHANNEL_BARRED);
        }
    }
    if (barred) {
        door_cut_silent(self->door);
    }
    return status == STATUS_OK ? STATUS_OK : STATUS_FULL;
}

uint64_t channel_server_delivered_bytes(struct channel_server *self, uint64_t connection)
{
    const struct channel_connection *found =
        channel_connections_find(self->connections, connection);
    return found != NULL ? door_delivered_bytes(self->door, found->door) : 0;
}

uint64_t channel_server_received_bytes(struct channel_server *self, uint64_t connection)
{
    const struct channel_connection *found =
        channel_connections_find(self->connections, connection);
    return found != NULL ? door_received_bytes(self->door, found->door) : 0;
}

bool channel_server_incident(struct channel_server *self, struct channel_incident *out)
{
    hear_the_door(self);
    return channel_incidents_next(&self->incidents, clock_now_ms(), out) ||
           zap_incident(channel_set_zap(self->set), out);
}
