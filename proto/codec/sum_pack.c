#include "proto/codec/sum_pack.h"

#include "common/check.h"
#include "common/fault.h"
#include "proto/codec/codec.h"

#include <stdbool.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed integers are little-endian");

enum {
    HEADER_BYTES = 2,
    WORD_BITS = 64,
    BYTES_PER_BIT = CODEC_BLOCK_VALUES / 8, /* of width, of a block */
    /* An integer of more bits may begin so late in a byte that a load of 8 bytes misses its end. */
    ONE_LOAD_WIDTH_MAX = WORD_BITS - 7,
    LOAD_BYTES = 8 + 1
};

struct header {
    unsigned shift;
    unsigned width;
};

static void check_count(size_t count)
{
    CHECK(count <= SUM_PACK_VALUES_MAX && count % CODEC_BLOCK_VALUES == 0);
}

static size_t headers_bytes(size_t count)
{
    return count / CODEC_BLOCK_VALUES * HEADER_BYTES;
}

size_t sum_pack_bytes_max(size_t count)
{
    check_count(count);
    return headers_bytes(count) + count * sizeof(int64_t);
}

static struct header measure(const int64_t *sums)
{
    uint64_t seen = 0;  /* every bit that is set in one of them */
    uint64_t sizes = 0; /* the same, with negative ones turned over */
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        uint64_t sign = sums[i] < 0 ? UINT64_MAX : 0;
        seen |= (uint64_t)sums[i];
        sizes |= (uint64_t)sums[i] ^ sign;
    }
    if (seen == 0) {
        return (struct header){0, 0};
    }
    unsigned shift = (unsigned)__builtin_ctzll(seen);
    sizes >>= shift;
    unsigned size_bits = sizes == 0 ? 0 : WORD_BITS - (unsigned)__builtin_clzll(sizes);
    return (struct header){shift, size_bits + 1};
}

/* width > 0; bits are gathered in a word, which is written when it is full. */
static uint8_t *pack_block(struct header header, const int64_t *sums, uint8_t *out)
{
    uint64_t mask = UINT64_MAX >> (WORD_BITS - header.width);
    uint64_t word = 0;
    unsigned filled = 0;
    for (int i = 0; i < CODEC_BLOCK_VALUES; i++) {
        uint64_t bits = (uint64_t)sums[i] >> header.shift & mask;
        word |= bits << filled;
        filled += header.width;
        if (filled >= WORD_BITS) {
            memcpy(out, &word, sizeof word);
            out += sizeof word;
            filled -= WORD_BITS;
            unsigned written = header.width - filled;
            word = written < WORD_BITS ? bits >> written : 0;
        }
    }
    /* 32 integers are a multiple of 4 bytes. */
    memcpy(out, &word, filled / 8);
    return out + filled / 8;
}

size_t sum_pack(const int64_t *sums, size_t count, uint8_t *out)
{
    check_count(count);
    uint8_t *end = out + headers_bytes(count);
    uint8_t *header_at = out;
    for (size_t first = 0; first < count; first += CODEC_BLOCK_VALUES) {
        struct header header = measure(sums + first);
        *header_at++ = (uint8_t)header.shift;
        *header_at++ = (uint8_t)header.width;
        end = header.width > 0 ? pack_block(header, sums + first, end) : end;
    }
    return (size_t)(end - out);
}

enum status sum_pack_check(const uint8_t *data, size_t size_bytes, size_t count)
{
    check_count(count);
    size_t needed_bytes = headers_bytes(count);
    if (size_bytes < needed_bytes) {
        return fault(STATUS_BAD_SHAPE, "%zu bytes are too few for %zu packed sums", size_bytes,
                     count);
    }
    bool good = true;
    for (size_t at = 0; at < headers_bytes(count); at += HEADER_BYTES) {
        unsigned shift = data[at];
        unsigned width = data[at + 1];
        good &= shift + width <= WORD_BITS && (width > 0 || shift == 0);
        needed_bytes += (size_t)width * BYTES_PER_BIT;
    }
    if (!good) {
        return fault(STATUS_OUT_OF_RANGE, "packed sums have a shift or a width that cannot be");
    }
    if (size_bytes != needed_bytes) {
        return fault(STATUS_BAD_SHAPE, "%zu bytes do not hold packed sums of %zu bytes", size_bytes,
                     needed_bytes);
    }
    return STATUS_OK;
}

/* Integers get their sign without a branch, which half of them would take. */
static inline void unpack_integers(struct header header, bool one_load, const uint8_t *data,
                                   int64_t *sums)
{
    uint64_t mask = UINT64_MAX >> (WORD_BITS - header.width);
    uint64_t sign = UINT64_C(1) << (header.width - 1);
    for (unsigned i = 0; i < CODEC_BLOCK_VALUES; i++) {
        unsigned first_bit = i * header.width;
        unsigned skipped = first_bit % 8;
        uint64_t word;
        memcpy(&word, data + first_bit / 8, sizeof word);
        word >>= skipped;
        if (!one_load && skipped > 0) {
            word |= (uint64_t)data[first_bit / 8 + sizeof word] << (WORD_BITS - skipped);
        }
        uint64_t integer = ((word & mask) ^ sign) - sign;
        sums[i] = (int64_t)((uint64_t)sums[i] + (integer << header.shift));
    }
}

/* 0 < width; reads up to LOAD_BYTES - 1 bytes behind the block. */
static void unpack_block(struct header header, const uint8_t *data, int64_t *sums)
{
    if (header.width <= ONE_LOAD_WIDTH_MAX) {
        unpack_integers(header, true, data, sums);
    } else {
        unpack_integers(header, false, data, sums);
    }
}

enum status sum_unpack_add(const uint8_t *data, size_t size_bytes, size_t count, int64_t *sums)
{
    enum status status = sum_pack_check(data, size_bytes, count);
    if (status != STATUS_OK) {
        return status;
    }
    const uint8_t *at = data + headers_bytes(count);
    const uint8_t *end = data + size_bytes;
    for (size_t first = 0; first < count; first += CODEC_BLOCK_VALUES) {
        const uint8_t *bytes = data + first / CODEC_BLOCK_VALUES * HEADER_BYTES;
        struct header header = {.shift = bytes[0], .width = bytes[1]};
        size_t block_bytes = (size_t)header.width * BYTES_PER_BIT;
        if (header.width > 0 && (size_t)(end - at) >= block_bytes + LOAD_BYTES) {
            unpack_block(header, at, sums + first);
        } else if (header.width > 0) {
            uint8_t padded[CODEC_BLOCK_VALUES * sizeof(int64_t) + LOAD_BYTES] = {0};
            memcpy(padded, at, block_bytes);
            unpack_block(header, padded, sums + first);
        }
        at += block_bytes;
    }
    return STATUS_OK;
}
