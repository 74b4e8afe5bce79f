/* From reset to main on a Cortex-M: the stack is painted and guarded, statics are laid out, the FPU is on. */
#include <string.h>

#include "cortex_m.h"

#define STACK_PAINT 0xC5C5C5C5u

extern uint32_t _stack_bottom[], _data_start[], _data_end[], _bss_start[], _bss_end[];
extern const uint32_t _data_image[];
extern const vector vectors[];
int main(void);

/* The stack lies at the bottom of RAM and grows down: the 4 KB below it belong to nobody, so that an overflow ends in a
 * fault at once and eats no statics. Where the machine has no MPU, the bus says no there. */
static void guard_stack(void) {
    if (MPU_TYPE == 0 || MPU_TYPE == 0xFFFFFFFFu) return;
    MPU_RNR = 0;
    MPU_RBAR = (uint32_t)(uintptr_t)_stack_bottom - 4096u;
    MPU_RASR = 1u << 28 | 11u << 1 | 1u; /* execute never, no access, 2^12 bytes */
    MPU_CTRL = 1u << 2 | 1u;             /* everything else as the memory map has it */
    __asm volatile("dsb\n isb" ::: "memory");
}

static void paint_stack(void) {
    uint32_t *top;
    __asm volatile("mov %0, sp" : "=r"(top));
    for (volatile uint32_t *word = _stack_bottom; word < top - 4; word++) *word = STACK_PAINT;
}

void reset_entry(void) {
#ifdef __ARM_FP
    SCB_CPACR |= 0xFu << 20;
    __asm volatile("dsb\n isb" ::: "memory");
#endif
    SCB_VTOR = (uint32_t)(uintptr_t)vectors;
    paint_stack();
    memcpy(_data_start, _data_image, (size_t)((uint8_t *)_data_end - (uint8_t *)_data_start));
    memset(_bss_start, 0, (size_t)((uint8_t *)_bss_end - (uint8_t *)_bss_start));
#if __ARM_ARCH >= 7
    SCB_SHCSR |= 7u << 16; /* memory, bus and usage faults have their own entries */
#endif
    guard_stack();
    main();
    reset_chip();
}

/* An interrupt that nobody asked for. */
void idle_entry(void) {}
