/* The STM32F7's clocks and caches: 216 MHz by the PLL with over-drive, as RM0385 and RM0410 have it in chapters 3 (flash),
 * 4 (power) and 5 (RCC), and PM0253 for the caches. */
#include "stm32_registers.h"
#include "stm32f7.h"

#define PLL_N (432u << 6)        /* 1 MHz x 432 = 432 MHz */
#define PLL_P (0u << 16)         /* / 2 = 216 MHz */
#define PLL_Q (9u << 24)         /* 48 MHz for USB, which is not used */
#define PRESCALERS (5u << 10 | 4u << 13) /* APB1 / 4 = 54 MHz, APB2 / 2 = 108 MHz */
#define FLASH_WAIT_STATES 7u
#define FLASH_PREFETCH (1u << 8)
#define FLASH_ART (1u << 9)
#define VOLTAGE_SCALE_1 (3u << 14)
#define OVER_DRIVE (1u << 16)
#define OVER_DRIVE_SWITCH (1u << 17)

#define ICIALLU REGISTER(0xE000EF50)
#define DCISW REGISTER(0xE000EF60)
#define CCSIDR REGISTER(0xE000ED80)
#define CSSELR REGISTER(0xE000ED84)
#define CCR_DATA_CACHE (1u << 16)
#define CCR_INSTRUCTION_CACHE (1u << 17)

static void caches_start(void) {
    CSSELR = 0;
    __asm volatile("dsb" ::: "memory");
    uint32_t size = CCSIDR, sets = (size >> 13 & 0x7FFF) + 1, ways = (size >> 3 & 0x3FF) + 1;
    for (uint32_t set = 0; set < sets; set++) /* lines of 32 bytes in 4 ways */
        for (uint32_t way = 0; way < ways; way++) DCISW = way << 30 | set << 5;
    ICIALLU = 0;
    __asm volatile("dsb\n isb" ::: "memory");
    SCB_CCR |= CCR_DATA_CACHE | CCR_INSTRUCTION_CACHE;
    __asm volatile("dsb\n isb" ::: "memory");
}

/* Over-drive must be on before the clock is: its switch needs the PLL's time, and nothing else may run meanwhile. */
static int over_drive(void) {
    PWR_CR |= OVER_DRIVE;
    if (!came(&PWR_CSR, OVER_DRIVE, OVER_DRIVE, CLOCK_POLLS)) return 0;
    PWR_CR |= OVER_DRIVE_SWITCH;
    return came(&PWR_CSR, OVER_DRIVE_SWITCH, OVER_DRIVE_SWITCH, CLOCK_POLLS);
}

uint64_t clock_start(uint32_t *apb1_hz) {
    caches_start();
    *apb1_hz = HSI_HZ;
    RCC_APB1ENR |= APB1_PWREN;
    PWR_CR |= VOLTAGE_SCALE_1;
    RCC_PLLCFGR = start_pll_input(CR_HSEBYP) | PLL_N | PLL_P | PLL_Q;
    RCC_CR |= CR_PLLON;
    if (!over_drive() || !came(&RCC_CR, CR_PLLRDY, CR_PLLRDY, CLOCK_POLLS)) return HSI_HZ;
    FLASH_ACR = FLASH_WAIT_STATES | FLASH_PREFETCH | FLASH_ART;
    if (!came(&FLASH_ACR, 15, FLASH_WAIT_STATES, CLOCK_POLLS) || !switch_to_pll(PRESCALERS)) return HSI_HZ;
    *apb1_hz = 54000000;
    return 216000000;
}
