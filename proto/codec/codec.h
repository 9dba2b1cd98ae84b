/* codec - gradient and update encodings.
 *
 *   fp32  4 bytes a value, little-endian IEEE float32.
 *   bf16  2 bytes a value, little-endian: the upper half of the float32, rounded to nearest, ties
 *         to even. Values that would round to infinity saturate.
 *   mx8   blocks of 32 values: one shared power-of-two exponent byte e, then 32 signed bytes q;
 *         value = q / 64 * 2^(e - 127) (MXINT8 of the OCP Microscaling formats 1.0). 8.25 bits a
 *         value. e = 255 and q = -128 are not allowed, so every value is finite and the range is
 *         symmetric.
 *   mx4   blocks of 32 values: e, then 16 bytes of two codes each, the first in the low nibble:
 *         a sign and E2M1's 0, 0.5, 1, 1.5, 2, 3, 4 or 6, times 2^(e - 127) (MXFP4 of the same
 *         formats). 4.25 bits a value. e > 252 is not allowed, so every value is a finite float32;
 *         a zero with a sign is a zero. The block's largest value is rounded to the nearest, too:
 *         from 7/8 of the next power of two on it is that power.
 *
 * mx8 and mx4 round half to even; a block of zeros is written as zeros alone.
 *
 * Encoders that lose information leave the residual behind, for error feedback (Seide et al.,
 * 1-Bit SGD, 2014). The size of an encoding is fixed by the count, so block i of the values is
 * found at a fixed place. The CPU's widest instructions are used; all give the same bits.
 * Pure; thread-safe on distinct data. */
#ifndef DUGNAD_PROTO_CODEC_CODEC_H
#define DUGNAD_PROTO_CODEC_CODEC_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are those of messages and files. */
enum codec { CODEC_FP32 = 1, CODEC_MX8 = 2, CODEC_BF16 = 3, CODEC_MX4 = 4 };
enum { CODEC_BLOCK_VALUES = 32, CODEC_MX8_BLOCK_BYTES = 33, CODEC_MX4_BLOCK_BYTES = 17 };
/* A chunk of the flat parameter vector, what one owner sums and one message carries: the same
 * values whatever the codec. The vector's last one may be shorter. */
enum { CODEC_CHUNK_VALUES = 32768 };
/* No limit on how small an encoded block's exponent may be. */
enum { CODEC_EXPONENT_ANY = -1000 };

/* "fp32", "bf16", "mx8" or "mx4". Errors: BAD_CONFIG with a sentence. */
MUST_CHECK enum status codec_from_name(const char *name, enum codec *out);
const char *codec_name(enum codec codec);

/* True when a number from outside is one of enum codec. */
static inline bool codec_is_known(uint64_t number)
{
    return number >= CODEC_FP32 && number <= CODEC_MX4;
}

/* value_count is a multiple of CODEC_BLOCK_VALUES. */
size_t codec_encoded_bytes(enum codec codec, size_t value_count);

/* Encodes values(value_count) and leaves the residual (value - decoded value) in their place.
 * lsb_exponent_min: no encoded value has a unit smaller than 2^lsb_exponent_min, so that it lies on
 * the grid of an exact sum; smaller blocks round to that unit (CODEC_EXPONENT_ANY: no limit; fp32
 * and bf16 ignore it; at most 121). Values too large for the encoding saturate; the rest stays in
 * the residual. Errors: OUT_OF_RANGE when a value is NaN or infinite; then `values` are as they
 * were, and `out` holds nothing. */
MUST_CHECK enum status codec_encode(enum codec codec, int lsb_exponent_min, float *values,
                                    size_t value_count, uint8_t *out);

/* Checks an encoding from outside: length, every value finite, no e or q that is not
 * allowed.
 * Errors: BAD_SHAPE, OUT_OF_RANGE. */
MUST_CHECK enum status codec_check(enum codec codec, const uint8_t *data, size_t size_bytes,
                                   size_t value_count);

/* params += decoded values; `data` was checked. One rounding a value, the same on every machine. */
void codec_add(enum codec codec, const uint8_t *data, size_t value_count, float *params);

#endif
