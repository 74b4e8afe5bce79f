/* Registers of the RP2040 (its datasheet, chapters 2 and 4), and what this target's parts offer each other. */
#ifndef RP2040_H
#define RP2040_H

#include "cortex_m.h"

#define WITH_BITS_SET 0x2000u /* each register again, where a write sets or clears only the bits that it has */
#define WITH_BITS_CLEARED 0x3000u

#define UART0_IRQ 20

/* Sets up 125 MHz, or says what the clock is instead. */
uint32_t clock_start(void);

void line_start(uint32_t clock_hz);
void line_entry(void);

#endif
