/* Rows one by one, for kernels that give the whole-number product of one block. */
#ifndef DOT_ROWS_H
#define DOT_ROWS_H

#include "dot.h"

typedef int32_t (*block_product)(const uint8_t *weights, const dot_value *x);

#if !ENGINE_SOFT_FLOAT

static inline __attribute__((always_inline)) float dot_row(const uint8_t *row, int blocks, int bytes, int eights,
                                                           block_product product, const rounded_vector *x) {
    float sum = 0;
    for (int b = 0; b < blocks; b++, row += bytes) {
        int32_t whole = product(row + 2, x->values + b * BLOCK) - (eights ? x->sums[b] : 0);
        sum += (float)whole * (half_to_float(block_half(row)) * x->scales[b]);
    }
    return sum;
}

#else

/* A float16 is its mantissa times 2^(exponent - 25), so the sum is one of whole numbers: 31 bits of product and weights'
 * scale by 24 bits of the vector's, shifted to the row's largest exponent. Nothing of weight is lost. */
static inline __attribute__((always_inline)) float dot_row(const uint8_t *row, int blocks, int bytes, int eights,
                                                           block_product product, const rounded_vector *x) {
    int largest = 1;
    int64_t sum = 0;
    for (int b = 0; b < blocks; b++) {
        int exponent = row[b * bytes + 1] >> 2 & 31;
        largest = exponent > largest ? exponent : largest;
    }
    for (int b = 0; b < blocks; b++, row += bytes) {
        int32_t whole = product(row + 2, x->values + b * BLOCK) - (eights ? x->sums[b] : 0);
        uint16_t half = block_half(row);
        int exponent = half >> 10 & 31, mantissa = half & 1023;
        if (exponent) mantissa |= 1024;
        else exponent = 1;
        int64_t part = (int64_t)(whole * (half & 0x8000 ? -mantissa : mantissa)) * x->steps[b];
        sum += exponent == largest ? part : part >> (largest - exponent);
    }
    int power = 127 + largest - 25 + x->exponent;
    return power > 0 ? (float)sum * float_of((uint32_t)power << 23) : 0;
}

#endif

#define DOT_BY_ROWS(name, bytes, eights, product)                                                          \
    void name(float *out, const uint8_t *rows, int count, int blocks, const rounded_vector *x) {           \
        for (int r = 0; r < count; r++, rows += blocks * (bytes))                                          \
            out[r] = dot_row(rows, blocks, bytes, eights, product, x);                                     \
    }

#endif
