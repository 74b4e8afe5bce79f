/* STM32F405: vector table and what the machine is called. */
#include "board.h"
#include "stm32f405.h"

#define USART1_IRQ 37 /* RM0090, table 62 */

const char board_platform[] = "stm32f405";
const uint64_t board_ram_bytes = 128 * 1024, board_flash_bytes = 1024 * 1024;

__attribute__((section(".vectors"), used)) const vector vectors[16 + 82] = {
    CORE_VECTORS,
    [16 + USART1_IRQ] = line_entry,
};

void board_start(void) {
    uint32_t apb2_hz;
    uint64_t core_hz = clock_start(&apb2_hz);
    cycle_counter_start(core_hz);
    line_start(apb2_hz);
    NVIC_ISER(USART1_IRQ) = 1u << USART1_IRQ % 32;
}
