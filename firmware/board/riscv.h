/* What every RISC-V core in machine mode has (RISC-V Privileged Architecture), and what the parts here offer each other. */
#ifndef RISCV_H
#define RISCV_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define CSR_READ(name)                                    \
    __extension__({                                       \
        uint32_t value_;                                  \
        __asm volatile("csrr %0, " #name : "=r"(value_)); \
        value_;                                           \
    })
#define CSR_SET(name, bits) __asm volatile("csrs " #name ", %0" ::"r"(bits) : "memory")

#define MSTATUS_MIE 8u
#define MIE_EXTERNAL (1u << 11)

/* riscv_start.S hands over to main() once memory is laid out; interrupts come here, from the target. */
void line_interrupt(void);

/* The target's: resets the chip, and does not return. */
void reset_chip(void) __attribute__((noreturn));

#endif
