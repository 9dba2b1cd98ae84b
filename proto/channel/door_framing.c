#include "proto/channel/door_framing.h"

#include <string.h>

enum {
    FLAG_MORE = 1,
    FLAG_LONG = 2,
    FLAG_COMMAND = 4,
    FLAGS_KNOWN = FLAG_MORE | FLAG_LONG | FLAG_COMMAND,
    SHORT_HEADER_BYTES = 2,
    SHORT_BODY_MAX = 255,
    SIGNATURE_LAST = 9,
    VERSION_AT = 10,
    MECHANISM_AT = 12,
    MECHANISM_BYTES = 20,
    AS_SERVER_AT = 32,
    HELLO_BODY_BYTES = DOOR_HELLO_BYTES - SHORT_HEADER_BYTES,
    COMMAND_NAME_MIN = 5 /* READY, HELLO, ERROR */
};

/* libzmq 4.3.4 says 3.1; what the client says of itself goes on to libzmq. */
const uint8_t door_greeting[DOOR_GREETING_BYTES] = {
    0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1, 'C', 'U', 'R', 'V', 'E', [AS_SERVER_AT] = 1,
};

static const uint8_t mechanism[MECHANISM_BYTES] = {'C', 'U', 'R', 'V', 'E'};
static const uint8_t message_name[8] = {7, 'M', 'E', 'S', 'S', 'A', 'G', 'E'};
static const uint8_t hello_begin[] = {FLAG_COMMAND, HELLO_BODY_BYTES, 5, 'H', 'E', 'L', 'L', 'O'};

/* Whether the part of `expected` at `at` that is here already is as expected. */
static bool agrees(const uint8_t *bytes, size_t have, size_t at, const uint8_t *expected,
                   size_t size_bytes)
{
    if (have <= at) {
        return true;
    }
    size_t here = have - at < size_bytes ? have - at : size_bytes;
    return memcmp(bytes + at, expected, here) == 0;
}

enum status door_opening_check(const uint8_t *bytes, size_t have)
{
    bool good = (have <= 0 || bytes[0] == 0xff) &&
                (have <= SIGNATURE_LAST || bytes[SIGNATURE_LAST] == 0x7f) &&
                (have <= VERSION_AT || bytes[VERSION_AT] == 3) &&
                agrees(bytes, have, MECHANISM_AT, mechanism, sizeof mechanism) &&
                (have <= AS_SERVER_AT || bytes[AS_SERVER_AT] == 0) &&
                agrees(bytes, have, DOOR_GREETING_BYTES, hello_begin, sizeof hello_begin);
    return good ? STATUS_OK : STATUS_PROTOCOL;
}

static size_t header_size(uint8_t flags)
{
    return (flags & FLAG_LONG) != 0 ? DOOR_FRAME_HEADER_MAX : SHORT_HEADER_BYTES;
}

/* ZMTP's numbers are big-endian. */
static uint64_t body_size(const uint8_t *header)
{
    if ((header[0] & FLAG_LONG) == 0) {
        return header[1];
    }
    uint64_t size = 0;
    for (unsigned i = 1; i < DOOR_FRAME_HEADER_MAX; i++) {
        size = size << 8U | header[i];
    }
    return size;
}

/* The header is whole. */
static enum status begin_body(struct door_framing *self, uint64_t body_max)
{
    uint64_t size_bytes = body_size(self->header);
    if (size_bytes > body_max) {
        return STATUS_OUT_OF_RANGE;
    }
    if (size_bytes < DOOR_FRAME_MIN) {
        return STATUS_PROTOCOL;
    }
    self->body_left = size_bytes;
    self->header_bytes = 0;
    self->begin_bytes = 0;
    self->inside = true;
    self->frame_count++;
    return STATUS_OK;
}

