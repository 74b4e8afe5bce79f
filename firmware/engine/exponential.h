/* e to the power of x from a table and one multiplication each way, the same bits on every target: a library's expf costs
 * cores without a floating-point unit ten times as much, and a processor's vector units are not needed for so few. */
#ifndef EXPONENTIAL_H
#define EXPONENTIAL_H

#include "halves.h"
#include "tables.h"

/* 2^(n + fraction / 2^24), for n from -126 to 127; off by less than two millionths. */
static inline float power_of_two_of(int32_t n, uint32_t fraction) {
    uint32_t step = fraction >> 16, low = power_of_two[step], rise = power_of_two[step + 1] - low;
    return float_of(((uint32_t)(n + 127) << 23) + low + (rise * (fraction & 0xffff) >> 16));
}

static inline float exponential(float x) {
    const float most = 87, per_unit = 1.44269504f * (1 << 24);
    if (!(x > -most)) return 0; /* also where x is no number */
    int32_t power = (int32_t)((x < most ? x : most) * per_unit);
    return power_of_two_of(power >> 24, (uint32_t)power & 0xffffff);
}

#endif
