/* The STM32F405's clocks: 168 MHz by the PLL, as RM0090 has it in chapters 3.5 (flash), 5.1 (power) and 7 (RCC). */
#include "stm32f405.h"
#include "stm32_registers.h"

#define PLL_N (336u << 6)        /* 1 MHz x 336 = 336 MHz */
#define PLL_P (0u << 16)         /* / 2 = 168 MHz */
#define PLL_Q (7u << 24)         /* 48 MHz for USB, which is not used */
#define PRESCALERS (5u << 10 | 4u << 13) /* APB1 / 4 = 42 MHz, APB2 / 2 = 84 MHz */
#define FLASH_168_MHZ (5u | 1u << 8 | 1u << 9 | 1u << 10) /* 5 wait states, prefetch, both caches */
#define VOLTAGE_SCALE_1 (1u << 14)

/* A chip that runs has an oscillator on and says so in RCC_CR (reset value 0x83); the emulated machine has no RCC, and its
 * core runs at 168 MHz as it is. */
int is_emulated(void) { return RCC_CR == 0; }

uint64_t clock_start(uint32_t *apb2_hz) {
    if (is_emulated()) {
        *apb2_hz = 84000000;
        return 168000000;
    }
    *apb2_hz = HSI_HZ;
    RCC_APB1ENR |= APB1_PWREN;
    PWR_CR |= VOLTAGE_SCALE_1;
    RCC_PLLCFGR = start_pll_input(0) | PLL_N | PLL_P | PLL_Q;
    RCC_CR |= CR_PLLON;
    if (!came(&RCC_CR, CR_PLLRDY, CR_PLLRDY, CLOCK_POLLS)) return HSI_HZ;
    FLASH_ACR = FLASH_168_MHZ;
    if (!came(&FLASH_ACR, 15, 5, CLOCK_POLLS) || !switch_to_pll(PRESCALERS)) return HSI_HZ;
    *apb2_hz = 84000000;
    return 168000000;
}
