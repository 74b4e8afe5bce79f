/* What libgcc leaves out for an LX106, because an ESP8266 has it in its ROM: single precision, and 64-bit integers.
 *
 * IEEE 754 binary32, round to nearest even, subnormals included, flags not kept. Floats come and go in integer registers.
 * A significand on its way to being rounded has 27 bits: 24, then guard, round and sticky. */
#include <stdint.h>

#define SIGN 0x80000000u
#define HIDDEN 0x00800000u
#define INFINITE 0x7F800000u
#define NOT_A_NUMBER 0x7FC00000u
#define QUIET 0x00400000u

uint32_t __addsf3(uint32_t a, uint32_t b), __subsf3(uint32_t a, uint32_t b), __mulsf3(uint32_t a, uint32_t b);
uint32_t __floatsisf(int32_t value), __floatunsisf(uint32_t value);
uint32_t __udivsi3(uint32_t a, uint32_t b), __umodsi3(uint32_t a, uint32_t b);
int32_t __divsi3(int32_t a, int32_t b);
uint64_t __muldi3(uint64_t a, uint64_t b), __udivdi3(uint64_t a, uint64_t b), __umoddi3(uint64_t a, uint64_t b);

static inline uint32_t exponent_of(uint32_t bits) { return bits >> 23 & 255u; }

/* Shifts right; what falls out is remembered in the lowest bit. */
static inline uint32_t shift_sticky(uint32_t significand, uint32_t by) {
    if (by == 0) return significand;
    if (by > 31) return significand != 0;
    return significand >> by | (significand << (32 - by) != 0);
}

static inline uint32_t rounded(uint32_t sign, int32_t exponent, uint32_t significand) {
    uint32_t left = significand & 7u, kept = significand >> 3;
    kept += left > 4 || (left == 4 && (kept & 1u));
    if (exponent - 1 + (int32_t)(kept >> 23) >= 255) return sign | INFINITE;
    return sign | (((uint32_t)(exponent - 1) << 23) + kept); /* the hidden bit carries into the exponent */
}

uint32_t __addsf3(uint32_t a, uint32_t b) {
    if (a << 1 < b << 1) {
        uint32_t smaller = a;
        a = b;
        b = smaller;
    }
    uint32_t sign = a & SIGN, differ = (a ^ b) & SIGN;
    int32_t exponent = (int32_t)exponent_of(a), other = (int32_t)exponent_of(b);
    if (exponent == 255) {
        if ((a & ~SIGN) != INFINITE) return a | QUIET;
        return differ && (b & ~SIGN) == INFINITE ? NOT_A_NUMBER : a;
    }
    uint32_t big = (a & (HIDDEN - 1)) << 3, small = (b & (HIDDEN - 1)) << 3;
    if (exponent != 0) big |= HIDDEN << 3; else exponent = 1;
    if (other != 0) small |= HIDDEN << 3; else other = 1;
    small = shift_sticky(small, (uint32_t)(exponent - other));
    if (!differ) {
        big += small;
        if (big >> 27) {
            big = shift_sticky(big, 1);
            exponent++;
        }
        return rounded(sign, exponent, big);
    }
    big -= small;
    if (big == 0) return 0;
    if (big < HIDDEN << 3) {
        int32_t up = __builtin_clz(big) - 5;
        if (up > exponent - 1) up = exponent - 1;
        big <<= up;
        exponent -= up;
    }
    return rounded(sign, exponent, big);
}

uint32_t __subsf3(uint32_t a, uint32_t b) { return __addsf3(a, b ^ SIGN); }

/* Brings the significand of a finite number other than 0 to 24 bits; the exponent may go below 1. */
static inline int32_t normal(uint32_t *significand, uint32_t exponent) {
    if (exponent != 0) {
        *significand |= HIDDEN;
        return (int32_t)exponent;
    }
    int32_t up = __builtin_clz(*significand) - 8;
    *significand <<= up;
    return 1 - up;
}

