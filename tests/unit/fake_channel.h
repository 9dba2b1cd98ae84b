/* fake_channel - the functions of proto/channel.h between one server and peers of a test, in memory
 * and without threads. It is part of the test's own program, so those of the library stay out. */
#ifndef DUGNAD_TESTS_UNIT_FAKE_CHANNEL_H
#define DUGNAD_TESTS_UNIT_FAKE_CHANNEL_H

#include "proto/channel.h"
#include "proto/wire.h"
#include "tests/unit/channel_stubs.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_PEERS_MAX = 8, FAKE_PORT_FIRST = 7800 };

struct letter {
    struct letter *next;
    uint8_t key[IDENTITY_KEY_BYTES]; /* CURVE, of who sent it to the server */
    uint64_t connection;             /* over which it did, or was sent */
    bool bulk;                       /* at the port for chunks */
    size_t head_bytes, body_bytes;
    uint8_t data[];
};

struct letters {
    struct letter *first, *last;
};

/* What stands between the server and the peers. */
static struct {
    struct letters to_server;
    struct letters to_peer[FAKE_PEERS_MAX];
    uint64_t connections[FAKE_PEERS_MAX]; /* 0: not connected */
    uint64_t connection_count;            /* so far */
    uint64_t admitted;                    /* the latest that was */
    uint64_t cut;
    uint64_t received_bytes[FAKE_PEERS_MAX];  /* as its TCP counts them; 0: it does not */
    uint64_t delivered_bytes[FAKE_PEERS_MAX]; /* likewise, at the port for words */
    bool reachable[FAKE_PEERS_MAX];           /* its bulk port */
    uint32_t cuts[FAKE_PEERS_MAX];            /* of its connections, by the server */
    bool barred[FAKE_PEERS_MAX];
    uint64_t bulk[FAKE_PEERS_MAX]; /* connections at the port for chunks; 0: not connected */
    uint32_t bulk_cuts[FAKE_PEERS_MAX];
    uint64_t bulk_received_bytes[FAKE_PEERS_MAX];
    struct identity identities[FAKE_PEERS_MAX];
    struct channel_incident incident; /* the next that is told; count 0: none */
} fake;

static int fake_peer_of(const uint8_t *curve_key)
{
    for (int i = 0; i < FAKE_PEERS_MAX; i++) {
        if (memcmp(fake.identities[i].curve_public, curve_key, IDENTITY_KEY_BYTES) == 0) {
            return i;
        }
    }
    return -1;
}

/* The peer has a new connection from now on. */
static inline void fake_connect(int peer)
{
    fake.connections[peer] = ++fake.connection_count;
}

/* And another one for chunks. */
static inline void fake_connect_bulk(int peer)
{
    fake.bulk[peer] = ++fake.connection_count;
}

static int fake_peer_in(const uint64_t connections[FAKE_PEERS_MAX], uint64_t connection)
{
    int peer = 0;
    while (peer < FAKE_PEERS_MAX && (connection == 0 || connections[peer] != connection)) {
        peer++;
    }
    return peer < FAKE_PEERS_MAX ? peer : -1;
}

/* *out_bulk: the connection is for chunks. */
static int fake_peer_at(uint64_t connection, bool *out_bulk)
{
    int peer = fake_peer_in(fake.bulk, connection);
    *out_bulk = peer >= 0;
    return peer >= 0 ? peer : fake_peer_in(fake.connections, connection);
}

