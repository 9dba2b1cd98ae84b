/* journal_bytes - little-endian numbers, put and taken one after the other.
 *
 * Putting trusts the caller's size; taking never goes past the end: it gives zeros and is spoiled.
 * Pure. */
#ifndef DUGNAD_COORDINATOR_STORE_JOURNAL_BYTES_H
#define DUGNAD_COORDINATOR_STORE_JOURNAL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void put_bytes(uint8_t **at, const void *data, size_t size_bytes)
{
    memcpy(*at, data, size_bytes);
    *at += size_bytes;
}

static inline void put_number(uint8_t **at, uint64_t value, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        *(*at)++ = (uint8_t)(value >> (8 * i));
    }
}

static inline void put_u32(uint8_t **at, uint32_t value)
{
    put_number(at, value, sizeof value);
}

static inline void put_u64(uint8_t **at, uint64_t value)
{
    put_number(at, value, sizeof value);
}

static inline void put_double(uint8_t **at, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u64(at, bits);
}

struct taker {
    const uint8_t *at;
    size_t left;
    bool spoiled;
};

static inline void take_bytes(struct taker *self, void *out, size_t size_bytes)
{
    if (self->left < size_bytes) {
        self->spoiled = true;
        memset(out, 0, size_bytes);
        return;
    }
    memcpy(out, self->at, size_bytes);
    self->at += size_bytes;
    self->left -= size_bytes;
}

static inline uint64_t take_number(struct taker *self, size_t size_bytes)
{
    uint8_t bytes[sizeof(uint64_t)] = {0};
    uint64_t value = 0;
    take_bytes(self, bytes, size_bytes);
    for (size_t i = 0; i < size_bytes; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static inline uint32_t take_u32(struct taker *self)
{
    return (uint32_t)take_number(self, sizeof(uint32_t));
}

static inline uint64_t take_u64(struct taker *self)
{
    return take_number(self, sizeof(uint64_t));
}

static inline double take_double(struct taker *self)
{
    uint64_t bits = take_u64(self);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
