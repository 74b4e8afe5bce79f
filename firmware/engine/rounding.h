/* Q8_0: blocks of 32 int8 values with a float16 scale, made as the numpy reference makes them. */
#ifndef ROUNDING_H
#define ROUNDING_H

#include <stdint.h>

#include "halves.h"

#define BLOCK 32
#define Q8_0_BYTES 34
#define Q4_0_BYTES 18

/* Adding this to a float of up to 2^22 leaves its nearest whole number, ties to even, in the lowest bits. */
#define ROUNDS 12582912.0f
#define ROUNDS_BITS 0x4b400000u

static inline uint16_t block_half(const uint8_t *block) { return (uint16_t)(block[0] | block[1] << 8); }

/* Rounds 32 floats and returns their scale as float16. */
static inline uint16_t round_block(const float *x, int8_t *values) {
    uint32_t largest = 0;
    for (int i = 0; i < BLOCK; i++) {
        uint32_t size = float_bits(x[i]) & 0x7fffffff;
        largest = size > largest ? size : largest;
    }
    float scale = float_of(largest) / 127.0f;
    float inverse = 1.0f / (float_bits(scale) < 0x00800000 ? float_of(0x00800000) : scale);
    for (int i = 0; i < BLOCK; i++) values[i] = (int8_t)(float_bits(x[i] * inverse + ROUNDS) - ROUNDS_BITS);
    return float_to_half(scale);
}

#endif
