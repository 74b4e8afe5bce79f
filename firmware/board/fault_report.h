/* fault_report.c: leaves a report in memory that no start clears. The caller resets the chip then. */
#ifndef FAULT_REPORT_H
#define FAULT_REPORT_H

#include <stdint.h>

#define FAULT_STACK_OVERFLOW 0x80000000u /* a cause of our own: no core here has this bit in an exception's number */

void fault_leave(uint32_t cause, uint32_t pc, uint32_t lr, uint32_t address);

#endif
