#include "proto/codec/float_loops.h"
#include "proto/codec/mx.h"
#include "proto/codec/mx_avx2.h"

enum { WIDTH = 8, PARTS = CODEC_BLOCK_VALUES / WIDTH, LONGS = 4 };

static inline uint32_t block_max_bits(const float *values)
{
    const __m256i mask = _mm256_set1_epi32((int)float_abs_mask);
    __m256i max = _mm256_setzero_si256();
    for (int i = 0; i < CODEC_BLOCK_VALUES; i += WIDTH) {
        __m256i bits = _mm256_loadu_si256((const __m256i *)(values + i));
        max = _mm256_max_epi32(max, _mm256_and_si256(bits, mask));
    }
    return max_of_eight(max);
}

static inline __m256 scaled(__m256 value, struct mx_scale scale)
{
    return _mm256_mul_ps(_mm256_mul_ps(value, _mm256_set1_ps(scale.factor1)),
                         _mm256_set1_ps(scale.factor2));
}

static inline __m256i mx8_round(__m256 value, struct mx_scale scale)
{
    __m256i q = _mm256_cvtps_epi32(scaled(value, scale)); /* half to even */
    q = _mm256_min_epi32(q, _mm256_set1_epi32(MX8_Q_MAX));
    return _mm256_max_epi32(q, _mm256_set1_epi32(-MX8_Q_MAX));
}

/* As in kernels_plain.c. */
static inline __m256i mx4_round(__m256 value, struct mx_scale scale)
{
    const __m256 sign = _mm256_set1_ps(-0.0F);
    __m256 size = scaled(_mm256_andnot_ps(sign, value), scale);
    __m256i least = _mm256_castps_si256(_mm256_max_ps(size, _mm256_set1_ps(2.0F)));
    __m256i power = _mm256_and_si256(least, _mm256_set1_epi32((int)float_infinity_bits));
    __m256 magic = _mm256_castsi256_ps(_mm256_add_epi32(power, _mm256_set1_epi32(MX4_MAGIC)));
    __m256 rounded = _mm256_sub_ps(_mm256_add_ps(size, magic), magic);
    rounded = _mm256_min_ps(rounded, _mm256_set1_ps((float)MX4_INTEGER_MAX));
    return _mm256_cvtps_epi32(_mm256_or_ps(rounded, _mm256_and_ps(value, sign)));
}

/* Leaves what 8 integers do not hold. */
static inline void leave_rest(float *values, __m256 value, __m256i integers, float unit)
{
    __m256 held = _mm256_mul_ps(_mm256_cvtepi32_ps(integers), _mm256_set1_ps(unit));
    _mm256_storeu_ps(values, _mm256_sub_ps(value, held));
}

/* 4 x 8 integers to 32 bytes: packing goes by halves of registers, so that groups of four come out
 * in the order 0 2 4 6 1 3 5 7. */
static inline __m256i narrow(const __m256i integers[PARTS])
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i low = _mm256_packs_epi32(integers[0], integers[1]);
    __m256i high = _mm256_packs_epi32(integers[2], integers[3]);
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
}

static inline int mx8_quantise(struct mx_scale scale, float *values, uint8_t *out)
{
    __m256i integers[PARTS];
    for (int i = 0; i < PARTS; i++) {
        __m256 value = _mm256_loadu_ps(values + i * WIDTH);
        integers[i] = mx8_round(value, scale);
        leave_rest(values + i * WIDTH, value, integers[i], scale.unit);
    }
    __m256i q = narrow(integers);
    _mm256_storeu_si256((__m256i *)out, q);
    return !_mm256_testz_si256(q, q);
}

static inline int mx4_quantise(struct mx_scale scale, float *values, uint8_t *out)
{
    __m256i integers[PARTS];
    for (int i = 0; i < PARTS; i++) {
        __m256 value = _mm256_loadu_ps(values + i * WIDTH);
        integers[i] = mx4_round(value, scale);
        leave_rest(values + i * WIDTH, value, integers[i], scale.unit);
    }
    __m256i all = narrow(integers);
    mx4_pack(all, out);
    return !_mm256_testz_si256(all, all);
}

static inline void add_integers(const uint8_t *integers, float unit, float *params)
{
    for (int i = 0; i < CODEC_BLOCK_VALUES; i += WIDTH) {
        __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(integers + i)));
        __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(wide), _mm256_set1_ps(unit));
        _mm256_storeu_ps(params + i, _mm256_add_ps(_mm256_loadu_ps(params + i), value));
    }
}

static inline void sum_integers(const uint8_t *integers, int shift, bool negate, int64_t *sum)
{
    for (int i = 0; i < CODEC_BLOCK_VALUES; i += LONGS) {
        __m256i wide = _mm256_cvtepi8_epi64(_mm_loadu_si32(integers + i));
        __m256i units = _mm256_sll_epi64(wide, _mm_cvtsi32_si128(shift));
        __m256i *at = (__m256i *)(sum + i);
        __m256i old = _mm256_loadu_si256(at);
        _mm256_storeu_si256(at,
                            negate ? _mm256_sub_epi64(old, units) : _mm256_add_epi64(old, units));
    }
}

#include "proto/codec/mx_loops.h"

const struct codec_kernels codec_kernels_avx2 = {.name = "avx2",
                                                 .loops = {[CODEC_FP32] = FP32_LOOPS,
                                                           [CODEC_BF16] = BF16_LOOPS,
                                                           [CODEC_MX8] = MX8_LOOPS,
                                                           [CODEC_MX4] = MX4_LOOPS}};
