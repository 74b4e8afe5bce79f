/* The core's own reset request (Armv7-M ARM, AIRCR.SYSRESETREQ), which resets the whole chip. */
#include "cortex_m.h"

void reset_chip(void) {
    __asm volatile("dsb" ::: "memory");
    SCB_AIRCR = 0x05FA0004u;
    for (;;) __asm volatile("dsb");
}
