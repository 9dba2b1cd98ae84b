#include "proto/blob.h"

#include "common/check.h"
#include "proto/blob_tree.h"
#include "proto/little_endian.h"
#include "proto/wire_parts.h"

#include <string.h>

/* A chunk's header on the wire, little-endian; the bytes in between are zero. */
enum {
    HEADER_TYPE = 0,
    HEADER_KIND = 1,
    HEADER_INDEX = 4,
    HEADER_ID = 8,
    HEADER_SIZE = 16,
    HEADER_RESERVED = 20,
    HEADER_HASH = 32
};
/* An id of hashes: the blob's own id, and its kind below. */
enum { HASHES_KIND_BITS = 2 };
_Static_assert(HEADER_HASH + DIGEST_BYTES == BLOB_HEADER_BYTES, "the hash ends the header");

static bool all_zero(const uint8_t *data, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

void blob_header_write(const struct blob_chunk_header *header, uint8_t out[BLOB_HEADER_BYTES])
{
    memset(out, 0, BLOB_HEADER_BYTES);
    out[HEADER_TYPE] = WIRE_CHUNK_TYPE;
    out[HEADER_KIND] = (uint8_t)header->kind;
    little_endian_put(out + HEADER_INDEX, header->index, 4);
    little_endian_put(out + HEADER_ID, header->id, 8);
    little_endian_put(out + HEADER_SIZE, header->size_bytes, 4);
    memcpy(out + HEADER_HASH, header->hash.bytes, DIGEST_BYTES);
}

/* Only a contribution's chunk has a proof behind its header. */
static bool is_head(const uint8_t *head, size_t size_bytes)
{
    return size_bytes == BLOB_HEADER_BYTES ||
           (size_bytes > BLOB_HEADER_BYTES && size_bytes <= BLOB_HEAD_MAX &&
            (size_bytes - BLOB_HEADER_BYTES) % DIGEST_BYTES == 0 &&
            head[HEADER_KIND] == BLOB_CONTRIBUTION);
}

enum status blob_header_read(const uint8_t *head, size_t size_bytes, struct blob_chunk_header *out)
{
    if (!is_head(head, size_bytes) || head[HEADER_TYPE] != WIRE_CHUNK_TYPE ||
        head[HEADER_KIND] < BLOB_SNAPSHOT || head[HEADER_KIND] > BLOB_HASHES ||
        !all_zero(head + HEADER_KIND + 1, HEADER_INDEX - HEADER_KIND - 1) ||
        !all_zero(head + HEADER_RESERVED, HEADER_HASH - HEADER_RESERVED)) {
        return STATUS_PROTOCOL;
    }
    out->kind = (enum blob_kind)head[HEADER_KIND];
    out->index = (uint32_t)little_endian_get(head + HEADER_INDEX, 4);
    out->id = little_endian_get(head + HEADER_ID, 8);
    out->size_bytes = (uint32_t)little_endian_get(head + HEADER_SIZE, 4);
    memcpy(out->hash.bytes, head + HEADER_HASH, DIGEST_BYTES);
    if (out->index >= BLOB_CHUNKS_MAX || out->size_bytes == 0 || out->size_bytes > WIRE_BODY_MAX) {
        return STATUS_PROTOCOL;
    }
    return STATUS_OK;
}

uint32_t blob_chunk_count(uint64_t size_bytes, uint32_t chunk_bytes)
{
    CHECK(chunk_bytes > 0 && size_bytes <= (uint64_t)BLOB_CHUNKS_MAX * chunk_bytes);
    return (uint32_t)((size_bytes + chunk_bytes - 1) / chunk_bytes);
}

static size_t chunk_offset(const struct blob_ref *ref, uint32_t index)
{
    return (size_t)index * ref->chunk_bytes;
}

uint32_t blob_chunk_size(const struct blob_ref *ref, uint32_t index)
{
    uint64_t left = ref->size_bytes - chunk_offset(ref, index);
    return left < ref->chunk_bytes ? (uint32_t)left : ref->chunk_bytes;
}

struct blob_ref blob_describe(enum blob_kind kind, uint64_t id, const uint8_t *data,
                              size_t size_bytes, uint32_t chunk_bytes, struct digest *out_hashes)
{
    struct blob_ref ref = {
        .kind = kind, .id = id, .size_bytes = size_bytes, .chunk_bytes = chunk_bytes};
    struct digest_stream root;
    struct blob_tree_stream tree = {.count = 0};
    bool is_tree = kind == BLOB_CONTRIBUTION;
    CHECK(size_bytes > 0 && chunk_bytes <= WIRE_BODY_MAX);
    digest_begin(&root);
    uint32_t count = blob_chunk_count(size_bytes, chunk_bytes);
    for (uint32_t i = 0; i < count; i++) {
        struct digest hash = digest_of(data + chunk_offset(&ref, i), blob_chunk_size(&ref, i));
        digest_update(&root, hash.bytes, DIGEST_BYTES);
        if (is_tree) {
            blob_tree_add(&tree, &hash);
        }
        if (out_hashes != NULL) {
            out_hashes[i] = hash;
        }
    }
    ref.root = is_tree ? blob_tree_end(&tree) : digest_end(&root);
    return ref;
}

enum status blob_chunk(const struct blob_ref *ref, const uint8_t *data, const struct digest *hashes,
                       uint32_t index, struct blob_chunk_header *out_header,
                       const uint8_t **out_data)
{
    if (index >= blob_chunk_count(ref->size_bytes, ref->chunk_bytes)) {
        return STATUS_OUT_OF_RANGE;
    }
    *out_data = data + chunk_offset(ref, index);
    out_header->kind = ref->kind;
    out_header->id = ref->id;
    out_header->index = index;
    out_header->size_bytes = blob_chunk_size(ref, index);
    out_header->hash =
        hashes != NULL ? hashes[index] : digest_of(*out_data, out_header->size_bytes);
    return STATUS_OK;
}

struct blob_ref blob_hashes_ref(const struct blob_ref *of)
{
    uint64_t count = blob_chunk_count(of->size_bytes, of->chunk_bytes);
    return (struct blob_ref){.kind = BLOB_HASHES,
                             .id = of->id << HASHES_KIND_BITS | (uint64_t)of->kind,
                             .size_bytes = count * DIGEST_BYTES,
                             .chunk_bytes = BLOB_HASHES_CHUNK_BYTES,
                             .root = of->root};
}

bool blob_hashes_of(uint64_t id, enum blob_kind *out_kind, uint64_t *out_id)
{
    uint64_t kind = id & ((UINT64_C(1) << HASHES_KIND_BITS) - 1);
    if (kind < BLOB_SNAPSHOT || kind > BLOB_UPDATE) {
        return false;
    }
    *out_kind = (enum blob_kind)kind;
    *out_id = id >> HASHES_KIND_BITS;
    return true;
}

enum status blob_hashes_check(const struct blob_ref *of, const uint8_t *list, size_t size_bytes)
{
    if (size_bytes != (size_t)blob_chunk_count(of->size_bytes, of->chunk_bytes) * DIGEST_BYTES) {
        return STATUS_BAD_SHAPE;
    }
    struct digest root = digest_of(list, size_bytes);
    return digest_equal(&root, &of->root) ? STATUS_OK : STATUS_CORRUPT;
}
