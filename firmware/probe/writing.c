#include <string.h>

#include "tp_internal.h"

/* The `count` least significant bytes of a value, the more significant first. */
static void put_bytes(tp_probe *probe, uint32_t value, int count) {
    while (count-- > 0) tp_put(probe, (uint8_t)(value >> (8 * count)));
}

void tp_message(tp_probe *probe, uint8_t elements, uint8_t number) {
    tp_frame_begin(probe);
    tp_put(probe, (uint8_t)(0x90 | elements));
    tp_put(probe, number);
}

unsigned tp_uint_size(uint64_t value) {
    if (value >> 32) return 9;
    if (value > 0xFFFF) return 5;
    if (value > 0xFF) return 3;
    return value > 0x7F ? 2 : 1;
}

void tp_put_uint(tp_probe *probe, uint64_t value) {
    uint32_t low = (uint32_t)value;
    switch (tp_uint_size(value)) {
    case 9:
        tp_put(probe, 0xCF);
        put_bytes(probe, (uint32_t)(value >> 32), 4);
        put_bytes(probe, low, 4);
        return;
    case 5:
        tp_put(probe, 0xCE);
        put_bytes(probe, low, 4);
        return;
    case 3:
        tp_put(probe, 0xCD);
        put_bytes(probe, low, 2);
        return;
    case 2:
        tp_put(probe, 0xCC);
        break;
    default:
        break;
    }
    tp_put(probe, (uint8_t)low);
}

void tp_put_size(tp_probe *probe, uint64_t bytes) {
    if (bytes == TP_UNKNOWN)
        tp_put(probe, 0xC0);
    else
        tp_put_uint(probe, bytes);
}

void tp_put_array(tp_probe *probe, unsigned count) {
    if (count < 16) {
        tp_put(probe, (uint8_t)(0x90 | count));
        return;
    }
    tp_put(probe, 0xDC);
    put_bytes(probe, count, 2);
}

void tp_put_bin_header(tp_probe *probe, size_t count) {
    int is_short = count < 256;
    tp_put(probe, is_short ? 0xC4 : 0xC5);
    put_bytes(probe, (uint32_t)count, is_short ? 1 : 2);
}

void tp_put_bin(tp_probe *probe, const uint8_t *bytes, size_t count) {
    tp_put_bin_header(probe, count);
    while (count-- > 0) tp_put(probe, *bytes++);
}

void tp_put_str(tp_probe *probe, const char *text, size_t most) {
    size_t count = text == NULL ? 0 : strlen(text);
    if (count > most) {
        count = most;
        while (count > 0 && ((uint8_t)text[count] & 0xC0) == 0x80) count--;
    }
    if (count < 32) {
        tp_put(probe, (uint8_t)(0xA0 | count));
    } else {
        tp_put(probe, 0xD9);
        tp_put(probe, (uint8_t)count);
    }
    while (count-- > 0) tp_put(probe, (uint8_t)*text++);
}
