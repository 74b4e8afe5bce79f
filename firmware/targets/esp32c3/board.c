/* ESP32-C3 by its registers (Technical Reference Manual 1.1), started by its ROM without a second-stage bootloader. Built here
 * and never run, on a chip or in an emulator. The core keeps the ROM's clock, the crystal's 40 MHz: the PLL's 160 MHz take a
 * calibration by registers that the manual leaves out. */
#include <stdio.h>

#include "board.h"
#include "receive_ring.h"
#include "riscv.h"

#define UART(offset) REGISTER(0x60000000u + (offset))
#define UART_FIFO UART(0x00)
#define UART_INT_ENA UART(0x0C)
#define UART_INT_CLR UART(0x10)
#define UART_STATUS UART(0x1C)
#define UART_CONF1 UART(0x24)
#define RXFIFO_COUNT(status) ((status) & 0x3FFu)
#define TXFIFO_COUNT(status) ((status) >> 16 & 0x3FFu)
#define TXFIFO_ROOM 120u /* of 128 */
#define RXFIFO_FULL 1u   /* the interrupt's bit, and the FIFO's mark: at the first byte */

#define OPTIONS0 REGISTER(0x60008000u)
#define SYSTEM_RESET (1u << 31)
#define RTC_WDT_CONFIG REGISTER(0x60008090u)
#define RTC_WDT_PROTECT REGISTER(0x600080A8u)
#define SUPER_WDT_CONFIG REGISTER(0x600080ACu)
#define SUPER_WDT_PROTECT REGISTER(0x600080B0u)
#define SUPER_WDT_FEEDS_ITSELF (1u << 31)
#define GROUP0_WDT_CONFIG REGISTER(0x6001F048u)
#define GROUP0_WDT_PROTECT REGISTER(0x6001F064u)
#define WDT_KEY 0x50D83AA1u
#define SUPER_WDT_KEY 0x8F1D312Au

#define SYSTIMER_OP REGISTER(0x60023004u)
#define SYSTIMER_HIGH REGISTER(0x60023040u)
#define SYSTIMER_LOW REGISTER(0x60023044u)
#define SYSTIMER_UPDATE (1u << 30)
#define SYSTIMER_VALID (1u << 29)
#define SYSTIMER_HZ 16000000u
#define SYSTIMER_BITS 52
#define SYSTIMER_POLLS 100

#define UART_INTERRUPT_MAP REGISTER(0x600C2054u)
#define INTERRUPT_ENABLE REGISTER(0x600C2104u)
#define INTERRUPT_PRIORITY(line) REGISTER(0x600C2114u + 4 * (line))
#define INTERRUPT_THRESHOLD REGISTER(0x600C2194u)
#define UART_LINE 1u

#define MAC_LOW REGISTER(0x60008844u)
#define MAC_HIGH REGISTER(0x60008848u)

#define CORE_HZ 40000000u
#define WRITE_LIMIT_TICKS (SYSTIMER_HZ / 2)

const char board_platform[] = "esp32-c3";
const uint64_t board_ram_bytes = 384 * 1024, board_flash_bytes = 4096 * 1024;

/* The ROM leaves its watchdogs on, for a bootloader that this image does without. */
static void watchdogs_off(void) {
    RTC_WDT_PROTECT = WDT_KEY;
    RTC_WDT_CONFIG = 0;
    RTC_WDT_PROTECT = 0;
    SUPER_WDT_PROTECT = SUPER_WDT_KEY;
    SUPER_WDT_CONFIG |= SUPER_WDT_FEEDS_ITSELF;
    SUPER_WDT_PROTECT = 0;
    GROUP0_WDT_PROTECT = WDT_KEY;
    GROUP0_WDT_CONFIG = 0;
    GROUP0_WDT_PROTECT = 0;
}

/* UART0 is at 115,200 baud, 8N1, as the ROM set it for its own messages. */
void board_start(void) {
    watchdogs_off();
    UART_CONF1 = (UART_CONF1 & ~0x1FFu) | RXFIFO_FULL;
    UART_INT_CLR = 0xFFFFFFFFu;
    UART_INT_ENA = RXFIFO_FULL;
    UART_INTERRUPT_MAP = UART_LINE;
    INTERRUPT_PRIORITY(UART_LINE) = 1;
    INTERRUPT_THRESHOLD = 1;
    INTERRUPT_ENABLE = 1u << UART_LINE;
    CSR_SET(mstatus, MSTATUS_MIE);
}

void line_interrupt(void) {
    while (RXFIFO_COUNT(UART_STATUS) > 0) receive_ring_put((uint8_t)UART_FIFO);
    UART_INT_CLR = RXFIFO_FULL;
}

void reset_chip(void) {
    OPTIONS0 |= SYSTEM_RESET;
    for (;;) __asm volatile("nop");
}

uint64_t board_tick_hz(void) { return SYSTIMER_HZ; }
uint8_t board_tick_bits(void) { return SYSTIMER_BITS; }
uint64_t board_cpu_hz(void) { return CORE_HZ; }

tp_tick board_ticks(void) {
    SYSTIMER_OP = SYSTIMER_UPDATE;
    for (int polls = 0; polls < SYSTIMER_POLLS && !(SYSTIMER_OP & SYSTIMER_VALID); polls++) continue;
    return (uint64_t)SYSTIMER_HIGH << 32 | SYSTIMER_LOW;
}

void board_write(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        tp_tick since = board_ticks();
        while (TXFIFO_COUNT(UART_STATUS) > TXFIFO_ROOM)
            if (board_ticks() - since > WRITE_LIMIT_TICKS) return;
        UART_FIFO = bytes[i];
    }
}

void board_idle(void) {}

/* The MAC address in the chip's fuses. */
const char *board_identity(void) {
    static char mac[13];
    snprintf(mac, sizeof mac, "%04lx%08lx", (unsigned long)(MAC_HIGH & 0xFFFFu), (unsigned long)MAC_LOW);
    return mac;
}
