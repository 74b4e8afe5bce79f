#include <string.h>

#include "tp_internal.h"

/* A type, and the `count` least significant bytes of a number, the more significant first. */
static void put_number(uint32_t type, uint32_t value, uint32_t count) {
    tp_put(type);
    while (count-- > 0) tp_put(value >> (8 * count));
}

void tp_put_uint(uint64_t value) {
    uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32), type = 0xCC;
    if (high != 0) {
        put_number(0xCF, high, 4);
        put_number(low >> 24, low, 3);
        return;
    }
    if (low < 0x80) {
        tp_put(low);
        return;
    }
    if (low > 0xFF) type++;
    if (low > 0xFFFF) type++;
    put_number(type, low, 1U << (type & 3));
}

/* A length in the byte of its type where it is under `room`, else in `bytes` bytes behind another type. */
static void put_length(uint32_t short_type, uint32_t room, uint32_t type, uint32_t count) {
    if (count < room)
        tp_put(short_type | count);
    else
        put_number(type, count, type == 0xDC ? 2 : 1);
}

void tp_put_array(uint32_t count) { put_length(0x90, 16, 0xDC, count); }

void tp_put_bin_header(uint32_t count) {
    uint32_t is_long = count >> 8 != 0;
    put_number(0xC4 + is_long, count, 1 + is_long);
}

void tp_put_content(const uint8_t *bytes, uint32_t count) {
    while (count-- > 0) tp_put(*bytes++);
}

void tp_put_bin(const void *bytes, uint32_t count) {
    tp_put_bin_header(count);
    tp_put_content(bytes, count);
}

void tp_put_str(const char *text, uint32_t most) {
    const uint8_t *bytes = (const uint8_t *)text;
    uint32_t count;
    if (text == NULL) {
        tp_put(TP_NIL);
        return;
    }
    count = (uint32_t)strlen(text);
    if (count > most)
        for (count = most; count > 0 && (bytes[count] & 0xC0) == 0x80;) count--;
    put_length(0xA0, 32, 0xD9, count);
    tp_put_content(bytes, count);
}
