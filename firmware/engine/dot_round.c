/* The vector's side of the products. */
#include "dot.h"

#if MODEL_INT8

#ifdef DOT_PAIRS
/* What SXTB16 takes out of four bytes: the first and third, then the second and fourth. */
static void place(dot_value *to, const int8_t *values) {
    for (int i = 0; i < BLOCK; i += 4) {
        to[i] = values[i];
        to[i + 1] = values[i + 2];
        to[i + 2] = values[i + 1];
        to[i + 3] = values[i + 3];
    }
}
#endif

#if ENGINE_SOFT_FLOAT
static void find_steps(rounded_vector *to, int blocks) {
    uint32_t largest = 1u << 23;
    for (int b = 0; b < blocks; b++) {
        uint32_t bits = float_bits(to->scales[b]);
        largest = bits > largest ? bits : largest;
    }
    int top = (int)(largest >> 23); /* the largest scale has 24 bits, of which float16 fills 11 */
    for (int b = 0; b < blocks; b++) {
        uint32_t bits = float_bits(to->scales[b]);
        int less = top - (int)(bits >> 23);
        uint32_t mantissa = (bits & 0x7fffff) | 0x800000;
        to->steps[b] = bits == 0 || less > 23 ? 0 : (int32_t)(mantissa >> less);
    }
    to->exponent = top - 127 - 23;
}
#endif

void dot_round(rounded_vector *to, const float *x, int blocks) {
    for (int b = 0; b < blocks; b++, x += BLOCK) {
#ifdef DOT_PAIRS
        int8_t values[BLOCK];
        uint16_t scale = round_block(x, values);
        place(to->values + b * BLOCK, values);
#else
        int8_t *values = to->values + b * BLOCK;
        uint16_t scale = round_block(x, values);
#endif
        int32_t sum = 0;
        for (int i = 0; i < BLOCK; i++) sum += values[i];
        to->sums[b] = 8 * sum;
        to->scales[b] = half_to_float(scale);
    }
#if ENGINE_SOFT_FLOAT
    find_steps(to, blocks);
#endif
}

#endif
