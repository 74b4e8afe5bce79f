/* QEMU's riscv32 virt: 16550 (NS16550A, shift 0), PLIC, mcycle, and the test device that resets it. */
#include "board.h"
#include "receive_ring.h"
#include "riscv.h"

#define UART_BASE 0x10000000u
#define UART(offset) (*(volatile uint8_t *)(uintptr_t)(UART_BASE + (offset)))
#define UART_DATA UART(0)
#define UART_IER UART(1)
#define UART_FCR UART(2)
#define UART_LCR UART(3)
#define UART_LSR UART(5)
#define LSR_READY 1u
#define LSR_ROOM 0x20u

#define UART_SOURCE 10
#define PLIC_PRIORITY(source) REGISTER(0x0C000000u + 4 * (source))
#define PLIC_ENABLE REGISTER(0x0C002000u)
#define PLIC_THRESHOLD REGISTER(0x0C200000u)
#define PLIC_CLAIM REGISTER(0x0C200004u)
#define TEST_DEVICE REGISTER(0x00100000u)
#define TEST_RESET 0x7777u

#define WRITE_LIMIT_TICKS 1000000000u

/* mcycle counts the virtual nanoseconds of -icount, so it has no width to lose and no clock of a core. */
#define TICK_HZ 1000000000u

/* What lies below RAM is a window to PCI devices, where writes are lost in silence: locked, so that a stack that grows into
 * it is an exception (Privileged Architecture, 3.7: naturally aligned, 1 GB at 0x40000000, no access, machine mode too). */
#define BELOW_RAM (0x40000000u >> 2 | 0x07FFFFFFu)
#define NAPOT_LOCKED 0x98u

const char board_platform[] = "qemu-riscv32-virt";
const uint64_t board_ram_bytes = 384 * 1024, board_flash_bytes = 4096 * 1024;

void board_start(void) {
    __asm volatile("csrw pmpaddr0, %0\n csrw pmpcfg0, %1" ::"r"(BELOW_RAM), "r"(NAPOT_LOCKED));
    UART_LCR = 3; /* 8N1; the emulated line has no rate */
    UART_FCR = 7; /* FIFOs on and empty, interrupt at the first byte */
    UART_IER = 1;
    PLIC_PRIORITY(UART_SOURCE) = 1;
    PLIC_ENABLE = 1u << UART_SOURCE;
    PLIC_THRESHOLD = 0;
    CSR_SET(mie, MIE_EXTERNAL);
    CSR_SET(mstatus, MSTATUS_MIE);
}

void line_interrupt(void) {
    uint32_t source = PLIC_CLAIM;
    while (UART_LSR & LSR_READY) receive_ring_put(UART_DATA);
    if (source != 0) PLIC_CLAIM = source;
}

void reset_chip(void) {
    TEST_DEVICE = TEST_RESET;
    for (;;) __asm volatile("wfi");
}

uint64_t board_tick_hz(void) { return TICK_HZ; }
uint8_t board_tick_bits(void) { return 64; }
uint64_t board_cpu_hz(void) { return 0; }

tp_tick board_ticks(void) {
    uint32_t high, low, again;
    do {
        high = CSR_READ(mcycleh);
        low = CSR_READ(mcycle);
        again = CSR_READ(mcycleh);
    } while (high != again);
    return (uint64_t)high << 32 | low;
}

void board_write(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        tp_tick since = board_ticks();
        while (!(UART_LSR & LSR_ROOM))
            if (board_ticks() - since > WRITE_LIMIT_TICKS) return;
        UART_DATA = bytes[i];
    }
}

/* An interrupt ends the sleep even where it is masked, so none that comes just before it is lost. */
void board_idle(void) {
    __asm volatile("csrc mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
    if (receive_ring_is_empty()) __asm volatile("wfi");
    CSR_SET(mstatus, MSTATUS_MIE);
}

const char *board_identity(void) { return NULL; }
