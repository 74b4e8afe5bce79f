/* Products of rows with a vector of floats. */
#ifndef FLOAT_ROWS_H
#define FLOAT_ROWS_H

#include <stdint.h>

float float_dot(const float *a, const float *b, int count);
void float_f32(float *out, const uint8_t *rows, int count, int columns, const float *x);
void float_q8_0(float *out, const uint8_t *rows, int count, int columns, const float *x);
void float_q4_0(float *out, const uint8_t *rows, int count, int columns, const float *x);

/* A row's values; `type` is that of its tensor. */
void row_to_floats(float *out, const uint8_t *row, uint32_t type, int columns);

#endif
