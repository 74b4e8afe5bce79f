/* Faults on a Cortex-M: what the core knows goes into memory that no start clears, then the chip is reset; the start
 * after it reports. Causes are the bits of CFSR (Armv7-M ARM, B3.2.15); Armv6-M has none, and says only that it was one. */
#include <stddef.h>

#include "board.h"
#include "cortex_m.h"
#include "fault_report.h"

#define HARD_FAULT_ONLY 0u
#define RESERVE 256u /* room that the handler itself needs at the stack's end */

extern uint32_t _stack_bottom[];

typedef struct {
    uint32_t r0, r1, r2, r3, r12, lr, pc, xpsr;
} exception_frame;

__attribute__((used, noreturn)) static void record_fault(const exception_frame *frame) {
    uint32_t cause = HARD_FAULT_ONLY, pc = 0, lr = 0, address = 0;
#if __ARM_ARCH >= 7
    cause = SCB_CFSR;
    if (cause & 1u << 7) address = SCB_MMFAR;
    if (cause & 1u << 15) address = SCB_BFAR;
#endif
    if (frame < (const exception_frame *)_stack_bottom) {
        cause |= FAULT_STACK_OVERFLOW; /* no frame was saved: there was no room */
    } else {
        pc = frame->pc;
        lr = frame->lr;
    }
    fault_leave(cause, pc, lr, address);
    reset_chip();
}

/* Finds the frame, and takes the other end of the stack where there is no room left at this one. */
__attribute__((naked)) void fault_entry(void) {
    __asm volatile(
        "mov r1, lr\n"
        "movs r0, #4\n"
        "tst r0, r1\n"
        "mrs r0, msp\n"
        "beq 1f\n"
        "mrs r0, psp\n"
        "1: ldr r1, =_stack_bottom\n"
        "adds r1, %0\n"
        "cmp r0, r1\n"
        "bhs 2f\n"
        "ldr r1, =_stack_top\n"
        "mov sp, r1\n"
        "2: ldr r1, =record_fault\n"
        "bx r1\n"
        ".ltorg" ::"i"(RESERVE - 1));
}

const char *board_fault_cause(uint32_t cause) {
    static const struct {
        uint32_t bits;
        const char *text;
    } causes[] = {
        {FAULT_STACK_OVERFLOW, "stack overflow"},
        {1u << 16, "undefined instruction"},
        {1u << 17, "invalid state"},
        {1u << 18, "invalid return"},
        {1u << 19, "no coprocessor"},
        {1u << 24, "unaligned access"},
        {1u << 25, "division by zero"},
        {1u << 0 | 1u << 8, "no instruction there"},
        {1u << 9 | 1u << 10, "bus fault"},
        {1u << 1, "forbidden memory"},
        {1u << 3 | 1u << 4 | 1u << 5 | 1u << 11 | 1u << 12 | 1u << 13, "fault at an exception"},
    };
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (cause & causes[i].bits) return causes[i].text;
    return "hard fault";
}
