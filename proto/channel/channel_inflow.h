/* channel_inflow - whether what comes on a connection that we made becomes messages.
 *
 * Whoever is dialled may be as hostile as who dials, and libzmq keeps the parts of a message until
 * the last one came, however many: its limits are of one part, and of whole messages. The kernel
 * says how many bytes came. Those of the messages that the program took are known to the byte; of
 * the rest, only so much can be under way. Heartbeats are forgiven at a steady rate.
 *
 * Pure: numbers are handed in. One owner. */
#ifndef DUGNAD_PROTO_CHANNEL_INFLOW_H
#define DUGNAD_PROTO_CHANNEL_INFLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHANNEL_INFLOW_FREE_BYTES = 64 * 1024, /* a handshake, heartbeats */
    CHANNEL_INFLOW_FREE_BYTES_PER_S = 64,
    CHANNEL_INFLOW_MESSAGES = 4 /* that may be under way when none waits to be taken */
};

/* All zero: a new connection. */
struct channel_inflow {
    uint64_t taken_bytes; /* of the stream, in messages that the program took */
    uint64_t forgiven_bytes;
    uint64_t forgiven_ms; /* 0: never yet */
};

/* The program took a message. */
void channel_inflow_take(struct channel_inflow *self, size_t head_size_bytes,
                         size_t body_size_bytes);

/* Bytes of the largest message in the stream. */
uint64_t channel_inflow_message_bytes(size_t head_bytes_max, size_t body_bytes_max);

/* Whether so many bytes from the connection, of which no more than `message_count` messages of
 * `message_bytes` may be under way, are too many. now_ms never decreases. */
bool channel_inflow_exceeds(struct channel_inflow *self, uint64_t read_bytes,
                            uint64_t message_bytes, unsigned message_count, uint64_t now_ms);

#endif
