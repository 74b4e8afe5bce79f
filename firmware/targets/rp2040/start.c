/* RP2040: vector table, what the machine is called, and its reset by the watchdog (RP2040 datasheet, 2.13 and 4.7), which
 * resets the peripherals too. RAM keeps what it holds. */
#include "board.h"
#include "rp2040.h"

#define PSM_WDSEL REGISTER(0x40010008)
#define WATCHDOG_CTRL REGISTER(0x40058000)
#define WATCHDOG_SCRATCH4 REGISTER(0x4005801C)
#define ALL_BUT_OSCILLATORS 0x1FFFCu
#define TRIGGER (1u << 31)

const char board_platform[] = "rp2040";
const uint64_t board_ram_bytes = 264 * 1024, board_flash_bytes = 2 * 1024 * 1024;

__attribute__((section(".vectors"), used)) const vector vectors[16 + 26] = {
    CORE_VECTORS,
    [16 + UART0_IRQ] = line_entry,
};

void board_start(void) {
    uint32_t hz = clock_start();
    cycle_counter_start(hz);
    line_start(hz);
}

void reset_chip(void) {
    WATCHDOG_SCRATCH4 = 0; /* or the boot ROM jumps to what the scratch registers say */
    PSM_WDSEL = ALL_BUT_OSCILLATORS;
    WATCHDOG_CTRL = TRIGGER;
    for (;;) __asm volatile("dsb");
}

/* The chip itself has no number. Its flash has one, which cannot be read while code runs from that flash. */
const char *board_identity(void) { return NULL; }
