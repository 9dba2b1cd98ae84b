/* door_framing - reads the plain-text outside of ZMTP 3 (ZeroMQ RFC 23 and 26): a greeting, then
 * frames of a flags byte, a size of 1 or 8 bytes, and a body that nobody but libzmq can read.
 *
 * So it is known how large a frame will be before any of it goes further, and how much of what went
 * on is not a whole message yet.
 *
 * Pure; one owner. */
#ifndef DUGNAD_PROTO_DOOR_FRAMING_H
#define DUGNAD_PROTO_DOOR_FRAMING_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DOOR_GREETING_BYTES = 64,
    DOOR_HELLO_BYTES = 202,                                      /* a command with 200 bytes */
    DOOR_OPENING_BYTES = DOOR_GREETING_BYTES + DOOR_HELLO_BYTES, /* a client's, before it waits */
    DOOR_WELCOME_BYTES = 170,
    DOOR_INITIATE_MIN = 257, /* of its body */
    DOOR_FRAME_HEADER_MAX = 9,
    DOOR_MESSAGE_BEGIN_BYTES = 16, /* a message's name, then its number */
    DOOR_NUMBER_FIRST = 3,         /* libzmq's HELLO is 1, its INITIATE 2 */
    DOOR_FRAME_MIN = 33,           /* of a message's body: what CURVE adds */
    DOOR_FRAME_COST = 64,          /* what libzmq keeps for each frame besides its bytes */
    DOOR_COMMAND_NAME_MAX = 10
};

/* What the greeting of a server with CURVE says, from the first byte to the last. */
extern const uint8_t door_greeting[DOOR_GREETING_BYTES];

/* Looks at the first `have` bytes that a client says, at most DOOR_OPENING_BYTES: its greeting and
 * its HELLO. Errors: PROTOCOL (they cannot become that any more). */
MUST_CHECK enum status door_opening_check(const uint8_t *bytes, size_t have);

struct door_framing {
    bool counts; /* the numbers of messages: a line that lost, gained or moved one is at its end */
    uint8_t header[DOOR_FRAME_HEADER_MAX];
    size_t header_bytes;                     /* of it that are here, before the body begins */
    uint64_t body_left;                      /* bytes of the frame's body that have not come */
    bool inside;                             /* of a body */
    uint8_t begin[DOOR_MESSAGE_BEGIN_BYTES]; /* of the body */
    size_t begin_bytes;
    uint64_t frame_count; /* begun so far */
};

/* What door_framing_read found. */
struct door_frames {
    uint64_t cost_bytes; /* of all bytes read, and DOOR_FRAME_COST for each frame begun */
    uint64_t begun;
};

/* Reads the next bytes of a line of frames whose bodies have between DOOR_FRAME_MIN and body_max
 * bytes. With `counts` each is a MESSAGE (RFC 26) whose number follows that of the one before:
 * libzmq takes any higher one, so that somebody on the way could leave out a body and the head
 * after it, and join one's head with another's body. The number is under the box's seal.
 * Errors: PROTOCOL (no frame of ZMTP, not the next message), OVERSIZE as OUT_OF_RANGE; then the
 * line is of no more use. */
MUST_CHECK enum status door_framing_read(struct door_framing *self, const uint8_t *bytes,
                                         size_t size_bytes, uint64_t body_max,
                                         struct door_frames *out);

/* A frame with so many bytes of a message, as it is on the wire. */
uint64_t door_frame_bytes(size_t payload_bytes);

/* Commands of the handshake after HELLO, gathered from the bytes of one side. */
struct door_command {
    uint8_t header[DOOR_FRAME_HEADER_MAX + DOOR_COMMAND_NAME_MAX];
    size_t have;          /* bytes of the command so far, those that are not kept as well */
    uint64_t total_bytes; /* of the command with its header; 0: not known yet */
};

/* Reads bytes of one command, at most up to its end: *out_used. It is whole once have equals
 * total_bytes. Errors: PROTOCOL, OUT_OF_RANGE (its body has more than body_max bytes). */
MUST_CHECK enum status door_command_read(struct door_command *self, const uint8_t *bytes,
                                         size_t size_bytes, uint64_t body_max, size_t *out_used);
bool door_command_whole(const struct door_command *self);

/* Whether a whole command has this name, for example "READY". */
bool door_command_is(const struct door_command *self, const char *name);

#endif
