/* QEMU's lx60-nommu with an LX106 core: 16550 behind the core's first external interrupt, CCOUNT, and the FPGA's register
 * that resets the board. */
#include "board.h"
#include "fault_report.h"
#include "receive_ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define FPGA_RESET REGISTER(0x9D020010u)
#define FPGA_RESET_WORD 0xDEADu

#define UART(number) REGISTER(0x9D050020u + 4 * (number)) /* a register in each word */
#define UART_DATA UART(0)
#define UART_IER UART(1)
#define UART_FCR UART(2)
#define UART_LCR UART(3)
#define UART_LSR UART(5)
#define LSR_READY 1u
#define LSR_ROOM 0x20u
#define UART_INTERRUPT 0

#define CORE_HZ 40000000u
#define WRITE_LIMIT_TICKS CORE_HZ

extern uint32_t _stack_bottom[];

void line_interrupt(void);
void reset_chip(void) __attribute__((noreturn));
void record_fault(uint32_t cause, uint32_t pc, uint32_t lr, uint32_t stack, uint32_t address) __attribute__((noreturn));

const char board_platform[] = "qemu-lx60-lx106";
const uint64_t board_ram_bytes = 80 * 1024, board_flash_bytes = 1024 * 1024;

void board_start(void) {
    uint32_t enabled = 1u << UART_INTERRUPT;
    UART_LCR = 3; /* 8N1; the emulated line has no rate */
    UART_FCR = 7; /* FIFOs on and empty, interrupt at the first byte */
    UART_IER = 1;
    __asm volatile("wsr %0, intenable\n rsync" ::"r"(enabled) : "memory");
}

void line_interrupt(void) {
    while (UART_LSR & LSR_READY) receive_ring_put((uint8_t)UART_DATA);
}

void reset_chip(void) {
    FPGA_RESET = FPGA_RESET_WORD;
    for (;;) __asm volatile("nop");
}

uint64_t board_tick_hz(void) { return CORE_HZ; }
uint8_t board_tick_bits(void) { return 32; }
uint64_t board_cpu_hz(void) { return CORE_HZ; }

tp_tick board_ticks(void) {
    uint32_t cycles;
    __asm volatile("rsr %0, ccount" : "=r"(cycles));
    return cycles;
}

void board_write(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        tp_tick since = board_ticks();
        while (!(UART_LSR & LSR_ROOM))
            if (board_ticks() - since > WRITE_LIMIT_TICKS) return;
        UART_DATA = bytes[i];
    }
}

/* WAITI lets interrupts in and sleeps in one step, so none that comes just before it is lost. */
void board_idle(void) {
    uint32_t before;
    __asm volatile("rsil %0, 1" : "=r"(before)::"memory");
    if (receive_ring_is_empty())
        __asm volatile("waiti 0" ::: "memory");
    else
        __asm volatile("wsr %0, ps\n rsync" ::"r"(before) : "memory");
}

const char *board_identity(void) { return NULL; }

void record_fault(uint32_t cause, uint32_t pc, uint32_t lr, uint32_t stack, uint32_t address) {
    if (stack < (uint32_t)(uintptr_t)_stack_bottom + 16) cause |= FAULT_STACK_OVERFLOW;
    fault_leave(cause, pc, lr, address);
    reset_chip();
}

/* EXCCAUSE (Xtensa ISA, 4.4.1.5), and from 64 on what start.S gives the other vectors. */
const char *board_fault_cause(uint32_t cause) {
    static const struct {
        uint8_t cause;
        const char *text;
    } causes[] = {
        {0, "illegal instruction"}, {2, "no instruction there"}, {3, "load or store error"}, {6, "division by zero"},
        {9, "misaligned access"},   {14, "no instruction there"}, {15, "no memory there"},   {20, "forbidden instruction"},
        {28, "forbidden load"},     {29, "forbidden store"},      {64, "breakpoint"},        {65, "NMI"},
        {66, "double exception"},
    };
    if (cause & FAULT_STACK_OVERFLOW) return "stack overflow";
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (cause == causes[i].cause) return causes[i].text;
    return "exception";
}
