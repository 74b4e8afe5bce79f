/* Products on x86 with AVX2, eight rows at a time: each row's block is summed up to a whole number first, so that the
 * floats are added in the order of the plain kernel. */
#include "dot_rows.h"

#if MODEL_INT8 && defined(DOT_AVX2)

#define ROWS 8

#ifdef DOT_VNNI
static inline __m256i products(__m256i unsigned_bytes, __m256i signed_bytes) {
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), unsigned_bytes, signed_bytes);
}
#else
static inline __m256i products(__m256i unsigned_bytes, __m256i signed_bytes) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned_bytes, signed_bytes), _mm256_set1_epi16(1));
}
#endif

static inline __m256i whole_q8_0(const uint8_t *weights, __m256i x) {
    __m256i w = _mm256_loadu_si256((const __m256i *)weights);
    return products(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

static inline __m256i whole_q4_0(const uint8_t *weights, __m256i x) {
    __m128i both = _mm_loadu_si128((const __m128i *)weights);
    __m256i spread = _mm256_set_m128i(_mm_srli_epi16(both, 4), both);
    return products(_mm256_and_si256(spread, _mm256_set1_epi8(15)), x);
}

static inline __m256i sums_of_eight(const __m256i part[ROWS]) {
    __m256i first = _mm256_hadd_epi32(_mm256_hadd_epi32(part[0], part[1]), _mm256_hadd_epi32(part[2], part[3]));
    __m256i last = _mm256_hadd_epi32(_mm256_hadd_epi32(part[4], part[5]), _mm256_hadd_epi32(part[6], part[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(first, last, 0x20), _mm256_permute2x128_si256(first, last, 0x31));
}

static inline __m256 scales_of_eight(const uint8_t *block, size_t stride) {
    __m128i halves = _mm_setzero_si128();
    halves = _mm_insert_epi16(halves, block_half(block), 0);
    halves = _mm_insert_epi16(halves, block_half(block + stride), 1);
    halves = _mm_insert_epi16(halves, block_half(block + 2 * stride), 2);
    halves = _mm_insert_epi16(halves, block_half(block + 3 * stride), 3);
    halves = _mm_insert_epi16(halves, block_half(block + 4 * stride), 4);
    halves = _mm_insert_epi16(halves, block_half(block + 5 * stride), 5);
    halves = _mm_insert_epi16(halves, block_half(block + 6 * stride), 6);
    halves = _mm_insert_epi16(halves, block_half(block + 7 * stride), 7);
    return _mm256_cvtph_ps(halves);
}

typedef __m256i (*block_parts)(const uint8_t *weights, __m256i x);

static inline __attribute__((always_inline)) void eight_rows(float *out, const uint8_t *rows, int blocks, int bytes,
                                                             int eights, block_parts parts_of, const rounded_vector *x) {
    size_t stride = (size_t)blocks * (size_t)bytes;
    __m256 sum = _mm256_setzero_ps();
    for (int b = 0; b < blocks; b++, rows += bytes) {
        __m256i values = _mm256_load_si256((const __m256i *)(x->values + b * BLOCK)), part[ROWS];
        for (int r = 0; r < ROWS; r++) part[r] = parts_of(rows + (size_t)r * stride + 2, values);
        __m256i whole = sums_of_eight(part);
        if (eights) whole = _mm256_sub_epi32(whole, _mm256_set1_epi32(x->sums[b]));
        __m256 scale = _mm256_mul_ps(scales_of_eight(rows, stride), _mm256_set1_ps(x->scales[b]));
        sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_cvtepi32_ps(whole), scale));
    }
    _mm256_storeu_ps(out, sum);
}

static int32_t added(__m256i part) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(part), _mm256_extracti128_si256(part, 1));
    half = _mm_hadd_epi32(half, half);
    return _mm_cvtsi128_si32(_mm_hadd_epi32(half, half));
}

static int32_t product_q8_0(const uint8_t *weights, const dot_value *x) {
    return added(whole_q8_0(weights, _mm256_load_si256((const __m256i *)x)));
}

static int32_t product_q4_0(const uint8_t *weights, const dot_value *x) {
    return added(whole_q4_0(weights, _mm256_load_si256((const __m256i *)x)));
}

void dot_q8_0(float *out, const uint8_t *rows, int count, int blocks, const rounded_vector *x) {
    int r = 0;
    for (; r + ROWS <= count; r += ROWS, rows += ROWS * blocks * Q8_0_BYTES)
        eight_rows(out + r, rows, blocks, Q8_0_BYTES, 0, whole_q8_0, x);
    for (; r < count; r++, rows += blocks * Q8_0_BYTES) out[r] = dot_row(rows, blocks, Q8_0_BYTES, 0, product_q8_0, x);
}

void dot_q4_0(float *out, const uint8_t *rows, int count, int blocks, const rounded_vector *x) {
    int r = 0;
    for (; r + ROWS <= count; r += ROWS, rows += ROWS * blocks * Q4_0_BYTES)
        eight_rows(out + r, rows, blocks, Q4_0_BYTES, 1, whole_q4_0, x);
    for (; r < count; r++, rows += blocks * Q4_0_BYTES) out[r] = dot_row(rows, blocks, Q4_0_BYTES, 1, product_q4_0, x);
}

#endif