static void letters_put(struct letters *self, const uint8_t *key, const uint8_t *head,
                        size_t head_bytes, const uint8_t *body, size_t body_bytes)
{
    struct letter *letter = malloc(sizeof *letter + head_bytes + body_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(letter);
    *letter = (struct letter){.head_bytes = head_bytes, .body_bytes = body_bytes};
    memcpy(letter->key, key, sizeof letter->key);
    letter->connection = fake_peer_of(key) >= 0 ? fake.connections[fake_peer_of(key)] : 0;
    memcpy(letter->data, head, head_bytes);
    if (body_bytes > 0) {
        memcpy(letter->data + head_bytes, body, body_bytes);
    }
    if (self->first == NULL) {
        self->first = letter;
    } else {
        self->last->next = letter;
    }
    self->last = letter;
}

/* The latest was over the connection for chunks. */
static inline void letters_put_bulk(struct letters *self, uint64_t connection)
{
    self->last->bulk = true;
    self->last->connection = connection;
}

/* The caller frees it; NULL: there is none. */
static struct letter *letters_take(struct letters *self)
{
    struct letter *letter = self->first;
    if (letter != NULL) {
        self->first = letter->next;
    }
    return letter;
}

static void letters_clear(struct letters *self)
{
    for (struct letter *letter; (letter = letters_take(self)) != NULL;) {
        free(letter);
    }
}

struct channel_server {
    int unused;
};

struct channel_client {
    int peer;
    struct letters inbox;
};

enum status channel_server_new(struct channel_set *set, enum channel_use use, const char *listen,
                               const struct identity *identity, struct channel_server **out)
{
    (void)set;
    (void)use;
    (void)listen;
    (void)identity;
    *out = calloc(1, sizeof **out);
    return STATUS_OK;
}

enum status channel_server_new_both(struct channel_set *set, const char *listen,
                                    const char *listen_bulk, const struct identity *identity,
                                    struct channel_server **out)
{
    (void)listen_bulk;
    return channel_server_new(set, CHANNEL_CONTROL, listen, identity, out);
}

uint16_t channel_server_bulk_port(const struct channel_server *self)
{
    (void)self;
    return FAKE_PORT_FIRST - 2;
}

void channel_server_free(struct channel_server *self)
{
    free(self);
}

uint16_t channel_server_port(const struct channel_server *self)
{
    (void)self;
    return FAKE_PORT_FIRST - 1;
}

static enum status hand_over(struct letters *from, struct channel_message *out)
{
    struct letter *letter = letters_take(from);
    if (letter == NULL) {
        return STATUS_AGAIN;
    }
    *out = (struct channel_message){.head = letter->data,
                                    .head_size_bytes = letter->head_bytes,
                                    .body = letter->data + letter->head_bytes,
                                    .body_size_bytes = letter->body_bytes,
                                    .host = "127.0.0.1",
                                    .connection = letter->connection,
                                    .bulk = letter->bulk};
    memcpy(out->curve_key, letter->key, sizeof out->curve_key);
    letter_hold(out, letter);
    return STATUS_OK;
}

enum status channel_server_receive(struct channel_server *self, struct channel_message *out)
{
    (void)self;
    return hand_over(&fake.to_server, out);
}

enum status channel_server_send(struct channel_server *self, uint64_t connection,
                                const uint8_t *head, size_t head_size_bytes, const uint8_t *body,
                                size_t body_size_bytes)
{
    bool bulk = false;
    int peer = fake_peer_at(connection, &bulk);
    (void)self;
    if (peer < 0) {
        return STATUS_STALE;
    }
    letters_put(&fake.to_peer[peer], fake.identities[peer].curve_public, head, head_size_bytes,
                body, body_size_bytes);
    if (bulk) {
        letters_put_bulk(&fake.to_peer[peer], connection);
    }
    return STATUS_OK;
}

void channel_server_admit(struct channel_server *self, uint64_t connection)
{
    (void)self;
    fake.admitted = connection;
}

void channel_server_cut(struct channel_server *self, uint64_t connection)
{
    bool bulk = false;
    int peer = fake_peer_at(connection, &bulk);
    (void)self;
    fake.cut = connection;
    if (bulk) {
        fake.bulk[peer] = 0;
        fake.bulk_cuts[peer]++;
    } else if (peer >= 0) {
        fake.connections[peer] = 0;
        fake.cuts[peer]++;
    }
}

enum status channel_server_bar(struct channel_server *self,
                               const uint8_t curve_key[IDENTITY_KEY_BYTES], bool barred)
{
    int peer = fake_peer_of(curve_key);
    (void)self;
    if (peer >= 0) {
        fake.barred[peer] = barred;
        fake.connections[peer] = barred ? 0 : fake.connections[peer];
        fake.bulk[peer] = barred ? 0 : fake.bulk[peer];
    }
    return STATUS_OK;
}

uint64_t channel_server_delivered_bytes(struct channel_server *self, uint64_t connection)
{
    bool bulk = false;
    int peer = fake_peer_at(connection, &bulk);
    (void)self;
    return peer < 0 || bulk ? 0 : fake.delivered_bytes[peer];
}

uint64_t channel_server_received_bytes(struct channel_server *self, uint64_t connection)
{
    bool bulk = false;
    int peer = fake_peer_at(connection, &bulk);
    (void)self;
    return peer < 0 ? 0 : bulk ? fake.bulk_received_bytes[peer] : fake.received_bytes[peer];
}

bool channel_server_incident(struct channel_server *self, struct channel_incident *out)
{
    (void)self;
    *out = fake.incident;
    fake.incident.count = 0;
    return out->count > 0;
}

enum status channel_client_new(struct channel_set *set, enum channel_use use, const char *address,
                               const uint8_t public_key[IDENTITY_KEY_BYTES],
                               const struct identity *identity, struct channel_client **out)
{
    const char *colon = strrchr(address, ':');
    (void)set;
    (void)identity;
    CU_ASSERT_EQUAL(use, CHANNEL_BULK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(colon);
    CU_ASSERT_EQUAL(strncmp(address, "127.0.0.1:", 10), 0);
    *out = calloc(1, sizeof **out);
    CU_ASSERT_PTR_NOT_NULL_FATAL(*out);
    (*out)->peer = (int)strtol(colon + 1, NULL, 10) - FAKE_PORT_FIRST;
    CU_ASSERT_FATAL((*out)->peer >= 0 && (*out)->peer < FAKE_PEERS_MAX);
    CU_ASSERT_EQUAL(
        memcmp(fake.identities[(*out)->peer].public_key, public_key, IDENTITY_KEY_BYTES), 0);
    return STATUS_OK;
}

void channel_client_drop(struct channel_client *self)
{
    if (self != NULL) {
        letters_clear(&self->inbox);
    }
    free(self);
}

void channel_client_free(struct channel_client *self)
{
    channel_client_drop(self);
}

enum channel_trouble channel_client_trouble(struct channel_client *self)
{
    return fake.reachable[self->peer] ? CHANNEL_FINE : CHANNEL_CONNECTING;
}

uint64_t channel_client_connections(struct channel_client *self)
{
    (void)self;
    return 1;
}

enum status channel_client_receive(struct channel_client *self, struct channel_message *out)
{
    return hand_over(&self->inbox, out);
}

/* A bulk port answers probes, and nothing else here. */
enum status channel_client_send(struct channel_client *self, const uint8_t *head,
                                size_t head_size_bytes, const uint8_t *body, size_t body_size_bytes)
{
    static struct wire_message message;
    static uint8_t answer[WIRE_HEAD_MAX];
    size_t answer_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(wire_decode(head, head_size_bytes, &message), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(message.type, WIRE_PROBE);
    message.as.probe.answer = true;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&message, answer, sizeof answer, &answer_bytes), STATUS_OK);
    if (fake.reachable[self->peer]) {
        letters_put(&self->inbox, fake.identities[self->peer].curve_public, answer, answer_bytes,
                    body, body_size_bytes);
    }
    return STATUS_OK;
}

#endif
