/* Products on ARM cores with 16-bit SIMD (Cortex-M4 and M7, ARM11): two multiplications in one SMLAD. */
#include "dot_rows.h"

#if MODEL_INT8 && defined(DOT_PAIRS)

#include <arm_acle.h>

static inline uint32_t word_at(const void *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline int32_t pairs_of(const dot_value *x) {
    int32_t word;
    memcpy(&word, __builtin_assume_aligned(x, 4), sizeof word);
    return word;
}

static inline uint32_t turned(uint32_t word) { return word >> 8 | word << 24; }

static inline int32_t product_q8_0(const uint8_t *weights, const dot_value *x) {
    int32_t sum = 0;
    for (int i = 0; i < BLOCK; i += 4) {
        uint32_t word = word_at(weights + i);
        sum = __smlad((int32_t)__sxtb16((int32_t)word), pairs_of(x + i), sum);
        sum = __smlad((int32_t)__sxtb16((int32_t)turned(word)), pairs_of(x + i + 2), sum);
    }
    return sum;
}

static inline int32_t product_q4_0(const uint8_t *weights, const dot_value *x) {
    const uint32_t nibbles = 0x000f000f;
    int32_t sum = 0;
    for (int i = 0; i < BLOCK / 2; i += 4) {
        uint32_t word = word_at(weights + i);
        sum = __smlad((int32_t)(word & nibbles), pairs_of(x + i), sum);
        sum = __smlad((int32_t)(word >> 8 & nibbles), pairs_of(x + i + 2), sum);
        sum = __smlad((int32_t)(word >> 4 & nibbles), pairs_of(x + i + 16), sum);
        sum = __smlad((int32_t)(word >> 12 & nibbles), pairs_of(x + i + 18), sum);
    }
    return sum;
}

DOT_BY_ROWS(dot_q8_0, Q8_0_BYTES, 0, product_q8_0)
DOT_BY_ROWS(dot_q4_0, Q4_0_BYTES, 1, product_q4_0)

#endif
