/* channel_socket - what the server's and the client's socket have in common.
 *
 * One owner per socket. */
#ifndef DUGNAD_PROTO_CHANNEL_SOCKET_H
#define DUGNAD_PROTO_CHANNEL_SOCKET_H

#include "proto/channel/channel_set.h"

#include <zmq.h>

enum {
    CHANNEL_DROPS_PER_CALL_MAX = 64,     /* bad messages, before a receive gives up the turn */
    CHANNEL_DRAINED_PER_CALL_MAX = 4096, /* frames of a bad message, likewise */
    CHANNEL_CLIENT_LINGER_MS = 2000,
    CHANNEL_SERVER_LINGER_MS = 1000
};

/* How a DEALER or ROUTER is set up; see docs/transport.md. */
struct channel_limits {
    int receive_messages_max; /* high-water marks */
    int send_messages_max;
    size_t body_bytes_max; /* at least WIRE_HEAD_MAX: larger frames cost the connection */
    int linger_ms;
};

/* zmq_setsockopt of an int. Errors: OS with a sentence. */
MUST_CHECK enum status channel_socket_set(void *socket, int option, int value);

/* Limits, heartbeats, IPv6 and the key pair of a new socket. Errors: OS with a sentence. */
MUST_CHECK enum status channel_socket_set_up(void *socket, const struct identity *identity,
                                             const struct channel_limits *limits);

/* The two frames inside a message, kept in its opaque bytes. */
struct channel_frames {
    zmq_msg_t head;
    zmq_msg_t body;
};
struct channel_frames *channel_frames_of(struct channel_message *message);

/* Receives a head and a body, and nothing else, into a message that is then to be closed
 * whatever the result. *draining: frames of a bad message are left, for channel_socket_drain.
 * Errors: AGAIN, PROTOCOL (one frame, more than two, or one that is too large). */
MUST_CHECK enum status channel_socket_receive(void *socket, struct channel_message *out,
                                              bool *draining);

/* Drops what is left of a bad message, for a bounded time. True once it is gone. */
MUST_CHECK bool channel_socket_drain(void *socket, bool *draining);

/* Sends `prefix` (unless its size is 0), head and body as one message, or nothing at all.
 * Errors: AGAIN, STALE (a ROUTER knows no such connection). */
struct channel_bytes {
    const uint8_t *data;
    size_t size_bytes;
};
MUST_CHECK enum status channel_socket_send(void *socket, struct channel_bytes prefix,
                                           struct channel_bytes head, struct channel_bytes body);

#endif
