/* float16 to float32 and back, to nearest, ties to even; in hardware where there is any. */
#ifndef HALVES_H
#define HALVES_H

#include <stdint.h>
#include <string.h>

#if defined(__F16C__) && !defined(ENGINE_PORTABLE)
#include <immintrin.h>
#endif

static inline uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#if defined(__F16C__) && !defined(ENGINE_PORTABLE)

static inline float half_to_float(uint16_t half) { return _cvtsh_ss(half); }
static inline uint16_t float_to_half(float value) { return (uint16_t)_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT); }

#elif (defined(__ARM_FP16_FORMAT_IEEE) || defined(__aarch64__)) && (__ARM_FP & 2) && !defined(ENGINE_PORTABLE)

static inline float half_to_float(uint16_t half) {
    __fp16 value;
    memcpy(&value, &half, sizeof value);
    return (float)value;
}

static inline uint16_t float_to_half(float value) {
    __fp16 half = (__fp16)value;
    uint16_t bits;
    memcpy(&bits, &half, sizeof bits);
    return bits;
}

#else

static inline float half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
    if (rest >= 0x7c00) return float_of(sign | 0x7f800000u | (rest & 0x3ff) << 13);
    if (rest >= 0x400) return float_of(sign | ((rest << 13) + (112u << 23)));
    if (rest == 0) return float_of(sign);
    uint32_t exponent = 113;
    while (!(rest & 0x400)) rest <<= 1, exponent--;
    return float_of(sign | exponent << 23 | (rest & 0x3ff) << 13);
}

static inline uint16_t float_to_half(float value) {
    uint32_t bits = float_bits(value), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff, drop = 13;
    if (rest >= 0x47800000) return (uint16_t)(sign | (rest > 0x7f800000 ? 0x7e00 : 0x7c00));
    if (rest < 0x33000000) return (uint16_t)sign;
    if (rest >= 0x38800000) {
        rest -= 112u << 23;
    } else {
        drop = 126 - (rest >> 23); /* a subnormal half: the point stands still */
        rest = (rest & 0x7fffff) | 0x800000;
    }
    uint32_t half = rest >> drop, lost = rest & ((1u << drop) - 1), middle = 1u << (drop - 1);
    if (lost > middle || (lost == middle && (half & 1))) half++;
    return (uint16_t)(sign | half);
}

#endif
#endif
