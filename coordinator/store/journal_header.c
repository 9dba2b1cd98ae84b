#include "coordinator/store/journal_bytes.h"
#include "coordinator/store/journal_format.h"

enum {
    MAGIC = 0x314A4744, /* "DGJ1" */
    /* No byte of the mark is zero: damage to one byte never turns one state into the other. */
    CONDENSED_MARK = 0x444E4F43, /* "COND" */
    FLAGS_AT = 8,
    FLAGS_END = 12,
    OWN_AT = JOURNAL_HEADER_BYTES - DIGEST_BYTES
};

void journal_header_encode(const struct journal_header *header, uint8_t out[JOURNAL_HEADER_BYTES])
{
    uint8_t *at = out;
    put_u32(&at, MAGIC);
    put_u32(&at, header->type);
    put_u32(&at, header->condensed ? CONDENSED_MARK : 0);
    put_u32(&at, header->meta_bytes);
    put_u64(&at, header->payload_bytes);
    put_u64(&at, header->sequence);
    put_bytes(&at, header->payload.bytes, DIGEST_BYTES);
    put_bytes(&at, header->previous.bytes, DIGEST_BYTES);
    put_bytes(&at, header->own.bytes, DIGEST_BYTES);
}

void journal_header_hash_begin(const uint8_t head[JOURNAL_HEADER_BYTES], struct digest_stream *out)
{
    digest_begin(out);
    digest_update(out, head, FLAGS_AT);
    digest_update(out, head + FLAGS_END, OWN_AT - FLAGS_END);
}

struct digest journal_header_seal(uint8_t head[JOURNAL_HEADER_BYTES], const uint8_t *meta,
                                  size_t meta_bytes)
{
    struct digest_stream stream;
    journal_header_hash_begin(head, &stream);
    digest_update(&stream, meta, meta_bytes);
    struct digest own = digest_end(&stream);
    memcpy(head + OWN_AT, own.bytes, DIGEST_BYTES);
    return own;
}

void journal_header_condense(uint8_t head[JOURNAL_HEADER_BYTES])
{
    uint8_t *at = head + FLAGS_AT;
    put_u32(&at, CONDENSED_MARK);
}

bool journal_header_begins(const uint8_t bytes[4])
{
    struct taker from = {.at = bytes, .left = sizeof(uint32_t)};
    return take_u32(&from) == MAGIC;
}

/* Only steps have a payload, and each has one. */
static bool sizes_fit(const struct journal_header *header)
{
    bool step = header->type == JOURNAL_STEP;
    return header->meta_bytes <= JOURNAL_META_BYTES_MAX &&
           header->meta_bytes % JOURNAL_ALIGN == 0 && step == (header->payload_bytes > 0) &&
           (step || JOURNAL_HEADER_BYTES + header->meta_bytes <= JOURNAL_SMALL_RECORD_MAX);
}

bool journal_header_decode(const uint8_t head[JOURNAL_HEADER_BYTES], struct journal_header *out)
{
    struct taker from = {.at = head, .left = JOURNAL_HEADER_BYTES};
    uint32_t magic = take_u32(&from);
    uint32_t type = take_u32(&from);
    uint32_t flags = take_u32(&from);
    out->meta_bytes = take_u32(&from);
    out->payload_bytes = take_u64(&from);
    out->sequence = take_u64(&from);
    take_bytes(&from, out->payload.bytes, DIGEST_BYTES);
    take_bytes(&from, out->previous.bytes, DIGEST_BYTES);
    take_bytes(&from, out->own.bytes, DIGEST_BYTES);
    if (magic != MAGIC || type < JOURNAL_SEGMENT || type > JOURNAL_EVENT ||
        (flags != 0 && flags != CONDENSED_MARK) || out->sequence == UINT64_MAX) {
        return false;
    }
    out->type = (enum journal_type)type;
    out->condensed = flags == CONDENSED_MARK;
    bool may_be_condensed = out->type == JOURNAL_STEP || out->type == JOURNAL_SEGMENT;
    return sizes_fit(out) && (may_be_condensed || !out->condensed);
}

uint64_t journal_record_bytes(const struct journal_header *header)
{
    return JOURNAL_HEADER_BYTES + (uint64_t)header->meta_bytes +
           (header->condensed ? 0 : header->payload_bytes);
}

uint64_t journal_align(uint64_t offset)
{
    return (offset + JOURNAL_ALIGN - 1) / JOURNAL_ALIGN * JOURNAL_ALIGN;
}
