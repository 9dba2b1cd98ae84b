/* fake_channel - the functions of proto/channel.h between one server and peers of a test, in memory
 * and without threads. It is part of the test's own program, so those of the library stay out. */
#ifndef DUGNAD_TESTS_UNIT_FAKE_CHANNEL_H
#define DUGNAD_TESTS_UNIT_FAKE_CHANNEL_H

#include "proto/channel.h"
#include "proto/wire.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_PEERS_MAX = 8, FAKE_PORT_FIRST = 7800 };

struct letter {
    struct letter *next;
    uint8_t key[IDENTITY_KEY_BYTES]; /* CURVE, of who sent it to the server */
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
    bool connected[FAKE_PEERS_MAX];
    bool reachable[FAKE_PEERS_MAX]; /* its bulk port */
    struct identity identities[FAKE_PEERS_MAX];
} fake;

static void letters_put(struct letters *self, const uint8_t *key, const uint8_t *head,
                        size_t head_bytes, const uint8_t *body, size_t body_bytes)
{
    struct letter *letter = malloc(sizeof *letter + head_bytes + body_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(letter);
    *letter = (struct letter){.head_bytes = head_bytes, .body_bytes = body_bytes};
    memcpy(letter->key, key, sizeof letter->key);
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

static int fake_peer_of(const uint8_t *curve_key)
{
    for (int i = 0; i < FAKE_PEERS_MAX; i++) {
        if (memcmp(fake.identities[i].curve_public, curve_key, IDENTITY_KEY_BYTES) == 0) {
            return i;
        }
    }
    return -1;
}

struct channel_set {
    int unused;
};

struct channel_server {
    int unused;
};

struct channel_client {
    int peer;
    struct letters inbox;
};

enum status channel_set_new(int io_thread_count, struct channel_set **out)
{
    (void)io_thread_count;
    *out = calloc(1, sizeof **out);
    return STATUS_OK;
}

void channel_set_free(struct channel_set *self)
{
    free(self);
}

void channel_set_wait(struct channel_set *self, int wake_fd, int timeout_ms)
{
    (void)self;
    (void)wake_fd;
    (void)timeout_ms;
}

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

void channel_server_free(struct channel_server *self)
{
    free(self);
}

uint16_t channel_server_port(const struct channel_server *self)
{
    (void)self;
    return FAKE_PORT_FIRST - 1;
}

uint64_t channel_server_dropped(const struct channel_server *self)
{
    (void)self;
    return 0;
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
                                    .host = "127.0.0.1"};
    memcpy(out->curve_key, letter->key, sizeof out->curve_key);
    memcpy(out->opaque, &letter, sizeof letter);
    return STATUS_OK;
}

void channel_message_close(struct channel_message *message)
{
    struct letter *letter = NULL;
    memcpy(&letter, message->opaque, sizeof letter);
    free(letter);
}

enum status channel_server_receive(struct channel_server *self, struct channel_message *out)
{
    (void)self;
    return hand_over(&fake.to_server, out);
}

enum status channel_server_send(struct channel_server *self,
                                const uint8_t curve_key[IDENTITY_KEY_BYTES], const uint8_t *head,
                                size_t head_size_bytes, const uint8_t *body, size_t body_size_bytes)
{
    int peer = fake_peer_of(curve_key);
    (void)self;
    if (peer < 0 || !fake.connected[peer]) {
        return STATUS_STALE;
    }
    letters_put(&fake.to_peer[peer], curve_key, head, head_size_bytes, body, body_size_bytes);
    return STATUS_OK;
}

void channel_server_disconnect(struct channel_server *self,
                               const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    (void)self;
    (void)curve_key;
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
