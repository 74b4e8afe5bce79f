/* Products in plain C, unrolled by four; loads bytes only, so that no core minds where a block begins. */
#include "dot_rows.h"

#if MODEL_INT8 && !defined(DOT_AVX2) && !defined(DOT_NEON) && !defined(DOT_PAIRS)

static inline int32_t product_q8_0(const uint8_t *weights, const dot_value *x) {
    const int8_t *w = (const int8_t *)weights;
    int32_t sum = 0;
    for (int i = 0; i < BLOCK; i += 4)
        sum += w[i] * x[i] + w[i + 1] * x[i + 1] + w[i + 2] * x[i + 2] + w[i + 3] * x[i + 3];
    return sum;
}

static inline int32_t product_q4_0(const uint8_t *weights, const dot_value *x) {
    int32_t sum = 0;
    for (int i = 0; i < BLOCK / 2; i += 2) {
        int first = weights[i], second = weights[i + 1];
        sum += (first & 15) * x[i] + (first >> 4) * x[i + 16];
        sum += (second & 15) * x[i + 1] + (second >> 4) * x[i + 17];
    }
    return sum;
}

DOT_BY_ROWS(dot_q8_0, Q8_0_BYTES, 0, product_q8_0)
DOT_BY_ROWS(dot_q4_0, Q4_0_BYTES, 1, product_q4_0)

#endif
