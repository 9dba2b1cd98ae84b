/* channel - ZeroMQ ROUTER/DEALER with CURVE: the only place that talks to a network.
 *
 * The server knows each client by the key that its CURVE handshake proved, never by a routing id
 * that a client could choose. Messages are a head and a body (wire.h); anything else on the wire
 * is dropped and counted. Settings follow the table of docs/transport.md.
 *
 * An endpoint belongs to one thread. Wake it from others through an eventfd. */
#ifndef DUGNAD_PROTO_CHANNEL_H
#define DUGNAD_PROTO_CHANNEL_H

#include "proto/identity.h"
#include "proto/link.h"

#include <stdbool.h>
#include <stddef.h>

/* One received message; head and body are valid until channel_message_close(). Close exactly what
 * a receive returned OK for, and do not copy the struct: small bytes lie inside it. */
struct channel_message {
    uint8_t curve_key[IDENTITY_KEY_BYTES]; /* server: the sender's proven CURVE key */
    const uint8_t *head;
    size_t head_size_bytes;
    const uint8_t *body;
    size_t body_size_bytes;
    _Alignas(16) unsigned char opaque[160];
};
void channel_message_close(struct channel_message *message);

struct channel_server;

/* Binds `listen` ("tcp://0.0.0.0:7700"; port 0 or * takes a free one). The ZAP handler runs
 * before the socket is bound and is enforced: without it nobody gets in.
 * Errors: USAGE (not an address), UNAVAILABLE (taken: says how to choose another), OS. */
MUST_CHECK enum status channel_server_new(const char *listen, const struct identity *identity,
                                          struct channel_server **out);
void channel_server_free(struct channel_server *self); /* NULL is allowed. */
/* The port that was bound. */
uint16_t channel_server_port(const struct channel_server *self);
/* Malformed messages so far; each cost its sender the connection. */
uint64_t channel_server_dropped(const struct channel_server *self);

/* Waits until a message can be received, wake_fd (or -1) is readable, or timeout_ms passed. */
void channel_server_wait(struct channel_server *self, int wake_fd, int timeout_ms);

/* Errors: AGAIN (nothing there). Malformed messages are dropped inside. */
MUST_CHECK enum status channel_server_receive(struct channel_server *self,
                                              struct channel_message *out);

/* Sends to the client that last spoke with this key; copies. Errors: AGAIN (its queue is full:
 * try later), STALE (not connected). body may be NULL when its size is 0. */
MUST_CHECK enum status channel_server_send(struct channel_server *self,
                                           const uint8_t curve_key[IDENTITY_KEY_BYTES],
                                           const uint8_t *head, size_t head_size_bytes,
                                           const uint8_t *body, size_t body_size_bytes);

/* Forgets the client with this key and cuts its connection. Fine when there is none. */
void channel_server_disconnect(struct channel_server *self,
                               const uint8_t curve_key[IDENTITY_KEY_BYTES]);

struct channel_client;

enum channel_trouble {
    CHANNEL_FINE,
    CHANNEL_CONNECTING, /* not connected (yet, or any more); being tried again */
    CHANNEL_WRONG_KEY   /* somebody answers, but the handshake with this key fails */
};

/* Starts connecting; ZeroMQ tries again by itself with backoff (0.1 s to 0.5 s).
 * Errors: USAGE (not an address), OS. */
MUST_CHECK enum status channel_client_new(const struct join_link *link,
                                          const struct identity *identity,
                                          struct channel_client **out);
void channel_client_free(struct channel_client *self); /* Waits at most 2 s for what was sent. */

/* How the connection is, from the socket's own events. */
enum channel_trouble channel_client_trouble(struct channel_client *self);

/* How often the connection was established so far: what was on its way before the latest time may
 * be lost, and nobody else tells. */
uint64_t channel_client_connections(struct channel_client *self);

/* As the server's. */
void channel_client_wait(struct channel_client *self, int wake_fd, int timeout_ms);
MUST_CHECK enum status channel_client_receive(struct channel_client *self,
                                              struct channel_message *out);
/* Errors: AGAIN (queue full). */
MUST_CHECK enum status channel_client_send(struct channel_client *self, const uint8_t *head,
                                           size_t head_size_bytes, const uint8_t *body,
                                           size_t body_size_bytes);

#endif
