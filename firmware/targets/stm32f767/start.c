/* STM32F767: vector table, what the machine is called, and where it keeps its number (RM0410, 45.1). */
#include "board.h"
#include "stm32_identity.h"
#include "stm32f7.h"

const char board_platform[] = "stm32f767";
const uint64_t board_ram_bytes = 512 * 1024, board_flash_bytes = 2048 * 1024;

__attribute__((section(".vectors"), used)) const vector vectors[16 + 110] = {
    CORE_VECTORS,
    [16 + USART3_IRQ] = line_entry,
};

void board_start(void) {
    uint32_t apb1_hz;
    cycle_counter_start(clock_start(&apb1_hz));
    line_start(apb1_hz);
}

const volatile uint32_t *chip_number(void) { return (const volatile uint32_t *)(uintptr_t)0x1FF0F420; }
