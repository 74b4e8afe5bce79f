/* What every Cortex-M has at the same addresses (Armv7-M and Armv6-M Architecture Reference Manuals), and what the parts
 * in this folder offer each other. */
#ifndef CORTEX_M_H
#define CORTEX_M_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define SYST_CSR REGISTER(0xE000E010)
#define SYST_RVR REGISTER(0xE000E014)
#define SYST_CVR REGISTER(0xE000E018)
#define NVIC_ISER(n) REGISTER(0xE000E100 + 4 * ((n) / 32))
#define SCB_ICSR REGISTER(0xE000ED04)
#define SCB_VTOR REGISTER(0xE000ED08)
#define SCB_AIRCR REGISTER(0xE000ED0C)
#define SCB_CCR REGISTER(0xE000ED14)
#define SCB_SHCSR REGISTER(0xE000ED24)
#define SCB_CFSR REGISTER(0xE000ED28)
#define SCB_HFSR REGISTER(0xE000ED2C)
#define SCB_MMFAR REGISTER(0xE000ED34)
#define SCB_BFAR REGISTER(0xE000ED38)
#define SCB_CPACR REGISTER(0xE000ED88)
#define MPU_TYPE REGISTER(0xE000ED90)
#define MPU_CTRL REGISTER(0xE000ED94)
#define MPU_RNR REGISTER(0xE000ED98)
#define MPU_RBAR REGISTER(0xE000ED9C)
#define MPU_RASR REGISTER(0xE000EDA0)
#define DEMCR REGISTER(0xE000EDFC)
#define DWT_CTRL REGISTER(0xE0001000)
#define DWT_CYCCNT REGISTER(0xE0001004)
#define DWT_LAR REGISTER(0xE0001FB0)

static inline uint32_t interrupts_off(void) {
    uint32_t before;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(before)::"memory");
    return before;
}

static inline void interrupts_as_before(uint32_t before) { __asm volatile("msr primask, %0" ::"r"(before) : "memory"); }

/* Polls until *reg & mask is value; 0 when it did not come within `polls`. */
static inline int came(volatile uint32_t *reg, uint32_t mask, uint32_t value, uint32_t polls) {
    while ((*reg & mask) != value)
        if (polls-- == 0) return 0;
    return 1;
}

typedef void (*vector)(void);
void reset_entry(void), fault_entry(void), idle_entry(void), systick_entry(void);

/* The first sixteen words of a vector table; fault_entry takes every fault that the core knows. */
extern uint32_t _stack_top[];
#define CORE_VECTORS                                                                                            \
    [0] = (vector)(uintptr_t)_stack_top, [1] = reset_entry, [2] = fault_entry, [3] = fault_entry, [4] = fault_entry, \
    [5] = fault_entry, [6] = fault_entry, [11] = idle_entry, [12] = idle_entry, [14] = idle_entry, [15] = systick_entry

/* cycle_counter.c. The target says at what rate the core's clock runs once it has set it up. */
void cycle_counter_start(uint64_t hz);

/* cortex_reset.c, or the target's own. Does not return. */
void reset_chip(void) __attribute__((noreturn));

#endif
