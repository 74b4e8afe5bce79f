/* From bodies to the line: CRC and COBS done on the way, in a buffer of little more than one part of COBS. */
#include "tp_internal.h"

/* Whose frame is being made. There is one at a time, from begin to end, so that not every value need be told. */
static tp_probe *sender;

enum { FULL = 255, CROWDED = TP_TX_BYTES - FULL - 1 };

static void write_out(tp_probe *probe, uint32_t count) {
    probe->config->write(probe->config->user, probe->tx, count);
    probe->tx_fill = 0;
}

void tp_frame_begin(tp_probe *probe) {
    sender = probe;
    probe->tx[0] = 0;
    probe->tx_part = 1;
    probe->tx_fill = 2;
    probe->tx_crc = 0xFFFF;
}

/* A zero, and a part that is full, end the part; what has been ended is written when another part might not fit. */
void tp_put(uint32_t any) {
    tp_probe *probe = sender;
    uint8_t byte = (uint8_t)any;
    uint32_t length;
    probe->tx_crc = tp_crc16(probe->tx_crc, byte);
    if (byte != 0) probe->tx[probe->tx_fill++] = byte;
    length = (uint32_t)(probe->tx_fill - probe->tx_part);
    probe->tx_after_full = 0;
    if (byte != 0 && length < FULL) return;
    probe->tx_after_full = byte;
    probe->tx[probe->tx_part] = (uint8_t)length;
    if (probe->tx_fill > CROWDED) write_out(probe, probe->tx_fill);
    probe->tx_part = probe->tx_fill++;
}

void tp_frame_end(void) {
    tp_probe *probe = sender;
    uint32_t crc = probe->tx_crc;
    tp_put(crc >> 8);
    tp_put(crc);
    /* A full part at the very end stands for no zero: the empty part that was opened behind it is left out. */
    if (probe->tx_after_full)
        probe->tx_fill = probe->tx_part;
    else
        probe->tx[probe->tx_part] = (uint8_t)(probe->tx_fill - probe->tx_part);
    probe->tx[probe->tx_fill] = 0;
    write_out(probe, probe->tx_fill + 1U);
}
