/* channel - ZeroMQ ROUTER/DEALER with CURVE: the only place that talks to a network.
 *
 * The server knows each client by the key that its CURVE handshake proved, and each connection by
 * a number of the server's own, never by a routing id that a client could choose. Messages are a
 * head and a body (wire.h); anything else on the wire costs its sender the connection. Settings
 * follow the table of docs/transport.md.
 *
 * Behind this header stand ZeroMQ itself (proto/channel/), the coordinator's side of the gateway
 * process (coordinator/gateway/), and the simulator's lines (tests/sim): a program links one.
 *
 * A set and its endpoints belong to one thread. Wake it from others through an eventfd. */
#ifndef DUGNAD_PROTO_CHANNEL_H
#define DUGNAD_PROTO_CHANNEL_H

#include "proto/channel_incident.h"
#include "proto/link.h"

#include <stddef.h>

enum {
    CHANNEL_ENDPOINTS_MAX = 320, /* of a set: 256 owners, and what is the program's own */
    CHANNEL_BULK_BODY_MAX = 320 * 1024,
    CHANNEL_BARRED_MAX = 65536,
    CHANNEL_STRANGER_MESSAGES_MAX = 8, /* before a connection is admitted; more cost it */
    CHANNEL_STRANGER_HEAD_MAX = 4096,
    CHANNEL_STRANGER_MS_MAX = 10000 /* to be admitted in */
};

/* What an endpoint is for; the client's must be the server's. CHANNEL_BULK is a peer's port: bodies
 * have at most CHANNEL_BULK_BODY_MAX bytes, queues are short. CHANNEL_CHUNKS is a coordinator's
 * port for chunks: such bodies as well, but strangers may say as little as at its other port. A
 * client of both takes IP addresses only: looking up a name could hold up everything for seconds.
 */
enum channel_use { CHANNEL_CONTROL, CHANNEL_BULK, CHANNEL_CHUNKS };

/* What the endpoints of a program share: ZeroMQ's threads, the check of keys, and one wait. */
struct channel_set;

/* 0 < io_thread_count <= 16: CURVE costs a core about 0.3 GB/s. Raises the limit of open files.
 * Errors: OS with a sentence (too few of them as well). The caller owns *out. */
MUST_CHECK enum status channel_set_new(int io_thread_count, struct channel_set **out);

/* After all of its endpoints. Waits at most 2 s for what they sent. NULL is allowed. */
void channel_set_free(struct channel_set *self);

/* Waits until one of the endpoints has something to receive, wake_fd (or -1) is readable, or
 * timeout_ms passed. Where a send since the last wait was told AGAIN it ends after 2 ms at the
 * latest, since nothing else tells that a queue has room again. */
void channel_set_wait(struct channel_set *self, int wake_fd, int timeout_ms);

/* One received message; head and body are valid until channel_message_close(). Close exactly what
 * a receive returned OK for, and do not copy the struct: small bytes lie inside it. */
struct channel_message {
    uint8_t curve_key[IDENTITY_KEY_BYTES]; /* server: the sender's proven CURVE key */
    uint64_t connection;                   /* server: never 0, never used twice by one server */
    char host[CHANNEL_HOST_MAX]; /* server: the IP address it comes from, as in HOST:PORT (IPv6 in
                                    brackets); "": not known, or good on one link only */
    bool bulk;                   /* server: it came to the port for chunks, of a server with both */
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

uint16_t channel_server_port(const struct channel_server *self); /* that was bound */

/* A server with two ports, as the coordinator's: CHANNEL_CONTROL at `listen`, and CHANNEL_CHUNKS at
 * `listen_bulk`. Its connections are numbered over both, and each message says where it came.
 * Admitting one cuts the others of its key at the same port, barring a key those at both. Not
 * offered by ZeroMQ itself, of which a gateway has two servers. Errors: as channel_server_new. */
MUST_CHECK enum status channel_server_new_both(struct channel_set *set, const char *listen,
                                               const char *listen_bulk,
                                               const struct identity *identity,
                                               struct channel_server **out);

uint16_t channel_server_bulk_port(const struct channel_server *self); /* of such a server */

/* Whole, well-formed messages, those of strangers as well: the program decides who is admitted.
 * Errors: AGAIN (nothing there). */
MUST_CHECK enum status channel_server_receive(struct channel_server *self,
                                              struct channel_message *out);

/* Sends to the client behind this connection; copies. Errors: AGAIN (its queue is full: try later),
 * STALE (gone). body may be NULL when its size is 0. */
MUST_CHECK enum status channel_server_send(struct channel_server *self, uint64_t connection,
                                           const uint8_t *head, size_t head_size_bytes,
                                           const uint8_t *body, size_t body_size_bytes);

/* The client behind this connection takes part: from now on it has a member's limits, and other
 * connections that proved the same key are cut. Until then a connection is a stranger's: it may say
 * CHANNEL_STRANGER_MESSAGES_MAX small messages (heads of at most CHANNEL_STRANGER_HEAD_MAX, no
 * body, but for BULK: as its use allows) and has CHANNEL_STRANGER_MS_MAX. Fine when it is gone. */
void channel_server_admit(struct channel_server *self, uint64_t connection);

/* Cuts a connection; nothing more is received from it. Fine when it is gone. */
void channel_server_cut(struct channel_server *self, uint64_t connection);

/* Bars a CURVE key, or lets it in again: while barred its connections are cut, at once, and its
 * handshakes refused. Errors: FULL (CHANNEL_BARRED_MAX are barred, or no memory; its connections
 * are cut all the same). */
MUST_CHECK enum status channel_server_bar(struct channel_server *self,
                                          const uint8_t curve_key[IDENTITY_KEY_BYTES], bool barred);

/* As the client's, of the client behind this connection. */
uint64_t channel_server_delivered_bytes(struct channel_server *self, uint64_t connection);

/* Bytes that came from the client behind this connection so far, as TCP counts them: those of a
 * message that is not whole yet as well. 0: gone, or not known. */
uint64_t channel_server_received_bytes(struct channel_server *self, uint64_t connection);

struct channel_client;

enum channel_trouble {
    CHANNEL_FINE,
    CHANNEL_CONNECTING, /* not connected (yet, or any more); being tried again */
    CHANNEL_WRONG_KEY,  /* somebody answers, but the handshake fails: it has another key than the
                           one wanted, or only stands in front of it while it is away */
    CHANNEL_SHUT_OUT    /* it says that it has barred our key */
};

/* Starts connecting to the server at `address` (HOST:PORT, IPv6 in brackets) that has this Ed25519
 * key; ZeroMQ tries again by itself with backoff (0.1 s to 0.5 s, or to 2 s but for CONTROL).
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

/* Of the server that it reached last, the IP address as in HOST:PORT (IPv6 in brackets); "": none
 * so far, or it is good on one link only. Not offered by a gateway's core. */
void channel_client_host(struct channel_client *self, char out[CHANNEL_HOST_MAX]);

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
