/* What a target gives to the firmware. One implementation in each folder of targets/ (parts that several share are in
 * board/: SysTick, painting, fault reports). No function waits on hardware without a limit. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

#include "tinyprobe.h"

extern const char board_platform[]; /* the machine that this is built for, such as stm32f405 */
extern const uint64_t board_ram_bytes, board_flash_bytes; /* of the real part */

/* Clocks, line, counter. Falls back where a clock does not come, so that one binary serves the chip and the emulator. */
void board_start(void);

/* Rate and width of the counter that board_ticks reads, and the core's clock, as they came out of board_start. */
uint64_t board_tick_hz(void);
uint8_t board_tick_bits(void);
uint64_t board_cpu_hz(void);
tp_tick board_ticks(void);

void board_write(const uint8_t *bytes, size_t count); /* waits for the line, within a limit; then drops */
size_t board_read(uint8_t *bytes, size_t room);       /* what has arrived, without waiting */
void board_idle(void);                                /* nothing to do: may sleep until something arrives */

const char *board_identity(void); /* the chip's own serial number, or NULL */
uint32_t board_boot_id(void);     /* another one at each start */

/* Executes a loop of about `instructions` instructions and returns how many it were; 0: there is no such loop. */
uint32_t board_loop(uint32_t instructions);

/* Bits of `flags` in `hello`. A board defines board_flags only where it has something to say; by default it is 0. */
#define BOARD_RAM_IS_RSS 1u /* board_static_bytes is a process's peak resident set, of which heap and stack are parts */
uint32_t board_flags(void);

/* High-water marks; TP_UNKNOWN where there is none. Static memory is what the linker placed; the stack is painted before
 * main. */
uint64_t board_static_bytes(void), board_heap_peak(void), board_stack_peak(void);
uint64_t board_flash_used(void);
const uint8_t *board_build_id(size_t *count);

/* What a fault left behind for the start after it; board_fault returns NULL when the start was an ordinary one. */
typedef struct {
    uint32_t magic, cause, pc, lr, address;
} board_fault_report;
const board_fault_report *board_fault(void);
const char *board_fault_cause(uint32_t cause); /* "hard fault", "illegal instruction", ... */

#endif
