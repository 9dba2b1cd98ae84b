/* channel - ZeroMQ ROUTER/DEALER with CURVE: the only place that talks to a network.
 *
 * The server knows each client by the key that its CURVE handshake proved, never by a routing id
 * that a client could choose. Messages are a head and a body (wire.h); anything else on the wire
 * is dropped and counted. Settings follow the table of docs/transport.md.
 *
 * A set and its endpoints belong to one thread. Wake it from others through an eventfd. */
#ifndef DUGNAD_PROTO_CHANNEL_H
#define DUGNAD_PROTO_CHANNEL_H

#include "proto/identity.h"
#include "proto/link.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    CHANNEL_ENDPOINTS_MAX = 320, /* of a set: 256 owners, and what is the program's own */
    CHANNEL_HOST_MAX = 48,       /* a bracketed IPv6 address */
    CHANNEL_BULK_BODY_MAX = 320 * 1024,
    CHANNEL_BULK_CONNECTIONS_MAX = 1024,
    CHANNEL_BULK_SILENCE_MS_MAX = 10000
};

/* What an endpoint is for; the client's must be the server's. CHANNEL_BULK is a peer's port, to
 * which strangers come as well: bodies have at most CHANNEL_BULK_BODY_MAX bytes, queues are short,
 * a server has at most CHANNEL_BULK_CONNECTIONS_MAX connections and cuts those that say nothing for
 * CHANNEL_BULK_SILENCE_MS_MAX; a client takes IP addresses only, because looking up a name that a
 * stranger chose could hold up everything for seconds. */
enum channel_use { CHANNEL_CONTROL, CHANNEL_BULK };

/* What the endpoints of a program share: ZeroMQ's threads, the check of keys, and one wait. */
struct channel_set;

/* io_thread_count > 0: CURVE costs a core about 0.3 GB/s. Raises the limit of open files.
 * Errors: OS with a sentence. The caller owns *out. */
MUST_CHECK enum status channel_set_new(int io_thread_count, struct channel_set **out);

/* All of its endpoints must be freed before. Waits at most 2 s for what they sent. NULL is allowed.
 */
void channel_set_free(struct channel_set *self);

/* Waits until one of the endpoints has something to receive, wake_fd (or -1) is readable, or
 * timeout_ms passed. Where a send since the last wait was told AGAIN it ends after 2 ms at the
 * latest, since nothing else tells that a queue has room again. */
void channel_set_wait(struct channel_set *self, int wake_fd, int timeout_ms);

/* One received message; head and body are valid until channel_message_close(). Close exactly what
 * a receive returned OK for, and do not copy the struct: small bytes lie inside it. */
struct channel_message {
    uint8_t curve_key[IDENTITY_KEY_BYTES]; /* server: the sender's proven CURVE key */
    char host[CHANNEL_HOST_MAX]; /* server: the IP address it comes from, as in HOST:PORT (IPv6 in
                                    brackets); "": not known, or good on one link only */
    const uint8_t *head;
    size_t head_size_bytes;
    const uint8_t *body;
    size_t body_size_bytes;
    _Alignas(16) unsigned char opaque[160];
};
void channel_message_close(struct channel_message *message);

struct channel_server;

/* Binds `listen` ("tcp://0.0.0.0:7700"; port 0 or * takes a free one). The ZAP handler of the set
 * runs before the socket is bound and is enforced: without it nobody gets in.
 * Errors: USAGE (not an address), UNAVAILABLE (taken: says how to choose another), OS, FULL. */
MUST_CHECK enum status channel_server_new(struct channel_set *set, enum channel_use use,
                                          const char *listen, const struct identity *identity,
                                          struct channel_server **out);

/* The port is free again for certain once the set is freed. NULL is allowed. */
void channel_server_free(struct channel_server *self);

/* The port that was bound. */
uint16_t channel_server_port(const struct channel_server *self);
/* Malformed messages so far; each cost its sender the connection. */
uint64_t channel_server_dropped(const struct channel_server *self);

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

/* As the client's, of the client with this key. */
uint64_t channel_server_delivered_bytes(struct channel_server *self,
                                        const uint8_t curve_key[IDENTITY_KEY_BYTES]);

struct channel_client;

enum channel_trouble {
    CHANNEL_FINE,
    CHANNEL_CONNECTING, /* not connected (yet, or any more); being tried again */
    CHANNEL_WRONG_KEY   /* somebody answers, but the handshake with this key fails */
};

/* Starts connecting to the server at `address` (HOST:PORT, IPv6 in brackets) that has this Ed25519
 * key; ZeroMQ tries again by itself with backoff (0.1 s to 0.5 s, CHANNEL_BULK: to 2 s).
 * Errors: USAGE (not an address, not a key), OS, FULL. */
MUST_CHECK enum status channel_client_new(struct channel_set *set, enum channel_use use,
                                          const char *address,
                                          const uint8_t public_key[IDENTITY_KEY_BYTES],
                                          const struct identity *identity,
                                          struct channel_client **out);

/* What was sent still goes out, within 2 s. NULL is allowed. */
void channel_client_free(struct channel_client *self);

/* Ends at once; what has not gone out is lost. For who connects with the same key again: what an
 * earlier connection still says would come in between. NULL is allowed. */
void channel_client_drop(struct channel_client *self);

/* How the connection is, from the socket's own events. */
enum channel_trouble channel_client_trouble(struct channel_client *self);

/* How often the connection was established so far: what was on its way before the latest time may
 * be lost, and nobody else tells. */
uint64_t channel_client_connections(struct channel_client *self);

/* Bytes that the other side's kernel has confirmed since the connection was established; 0: not
 * known. What a queue took says nothing about the line, this does. */
uint64_t channel_client_delivered_bytes(struct channel_client *self);

/* As the server's. */
MUST_CHECK enum status channel_client_receive(struct channel_client *self,
                                              struct channel_message *out);
/* Errors: AGAIN (queue full). */
MUST_CHECK enum status channel_client_send(struct channel_client *self, const uint8_t *head,
                                           size_t head_size_bytes, const uint8_t *body,
                                           size_t body_size_bytes);

#endif
