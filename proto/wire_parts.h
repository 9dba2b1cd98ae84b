/* wire_parts - the pieces of wire that only wire's own files see, so that protobuf-c types stay
 * inside this folder.
 *
 * Pure; thread-safe. */
#ifndef DUGNAD_PROTO_WIRE_PARTS_H
#define DUGNAD_PROTO_WIRE_PARTS_H

#include "proto/wire.h"

#include <protobuf-c/protobuf-c.h>

enum {
    WIRE_CHUNK_TYPE = 0x42, /* the type byte of a chunk header; no wire_type has it */
    WIRE_DEPTH_MAX = 2,     /* a message and the messages in it */
    WIRE_BUDGET_FACTOR = 4,
    WIRE_BUDGET_BASE_BYTES = 16 * 1024,
    WIRE_DURATION_MS_MAX = 7 * 24 * 3600 * 1000
};

/* Tokens of one step: what exact_sum.h can sum. */
#define WIRE_TOKENS_MAX (UINT64_C(1) << 40)

/* wire_scan.c: walks the bytes of one message of `descriptor` before anything is allocated.
 * Refused: unknown fields, wrong wire types, groups, a field given twice, arrays that are not
 * packed or longer than WIRE_RANGES_MAX, numbers wider than their field, text with a NUL, more
 * than WIRE_DEPTH_MAX levels. Errors: PROTOCOL. */
MUST_CHECK enum status wire_scan(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data,
                                 size_t size_bytes);

/* wire_budget.c: an allocator for protobuf-c that stops at a limit. Every byte ever asked for
 * counts; a free gives nothing back, so `used_bytes` is also the peak. */
struct wire_budget {
    ProtobufCAllocator allocator; /* valid while the struct stays where it is */
    size_t limit_bytes;
    size_t used_bytes;
};
void wire_budget_init(struct wire_budget *self, size_t limit_bytes);

/* wire_text.c */
/* ASCII 0x20 to 0x7e without " and \, so that it can stand in a quoted value of a log line. */
bool wire_text_printable(const char *text);
bool wire_text_utf8(const char *text);    /* well-formed as in RFC 3629 */
bool wire_text_address(const char *text); /* HOST:PORT, or :PORT */

/* wire_pack.c: writes the protobuf bytes behind the type byte. Errors: FULL. */
MUST_CHECK enum status wire_pack(const struct wire_message *message, uint8_t *out, size_t size_max,
                                 size_t *out_size_bytes);

/* Where the packed bytes go. */
struct wire_sink {
    uint8_t *out;
    size_t size_max;
    size_t size_bytes;
};
/* Packs `message` into the sink. Errors: FULL. */
MUST_CHECK enum status wire_emit(struct wire_sink *sink, const ProtobufCMessage *message);
/* For protobuf-c's structs, which hold no const pointers; packing only reads through them. */
ProtobufCBinaryData wire_bytes_of(const uint8_t *data, size_t size_bytes);
char *wire_text_of(const char *text, size_t size_max);

/* wire_unpack.c: each is the only check of its value. */
bool wire_read_bytes(const ProtobufCBinaryData *from, uint8_t *out, size_t size_bytes);
bool wire_tokens_are_good(uint64_t tokens);
bool wire_chunks_are_good(uint32_t first_chunk, uint32_t chunk_count); /* some, all that can be */

/* wire_owners.c: both ways for the types from WIRE_ROUTE on. Errors: FULL. */
MUST_CHECK enum status wire_pack_owners(const struct wire_message *message, struct wire_sink *sink);
/* False: a value is out of range. */
bool wire_read_owners(enum wire_type type, const ProtobufCMessage *message,
                      struct wire_message *out);

/* wire_unpack.c: what protobuf-c calls a type; NULL: unknown, or nothing follows the type byte. */
const ProtobufCMessageDescriptor *wire_descriptor(enum wire_type type);
/* Checks every value of an unpacked message once and moves it over. Errors: PROTOCOL. */
MUST_CHECK enum status wire_unpack(enum wire_type type, const ProtobufCMessage *message,
                                   struct wire_message *out);

/* wire_decode, and what it allocated on the way. */
MUST_CHECK enum status wire_decode_measured(const uint8_t *head, size_t size_bytes,
                                            struct wire_message *out, size_t *out_used_bytes);

#endif
