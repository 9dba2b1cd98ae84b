#include "coordinator/gateway/gateway_check.h"

#include "proto/blob.h"

/* Whether a peer says such a thing to a coordinator. */
static bool is_a_peers(enum wire_type type)
{
    switch (type) {
    case WIRE_HELLO:
    case WIRE_READY:
    case WIRE_PROGRESS:
    case WIRE_YIELDED:
    case WIRE_CONTRIBUTION:
    case WIRE_APPLIED:
    case WIRE_GRANT:
    case WIRE_ALIVE:
    case WIRE_LEAVE:
    case WIRE_CLAIM:
    case WIRE_HOLDS:
    case WIRE_RATES:
    case WIRE_PROBE:
        return true;
    case WIRE_WELCOME:
    case WIRE_REFUSED:
    case WIRE_LEASE:
    case WIRE_RECLAIM:
    case WIRE_COLLECT:
    case WIRE_VERDICT:
    case WIRE_COMMITTED:
    case WIRE_FINISHED:
    case WIRE_CLAIMED:
    case WIRE_ROUTE:
    case WIRE_DELIVER:
    case WIRE_OPEN:
    case WIRE_SET:
    case WIRE_TYPE_END:
    default:
        return false;
    }
}

bool gateway_check_heard(struct wire_message *scratch, enum gateway_port port, const uint8_t *head,
                         size_t head_size_bytes, size_t body_size_bytes)
{
    if (wire_is_chunk(head, head_size_bytes)) {
        struct blob_chunk_header header;
        return blob_header_read(head, head_size_bytes, &header) == STATUS_OK &&
               header.size_bytes == body_size_bytes;
    }
    return wire_decode(head, head_size_bytes, scratch) == STATUS_OK &&
           (port == GATEWAY_BULK_PORT ? scratch->type == WIRE_ALIVE : is_a_peers(scratch->type)) &&
           (body_size_bytes == 0 || scratch->type == WIRE_PROBE);
}

bool gateway_check_answer(struct wire_message *scratch, const uint8_t *head, size_t head_size_bytes)
{
    return !wire_is_chunk(head, head_size_bytes) &&
           wire_decode(head, head_size_bytes, scratch) == STATUS_OK &&
           scratch->type == WIRE_PROBE && scratch->as.probe.answer;
}
