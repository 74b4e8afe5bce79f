/* Products of quantized rows with a vector that was rounded to Q8_0. One kernel is chosen when it is compiled: AVX2, NEON,
 * the 16-bit pairs of ARM cores with DSP instructions, or plain C; with a floating-point unit all give the same bits. */
#ifndef DOT_H
#define DOT_H

#include <stdint.h>

#include "model.h"
#include "rounding.h"

#if !defined(ENGINE_PORTABLE) && defined(__AVX2__) && defined(__F16C__)
#define DOT_AVX2 1
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define DOT_VNNI 1
#define DOT_NAME "AVX2 and VNNI"
#else
#define DOT_NAME "AVX2"
#endif
#elif !defined(ENGINE_PORTABLE) && defined(__aarch64__) && defined(__ARM_NEON)
#define DOT_NEON 1
#define DOT_NAME "NEON"
#elif !defined(ENGINE_PORTABLE) && defined(__ARM_FEATURE_SIMD32)
#define DOT_PAIRS 1
#define DOT_NAME "SMLAD"
#else
#define DOT_NAME "plain C"
#endif

/* Cores without a floating-point unit: scales are multiplied as whole numbers. */
#ifndef ENGINE_SOFT_FLOAT
#if (defined(__arm__) && !defined(__ARM_FP)) || (defined(__riscv) && !defined(__riscv_flen)) || defined(__XTENSA_SOFT_FLOAT__)
#define ENGINE_SOFT_FLOAT 1
#else
#define ENGINE_SOFT_FLOAT 0
#endif
#endif

/* Attention in whole numbers, where the cache holds such. */
#define ATTENTION_FIXED (ENGINE_SOFT_FLOAT && MODEL_KV_Q8_0)

#define LONGER_OF(a, b) ((a) > (b) ? (a) : (b))
#define VECTOR_BLOCKS (LONGER_OF(MODEL_WIDTH, MODEL_HIDDEN) / BLOCK)

#ifdef DOT_PAIRS
typedef int16_t dot_value; /* of each four: the even ones, then the odd ones */
#else
typedef int8_t dot_value;
#endif

typedef struct {
    dot_value values[VECTOR_BLOCKS * BLOCK] __attribute__((aligned(32)));
    int32_t sums[VECTOR_BLOCKS]; /* eight times the sum of a block: what Q4_0 adds to each value */
    float scales[VECTOR_BLOCKS];
#if ENGINE_SOFT_FLOAT
    int32_t steps[VECTOR_BLOCKS]; /* the scales once more, as multiples of one power of two */
    int exponent;
#endif
} rounded_vector;

void dot_round(rounded_vector *to, const float *x, int blocks);
void dot_q8_0(float *out, const uint8_t *rows, int count, int blocks, const rounded_vector *x);
void dot_q4_0(float *out, const uint8_t *rows, int count, int blocks, const rounded_vector *x);

#endif
