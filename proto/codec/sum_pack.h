/* sum_pack - exact sums packed without loss, for the way from who summed to the coordinator.
 *
 * Sums of a block of 32 values share their trailing zero bits, because units are powers of two, and
 * need no more bits than the largest. A packing is, for each block, a byte `shift` and a byte
 * `width`, and behind all of these for each block 32 integers of `width` bits, the first in the
 * lowest bits, in two's complement: sum = integer * 2^shift. All zeros have shift 0 and width 0;
 * shift + width <= 64. Integers of width 64 may be any int64.
 *
 * Sums of 16 mx8 contributions of similar scale take about 2 bytes a value instead of 8 (Lemire
 * and Boytsov, Decoding billions of integers per second through vectorization, 2015, on packing by
 * block). Pure; thread-safe on distinct data. */
#ifndef DUGNAD_PROTO_CODEC_SUM_PACK_H
#define DUGNAD_PROTO_CODEC_SUM_PACK_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

/* Of one packing: a chunk's. */
enum { SUM_PACK_VALUES_MAX = 32768 };

/* Everywhere: count <= SUM_PACK_VALUES_MAX, a multiple of CODEC_BLOCK_VALUES. */
size_t sum_pack_bytes_max(size_t count);

/* Packs sums(count) into out(sum_pack_bytes_max(count)); returns the bytes written. */
size_t sum_pack(const int64_t *sums, size_t count, uint8_t *out);

/* Checks bytes from outside.
 * Errors: BAD_SHAPE (not the size that the headers say), OUT_OF_RANGE (a header no sums have). */
MUST_CHECK enum status sum_pack_check(const uint8_t *data, size_t size_bytes, size_t count);

/* sums(count) += packed sums, wrapping around, after the same check: on error nothing was added. */
MUST_CHECK enum status sum_unpack_add(const uint8_t *data, size_t size_bytes, size_t count,
                                      int64_t *sums);

#endif
