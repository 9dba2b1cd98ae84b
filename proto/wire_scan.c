#include "common/check.h"
#include "proto/wire_parts.h"

#include <string.h>

/* Protocol Buffers encoding: a field is a varint tag (number << 3 | wire type) and a value. */
enum wire_encoding { ENCODING_VARINT = 0, ENCODING_64 = 1, ENCODING_BYTES = 2, ENCODING_32 = 5 };

enum { VARINT_BYTES_MAX = 10, FIELDS_MAX = 32 };

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static bool read_varint(struct cursor *cursor, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX && cursor->at < cursor->end; i++) {
        uint8_t byte = *cursor->at++;
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) {
            return false; /* more than 64 bits */
        }
        value |= (uint64_t)(byte & 0x7fU) << 7U * i;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct cursor *cursor, uint64_t size_bytes)
{
    if (size_bytes > (uint64_t)(cursor->end - cursor->at)) {
        return false;
    }
    cursor->at += size_bytes;
    return true;
}

static bool is_varint(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_UINT32 || type == PROTOBUF_C_TYPE_UINT64 ||
           type == PROTOBUF_C_TYPE_BOOL;
}

/* The schema uses these kinds of fields only; another one is our own mistake. */
static enum wire_encoding encoding_of(const ProtobufCFieldDescriptor *field)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING ||
        field->type == PROTOBUF_C_TYPE_BYTES || field->label == PROTOBUF_C_LABEL_REPEATED) {
        return ENCODING_BYTES;
    }
    if (field->type == PROTOBUF_C_TYPE_DOUBLE) {
        return ENCODING_64;
    }
    CHECK(is_varint(field->type));
    return ENCODING_VARINT;
}

/* protobuf-c would cut a wide number down to its field's width without a word. */
static bool number_fits(ProtobufCType type, uint64_t value)
{
    if (type == PROTOBUF_C_TYPE_BOOL) {
        return value <= 1;
    }
    return type == PROTOBUF_C_TYPE_UINT64 || value <= UINT32_MAX;
}

static bool scan_packed(ProtobufCType type, struct cursor values)
{
    CHECK(is_varint(type));
    for (size_t count = 0; values.at < values.end; count++) {
        uint64_t value = 0;
        if (count >= WIRE_RANGES_MAX || !read_varint(&values, &value) ||
            !number_fits(type, value)) {
            return false;
        }
    }
    return true;
}

static bool scan_message(const ProtobufCMessageDescriptor *descriptor, struct cursor cursor,
                         unsigned depth);

/* The bytes of a length-delimited field; `depth` is that of the message it stands in. */
static bool scan_bytes(const ProtobufCFieldDescriptor *field, struct cursor content, unsigned depth)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return scan_packed(field->type, content);
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return scan_message(field->descriptor, content, depth + 1);
    }
    if (field->type == PROTOBUF_C_TYPE_STRING && content.at < content.end) {
        return memchr(content.at, 0, (size_t)(content.end - content.at)) == NULL;
    }
    return true;
}

static bool scan_value(const ProtobufCFieldDescriptor *field, struct cursor *cursor, unsigned depth)
{
    uint64_t value = 0;
    switch (encoding_of(field)) {
    case ENCODING_VARINT:
        return read_varint(cursor, &value) && number_fits(field->type, value);
    case ENCODING_64:
        return skip(cursor, 8);
    case ENCODING_32:
        return skip(cursor, 4);
    case ENCODING_BYTES:
        break;
    }
    struct cursor content;
    if (!read_varint(cursor, &value)) {
        return false;
    }
    content.at = cursor->at;
    if (!skip(cursor, value)) {
        return false;
    }
    content.end = cursor->at;
    return scan_bytes(field, content, depth);
}

static bool scan_message(const ProtobufCMessageDescriptor *descriptor, struct cursor cursor,
                         unsigned depth)
{
    CHECK(descriptor->n_fields <= FIELDS_MAX);
    uint32_t seen = 0; /* a bit a field: nothing is repeated but by packing */
    if (depth > WIRE_DEPTH_MAX) {
        return false;
    }
    while (cursor.at < cursor.end) {
        uint64_t tag = 0;
        if (!read_varint(&cursor, &tag)) {
            return false;
        }
        unsigned i = 0;
        while (i < descriptor->n_fields && descriptor->fields[i].id != tag >> 3U) {
            i++;
        }
        if (i == descriptor->n_fields || (seen >> i & 1U) != 0 ||
            (tag & 7U) != (uint64_t)encoding_of(&descriptor->fields[i])) {
            return false;
        }
        seen |= UINT32_C(1) << i;
        if (!scan_value(&descriptor->fields[i], &cursor, depth)) {
            return false;
        }
    }
    return true;
}

enum status wire_scan(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data,
                      size_t size_bytes)
{
    struct cursor cursor = {data, data + size_bytes};
    return scan_message(descriptor, cursor, 1) ? STATUS_OK : STATUS_PROTOCOL;
}
