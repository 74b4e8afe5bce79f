/* The report of a fault, from the life in which it came to the one after it. */
#include "fault_report.h"

#include "board.h"

#define FAULT_MAGIC 0x7F4A17EDu

static board_fault_report left_behind __attribute__((section(".noinit")));

void fault_leave(uint32_t cause, uint32_t pc, uint32_t lr, uint32_t address) {
    left_behind = (board_fault_report){.magic = FAULT_MAGIC, .cause = cause, .pc = pc, .lr = lr, .address = address};
}

const board_fault_report *board_fault(void) {
    static board_fault_report report;
    if (left_behind.magic == FAULT_MAGIC) {
        report = left_behind;
        left_behind.magic = 0;
    }
    return report.magic == FAULT_MAGIC ? &report : NULL;
}
