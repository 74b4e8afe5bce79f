/* A 32-bit counter of the core's cycles: the DWT's CYCCNT where there is one that counts (Armv7-M ARM, C1.8), else SysTick's
 * 24 bits and what its interrupt carries over. No emulator counts CYCCNT, so SysTick is what they are measured by. */
#include "board.h"
#include "cortex_m.h"
#include "receive_ring.h"

#ifndef COUNTER_BITS
#define COUNTER_BITS 32 /* fewer, for tests of a counter that wraps */
#endif
#define SYSTICK_BITS 24
#define SYSTICK_MASK ((1u << SYSTICK_BITS) - 1)
#define SYSTICK_RUN 7u /* processor clock, interrupt, enable */
#define PENDSTSET (1u << 26)

static uint64_t rate_hz;
static volatile uint32_t overflows;
static int dwt_counts;

#if __ARM_ARCH >= 7
static int start_dwt(void) {
    DEMCR |= 1u << 24;
    DWT_LAR = 0xC5ACCE55u; /* the M7's is locked */
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1u;
    uint32_t before = DWT_CYCCNT;
    for (int i = 0; i < 16; i++) __asm volatile("nop");
    return DWT_CYCCNT != before;
}
#else
static int start_dwt(void) { return 0; }
#endif

void cycle_counter_start(uint64_t hz) {
    rate_hz = hz;
    dwt_counts = start_dwt();
    if (dwt_counts) return;
    SYST_RVR = SYSTICK_MASK;
    SYST_CVR = 0;
    SYST_CSR = SYSTICK_RUN;
}

void systick_entry(void) { overflows++; }

/* An overflow whose interrupt is still to come is counted here; the interrupt is held off meanwhile. */
static uint32_t systick_ticks(void) {
    uint32_t before = interrupts_off();
    uint32_t left = SYST_CVR, extra = 0;
    if (SCB_ICSR & PENDSTSET) {
        left = SYST_CVR;
        extra = 1;
    }
    uint32_t ticks = ((overflows + extra) << SYSTICK_BITS) + (SYSTICK_MASK - left);
    interrupts_as_before(before);
    return ticks;
}

uint64_t board_tick_hz(void) { return rate_hz; }
uint64_t board_cpu_hz(void) { return rate_hz; }
uint8_t board_tick_bits(void) { return COUNTER_BITS; }
tp_tick board_ticks(void) { return dwt_counts ? DWT_CYCCNT : systick_ticks(); }

/* CYCCNT stands still while the core sleeps, so a chip that is measured by it stays awake. An emulated core stops its
 * SysTick with itself: its time would otherwise race ahead of the host's. */
void board_idle(void) {
    if (dwt_counts) return;
    uint32_t before = interrupts_off();
    if (receive_ring_is_empty()) {
#if __ARM_ARCH >= 7
        SYST_CSR = SYSTICK_RUN & ~1u;
#endif
        __asm volatile("dsb\n wfi" ::: "memory");
#if __ARM_ARCH >= 7
        SYST_CSR = SYSTICK_RUN;
#endif
    }
    interrupts_as_before(before);
}
