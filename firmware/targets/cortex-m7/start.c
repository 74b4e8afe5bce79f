/* Cortex-M7 as ARM's MPS2 board with the AN500 image has it (ARM DAI0500), and as QEMU emulates it: a Cortex-M7 with the
 * RAM and flash of an STM32F746, but its own peripherals, and a counter that runs at 25 MHz. */
#include "board.h"
#include "cortex_m.h"
#include "receive_ring.h"

#define LINE_IRQ 0 /* UART0, receive */
#define CORE_HZ 25000000u
#define BAUD 115200u
#define WRITE_POLLS 200000u

#define UART_DATA REGISTER(0x40004000)
#define UART_STATE REGISTER(0x40004004)
#define UART_CTRL REGISTER(0x40004008)
#define UART_INTSTATUS REGISTER(0x4000400C)
#define UART_BAUDDIV REGISTER(0x40004010)
#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define CTRL_ON (1u | 2u | 8u) /* send, receive, interrupt on receive */
#define INT_RX 2u

const char board_platform[] = "mps2-an500";
const uint64_t board_ram_bytes = 320 * 1024, board_flash_bytes = 1024 * 1024;

static void line_entry(void) {
    UART_INTSTATUS = INT_RX;
    while (UART_STATE & STATE_RX_FULL) receive_ring_put((uint8_t)UART_DATA);
}

__attribute__((section(".vectors"), used)) const vector vectors[16 + 32] = {
    CORE_VECTORS,
    [16 + LINE_IRQ] = line_entry,
};

void board_start(void) {
    cycle_counter_start(CORE_HZ);
    UART_BAUDDIV = (CORE_HZ + BAUD / 2) / BAUD;
    UART_CTRL = CTRL_ON;
    NVIC_ISER(LINE_IRQ) = 1u << LINE_IRQ;
}

void board_write(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!came(&UART_STATE, STATE_TX_FULL, 0, WRITE_POLLS)) return;
        UART_DATA = bytes[i];
    }
}

const char *board_identity(void) { return NULL; }
