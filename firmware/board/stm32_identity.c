/* The chip's own number, 96 bits, as 24 hexadecimal digits: RM0090 chapter 39.1, RM0385 41.1, RM0410 45.1. The target says
 * where it is; 0 where there is none, as on the emulated machine, which faults there. */
#include "board.h"
#include "stm32_identity.h"

const char *board_identity(void) {
    static char text[25];
    const volatile uint32_t *words = chip_number();
    if (words == NULL) return NULL;
    for (int i = 0; i < 24; i++) text[i] = "0123456789abcdef"[words[2 - i / 8] >> (28 - 4 * (i % 8)) & 15];
    return text;
}
