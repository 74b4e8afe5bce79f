/* The RP2040's clocks: 125 MHz from its crystal of 12 MHz, as the RP2040 datasheet has it in 2.15 (clocks), 2.16 (crystal)
 * and 2.18 (PLL). */
#include "rp2040.h"

#define CLK_REF_CTRL 0x40008030
#define CLK_REF_SELECTED REGISTER(0x40008038)
#define CLK_SYS_CTRL 0x4000803C
#define CLK_SYS_SELECTED REGISTER(0x40008044)
#define CLK_PERI_CTRL REGISTER(0x40008048)
#define XOSC_CTRL REGISTER(0x40024000)
#define XOSC_STATUS REGISTER(0x40024004)
#define XOSC_STARTUP REGISTER(0x4002400C)
#define PLL_CS REGISTER(0x40028000)
#define PLL_PWR 0x40028004
#define PLL_FBDIV REGISTER(0x40028008)
#define PLL_PRIM REGISTER(0x4002800C)
#define RESETS REGISTER(0x4000C000 + WITH_BITS_CLEARED)
#define RESETS_DONE REGISTER(0x4000C008)

#define RESET_PLL_SYS (1u << 12)
#define STABLE (1u << 31)
#define LOCKED (1u << 31)
#define XOSC_ON_1_TO_15_MHZ (0xFABu << 12 | 0xAA0u)
#define STARTUP_1_MS 47u         /* times 256 cycles of 12 MHz */
#define PLL_POWER (1u << 5 | 1u) /* VCO and PLL */
#define PLL_POST_DIVIDERS (1u << 3)
#define FEEDBACK 125u                    /* 12 MHz x 125 = 1,500 MHz */
#define POST_DIVIDERS (6u << 16 | 2u << 12) /* / 12 = 125 MHz */
#define PERI_ON (1u << 11)

#define CLOCK_POLLS 100000u
#define RING_OSCILLATOR_HZ 6500000u /* nominal; between 1.8 and 12 MHz */
#define CRYSTAL_HZ 12000000u

/* The glitchless multiplexers: what is selected shows as one bit. */
static int select_source(uint32_t ctrl, volatile uint32_t *selected, uint32_t source) {
    REGISTER(ctrl + WITH_BITS_CLEARED) = 3;
    REGISTER(ctrl + WITH_BITS_SET) = source;
    return came(selected, 1u << source, 1u << source, CLOCK_POLLS);
}

static int pll_start(void) {
    RESETS = RESET_PLL_SYS;
    if (!came(&RESETS_DONE, RESET_PLL_SYS, RESET_PLL_SYS, CLOCK_POLLS)) return 0;
    PLL_CS = 1;
    PLL_FBDIV = FEEDBACK;
    REGISTER(PLL_PWR + WITH_BITS_CLEARED) = PLL_POWER;
    if (!came(&PLL_CS, LOCKED, LOCKED, CLOCK_POLLS)) return 0;
    PLL_PRIM = POST_DIVIDERS;
    REGISTER(PLL_PWR + WITH_BITS_CLEARED) = PLL_POST_DIVIDERS;
    return 1;
}

static uint32_t core_clock_start(void) {
    XOSC_STARTUP = STARTUP_1_MS;
    XOSC_CTRL = XOSC_ON_1_TO_15_MHZ;
    if (!came(&XOSC_STATUS, STABLE, STABLE, CLOCK_POLLS)) return RING_OSCILLATOR_HZ;
    if (!select_source(CLK_REF_CTRL, &CLK_REF_SELECTED, 2)) return RING_OSCILLATOR_HZ;
    if (!pll_start() || !select_source(CLK_SYS_CTRL, &CLK_SYS_SELECTED, 1)) return CRYSTAL_HZ;
    return CRYSTAL_HZ * FEEDBACK / 12;
}

uint32_t clock_start(void) {
    uint32_t hz = core_clock_start();
    CLK_PERI_CTRL = PERI_ON; /* from the core's clock */
    return hz;
}
