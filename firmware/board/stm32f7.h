/* What the STM32F746 and F767 share. */
#ifndef STM32F7_H
#define STM32F7_H

#include "cortex_m.h"

#define USART3_IRQ 39 /* RM0385, table 46; RM0410, table 46 */

/* Sets up 216 MHz and the caches, or says what the clock is instead; *apb1_hz is the line's. */
uint64_t clock_start(uint32_t *apb1_hz);

void line_start(uint32_t clock_hz);
void line_entry(void);

#endif
