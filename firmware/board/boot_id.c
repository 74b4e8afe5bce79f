/* Another number at each start: a count in memory that no start clears, mixed with the counter's state. After power-on
 * that memory holds anything at all, which serves as well. */
#include "board.h"

static uint32_t starts __attribute__((section(".noinit")));

uint32_t board_boot_id(void) {
    starts++;
    uint32_t id = starts * 2654435761u ^ (uint32_t)board_ticks() * 40503u;
    return id != 0 ? id : 1;
}
