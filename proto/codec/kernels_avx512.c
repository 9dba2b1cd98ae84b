#include "proto/codec/float_loops.h"
#include "proto/codec/mx.h"
#include "proto/codec/mx_avx2.h"

enum { WIDTH = 16, LONGS = 8 };

static inline uint32_t block_max_bits(const float *values)
{
    const __m512i mask = _mm512_set1_epi32((int)float_abs_mask);
    __m512i first = _mm512_and_si512(_mm512_loadu_si512(values), mask);
    __m512i second = _mm512_and_si512(_mm512_loadu_si512(values + WIDTH), mask);
    __m512i max = _mm512_max_epi32(first, second);
    return max_of_eight(
        _mm256_max_epi32(_mm512_castsi512_si256(max), _mm512_extracti64x4_epi64(max, 1)));
}

static inline __m512 scaled(__m512 value, struct mx_scale scale)
{
    return _mm512_mul_ps(_mm512_mul_ps(value, _mm512_set1_ps(scale.factor1)),
                         _mm512_set1_ps(scale.factor2));
}

static inline __m512i mx8_round(__m512 value, struct mx_scale scale)
{
    __m512i q = _mm512_cvtps_epi32(scaled(value, scale)); /* half to even */
    q = _mm512_min_epi32(q, _mm512_set1_epi32(MX8_Q_MAX));
    return _mm512_max_epi32(q, _mm512_set1_epi32(-MX8_Q_MAX));
}

/* As in kernels_plain.c. */
static inline __m512i mx4_round(__m512 value, struct mx_scale scale)
{
    const __m512 sign = _mm512_set1_ps(-0.0F);
    __m512 size = scaled(_mm512_andnot_ps(sign, value), scale);
    __m512i least = _mm512_castps_si512(_mm512_max_ps(size, _mm512_set1_ps(2.0F)));
    __m512i power = _mm512_and_si512(least, _mm512_set1_epi32((int)float_infinity_bits));
    __m512 magic = _mm512_castsi512_ps(_mm512_add_epi32(power, _mm512_set1_epi32(MX4_MAGIC)));
    __m512 rounded = _mm512_sub_ps(_mm512_add_ps(size, magic), magic);
    rounded = _mm512_min_ps(rounded, _mm512_set1_ps((float)MX4_INTEGER_MAX));
    return _mm512_cvtps_epi32(_mm512_or_ps(rounded, _mm512_and_ps(value, sign)));
}

/* Leaves what 16 integers do not hold, and returns them as bytes. */
static inline __m128i leave_rest(float *values, __m512 value, __m512i integers, float unit)
{
    __m512 held = _mm512_mul_ps(_mm512_cvtepi32_ps(integers), _mm512_set1_ps(unit));
    _mm512_storeu_ps(values, _mm512_sub_ps(value, held));
    return _mm512_cvtepi32_epi8(integers);
}

static inline int mx8_quantise(struct mx_scale scale, float *values, uint8_t *out)
{
    __m512 first = _mm512_loadu_ps(values);
    __m512 second = _mm512_loadu_ps(values + WIDTH);
    __m128i low = leave_rest(values, first, mx8_round(first, scale), scale.unit);
    __m128i high = leave_rest(values + WIDTH, second, mx8_round(second, scale), scale.unit);
    __m256i q = _mm256_set_m128i(high, low);
    _mm256_storeu_si256((__m256i *)out, q);
    return !_mm256_testz_si256(q, q);
}

static inline int mx4_quantise(struct mx_scale scale, float *values, uint8_t *out)
{
    __m512 first = _mm512_loadu_ps(values);
    __m512 second = _mm512_loadu_ps(values + WIDTH);
    __m128i low = leave_rest(values, first, mx4_round(first, scale), scale.unit);
    __m128i high = leave_rest(values + WIDTH, second, mx4_round(second, scale), scale.unit);
    __m256i integers = _mm256_set_m128i(high, low);
    mx4_pack(integers, out);
    return !_mm256_testz_si256(integers, integers);
}

static inline void add_integers(const uint8_t *integers, float unit, float *params)
{
    for (int i = 0; i < CODEC_BLOCK_VALUES; i += WIDTH) {
        __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(integers + i)));
        __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(wide), _mm512_set1_ps(unit));
        _mm512_storeu_ps(params + i, _mm512_add_ps(_mm512_loadu_ps(params + i), value));
    }
}

static inline void sum_integers(const uint8_t *integers, int shift, bool negate, int64_t *sum)
{
    for (int i = 0; i < CODEC_BLOCK_VALUES; i += LONGS) {
        __m512i wide = _mm512_cvtepi8_epi64(_mm_loadl_epi64((const __m128i *)(integers + i)));
        __m512i units = _mm512_sll_epi64(wide, _mm_cvtsi32_si128(shift));
        __m512i old = _mm512_loadu_si512(sum + i);
        _mm512_storeu_si512(sum + i,
                            negate ? _mm512_sub_epi64(old, units) : _mm512_add_epi64(old, units));
    }
}

#include "proto/codec/mx_loops.h"

const struct codec_kernels codec_kernels_avx512 = {.name = "avx512",
                                                   .loops = {[CODEC_FP32] = FP32_LOOPS,
                                                             [CODEC_BF16] = BF16_LOOPS,
                                                             [CODEC_MX8] = MX8_LOOPS,
                                                             [CODEC_MX4] = MX4_LOOPS}};
