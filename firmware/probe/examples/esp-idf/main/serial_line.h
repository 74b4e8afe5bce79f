/* The console's UART as the probe wants it, for both examples. */
#ifndef SERIAL_LINE_H
#define SERIAL_LINE_H

#include "tinyprobe.h"

void serial_start(void);
void serial_write(void *user, const uint8_t *bytes, size_t count);
size_t serial_read(uint8_t *bytes, size_t room, unsigned wait_ms);
tp_tick serial_ticks(void *user); /* microseconds, 32 bits of them */

#endif
