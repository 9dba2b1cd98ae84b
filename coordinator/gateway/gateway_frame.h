/* gateway_frame - what the coordinator and its gateway say to each other, as bytes.
 *
 * The gateway (main.c here) owns the public ports; the coordinator speaks with it over a stream
 * socket. A frame is a header of GATEWAY_HEADER_BYTES, a head and a body. The header,
 * little-endian, unnamed bytes zero: type at 0, sizes of head and body (uint32) at 4 and 8, a
 * number (uint64) at 16: of a connection, a client or a ping. That of a connection has its port in
 * the lowest bit, so that it cannot be said to have changed. Each type has its sender and its
 * limits, so whoever reads takes no memory beyond one buffer, whatever the other side says. Neither
 * side believes the other: the gateway may have been taken over.
 *
 * What stands in the heads: gateway_facts.h.
 *
 * Pure: no sockets, clock or threads. One owner per reader. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_GATEWAY_FRAME_H
#define DUGNAD_COORDINATOR_GATEWAY_GATEWAY_FRAME_H

#include "proto/channel.h"
#include "proto/wire.h"

enum {
    GATEWAY_HEADER_BYTES = 24,
    GATEWAY_TEXT_MAX = 512,                                       /* of a ready or failed */
    GATEWAY_SENDER_BYTES = IDENTITY_KEY_BYTES + CHANNEL_HOST_MAX, /* before the head in a heard */
    GATEWAY_HEAD_MAX = GATEWAY_SENDER_BYTES + WIRE_HEAD_MAX,
    GATEWAY_FRAME_MAX = GATEWAY_HEADER_BYTES + GATEWAY_HEAD_MAX + WIRE_BODY_MAX,
    GATEWAY_BUFFER_BYTES = 2 * GATEWAY_FRAME_MAX,
    GATEWAY_NUMBER_BITS = 40 /* a gateway gives no more connections */
};

/* The public ports: for everything, and for chunks. */
enum gateway_port { GATEWAY_CONTROL_PORT, GATEWAY_BULK_PORT, GATEWAY_PORTS };

enum gateway_side { GATEWAY_CORE, GATEWAY_OUTSIDE };

enum gateway_frame_type {
    /* The core's. */
    GATEWAY_START = 1, /* first: the CURVE key pair */
    GATEWAY_SEND,      /* a message to a connection */
    GATEWAY_ADMIT,     /* a connection takes part */
    GATEWAY_CUT,       /* a connection ends */
    GATEWAY_BAR,       /* a key is barred, or no longer */
    GATEWAY_DIAL,      /* a client connects */
    GATEWAY_TELL,      /* a message by a client */
    GATEWAY_HANG_UP,   /* a client ends */
    GATEWAY_PING,      /* to be answered once all is handed on that had come before */
    GATEWAY_CORE_END,
    /* The gateway's. */
    GATEWAY_READY = 64, /* it listens, and this confines it */
    GATEWAY_FAILED,     /* it cannot, for this reason; it ends */
    GATEWAY_HEARD,      /* a message of a connection */
    GATEWAY_TAKEN,      /* messages to a connection are in its queue, as far as they are not lost */
    GATEWAY_GONE,       /* a connection ended, with all that was not taken */
    GATEWAY_TRAFFIC,    /* bytes that a connection has carried, each way */
    GATEWAY_INCIDENT,
    GATEWAY_ANSWERED, /* a message to a client */
    GATEWAY_TOLD,     /* as taken, of a client */
    GATEWAY_LINE,     /* how a client's connection is */
    GATEWAY_PONG,
    GATEWAY_OUTSIDE_END
};

struct gateway_frame {
    enum gateway_frame_type type;
    uint64_t number;
    const uint8_t *head;
    size_t head_size_bytes;
    const uint8_t *body;
    size_t body_size_bytes;
};

/* The header of a frame that keeps to the limits of its type (CHECKed). */
void gateway_frame_header(const struct gateway_frame *frame, uint8_t out[GATEWAY_HEADER_BYTES]);

/* Puts frames together again from the bytes of a stream. */
struct gateway_reader;

/* Reads what `from` says. Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status gateway_reader_new(enum gateway_side from, struct gateway_reader **out);
void gateway_reader_free(struct gateway_reader *self); /* NULL is allowed. */

/* Where the next bytes of the stream go, and how many at most: never 0 after gateway_reader_next()
 * said AGAIN. Ends the frame that was read last. */
size_t gateway_reader_space(struct gateway_reader *self, uint8_t **out);
void gateway_reader_filled(struct gateway_reader *self, size_t size_bytes);

/* Overwrites the frame that was read last: it held a secret. */
void gateway_reader_wipe(struct gateway_reader *self);

/* The next frame, whose bytes stay the reader's and are valid until the next call of any of these.
 * Errors: AGAIN (more bytes are needed), PROTOCOL (no frame of that side; and so for ever). */
MUST_CHECK enum status gateway_reader_next(struct gateway_reader *self, struct gateway_frame *out);

#endif
