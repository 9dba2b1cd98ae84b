#include "proto/wire.h"

#include "common/check.h"
#include "proto/wire_parts.h"

#include <string.h>

_Static_assert((int)WIRE_CHUNK_TYPE >= (int)WIRE_TYPE_END, "chunks and messages differ");

enum status wire_encode(const struct wire_message *message, uint8_t *out, size_t size_max,
                        size_t *out_size_bytes)
{
    CHECK(message->type >= WIRE_HELLO && message->type < WIRE_TYPE_END);
    *out_size_bytes = 0;
    if (size_max < 1) {
        return STATUS_FULL;
    }
    size_t packed_bytes = 0;
    size_t left = size_max < WIRE_HEAD_MAX ? size_max : (size_t)WIRE_HEAD_MAX;
    enum status status = wire_pack(message, out + 1, left - 1, &packed_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    out[0] = (uint8_t)message->type;
    *out_size_bytes = 1 + packed_bytes;
    return STATUS_OK;
}

enum status wire_decode_measured(const uint8_t *head, size_t size_bytes, struct wire_message *out,
                                 size_t *out_used_bytes)
{
    *out_used_bytes = 0;
    if (size_bytes < 1 || size_bytes > WIRE_HEAD_MAX || head[0] < WIRE_HELLO ||
        head[0] >= WIRE_TYPE_END) {
        return STATUS_PROTOCOL;
    }
    enum wire_type type = (enum wire_type)head[0];
    const ProtobufCMessageDescriptor *descriptor = wire_descriptor(type);
    if (descriptor == NULL) {
        out->type = type;
        return size_bytes == 1 ? STATUS_OK : STATUS_PROTOCOL;
    }
    enum status status = wire_scan(descriptor, head + 1, size_bytes - 1);
    if (status != STATUS_OK) {
        return status;
    }
    struct wire_budget budget;
    wire_budget_init(&budget, WIRE_BUDGET_FACTOR * size_bytes + WIRE_BUDGET_BASE_BYTES);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &budget.allocator, size_bytes - 1, head + 1);
    *out_used_bytes = budget.used_bytes;
    if (message == NULL) {
        return STATUS_PROTOCOL;
    }
    status = wire_unpack(type, message, out);
    protobuf_c_message_free_unpacked(message, &budget.allocator);
    return status;
}

enum status wire_decode(const uint8_t *head, size_t size_bytes, struct wire_message *out)
{
    size_t used_bytes = 0;
    return wire_decode_measured(head, size_bytes, out, &used_bytes);
}

bool wire_is_chunk(const uint8_t *head, size_t size_bytes)
{
    return size_bytes > 0 && head[0] == WIRE_CHUNK_TYPE;
}
