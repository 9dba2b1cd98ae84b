/* kernels - the inner loops of the codecs, once for each set of vector instructions.
 *
 * Every set gives the same bits: each value is rounded by itself, nothing is contracted, and sums
 * are integers. Data is whole blocks of CODEC_BLOCK_VALUES values. Internal to proto/codec; the
 * unit test compares the sets. Pure; thread-safe on distinct data. */
#ifndef DUGNAD_PROTO_CODEC_KERNELS_H
#define DUGNAD_PROTO_CODEC_KERNELS_H

#include "proto/codec/codec.h"

enum { CODEC_KERNELS_MAX = 3, CODEC_NUMBER_END = CODEC_MX4 + 1 };

/* What a block may hold. */
struct codec_limits {
    uint32_t bits_max;     /* fp32, bf16: the largest |value|, as the bits of a float32 */
    uint8_t exponent_max;  /* mx8, mx4: of every block */
    uint8_t size_max[256]; /* by a block's exponent; mx8: of |q|; mx4: of a code without its sign */
};

struct codec_loops {
    /* codec_encode(), until the first block with a value that is not finite, which stays as it is.
     * Returns how many blocks were encoded. */
    size_t (*encode)(int lsb_exponent_min, float *values, size_t block_count, uint8_t *out);
    bool (*within)(const struct codec_limits *limits, const uint8_t *data, size_t block_count);
    void (*add)(const uint8_t *data, size_t block_count, float *params);
    /* sum += decoded * 2^shift, each value rounded half to even, 0 <= shift <= 52; wraps. */
    void (*sum)(const uint8_t *data, size_t block_count, int shift, bool negate, int64_t *sum);
};

struct codec_kernels {
    const char *name;
    struct codec_loops loops[CODEC_NUMBER_END]; /* by enum codec */
};

/* Those for this CPU; the best comes first. Returns how many; the last are plain C. */
size_t codec_kernels_list(const struct codec_kernels *out[CODEC_KERNELS_MAX]);

const struct codec_loops *codec_loops(enum codec codec);

extern const struct codec_kernels codec_kernels_plain;
extern const struct codec_kernels codec_kernels_avx2;   /* x86-64 alone */
extern const struct codec_kernels codec_kernels_avx512; /* x86-64 alone */

#endif
