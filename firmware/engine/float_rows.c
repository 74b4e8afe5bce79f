/* Eight sums side by side: compilers make vectors of them where there are any, and pipelines are kept busy elsewhere. */
#include "float_rows.h"

#include "model_file.h"
#include "rounding.h"

#define LANES 8

static inline float added(const float lanes[LANES]) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

float float_dot(const float *a, const float *b, int count) {
    float lanes[LANES] = {0}, sum = 0;
    int i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++) lanes[lane] += a[i + lane] * b[i + lane];
    for (; i < count; i++) sum += a[i] * b[i];
    return sum + added(lanes);
}

void float_f32(float *out, const uint8_t *rows, int count, int columns, const float *x) {
    const float *row = (const float *)(const void *)rows;
    for (int r = 0; r < count; r++, row += columns) out[r] = float_dot(row, x, columns);
}

void float_q8_0(float *out, const uint8_t *rows, int count, int columns, const float *x) {
    for (int r = 0; r < count; r++) {
        float sum = 0;
        for (int b = 0; b < columns; b += BLOCK, rows += Q8_0_BYTES) {
            const int8_t *w = (const int8_t *)rows + 2;
            float lanes[LANES] = {0};
            for (int i = 0; i < BLOCK; i += LANES)
                for (int lane = 0; lane < LANES; lane++) lanes[lane] += (float)w[i + lane] * x[b + i + lane];
            sum += added(lanes) * half_to_float(block_half(rows));
        }
        out[r] = sum;
    }
}

void float_q4_0(float *out, const uint8_t *rows, int count, int columns, const float *x) {
    for (int r = 0; r < count; r++) {
        float sum = 0;
        for (int b = 0; b < columns; b += BLOCK, rows += Q4_0_BYTES) {
            const uint8_t *w = rows + 2;
            float lanes[LANES] = {0};
            for (int i = 0; i < BLOCK / 2; i += LANES)
                for (int lane = 0; lane < LANES; lane++) {
                    lanes[lane] += (float)((w[i + lane] & 15) - 8) * x[b + i + lane];
                    lanes[lane] += (float)((w[i + lane] >> 4) - 8) * x[b + i + lane + BLOCK / 2];
                }
            sum += added(lanes) * half_to_float(block_half(rows));
        }
        out[r] = sum;
    }
}

static void block_to_floats(float *out, const uint8_t *block, uint32_t type) {
    float scale = half_to_float(block_half(block));
    const uint8_t *w = block + 2;
    if (type == TENSOR_Q8_0) {
        for (int i = 0; i < BLOCK; i++) out[i] = (float)(int8_t)w[i] * scale;
        return;
    }
    for (int i = 0; i < BLOCK / 2; i++) {
        out[i] = (float)((w[i] & 15) - 8) * scale;
        out[i + BLOCK / 2] = (float)((w[i] >> 4) - 8) * scale;
    }
}

void row_to_floats(float *out, const uint8_t *row, uint32_t type, int columns) {
    if (type == TENSOR_F32) {
        memcpy(out, row, (size_t)columns * sizeof *out);
        return;
    }
    int bytes = type == TENSOR_Q8_0 ? Q8_0_BYTES : Q4_0_BYTES;
    for (int b = 0; b < columns; b += BLOCK, row += bytes) block_to_floats(out + b, row, type);
}