uint32_t __mulsf3(uint32_t a, uint32_t b) {
    uint32_t sign = (a ^ b) & SIGN, exponent_a = exponent_of(a), exponent_b = exponent_of(b);
    a &= ~SIGN;
    b &= ~SIGN;
    if (exponent_a == 255 || exponent_b == 255) {
        if (a > INFINITE) return a | QUIET;
        if (b > INFINITE) return b | QUIET;
        return a == 0 || b == 0 ? NOT_A_NUMBER : sign | INFINITE;
    }
    if (a == 0 || b == 0) return sign;
    a &= HIDDEN - 1;
    b &= HIDDEN - 1;
    int32_t exponent = normal(&a, exponent_a);
    exponent += normal(&b, exponent_b) - 127;
    /* 24 by 24 bits from halves of 12: the core multiplies to 32 bits. */
    uint32_t middle = (a >> 12) * (b & 0xFFFu) + (a & 0xFFFu) * (b >> 12);
    uint32_t low = (a & 0xFFFu) * (b & 0xFFFu) + ((middle & 0xFFFu) << 12);
    uint32_t high = (a >> 12) * (b >> 12) + (middle >> 12) + (low >> 24);
    low &= 0xFFFFFFu;
    uint32_t significand;
    if (high >= HIDDEN) {
        significand = high << 3 | low >> 21 | ((low & 0x1FFFFFu) != 0);
        exponent++;
    } else {
        significand = high << 4 | low >> 20 | ((low & 0xFFFFFu) != 0);
    }
    if (exponent <= 0) {
        significand = shift_sticky(significand, (uint32_t)(1 - exponent));
        exponent = 1;
    }
    return rounded(sign, exponent, significand);
}

static uint32_t from_integer(uint32_t sign, uint32_t magnitude) {
    if (magnitude == 0) return 0;
    int32_t up = __builtin_clz(magnitude);
    return rounded(sign, 127 + 31 - up, shift_sticky(magnitude << up, 5));
}

uint32_t __floatsisf(int32_t value) {
    return value < 0 ? from_integer(SIGN, 0u - (uint32_t)value) : from_integer(0, (uint32_t)value);
}

uint32_t __floatunsisf(uint32_t value) { return from_integer(0, value); }

/* Schoolbook division; by 0 everything is 0. */
static uint32_t divided(uint32_t a, uint32_t b, uint32_t *rest) {
    uint32_t quotient = 0;
    if (b != 0 && a >= b)
        for (int32_t place = __builtin_clz(b) - __builtin_clz(a); place >= 0; place--)
            if (a >= b << place) {
                a -= b << place;
                quotient |= 1u << place;
            }
    *rest = a;
    return quotient;
}

uint32_t __udivsi3(uint32_t a, uint32_t b) {
    uint32_t rest;
    return divided(a, b, &rest);
}

uint32_t __umodsi3(uint32_t a, uint32_t b) {
    uint32_t rest;
    divided(a, b, &rest);
    return rest;
}

int32_t __divsi3(int32_t a, int32_t b) {
    uint32_t quotient = __udivsi3(a < 0 ? 0u - (uint32_t)a : (uint32_t)a, b < 0 ? 0u - (uint32_t)b : (uint32_t)b);
    return (int32_t)((a < 0) != (b < 0) ? 0u - quotient : quotient);
}

static uint64_t product(uint32_t a, uint32_t b) {
    uint32_t low = (a & 0xFFFFu) * (b & 0xFFFFu), high = (a >> 16) * (b >> 16);
    uint32_t one = (a >> 16) * (b & 0xFFFFu), other = (a & 0xFFFFu) * (b >> 16);
    uint32_t middle = (low >> 16) + (one & 0xFFFFu) + (other & 0xFFFFu);
    high += (one >> 16) + (other >> 16) + (middle >> 16);
    return (uint64_t)high << 32 | middle << 16 | (low & 0xFFFFu);
}

uint64_t __muldi3(uint64_t a, uint64_t b) {
    uint32_t across = (uint32_t)(a >> 32) * (uint32_t)b + (uint32_t)a * (uint32_t)(b >> 32);
    return product((uint32_t)a, (uint32_t)b) + ((uint64_t)across << 32);
}

static uint64_t divided_long(uint64_t a, uint64_t b, uint64_t *rest) {
    uint64_t quotient = 0;
    int32_t place = 0;
    if (b == 0) {
        *rest = a;
        return 0;
    }
    while (b <= a && !(b >> 63)) {
        b <<= 1;
        place++;
    }
    for (; place >= 0; place--, b >>= 1)
        if (a >= b) {
            a -= b;
            quotient |= (uint64_t)1 << place;
        }
    *rest = a;
    return quotient;
}

uint64_t __udivdi3(uint64_t a, uint64_t b) {
    uint64_t rest;
    return divided_long(a, b, &rest);
}

uint64_t __umoddi3(uint64_t a, uint64_t b) {
    uint64_t rest;
    divided_long(a, b, &rest);
    return rest;
}
