/* chunks - how the flat vector of parameters is cut: CODEC_CHUNK_VALUES values each, whatever the
 * codec; the last chunk may be shorter. Pure. */
#ifndef DUGNAD_PROTO_CODEC_CHUNKS_H
#define DUGNAD_PROTO_CODEC_CHUNKS_H

#include "proto/codec/codec.h"

/* Chunks of a vector of value_count values, fewer than 2^32. */
static inline uint32_t chunks_count(size_t value_count)
{
    return (uint32_t)((value_count + CODEC_CHUNK_VALUES - 1) / CODEC_CHUNK_VALUES);
}

/* Values of chunk number `chunk` < chunks_count(value_count). */
static inline size_t chunks_values(size_t value_count, uint32_t chunk)
{
    size_t left = value_count - (size_t)chunk * CODEC_CHUNK_VALUES;
    return left < CODEC_CHUNK_VALUES ? left : CODEC_CHUNK_VALUES;
}

#endif
