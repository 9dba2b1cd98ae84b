/* mx_avx2 - bytes and nibbles of mx blocks in AVX2, which AVX-512 has as well. A block is one
 * 256-bit register of 32 signed bytes. Internal to the kernels. Pure; thread-safe. */
#ifndef DUGNAD_PROTO_CODEC_MX_AVX2_H
#define DUGNAD_PROTO_CODEC_MX_AVX2_H

#include "proto/codec/kernels.h"
#include "proto/codec/mx.h"

#include <immintrin.h>

/* mx4's integers by code, and codes by the size of an integer. */
static inline __m128i mx4_integer_of_code(void)
{
    return _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
}

static inline __m256i mx4_code_of_integer(void)
{
    return _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 3, 4, 0, 5, 0, 6, 0, 0, 0, 7, 0, 0, 0));
}

static inline void mx4_integers(const uint8_t *data, uint8_t *integers)
{
    const __m128i mask = _mm_set1_epi8(15);
    __m128i packed = _mm_loadu_si128((const __m128i *)data);
    __m128i low = _mm_and_si128(packed, mask);
    __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), mask);
    __m128i first = _mm_shuffle_epi8(mx4_integer_of_code(), _mm_unpacklo_epi8(low, high));
    __m128i second = _mm_shuffle_epi8(mx4_integer_of_code(), _mm_unpackhi_epi8(low, high));
    _mm256_storeu_si256((__m256i *)integers, _mm256_set_m128i(second, first));
}

/* The inverse, for integers that have a code: 16 bytes. */
static inline void mx4_pack(__m256i integers, uint8_t *out)
{
    const __m256i low_then_high = _mm256_set1_epi16(0x1001); /* 1, 16 */
    __m256i sizes = _mm256_shuffle_epi8(mx4_code_of_integer(), _mm256_abs_epi8(integers));
    __m256i signs = _mm256_and_si256(_mm256_srli_epi16(integers, 4), _mm256_set1_epi8(8));
    __m256i codes = _mm256_or_si256(sizes, signs);
    __m256i pairs = _mm256_maddubs_epi16(codes, low_then_high);
    __m256i bytes = _mm256_packus_epi16(pairs, pairs); /* in each half: twice 8 bytes */
    __m256i ordered = _mm256_permute4x64_epi64(bytes, 0x08);
    _mm_storeu_si128((__m128i *)out, _mm256_castsi256_si128(ordered));
}

/* Bytes above their limit leave something. */
static inline bool mx8_within(const struct codec_limits *limits, const uint8_t *data,
                              size_t block_count)
{
    __m256i above = _mm256_setzero_si256();
    bool good = true;
    for (size_t block = 0; block < block_count; block++) {
        __m256i most = _mm256_set1_epi8((char)limits->size_max[data[0]]);
        __m256i q = _mm256_loadu_si256((const __m256i *)(data + 1));
        above = _mm256_or_si256(above, _mm256_subs_epu8(_mm256_abs_epi8(q), most));
        good &= data[0] <= limits->exponent_max;
        data += CODEC_MX8_BLOCK_BYTES;
    }
    return good && _mm256_testz_si256(above, above);
}

static inline bool mx4_within(const struct codec_limits *limits, const uint8_t *data,
                              size_t block_count)
{
    const __m128i mask = _mm_set1_epi8(MX4_CODE_MAX);
    __m128i above = _mm_setzero_si128();
    bool good = true;
    for (size_t block = 0; block < block_count; block++) {
        __m128i most = _mm_set1_epi8((char)limits->size_max[data[0]]);
        __m128i packed = _mm_loadu_si128((const __m128i *)(data + 1));
        __m128i low = _mm_and_si128(packed, mask);
        __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), mask);
        above = _mm_or_si128(above, _mm_subs_epu8(_mm_max_epu8(low, high), most));
        good &= data[0] <= limits->exponent_max;
        data += CODEC_MX4_BLOCK_BYTES;
    }
    return good && _mm_testz_si128(above, above);
}

/* The largest of eight integers that are not negative. */
static inline uint32_t max_of_eight(__m256i values)
{
    __m128i four =
        _mm_max_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
    __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    __m128i one = _mm_max_epi32(two, _mm_shuffle_epi32(two, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(one);
}

#endif
