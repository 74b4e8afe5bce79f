/* Products on AArch64: widening multiplications of eight bytes, added in pairs. */
#include "dot_rows.h"

#if MODEL_INT8 && defined(DOT_NEON)

#include <arm_neon.h>

static inline int32x4_t add_products(int32x4_t sum, int8x16_t w, int8x16_t x) {
    int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
    return vpadalq_s16(vpadalq_s16(sum, low), high);
}

static inline int32_t product_q8_0(const uint8_t *weights, const dot_value *x) {
    const int8_t *w = (const int8_t *)weights;
    int32x4_t sum = add_products(vdupq_n_s32(0), vld1q_s8(w), vld1q_s8(x));
    return vaddvq_s32(add_products(sum, vld1q_s8(w + 16), vld1q_s8(x + 16)));
}

static inline int32_t product_q4_0(const uint8_t *weights, const dot_value *x) {
    uint8x16_t both = vld1q_u8(weights);
    int8x16_t low = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
    int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
    int32x4_t sum = add_products(vdupq_n_s32(0), low, vld1q_s8(x));
    return vaddvq_s32(add_products(sum, high, vld1q_s8(x + 16)));
}

DOT_BY_ROWS(dot_q8_0, Q8_0_BYTES, 0, product_q8_0)
DOT_BY_ROWS(dot_q4_0, Q4_0_BYTES, 1, product_q4_0)

#endif
