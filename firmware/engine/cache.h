/* The KV cache: for each layer and position a K row and a V row, as the build says: f32, f16, or Q8_0 blocks. */
#ifndef CACHE_H
#define CACHE_H

#include "float_rows.h"
#include "model.h"
#include "rounding.h"

enum { CACHE_K, CACHE_V };

/* The rows of one position in one layer. */
typedef struct {
    uint8_t rows[2][MODEL_KV_ROW_BYTES];
} cache_position;

static inline void cache_store(uint8_t *row, const float *x) {
#if MODEL_KV_F32
    memcpy(row, x, MODEL_KV_ROW_BYTES);
#elif MODEL_KV_F16
    uint16_t *halves = (uint16_t *)(void *)row;
    for (int i = 0; i < MODEL_KV_WIDTH; i++) halves[i] = float_to_half(x[i]);
#else
    for (int b = 0; b < MODEL_KV_WIDTH; b += BLOCK, row += Q8_0_BYTES) {
        uint16_t scale = round_block(x + b, (int8_t *)row + 2);
        memcpy(row, &scale, sizeof scale);
    }
#endif
}

/* The values of a row, where they lie or in `room`. */
static inline const float *cache_load(const uint8_t *row, float room[MODEL_KV_WIDTH]) {
#if MODEL_KV_F32
    return (const float *)(const void *)row;
#elif MODEL_KV_F16 && defined(__F16C__) && !defined(ENGINE_PORTABLE) && MODEL_KV_WIDTH % 8 == 0
    for (int i = 0; i < MODEL_KV_WIDTH; i += 8)
        _mm256_storeu_ps(room + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(row + 2 * i))));
    return room;
#elif MODEL_KV_F16
    const uint16_t *halves = (const uint16_t *)(const void *)row;
    for (int i = 0; i < MODEL_KV_WIDTH; i++) room[i] = half_to_float(halves[i]);
    return room;
#else
    for (int b = 0; b < MODEL_KV_WIDTH; b += BLOCK, row += Q8_0_BYTES) {
        float scale = half_to_float(block_half(row));
        for (int i = 0; i < BLOCK; i++) room[b + i] = (float)(int8_t)row[2 + i] * scale;
    }
    return room;
#endif
}

#endif
