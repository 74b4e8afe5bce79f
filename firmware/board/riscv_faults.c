/* Exceptions of a RISC-V core: what it knows is left for the start after the reset. Causes are mcause's. */
#include "board.h"
#include "fault_report.h"
#include "riscv.h"

extern uint32_t _stack_bottom[];

void record_fault(uint32_t lr, uint32_t stack) __attribute__((noreturn));

void record_fault(uint32_t lr, uint32_t stack) {
    uint32_t cause = CSR_READ(mcause);
    if (stack < (uint32_t)(uintptr_t)_stack_bottom) cause |= FAULT_STACK_OVERFLOW;
    fault_leave(cause, CSR_READ(mepc), lr, CSR_READ(mtval));
    reset_chip();
}

const char *board_fault_cause(uint32_t cause) {
    static const char *const causes[] = {
        "instruction misaligned", "no instruction there", "illegal instruction", "breakpoint",
        "load misaligned",        "load fault",           "store misaligned",    "store fault",
    };
    if (cause & FAULT_STACK_OVERFLOW) return "stack overflow";
    return cause < sizeof causes / sizeof *causes ? causes[cause] : "exception";
}
