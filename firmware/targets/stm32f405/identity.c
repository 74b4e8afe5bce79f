/* Where the STM32F405 keeps its number (RM0090, 39.1). */
#include <stddef.h>

#include "stm32_identity.h"
#include "stm32f405.h"

const volatile uint32_t *chip_number(void) {
    return is_emulated() ? NULL : (const volatile uint32_t *)(uintptr_t)0x1FFF7A10;
}
