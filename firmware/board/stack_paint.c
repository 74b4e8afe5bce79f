/* High-water marks and sizes, from the paint that the start left and the symbols that the linker set. There is no heap. */
#include "board.h"

#define STACK_PAINT 0xC5C5C5C5u
#define NOTE_HEADER 16 /* of an ELF note named GNU: three words and the name */

extern uint32_t _stack_bottom[], _stack_top[];
extern const uint8_t _static_start[], _static_end[], _flash_start[], _flash_end[], _build_id_start[], _build_id_end[];

uint64_t board_static_bytes(void) { return (uint64_t)(_static_end - _static_start); }
uint64_t board_heap_peak(void) { return 0; }
uint64_t board_flash_used(void) { return (uint64_t)(_flash_end - _flash_start); }

uint64_t board_stack_peak(void) {
    const volatile uint32_t *word = _stack_bottom;
    while (word < _stack_top && *word == STACK_PAINT) word++;
    return (uint64_t)((const volatile uint8_t *)_stack_top - (const volatile uint8_t *)word);
}

const uint8_t *board_build_id(size_t *count) {
    size_t note = (size_t)(_build_id_end - _build_id_start);
    *count = note > NOTE_HEADER ? note - NOTE_HEADER : 0;
    return _build_id_start + NOTE_HEADER;
}
