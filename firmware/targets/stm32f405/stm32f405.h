#ifndef STM32F405_H
#define STM32F405_H

#include "cortex_m.h"

/* Sets up 168 MHz, or says what the clock is instead; *apb2_hz is the line's. */
uint64_t clock_start(uint32_t *apb2_hz);
int is_emulated(void);

void line_start(uint32_t clock_hz);
void line_entry(void);

#endif
