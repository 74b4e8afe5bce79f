/* One line that says what went wrong, put together without stdio. */
#ifndef WHY_H
#define WHY_H

#include <stddef.h>
#include <stdint.h>

/* Begins the line anew; what exceeds its 120 bytes is left out. */
const char *why(const char *text);
const char *why_and(const char *text);
const char *why_bytes(const uint8_t *text, size_t count);
const char *why_number(uint64_t number);

#endif