static bool is_next(const struct door_framing *self)
{
    uint64_t number = 0;
    for (size_t i = sizeof message_name; i < sizeof self->begin; i++) {
        number = number << 8U | self->begin[i];
    }
    return memcmp(self->begin, message_name, sizeof message_name) == 0 &&
           number == self->frame_count - 1 + DOOR_NUMBER_FIRST;
}

/* Keeps the start of a body. False: it is whole, and not what must come. */
static bool keep_begin(struct door_framing *self, const uint8_t *bytes, size_t size_bytes)
{
    size_t room = sizeof self->begin - self->begin_bytes;
    size_t here = size_bytes < room ? size_bytes : room;
    memcpy(self->begin + self->begin_bytes, bytes, here);
    self->begin_bytes += here;
    return here == 0 || here < room || is_next(self);
}

enum status door_framing_read(struct door_framing *self, const uint8_t *bytes, size_t size_bytes,
                              uint64_t body_max, struct door_frames *out)
{
    *out = (struct door_frames){.cost_bytes = size_bytes};
    size_t at = 0;
    while (at < size_bytes) {
        if (self->inside) {
            uint64_t here = size_bytes - at;
            here = here < self->body_left ? here : self->body_left;
            if (self->counts && !keep_begin(self, bytes + at, (size_t)here)) {
                return STATUS_PROTOCOL;
            }
            at += (size_t)here;
            self->body_left -= here;
            self->inside = self->body_left > 0;
            continue;
        }
        self->header[self->header_bytes++] = bytes[at++];
        if ((self->header[0] & ~(unsigned)FLAGS_KNOWN) != 0) {
            return STATUS_PROTOCOL;
        }
        if (self->header_bytes == header_size(self->header[0])) {
            enum status status = begin_body(self, body_max);
            if (status != STATUS_OK) {
                return status;
            }
            out->begun++;
            out->cost_bytes += DOOR_FRAME_COST;
        }
    }
    return STATUS_OK;
}

uint64_t door_frame_bytes(size_t payload_bytes)
{
    uint64_t body_bytes = (uint64_t)payload_bytes + DOOR_FRAME_MIN;
    return body_bytes + (body_bytes > SHORT_BODY_MAX ? DOOR_FRAME_HEADER_MAX : SHORT_HEADER_BYTES);
}

/* Keeps the start of the command; true once its header is whole. */
static bool keep(struct door_command *self, uint8_t byte)
{
    if (self->have < sizeof self->header) {
        self->header[self->have] = byte;
    }
    self->have++;
    return self->total_bytes == 0 && self->have == header_size(self->header[0]);
}

enum status door_command_read(struct door_command *self, const uint8_t *bytes, size_t size_bytes,
                              uint64_t body_max, size_t *out_used)
{
    size_t at = 0;
    while (at < size_bytes && !door_command_whole(self)) {
        bool sized = keep(self, bytes[at++]);
        if ((self->header[0] & ~(unsigned)FLAG_LONG) != FLAG_COMMAND) {
            return STATUS_PROTOCOL; /* before the keys are proved there are commands only */
        }
        if (sized) {
            uint64_t body_bytes = body_size(self->header);
            if (body_bytes > body_max) {
                return STATUS_OUT_OF_RANGE;
            }
            if (body_bytes <= COMMAND_NAME_MIN) {
                return STATUS_PROTOCOL;
            }
            self->total_bytes = self->have + body_bytes;
        }
    }
    *out_used = at;
    return STATUS_OK;
}

bool door_command_whole(const struct door_command *self)
{
    return self->total_bytes > 0 && self->have == self->total_bytes;
}

bool door_command_is(const struct door_command *self, const char *name)
{
    size_t at = header_size(self->header[0]);
    size_t name_bytes = strlen(name);
    return door_command_whole(self) && self->total_bytes > at + name_bytes &&
           at + 1 + name_bytes <= sizeof self->header && self->header[at] == name_bytes &&
           memcmp(self->header + at + 1, name, name_bytes) == 0;
}
