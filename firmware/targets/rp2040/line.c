/* The line: UART0 at 115,200 baud on GPIO 0 (out) and GPIO 1 (in), RP2040 datasheet 2.19 and 4.2. It holds 32 bytes; an
 * interrupt takes them as they come. */
#include "board.h"
#include "receive_ring.h"
#include "rp2040.h"

#define BAUD 115200u
#define WRITE_POLLS 200000u /* over 10 ms at any clock; a byte takes 87 us */

#define GPIO0_CTRL REGISTER(0x40014004)
#define GPIO1_CTRL REGISTER(0x4001400C)
#define RESETS REGISTER(0x4000C000 + WITH_BITS_CLEARED)
#define RESETS_DONE REGISTER(0x4000C008)
#define UART_DR REGISTER(0x40034000)
#define UART_FR REGISTER(0x40034018)
#define UART_IBRD REGISTER(0x40034024)
#define UART_FBRD REGISTER(0x40034028)
#define UART_LCR_H REGISTER(0x4003402C)
#define UART_CR REGISTER(0x40034030)
#define UART_IFLS REGISTER(0x40034034)
#define UART_IMSC REGISTER(0x40034038)

#define RESET_IO_PADS_UART0 (1u << 5 | 1u << 8 | 1u << 22)
#define RESET_POLLS 100000u
#define FUNCTION_UART 2u
#define FR_RX_EMPTY (1u << 4)
#define FR_TX_FULL (1u << 5)
#define EIGHT_BITS_FIFO (3u << 5 | 1u << 4)
#define ON (1u << 9 | 1u << 8 | 1u) /* receive, send, enable */
#define AT_AN_EIGHTH 0u
#define INTERRUPT_RECEIVE (1u << 6 | 1u << 4) /* so many bytes, or some and then silence */

void line_start(uint32_t clock_hz) {
    RESETS = RESET_IO_PADS_UART0;
    (void)came(&RESETS_DONE, RESET_IO_PADS_UART0, RESET_IO_PADS_UART0, RESET_POLLS);
    GPIO0_CTRL = FUNCTION_UART;
    GPIO1_CTRL = FUNCTION_UART;
    uint32_t divisor_64 = (clock_hz * 4 + BAUD / 2) / BAUD; /* in 64ths of 16 cycles */
    UART_IBRD = divisor_64 >> 6;
    UART_FBRD = divisor_64 & 63;
    UART_LCR_H = EIGHT_BITS_FIFO;
    UART_CR = ON;
    UART_IFLS = AT_AN_EIGHTH;
    UART_IMSC = INTERRUPT_RECEIVE;
    NVIC_ISER(0) = 1u << UART0_IRQ;
}

void line_entry(void) {
    while (!(UART_FR & FR_RX_EMPTY)) receive_ring_put((uint8_t)UART_DR);
}

void board_write(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!came(&UART_FR, FR_TX_FULL, 0, WRITE_POLLS)) return;
        UART_DR = bytes[i];
    }
}
