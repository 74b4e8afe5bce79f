#include "tp_internal.h"

/* The eight steps of the polynomial 0x1021 for a whole byte at once, without a table. */
uint16_t tp_crc16(uint32_t crc, uint32_t byte) {
    uint32_t mixed = (crc >> 8) ^ byte;
    mixed ^= mixed >> 4;
    return (uint16_t)((crc << 8) ^ (mixed << 12) ^ (mixed << 5) ^ mixed);
}

uint32_t tp_crc32(uint32_t crc, uint32_t word) {
    /* The bits of a word go in from the least significant on, as those of its four bytes do. */
    crc ^= word;
    for (int bit = 0; bit < 32; bit++) crc = (crc >> 1) ^ (UINT32_C(0xEDB88320) & (0U - (crc & 1U)));
    return crc;
}
