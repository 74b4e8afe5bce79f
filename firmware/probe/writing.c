#include <string.h>

#include "tp_internal.h"

/* A type, and the `count` least significant bytes of a number, the more significant first. */
static void put_number(tp_probe *probe, uint32_t type, uint32_t value, uint32_t count) {
    tp_put(probe, type);
    while (count-- > 0) tp_put(probe, value >> (8 * count));
}

void tp_put_uint(tp_probe *probe, uint64_t value) {
    uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32), type = 0xCC;
    if (high != 0) {
        put_number(probe, 0xCF, high, 4);
        put_number(probe, low >> 24, low, 3);
        return;
    }
    if (low < 0x80) {
        put_number(probe, low, 0, 0);
        return;
    }
    if (low > 0xFF) type++;
    if (low > 0xFFFF) type++;
    put_number(probe, type, low, 1U << (type - 0xCC));
}

/* A length in the byte of its type where it is under `room`, else in `bytes` bytes behind another type. */
static void put_length(tp_probe *probe, uint32_t short_type, uint32_t room, uint32_t type, uint32_t count) {
    if (count < room)
        put_number(probe, short_type | count, 0, 0);
    else
        put_number(probe, type, count, type == 0xDC ? 2 : 1);
}

void tp_put_array(tp_probe *probe, uint32_t count) { put_length(probe, 0x90, 16, 0xDC, count); }

void tp_put_bin_header(tp_probe *probe, uint32_t count) {
    uint32_t is_long = count >> 8 != 0;
    put_number(probe, 0xC4 + is_long, count, 1 + is_long);
}

void tp_put_content(tp_probe *probe, const uint8_t *bytes, uint32_t count) {
    while (count-- > 0) tp_put(probe, *bytes++);
}

void tp_put_bin(tp_probe *probe, const void *bytes, uint32_t count) {
    tp_put_bin_header(probe, count);
    tp_put_content(probe, bytes, count);
}

void tp_put_str(tp_probe *probe, const char *text, uint32_t most) {
    const uint8_t *bytes = (const uint8_t *)text;
    uint32_t count = 0;
    if (text != NULL) count = (uint32_t)strlen(text);
    if (count > most)
        for (count = most; count > 0 && (bytes[count] & 0xC0) == 0x80;) count--;
    put_length(probe, 0xA0, 32, 0xD9, count);
    tp_put_content(probe, bytes, count);
}
