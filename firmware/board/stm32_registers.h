/* Registers at the same addresses on the STM32F4 and F7 (RM0090, RM0385 and RM0410, chapters 2, 3, 4 and 5 to 7). */
#ifndef STM32_REGISTERS_H
#define STM32_REGISTERS_H

#include "cortex_m.h"

#define RCC_CR REGISTER(0x40023800)
#define RCC_PLLCFGR REGISTER(0x40023804)
#define RCC_CFGR REGISTER(0x40023808)
#define RCC_AHB1ENR REGISTER(0x40023830)
#define RCC_APB1ENR REGISTER(0x40023840)
#define RCC_APB2ENR REGISTER(0x40023844)
#define FLASH_ACR REGISTER(0x40023C00)
#define PWR_CR REGISTER(0x40007000)
#define PWR_CSR REGISTER(0x40007004)

#define CR_HSION (1u << 0)
#define CR_HSEON (1u << 16)
#define CR_HSERDY (1u << 17)
#define CR_HSEBYP (1u << 18)
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)
#define CFGR_SW_PLL 2u
#define CFGR_SWS (3u << 2)
#define CFGR_SWS_PLL (2u << 2)
#define PLL_FROM_HSE (1u << 22)
#define APB1_PWREN (1u << 28)

#define HSI_HZ 16000000u
#define PLL_INPUT_HZ 1000000u /* 1 to 2 MHz are allowed; every crystal of whole MHz divides to this */
#define PLL_RESERVED (1u << 29)   /* to be left as after a reset */

/* How often a flag is polled before it is given up: some 50 ms at 16 MHz; crystals need 2 ms. */
#define CLOCK_POLLS 100000u

/* The board's crystal or clock input in Hz; 0: none, the chip's own oscillator (within 1%) is used. */
#ifndef HSE_HZ
#define HSE_HZ 0
#endif
#if HSE_HZ % 1000000 || HSE_HZ > 26000000
#error "HSE_HZ is the crystal's frequency in Hz: whole MHz, at most 26"
#endif

/* Starts what feeds the PLL and returns the bits of RCC_PLLCFGR that choose it, divided to PLL_INPUT_HZ. Where the crystal
 * does not come the chip's own oscillator, which runs since the reset, takes its place. */
static inline uint32_t start_pll_input(uint32_t bypass) {
#if HSE_HZ
    RCC_CR |= bypass | CR_HSEON;
    if (came(&RCC_CR, CR_HSERDY, CR_HSERDY, CLOCK_POLLS)) return PLL_RESERVED | PLL_FROM_HSE | HSE_HZ / PLL_INPUT_HZ;
    RCC_CR &= ~(CR_HSEON | CR_HSEBYP);
#endif
    return PLL_RESERVED | HSI_HZ / PLL_INPUT_HZ;
}

static inline int switch_to_pll(uint32_t prescalers) {
    RCC_CFGR = prescalers;
    RCC_CFGR = prescalers | CFGR_SW_PLL;
    return came(&RCC_CFGR, CFGR_SWS, CFGR_SWS_PLL, CLOCK_POLLS);
}

#endif
